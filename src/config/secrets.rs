//! Where secrets come from: a systemd credential, a file, the environment, a command, or the config itself.
//!
//! Guards: `Debug` of a source never shows a plain secret. Deliberately not here: what secrets are for.

use std::path::PathBuf;

use crate::secret::Secret;

/// A reference to a secret, or the secret.
#[derive(Clone, Debug)]
pub enum SecretSource {
    /// A file of this name in `$CREDENTIALS_DIRECTORY` (systemd `LoadCredential=`).
    Credential(String),
    /// A file, absolute.
    File(PathBuf),
    /// An environment variable.
    Env(String),
    /// What a command prints; program first.
    Command(Vec<String>),
    /// Written in the config: tests and demos.
    Plain(Secret),
}
