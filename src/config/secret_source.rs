//! References to secrets in the config.
//!
//! Guards: `Debug` does not show a plain secret. Not here: reading a secret (`secrets`), reading the reference from the
//! file (`credentials`).

use std::path::PathBuf;

use crate::secret::Secret;

/// Where a secret can come from.
pub(super) const SOURCES: [&str; 4] = ["credential", "file", "env", "command"];

/// A reference to a secret, or the secret.
#[derive(Clone, Debug, PartialEq)]
pub enum SecretSource {
    /// A file of this name in `$CREDENTIALS_DIRECTORY` (systemd `LoadCredential=`).
    Credential {
        /// Its name.
        name: String,
        /// The file that is read where systemd gives no credentials: `credentials/NAME` beside the config.
        beside: PathBuf,
    },
    /// A file, absolute.
    File(PathBuf),
    /// An environment variable.
    Env(String),
    /// What a command prints; program first.
    Command(Vec<String>),
    /// Written in the config: tests and demos.
    Plain(Secret),
    /// Pushed by DingTalk and kept in this file by the daemon: `suite_ticket = "push"`.
    Pushed(PathBuf),
}

/// A text that may be a secret.
#[derive(Clone, Debug, PartialEq)]
pub enum Text {
    /// As written.
    Plain(String),
    /// By reference.
    Secret(SecretSource),
}

/// The line that is missing in the unit.
pub fn add_credential(name: &str) -> String {
    format!("add `LoadCredential={name}:/etc/presenced/credentials/{name}` to the unit's [Service]")
}
