//! Why a secret cannot be read.
//!
//! Guards: a message never holds a part of a secret. Not here: reading secrets (`super`).

use std::path::PathBuf;

use crate::config::public;

/// Why a secret cannot be read. Never contains a part of it.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// systemd gave no credential of that name.
    #[error("there is no {}", public::credential(name))]
    Credential {
        /// Its name.
        name: String,
    },
    /// The file cannot be read.
    #[error("the {} cannot be read: {source}", public::file(path))]
    File {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The daemon has not been pushed it yet.
    #[error("no suite ticket was pushed yet; DingTalk pushes one about every 5 hours to the running daemon")]
    NotPushed,
    /// The variable is not set.
    #[error("the {} is not set", public::variable(.0))]
    Env(String),
    /// The command could not be started, or failed.
    #[error("the {} {problem}", public::command(program))]
    Command {
        /// Its first word.
        program: String,
        /// What went wrong.
        problem: String,
    },
    /// Nothing in it.
    #[error("{0} is empty")]
    Empty(String),
    /// More, or something else, than a secret.
    #[error("{what} {problem}")]
    NotASecret {
        /// Where it comes from.
        what: String,
        /// What is wrong with it, without any part of it.
        problem: String,
    },
}
