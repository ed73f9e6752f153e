//! Which connections may turn out dead: those that were kept.
//!
//! Guards: a request on a connection of its own is never retried at once. Deliberately not here: the connections
//! themselves, which the client keeps.

use std::error::Error;
use std::io::ErrorKind;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::time::Duration;

/// An idle connection older than this is closed by the client itself (`net`).
const IDLE_CONNECTION: Duration = Duration::from_secs(50);

/// How many idle connections there can be at most, as far as one can tell from outside the client: a request that
/// starts with none of them has a connection of its own, and is never retried at once.
#[derive(Debug)]
pub(super) struct Pool {
    idle: AtomicUsize,
    most: usize,
    last_given_ms: AtomicI64,
}

impl Pool {
    pub(super) fn new(most: usize) -> Self {
        Self { idle: AtomicUsize::new(0), most, last_given_ms: AtomicI64::new(0) }
    }

    /// Whether the request that starts now finds a connection.
    pub(super) fn take(&self, now_ms: i64) -> bool {
        let age_ms = now_ms.saturating_sub(self.last_given_ms.load(Ordering::Relaxed));
        if u128::try_from(age_ms).is_ok_and(|age_ms| age_ms > IDLE_CONNECTION.as_millis()) {
            self.idle.store(0, Ordering::Relaxed);
        }
        self.idle.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |idle| idle.checked_sub(1)).is_ok()
    }

    pub(super) fn give(&self, now_ms: i64) {
        self.last_given_ms.store(now_ms, Ordering::Relaxed);
        let more = |idle: usize| (idle < self.most).then_some(idle + 1);
        // An error means there are as many as are kept.
        let _ = self.idle.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
    }
}

/// Whether the connection ended before a head arrived, not while connecting and not by a time-out.
pub(super) fn died_before_an_answer(error: &reqwest::Error) -> bool {
    if !error.is_request() || error.is_connect() || error.is_timeout() {
        return false;
    }
    let mut cause: Option<&(dyn Error + 'static)> = error.source();
    while let Some(error) = cause {
        if let Some(io) = error.downcast_ref::<std::io::Error>() {
            let ended = [
                ErrorKind::ConnectionReset,
                ErrorKind::ConnectionAborted,
                ErrorKind::BrokenPipe,
                ErrorKind::NotConnected,
                ErrorKind::UnexpectedEof,
            ];
            return ended.contains(&io.kind());
        }
        // hyper's own error has no public kind for an end between two messages that can be named here.
        if error.to_string().contains("connection closed before message completed") {
            return true;
        }
        cause = error.source();
    }
    false
}
