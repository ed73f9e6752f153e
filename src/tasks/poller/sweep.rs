//! Sweeps of a whole organisation by its meetings: when (`plan`), one from beginning to end (`run`) and its calls
//! (`sweep_run`, `members`, `failures`), what it changes (`apply_sweep`), whether sweeps are trusted
//! (`compare_with_poll`), by which ids they name users (`user_id_resolver`), what is stored (`persist`).
//!
//! Guards: the rest of the poller knows one type of it, `SweepEngine`, whose fields are visible in this folder only.
//! Not here: the decisions without state (`policy::sweep`), the effect on a user (`presence::sweep`).

mod apply_sweep;
pub(super) mod compare_with_poll;
pub(super) mod failures;
mod members;
pub(super) mod persist;
pub(super) mod plan;
pub(super) mod run;
pub(super) mod state;
pub(super) mod sweep_run;
pub(super) mod user_id_resolver;
