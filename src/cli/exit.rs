//! Exit codes, and failures that know theirs.
//!
//! Guards: the codes are part of the contract for scripts and systemd. Not here: which command ends with which.

/// How a command ended, beside 0.
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
    /// Throttled or the budget is spent.
    TryLater = 75,
    /// DingTalk refused credentials or permission.
    Refused = 77,
    /// The config is invalid.
    Config = 78,
}

/// A failure that knows its exit code. Its text is printed as `error: ...`.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// With what code to end.
    pub exit: Exit,
    /// What to say.
    pub message: String,
    /// The text has its own `error:` in front of each problem.
    pub complete: bool,
}

impl Failure {
    /// One with this code and text.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), complete: false }
    }
}
