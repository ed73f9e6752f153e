//! Sends requests to webhooks and interprets the answers.
//!
//! Guards: the bytes that are stored, signed and sent are the same. No redirect is followed. No connection goes to an
//! address that the operator forbids. No text holds a secret or a URL. Not here: when and in which order requests are sent
//! (`tasks::dispatcher`), what an outcome means for the next attempt (`policy::delivery`), storage (`store::outbox`).

pub mod address;
pub mod answer;
pub mod format;
mod redact;
pub mod routing;
pub mod send;
