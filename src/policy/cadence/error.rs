//! Error of a cron expression.
//!
//! Not here: the rules that refuse an expression (`cadence`, `cadence::fields`).

/// Why an expression was refused, and a correct form.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct CronError {
    /// What is wrong.
    pub message: String,
    /// How to fix it.
    pub help: String,
}

/// An error with these texts.
pub(super) fn refused(message: impl Into<String>, help: impl Into<String>) -> CronError {
    CronError { message: message.into(), help: help.into() }
}
