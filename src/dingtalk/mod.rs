//! DingTalk, as a client: tokens, the list call, the calls about meetings, and what each answer means.
//!
//! Guards: only a fully understood 200 becomes an `Observation`; everything else is an error with its class, and a
//! secret or a unionId never stands in an error's text. Deliberately not here: when to ask (`policy`, `tasks`), what
//! an answer changes (`presence`).

pub mod classify;
pub mod client;
pub mod contacts;
pub mod error;
pub mod kind;
pub mod lenient;
pub mod meetings;
pub mod token;
mod transport;
pub mod wire;
