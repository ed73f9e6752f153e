//! Notifies the service manager that the daemon is alive.
//!
//! Guards: it notifies only when every loop has made a turn and the database has answered since the last time; a
//! hanging part is named in the log, and the service manager restarts the daemon. A database that refuses writes does
//! not hang, and a restart would not help. Not here: the protocol of the service manager (`cli::run`).
#![expect(clippy::format_push_string, reason = "a line on a screen: the extra allocation is nothing")]

use std::convert::Infallible;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::heartbeat::Heartbeat;
use crate::clock::SharedClock;
use crate::store::Store;
use crate::store::history::Filter;

/// The parts that must not hang.
#[derive(Debug)]
pub struct LoopMonitor {
    /// The loops, by name.
    pub loops: Vec<(&'static str, Heartbeat)>,
    /// Must answer a write.
    pub store: Store,
    /// Interval of notifications: a third of the service manager's timeout.
    pub every: Duration,
    /// The machine's clock.
    pub clock: SharedClock,
}

impl LoopMonitor {
    /// Calls `alive` after every interval in which all parts responded, until `stop`.
    pub async fn run(
        self,
        mut alive: impl FnMut(&str) + Send,
        stop: CancellationToken,
    ) -> Result<(), Infallible> {
        let mut hanging: Vec<&'static str> = Vec::new();
        loop {
            let before: Vec<u64> = self.loops.iter().map(|(_, heartbeat)| heartbeat.beats()).collect();
            self.loops.iter().for_each(|(_, heartbeat)| heartbeat.request());
            let next = self.clock.now().plus(self.every);
            let database = tokio::select! {
                () = stop.cancelled() => return Ok(()),
                // A refusal is an answer.
                _ = self.store.recorder().record_system(None, Vec::new()) => true,
                () = self.clock.sleep_until(next) => false,
            };
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = self.clock.sleep_until(next) => {}
            }
            let still = |((name, heartbeat), before): (&(&'static str, Heartbeat), u64)| {
                (heartbeat.beats() == before).then_some(*name)
            };
            let mut now: Vec<&'static str> = self.loops.iter().zip(before).filter_map(still).collect();
            now.extend((!database).then_some("database"));
            // Another program holds the database's lock, or did so in this interval. All waiting parts continue when it
            // is released, and a restart would have to wait as well.
            if self.store.health().waited_for_lock() {
                now.clear();
            }
            if now.is_empty() {
                alive(&self.line().await);
            }
            if now != hanging {
                if now.is_empty() {
                    tracing::info!("event loops are responsive again");
                } else {
                    tracing::error!(
                        hanging = now.join(","),
                        "event loops do not respond; the service manager is not notified until they do"
                    );
                }
                hanging = now;
            }
        }
    }
}

impl LoopMonitor {
    /// A one-line status for the service manager.
    async fn line(&self) -> String {
        let history = self.store.history();
        let Ok(counts) = history.counts(&Filter::default()).await else {
            return "the database cannot be read".to_owned();
        };
        let queues = history.webhooks().queues().await.unwrap_or_default();
        let (waiting, dead) =
            queues.iter().fold((0, 0), |(waiting, dead), queue| (waiting + queue.pending, dead + queue.dead));
        let mut line = format!("watching {} people, {} in a meeting", counts.watched, counts.inside);
        if counts.unknown > 0 {
            line += &format!(", {} unknown", counts.unknown);
        }
        if waiting > 0 || dead > 0 {
            line += &format!("; {waiting} deliveries wait, {dead} given up");
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::mpsc;

    use super::*;
    use crate::clock::{Clock, ManualClock};
    use crate::time::Timestamp;

    /// Beats on request.
    async fn turn(heartbeat: Heartbeat) {
        loop {
            heartbeat.requested().await;
            heartbeat.beat();
        }
    }

    #[tokio::test]
    async fn a_loop_that_hangs_is_not_covered_up() {
        let folder = tempfile::tempdir().unwrap();
        let clock = ManualClock::at(Timestamp::from_ms(1_000_000));
        let shared: SharedClock = Arc::new(clock.clone());
        let store =
            Store::open(&folder.path().join("p.db"), chrono_tz::UTC, Arc::clone(&shared)).await.unwrap();
        let (fast, slow) = (Heartbeat::default(), Heartbeat::default());
        let every = Duration::from_secs(10);
        let watched = LoopMonitor {
            loops: vec![("fast", fast.clone()), ("slow", slow.clone())],
            store: store.clone(),
            every,
            clock: shared,
        };
        let (told, mut beats) = mpsc::unbounded_channel();
        let stop = CancellationToken::new();
        let at = clock.clone();
        let alive = move |_: &str| told.send(at.now()).unwrap();
        let turning = async {
            tokio::select! {
                () = turn(fast.clone()) => {}
                () = async {
                    // The slow loop beats in the first and the third interval.
                    for interval in 0..3 {
                        slow.requested().await;
                        if interval != 1 {
                            slow.beat();
                        }
                        // Its second wait of an interval begins when the database has answered.
                        while clock.waits() < 2 * (interval + 1) || fast.beats() <= interval {
                            tokio::task::yield_now().await;
                        }
                        clock.advance(every);
                    }
                    assert_eq!(beats.recv().await, Some(Timestamp::from_ms(1_010_000)));
                    assert_eq!(beats.recv().await, Some(Timestamp::from_ms(1_030_000)));
                    stop.cancel();
                } => {}
            }
        };
        let (ended, ()) = tokio::join!(watched.run(alive, stop.clone()), turning);
        ended.unwrap();
        store.close().await.unwrap();
    }
}
