//! Decides which user is in which meeting, from observations alone.
//!
//! Guards: joins and lefts of a visit alternate; an unchanged answer emits nothing; only an
//! [`Observation`](observation::Observation), one fully understood answer, can change a state. Everything here is
//! pure: no IO, no clock, no randomness. Deliberately not here: the wire format (`dingtalk`), storage (`store`).
//!
//! A file uses only files of the lines above it, or those before it in its line:
//!
//! ```text
//! attendance, observation, visit            what DingTalk reports, and what it means
//! text, fingerprint, data, title, event     events and their JSON
//! event_counts, meeting_state, user_state   the stored state
//! event_builder, poll_context, transition   from a change to its events
//! visit_start, sweep_correction, visit_end  how a visit opens, continues, ends and is corrected
//! diff, lifecycle, confirm                  what changes a state: a poll, no answer, a meeting's answer,
//! sweep_view, sweep                         and a sweep
//! system                                    events without a user
//! ```

pub mod attendance;
pub mod confirm;
pub mod data;
pub mod diff;
pub mod event;
mod event_builder;
mod event_counts;
mod fingerprint;
pub mod lifecycle;
mod meeting_state;
pub mod observation;
mod poll_context;
pub mod sweep;
mod sweep_correction;
pub mod sweep_view;
pub mod system;
mod text;
pub mod title;
mod transition;
pub mod user_state;
pub mod visit;
mod visit_end;
mod visit_start;

#[cfg(test)]
mod tests;
