//! Events as messages for people: sentences in two languages, templates, the texts of a group robot.
//!
//! Guards: pure, so that what is checked with the config is what is sent later; every output is bounded; what an event
//! carries can neither break the JSON around it nor pass for markup. Deliberately not here: sending and reading answers
//! (`webhook`), how often a robot may be told (`policy::robot`), the envelope itself (`presence::event`).

pub mod robot;
pub mod sample;
pub mod sentence;
pub mod style;
pub mod template;
pub mod text;
