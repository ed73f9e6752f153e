//! Sweeps of a whole organisation: whether they are believed, and when one is worth its calls.
//!
//! [`trust`] compares sweeps with looks, [`ids`] learns whom they name by what; [`verdict`] says what may follow from one
//! sweep, [`again`] how it is asked for a second time; [`profile`] knows when people come and go, [`economy`] lays the
//! day's sweeps where they save most wrong time, and [`timetable`] puts the two together; [`spending`] divides the calls
//! between sweeps and looks. `docs/pacing.md` explains it.
//!
//! Guards: the same input gives the same output for ever. Deliberately not here: what a believed sweep changes
//! (`presence::sweep`), asking (`tasks`).

use std::time::Duration;

pub mod again;
pub mod economy;
pub mod ids;
pub mod profile;
pub mod spending;
pub mod timetable;
pub mod trust;
pub mod verdict;

/// What the operator wants of sweeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sweeping {
    /// None.
    #[default]
    Off,
    /// Where they save more wrong time than looks.
    Auto,
    /// One every so often, in open time.
    Every(Duration),
}

/// With fewer people, `auto` looks at each of them: a sweep costs about half as much as looking at all of them.
pub const LEAST_PEOPLE: u32 = 6;

/// Why an organisation is not swept at all, in words; `None`: it is, unless it refuses. `limited`: its calls a month are;
/// `paced`: so many people are looked at by what is left of them.
pub fn why_off(wish: Sweeping, limited: bool, paced: u32) -> Option<&'static str> {
    match wish {
        Sweeping::Off => Some("by the config"),
        Sweeping::Auto if !limited => {
            Some("calls are not limited, so everybody is looked at as often as wanted")
        }
        Sweeping::Auto if paced < LEAST_PEOPLE => Some("so few people are cheaper to look at one by one"),
        Sweeping::Auto | Sweeping::Every(_) => None,
    }
}

/// Meetings on one page of the list, and in one batch.
pub const MEETINGS_A_CALL: u64 = 20;

/// What a sweep costs while so many meetings go on: a call for each page of the list and for each batch, one call when there are none.
pub fn calls_of(meetings: u64) -> u64 {
    2 * meetings.div_ceil(MEETINGS_A_CALL) + u64::from(meetings == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auto_wants_a_limit_and_enough_people() {
        let off = |wish, limited, paced| why_off(wish, limited, paced).is_some();
        assert!(off(Sweeping::Off, true, 100));
        assert!(off(Sweeping::Auto, false, 100) && off(Sweeping::Auto, true, LEAST_PEOPLE - 1));
        assert!(!off(Sweeping::Auto, true, LEAST_PEOPLE));
        assert!(!off(Sweeping::Every(Duration::from_mins(1)), false, 0));
    }

    #[test]
    fn a_sweep_costs_pages_and_batches() {
        let costs = [0, 1, 20, 21, 45].map(calls_of);
        assert_eq!(costs, [1, 2, 2, 4, 6]);
    }
}
