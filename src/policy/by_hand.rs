//! What the operator may do to a webhook's standing, and what that means for it.
//!
//! Guards: a pause holds back and loses nothing; only `enable` brings back what is disabled; a receiver that was down
//! before a pause is probed after it, not flooded. Deliberately not here: what receivers do to it (`delivery`).

use super::delivery::{DOWN_AFTER, Health, Standing};
use crate::time::Timestamp;

/// What the operator wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Nothing goes out; what waits goes on waiting.
    Pause,
    /// Undo a pause; a webhook that is down is probed at once.
    Resume,
    /// Whatever it was: up.
    Enable,
    /// It was seen to answer: a webhook that is down is probed at once.
    Answered,
}

/// Applies a change. What it is not for (pausing what is disabled, resuming what is up) changes nothing.
pub fn apply(health: &mut Health, change: Change, now: Timestamp) {
    match (change, &mut health.standing) {
        (Change::Pause, Standing::Up | Standing::Down { .. }) => {
            health.standing = Standing::Paused { reason: format!("by hand at {now}") };
        }
        (Change::Resume, Standing::Paused { .. }) => {
            health.struck.clear();
            // The row of failures outlives the pause: it says that nothing had got through before.
            health.standing = if health.failures >= DOWN_AFTER {
                Standing::Down { since: now, probe_at: now, probes: 0 }
            } else {
                Standing::Up
            };
        }
        (Change::Resume | Change::Answered, Standing::Down { probe_at, .. }) => {
            *probe_at = (*probe_at).min(now);
        }
        (Change::Enable, _) => *health = Health::default(),
        (Change::Pause, Standing::Paused { .. } | Standing::Disabled { .. })
        | (Change::Resume, Standing::Up | Standing::Disabled { .. })
        | (Change::Answered, Standing::Up | Standing::Paused { .. } | Standing::Disabled { .. }) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T0: Timestamp = Timestamp::from_ms(1_700_000_000_000);

    fn health(standing: Standing, failures: u32) -> Health {
        Health { standing, failures, struck: vec![1], ..Health::default() }
    }

    fn after(mut health: Health, change: Change) -> Standing {
        apply(&mut health, change, T0);
        health.standing
    }

    fn down() -> Standing {
        Standing::Down {
            since: Timestamp::from_ms(0),
            probe_at: T0.plus(std::time::Duration::from_hours(1)),
            probes: 9,
        }
    }

    fn disabled() -> Standing {
        Standing::Disabled { reason: "gone".to_owned() }
    }

    #[test]
    fn a_pause_is_undone_by_resume() {
        let mut health = health(Standing::Up, 2);
        apply(&mut health, Change::Pause, T0);
        assert_eq!(health.standing.name(), "paused");
        apply(&mut health, Change::Resume, T0);
        assert_eq!((health.standing, health.failures), (Standing::Up, 2));
    }

    #[test]
    fn what_was_down_before_a_pause_is_probed_after_it() {
        let mut health = health(down(), DOWN_AFTER);
        apply(&mut health, Change::Pause, T0);
        apply(&mut health, Change::Resume, T0);
        assert_eq!(health.standing, Standing::Down { since: T0, probe_at: T0, probes: 0 });
    }

    #[test]
    fn what_is_down_is_probed_at_once_and_stays_down_until_it_accepts() {
        for change in [Change::Resume, Change::Answered] {
            let after = after(health(down(), 5), change);
            assert_eq!(after, Standing::Down { since: Timestamp::from_ms(0), probe_at: T0, probes: 9 });
        }
    }

    #[test]
    fn only_enable_brings_back_what_is_disabled() {
        for change in [Change::Pause, Change::Resume, Change::Answered] {
            assert_eq!(after(health(disabled(), 5), change), disabled());
        }
        let mut health = health(disabled(), 5);
        apply(&mut health, Change::Enable, T0);
        assert_eq!(health, Health::default());
    }
}
