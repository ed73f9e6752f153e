//! Renders events as messages for people: sentences in two languages, templates, messages of a group robot.
//!
//! Guards: rendering is pure, so the config check renders exactly what is sent later; every output is bounded; no value
//! of an event can break the JSON around it or act as markup. Deliberately not here: sending, and reading answers
//! (`webhook`), the rate limit of robots (`policy::robot`), the envelope of events (`presence::event`).

pub mod robot;
pub mod sample;
mod sentence;
pub mod style;
pub mod template;
mod text;
pub mod title;

pub use sentence::sentence_of;
