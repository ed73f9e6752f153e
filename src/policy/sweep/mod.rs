//! Sweeps: calls that list all ongoing meetings of an organisation and their members.
//!
//! [`confidence`] compares sweeps with polls, [`ids`] learns by which ids they name users, [`decision`] decides what
//! follows from one sweep, and [`recheck`] how its changes are confirmed. [`arrival_profile`] counts when users join
//! and leave, [`schedule_optimizer`] places the day's sweeps where they save most wrong time, and [`schedule`]
//! combines both. [`budget_split`] splits the calls between sweeps and polls. `docs/pacing.md` explains the rules.
//!
//! Guards: the same input always gives the same output. Not here: how an applied sweep changes presence
//! (`presence::sweep`), the calls (`tasks`).

use std::time::Duration;

pub mod arrival_profile;
pub mod budget_split;
pub mod confidence;
pub mod decision;
pub mod ids;
pub mod recheck;
pub mod schedule;
pub mod schedule_optimizer;

/// When sweeps are made (`poll.sweep`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SweepMode {
    /// Never.
    #[default]
    Off,
    /// When they save more wrong time than polls.
    Auto,
    /// At this interval, in open time.
    Every(Duration),
}

/// With fewer paced users `auto` polls each of them: a sweep costs about half as much as polling all of them.
pub const AUTO_MIN_USERS: u32 = 6;

/// Why an organisation is not swept, in words; `None`: it is swept, unless DingTalk refuses. `limited`: its monthly
/// calls are limited; `paced`: number of paced users.
pub fn why_off(mode: SweepMode, limited: bool, paced: u32) -> Option<&'static str> {
    match mode {
        SweepMode::Off => Some("by the config"),
        SweepMode::Auto if !limited => {
            Some("calls are not limited, so every user is polled at the shortest interval")
        }
        SweepMode::Auto if paced < AUTO_MIN_USERS => {
            Some("polling so few users one by one takes fewer calls")
        }
        SweepMode::Auto | SweepMode::Every(_) => None,
    }
}

/// Meetings on one page of the list, and in one batch.
pub const MEETINGS_A_CALL: u64 = 20;

/// Calls of a sweep while this many meetings are ongoing: one for each page of the list and for each batch; one if
/// there are none.
pub fn calls_of(meetings: u64) -> u64 {
    2 * meetings.div_ceil(MEETINGS_A_CALL) + u64::from(meetings == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auto_needs_a_limit_and_enough_users() {
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
