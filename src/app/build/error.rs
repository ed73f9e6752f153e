//! Why a start or a reload fails.
//!
//! Guards: errors of the config are distinguished from others, because a retry does not help with them. Not here: building.

use std::net::SocketAddr;

use crate::config::secrets::SecretError;
use crate::net::ClientError;
use crate::store::StoreError;
use crate::tasks::poller::PollerError;

/// Why the daemon could not be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A secret cannot be read.
    #[error("{what}: {error}")]
    Secret { what: String, error: SecretError },
    /// The database cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An HTTP client cannot be built.
    #[error("organisation `{org}`: {error}")]
    Client { org: String, error: ClientError },
    /// A webhook cannot be built.
    #[error("webhook `{webhook}`: {reason}")]
    Webhook { webhook: String, reason: String },
    /// The poller cannot start.
    #[error(transparent)]
    Poller(#[from] PollerError),
    /// The address of the listener is not available.
    #[error("cannot listen on {address}: {error} (is another program using it?)")]
    Listen { address: SocketAddr, error: std::io::Error },
    /// The token file or the control socket cannot be created.
    #[error("{what}: {error}")]
    File { what: &'static str, error: std::io::Error },
    /// A signal stopped the daemon during the start.
    #[error("stopped before it was ready")]
    Stopped,
}

impl BuildError {
    /// Whether the config, or something that it refers to, must be changed; then a retry does not help.
    pub fn is_config(&self) -> bool {
        match self {
            Self::Secret { .. } | Self::Webhook { .. } | Self::Client { .. } => true,
            Self::Store(_) | Self::Poller(_) | Self::Listen { .. } | Self::File { .. } | Self::Stopped => {
                false
            }
        }
    }
}
