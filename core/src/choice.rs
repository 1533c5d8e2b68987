//! Options with a closed list of values: how each is typed, and what it means.

/// One of a closed list of values.
pub trait Choice: Copy + PartialEq + Send + Sync + 'static {
    /// Each value, its name and its help, in the order in which they are listed.
    const ALL: &'static [(Self, &'static str, &'static str)];

    fn name(self) -> &'static str {
        Self::ALL.iter().find(|(value, ..)| *value == self).map_or("", |(_, name, _)| name)
    }

    fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known, _)| *known == name).map(|(value, ..)| *value)
    }
}
