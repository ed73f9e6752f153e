//! Sending to webhooks: one request, its answer, and what that means.
//!
//! Guards: the bytes signed are the bytes stored are the bytes sent; no redirect is followed; no address is connected
//! to that the operator did not mean; no secret and no URL reaches a text. Deliberately not here: when and in which
//! order (`tasks::dispatcher`), what an outcome means for the next attempt (`policy::delivery`), keeping
//! (`store::outbox`).

pub mod address;
pub mod answer;
pub mod format;
mod hidden;
pub mod routing;
pub mod send;
