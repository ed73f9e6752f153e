//! The DingTalk client: tokens, the list call, the calls about meetings, the contacts, and what each answer means.
//!
//! Guards: only a fully understood answer with status 200 becomes an `Observation`. Every other answer is an error with a
//! class. An error text holds neither a secret nor a unionId. Not here: when to call (`policy`, `tasks`), what an answer
//! changes (`presence`).

pub mod classify;
pub mod client;
pub mod contacts;
mod encoding;
pub mod error;
pub mod kind;
pub mod lenient;
pub mod meetings;
pub mod token;
mod transport;
pub mod wire;
