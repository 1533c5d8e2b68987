//! Why the dashboard ends.

use std::io;

use crate::broker::HostPort;
use crate::failure::{Exit, Failure};

#[derive(Debug, thiserror::Error)]
pub enum DashboardError {
    #[error("can't listen at {listen}")]
    Listen { listen: HostPort, option: &'static str, source: io::Error },

    /// As the answer to a request.
    #[error("this host name is not allowed")]
    UnknownHost,

    #[error("the server failed")]
    Failed(#[from] io::Error),
}

impl Failure for DashboardError {
    fn hint(&self) -> Option<String> {
        match self {
            DashboardError::Listen { option, source, .. }
                if source.kind() == io::ErrorKind::AddrNotAvailable =>
            {
                Some(format!("name an address of this machine with {option}"))
            }
            DashboardError::Listen { option, .. } => {
                Some(format!("name another port with {option}, or 0 for a free one"))
            }
            DashboardError::UnknownHost => Some("start the dashboard with --allow-host NAME".to_owned()),
            DashboardError::Failed(_) => None,
        }
    }

    fn exit(&self) -> Exit {
        match self {
            // The port is somebody else's, or may not be taken: another one has to be typed.
            DashboardError::Listen { .. } => Exit::Usage,
            DashboardError::UnknownHost | DashboardError::Failed(_) => Exit::Failed,
        }
    }
}
