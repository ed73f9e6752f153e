//! Who is in which meeting: decided from observations alone.
//!
//! Guards: joins and lefts of a visit come in pairs, an unchanged answer says nothing, and only an
//! [`Observation`](observation::Observation), one fully understood answer, can change a belief. Everything here is
//! pure: no IO, no clock, no randomness. Deliberately not here: the wire format (`dingtalk`), storage (`store`).

pub mod attendance;
pub mod belief;
pub mod diff;
pub mod event;
pub mod observation;
pub mod visit;
