//! When a receiver's ill health is told to the others, and when its recovery is.
//!
//! Guards: a short illness is nobody's business; each turn is told once, however often one looks and whatever was
//! restarted in between. Deliberately not here: who is told, and how (`tasks`).

use std::time::Duration;

use super::delivery::{Health, Standing};
use crate::time::Timestamp;

/// Down for so long is worth an alert.
pub const FIRES_AFTER: Duration = Duration::from_mins(10);

/// What was told last about a webhook.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Told {
    /// Nothing, or that it is well again.
    #[default]
    Silent,
    /// That it is down.
    Down,
    /// That it is disabled.
    Disabled,
}

impl Told {
    /// The word in the database.
    pub fn name(self) -> &'static str {
        match self {
            Self::Silent => "silent",
            Self::Down => "down",
            Self::Disabled => "disabled",
        }
    }

    /// The reverse of [`Told::name`].
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Silent, Self::Down, Self::Disabled].into_iter().find(|told| told.name() == name)
    }
}

/// What follows from a webhook's standing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// All that is to be told was told.
    Nothing,
    /// To be told now.
    Tell(Told),
    /// To be looked at again then, if nothing turns before.
    Again(Timestamp),
}

/// What is to be told at `now`. A webhook that refuses every event is told like one that is down, at once. A webhook that the operator paused keeps what was told: neither ill nor well.
pub fn judge(health: &Health, told: Told, now: Timestamp) -> Next {
    match (&health.standing, told) {
        (Standing::Up, Told::Silent) if health.is_refusing() => Next::Tell(Told::Down),
        (Standing::Up, Told::Down) if health.is_refusing() => Next::Nothing,
        (Standing::Up, Told::Down | Told::Disabled) => Next::Tell(Told::Silent),
        (Standing::Disabled { .. }, Told::Silent | Told::Down) => Next::Tell(Told::Disabled),
        (Standing::Down { since, .. }, Told::Silent) => {
            let due = since.plus(FIRES_AFTER);
            if due <= now { Next::Tell(Told::Down) } else { Next::Again(due) }
        }
        (Standing::Up, Told::Silent)
        | (Standing::Down { .. }, Told::Down | Told::Disabled)
        | (Standing::Disabled { .. }, Told::Disabled)
        | (Standing::Paused { .. }, _) => Next::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const T0: Timestamp = Timestamp::from_ms(1_700_000_000_000);

    fn of(standing: Standing) -> Health {
        Health { standing, ..Health::default() }
    }

    fn down() -> Standing {
        Standing::Down { since: T0, probe_at: T0, probes: 0 }
    }

    fn disabled() -> Standing {
        Standing::Disabled { reason: "gone".to_owned() }
    }

    fn paused() -> Standing {
        Standing::Paused { reason: "by hand".to_owned() }
    }

    #[test]
    fn ten_minutes_down_fire_and_not_a_moment_less() {
        let due = T0.plus(FIRES_AFTER);
        assert_eq!(judge(&of(down()), Told::Silent, T0), Next::Again(due));
        assert_eq!(judge(&of(down()), Told::Silent, due.minus(Duration::from_millis(1))), Next::Again(due));
        assert_eq!(judge(&of(down()), Told::Silent, due), Next::Tell(Told::Down));
        assert_eq!(judge(&of(down()), Told::Down, due.plus(FIRES_AFTER)), Next::Nothing);
    }

    #[test]
    fn disabled_is_told_at_once_and_once() {
        assert_eq!(judge(&of(disabled()), Told::Silent, T0), Next::Tell(Told::Disabled));
        assert_eq!(judge(&of(disabled()), Told::Down, T0), Next::Tell(Told::Disabled));
        assert_eq!(judge(&of(disabled()), Told::Disabled, T0), Next::Nothing);
    }

    #[test]
    fn up_resolves_what_fired_and_nothing_else() {
        assert_eq!(judge(&of(Standing::Up), Told::Down, T0), Next::Tell(Told::Silent));
        assert_eq!(judge(&of(Standing::Up), Told::Disabled, T0), Next::Tell(Told::Silent));
        assert_eq!(judge(&of(Standing::Up), Told::Silent, T0), Next::Nothing);
    }

    #[test]
    fn a_receiver_that_refuses_every_event_fires_at_once_and_resolves_when_it_accepts() {
        let refusing = Health { trouble: Some("answered 301".to_owned()), ..Health::default() };
        assert_eq!(judge(&refusing, Told::Silent, T0), Next::Tell(Told::Down));
        assert_eq!(judge(&refusing, Told::Down, T0), Next::Nothing);
        assert_eq!(judge(&of(Standing::Up), Told::Down, T0), Next::Tell(Told::Silent));
    }

    #[test]
    fn paused_says_nothing() {
        for told in [Told::Silent, Told::Down, Told::Disabled] {
            assert_eq!(judge(&of(paused()), told, T0.plus(FIRES_AFTER)), Next::Nothing);
            assert_eq!(Told::parse(told.name()), Some(told));
        }
        assert_eq!(Told::parse("loud"), None);
    }

    proptest! {
        #![proptest_config(crate::testing::cases())]

        #[test]
        fn what_was_told_is_not_told_again(kind in 0..4, told in 0..3, ms in 0_i64..3_600_000) {
            let standing = [Standing::Up, down(), disabled(), paused()][usize::try_from(kind).unwrap()].clone();
            let told = [Told::Silent, Told::Down, Told::Disabled][usize::try_from(told).unwrap()];
            let now = T0.plus(Duration::from_millis(ms.unsigned_abs()));
            match judge(&of(standing.clone()), told, now) {
                Next::Tell(next) => {
                    prop_assert_ne!(next, told);
                    prop_assert_eq!(judge(&of(standing.clone()), next, now), Next::Nothing);
                }
                Next::Again(at) => prop_assert!(at > now),
                Next::Nothing => {}
            }
        }
    }
}
