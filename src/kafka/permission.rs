//! The permission that Kafka's access rules (ACLs) must give for a request.

use std::fmt;

use crate::text::quoted;

/// An operation on a topic or a group. Read, Write and Delete include Describe.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Permission {
    operation: Operation,
    resource: Resource,
}

/// The operations that almanac needs, by Kafka's names.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Operation {
    Create,
    Delete,
    Describe,
    DescribeConfigs,
    Read,
    Write,
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum Resource {
    Topic(String),
    Group(String),
}

impl Permission {
    pub(super) fn on_topic(operation: Operation, topic: &str) -> Permission {
        Permission { operation, resource: Resource::Topic(topic.to_owned()) }
    }

    /// A member of a group needs no other.
    pub(super) fn of_member(group: &str) -> Permission {
        Permission { operation: Operation::Read, resource: Resource::Group(group.to_owned()) }
    }

    pub(super) fn is_of_group(&self) -> bool {
        matches!(self.resource, Resource::Group(_))
    }

    /// The command that allows it. Whoever may run it fills in the address and the name.
    pub(super) fn hint(&self) -> String {
        let Permission { operation, resource } = self;
        let (kind, name) = match resource {
            Resource::Topic(name) => ("topic", name),
            Resource::Group(name) => ("group", name),
        };
        format!(
            "allow it with `kafka-acls.sh --bootstrap-server HOST:PORT --add --allow-principal User:NAME --operation \
             {operation:?} --{kind} {}`",
            quoted(name)
        )
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        let Permission { operation, resource } = self;
        match resource {
            Resource::Topic(name) => write!(formatter, "{operation:?} on topic {name}"),
            Resource::Group(name) => write!(formatter, "{operation:?} on group {name}"),
        }
    }
}
