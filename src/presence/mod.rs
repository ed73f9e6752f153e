//! Who is in which meeting: decided from observations alone.
//!
//! Guards: joins and lefts of a visit come in pairs, an unchanged answer says nothing, and only an
//! [`Observation`](observation::Observation), one fully understood answer, can change a belief. Everything here is
//! pure: no IO, no clock, no randomness. Deliberately not here: the wire format (`dingtalk`), storage (`store`).
//!
//! In reading order: what was answered (`attendance`, `observation`), what is remembered (`visit`, `belief`), how
//! one answer changes it (`diff`, with `stay` and `ending`; what a sweep says, `glance`, and by `sweep` with `mend`), how the change becomes events
//! (`tell`, `event`, `data`, `fingerprint`), what happens without an answer (`upkeep`, `system`), and what a meeting
//! says about an absence (`confirm`).

pub mod attendance;
pub mod belief;
pub mod confirm;
mod counts;
pub mod data;
pub mod diff;
mod ending;
pub mod event;
mod fingerprint;
pub mod glance;
mod mend;
pub mod observation;
mod stay;
pub mod sweep;
pub mod system;
mod tell;
mod text;
pub mod upkeep;
pub mod visit;

#[cfg(test)]
mod tests;
