//! Exit codes, and failures that carry one.
//!
//! Guards: the codes are a contract with scripts and systemd. Not here: which command ends with which code.

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// It failed.
    Failed = 1,
    /// The command line is wrong.
    Usage = 2,
    /// `check --strict` found warnings.
    Warnings = 3,
    /// Nothing matched.
    Nothing = 4,
    /// The daemon does not answer.
    Unreachable = 69,
    /// Rate limited, or the budget is used up.
    TryLater = 75,
    /// DingTalk refused credentials or permission.
    Refused = 77,
    /// The config is invalid.
    Config = 78,
}

/// A failure with its exit code. Its text is printed as `error: ...`.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// The exit code.
    pub exit: Exit,
    /// The text to print.
    pub message: String,
    /// Whether the text already has an `error:` before each problem.
    pub complete: bool,
}

impl Failure {
    /// A failure with this code and text.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), complete: false }
    }
}
