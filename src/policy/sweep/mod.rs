//! Sweeps of a whole organisation: whether they are believed, and when one is worth its calls.
//!
//! [`trust`] compares sweeps with looks, [`ids`] learns whom they name by what; [`verdict`] says what may follow from one
//! sweep, [`again`] how it is asked for a second time; [`profile`] knows when users come and go, [`economy`] lays the
//! day's sweeps where they save most wrong time, and [`timetable`] puts the two together; [`spending`] divides the calls
//! between sweeps and looks. `docs/pacing.md` explains it.
//!
//! Guards: the same input gives the same output for ever. Deliberately not here: what a believed sweep changes
//! (`presence::sweep`), asking (`tasks`).

use std::time::Duration;

pub mod arrival_profile;
pub mod budget_split;
pub mod confidence;
pub mod decision;
pub mod ids;
pub mod recheck;
pub mod schedule;
pub mod schedule_optimizer;

/// What the operator wants of sweeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SweepMode {
    /// None.
    #[default]
    Off,
    /// Where they save more wrong time than looks.
    Auto,
    /// One every so often, in open time.
    Every(Duration),
}

/// With fewer users, `auto` looks at each of them: a sweep costs about half as much as looking at all of them.
pub const AUTO_MIN_USERS: u32 = 6;

/// Why an organisation is not swept at all, in words; `None`: it is, unless it refuses. `limited`: its calls a month are;
/// `paced`: so many users are looked at by what is left of them.
pub fn why_off(mode: SweepMode, limited: bool, paced: u32) -> Option<&'static str> {
    match mode {
        SweepMode::Off => Some("by the config"),
        SweepMode::Auto if !limited => {
            Some("calls are not limited, so everybody is looked at as often as wanted")
        }
        SweepMode::Auto if paced < AUTO_MIN_USERS => Some("so few users are cheaper to look at one by one"),
        SweepMode::Auto | SweepMode::Every(_) => None,
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
        let off = |mode, limited, paced| why_off(mode, limited, paced).is_some();
        assert!(off(SweepMode::Off, true, 100));
        assert!(off(SweepMode::Auto, false, 100) && off(SweepMode::Auto, true, AUTO_MIN_USERS - 1));
        assert!(!off(SweepMode::Auto, true, AUTO_MIN_USERS));
        assert!(!off(SweepMode::Every(Duration::from_mins(1)), false, 0));
    }

    #[test]
    fn a_sweep_costs_pages_and_batches() {
        let costs = [0, 1, 20, 21, 45].map(calls_of);
        assert_eq!(costs, [1, 2, 2, 4, 6]);
    }
}
