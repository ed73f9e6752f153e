//! Which settings are in force: since when, and what became of the newest attempt to change them.
//!
//! Guards: a reload that failed stays visible until one succeeds. Deliberately not here: reloading (`app::reload`).

use std::sync::{Arc, Mutex, PoisonError};

use crate::time::Timestamp;

/// Shared by who reloads and who is asked how things stand.
#[derive(Debug)]
pub struct InForce {
    started: Timestamp,
    state: Mutex<Attempts>,
}

/// What became of the attempts so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempts {
    /// When the settings in force were read.
    pub loaded: Timestamp,
    /// How many times others were taken over.
    pub succeeded: u64,
    /// How many times they were refused.
    pub failed: u64,
    /// The newest attempt failed: when, and the first line of why.
    pub refused: Option<(Timestamp, String)>,
    /// What differs from the file that was read last and counts only after a restart.
    pub restart_for: Vec<String>,
}

impl InForce {
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

    /// How things stand.
    pub fn attempts(&self) -> Attempts {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Others are in force from now on. `restart_for`: what of them is not.
    pub fn succeeded(&self, now: Timestamp, restart_for: Vec<String>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.loaded = now;
        state.succeeded += 1;
        state.refused = None;
        state.restart_for = restart_for;
    }

    /// Those that were in force still are.
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
        let settings = InForce::since(at(1));
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
