//! Estimates whether a request uses a kept connection, which the receiver may have closed.
//!
//! Guards: a request on a new connection is never retried at once. Not here: the connections themselves, which the HTTP
//! client keeps.

use std::error::Error;
use std::io::ErrorKind;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::time::Duration;

/// The client closes an idle connection after this time (`net`).
const IDLE_CONNECTION: Duration = Duration::from_secs(50);

/// An upper bound of the number of idle connections, counted from outside the client. A request that starts while it is 0
/// uses a new connection.
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

    /// Whether the request that starts now may use a kept connection.
    pub(super) fn take(&self, now_ms: i64) -> bool {
        let age_ms = now_ms.saturating_sub(self.last_given_ms.load(Ordering::Relaxed));
        if u128::try_from(age_ms).is_ok_and(|age_ms| age_ms > IDLE_CONNECTION.as_millis()) {
            self.idle.store(0, Ordering::Relaxed);
        }
        self.idle.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |idle| idle.checked_sub(1)).is_ok()
    }

    pub(super) fn release(&self, now_ms: i64) {
        self.last_given_ms.store(now_ms, Ordering::Relaxed);
        let more = |idle: usize| (idle < self.most).then_some(idle + 1);
        // An error means that as many as possible are kept already.
        let _ = self.idle.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
    }
}

/// Whether the connection closed before a head arrived. False for connect errors and time-outs.
pub(super) fn closed_before_response(error: &reqwest::Error) -> bool {
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
        if error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_incomplete_message) {
            return true;
        }
        cause = error.source();
    }
    false
}
