//! The active config: when it was read, and the result of the last reload.
//!
//! Guards: a failed reload stays visible until one succeeds. Not here: reloading (`app::reload`).

use std::sync::{Arc, Mutex, PoisonError};

use crate::time::Timestamp;

/// Shared by the reloader and everything that reports status.
#[derive(Debug)]
pub struct ActiveConfig {
    started: Timestamp,
    state: Mutex<Attempts>,
}

/// The results of reloads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempts {
    /// When the active config was read.
    pub loaded: Timestamp,
    /// Number of successful reloads.
    pub succeeded: u64,
    /// Number of refused reloads.
    pub failed: u64,
    /// If the last reload was refused: when, and the first line of the reason.
    pub refused: Option<(Timestamp, String)>,
    /// Changes in the file that need a restart.
    pub restart_for: Vec<String>,
}

impl ActiveConfig {
    /// At the start.
    pub fn since(now: Timestamp) -> Arc<Self> {
        let attempts =
            Attempts { loaded: now, succeeded: 0, failed: 0, refused: None, restart_for: Vec::new() };
        Arc::new(Self { started: now, state: Mutex::new(attempts) })
    }

    /// When the daemon started.
    pub fn started(&self) -> Timestamp {
        self.started
    }

    /// The results so far.
    pub fn attempts(&self) -> Attempts {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Records a successful reload. `restart_for`: changes that need a restart.
    pub fn succeeded(&self, now: Timestamp, restart_for: Vec<String>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.loaded = now;
        state.succeeded += 1;
        state.refused = None;
        state.restart_for = restart_for;
    }

    /// Records a refused reload.
    pub fn refused(&self, now: Timestamp, why: &str) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.failed += 1;
        state.refused = Some((now, why.lines().next().unwrap_or_default().to_owned()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_seen_until_a_reload_succeeds() {
        let at = Timestamp::from_ms;
        let settings = ActiveConfig::since(at(1));
        settings.refused(at(2), "error: unknown key\n  --> config.toml:1:1");
        let attempts = settings.attempts();
        assert_eq!((attempts.loaded, attempts.failed), (at(1), 1));
        assert_eq!(attempts.refused, Some((at(2), "error: unknown key".to_owned())));
        settings.succeeded(at(3), vec!["[http]: listen".to_owned()]);
        let attempts = settings.attempts();
        assert_eq!((attempts.loaded, attempts.succeeded, attempts.refused), (at(3), 1, None));
        assert_eq!(settings.started(), at(1));
    }
}
