//! The outbox: which deliveries wait, which are taken, what became of them.
//!
//! Guards: a lane's head is taken once, and finished once, by the task that took it; a lane is freed, moved on or
//! removed in the transaction that finishes its head; no statement scans a table while deliveries are sent, so a
//! delivery costs the same with a backlog of ten and of a million. Deliberately not here: times and outcomes
//! (`policy::delivery` decides, SQL only compares), writing new deliveries (`recording`), requests (no transaction
//! spans one).
//!
//! ```text
//! types          what the dispatcher and the outbox exchange
//! lanes          statements that `claim` and `turn` share
//! webhook_state  the stored state of each webhook
//! claim          taking deliveries
//! turn           writing back, and the one transaction of a turn
//! handle         the outbox of an open database
//! reader         deliveries and webhooks, for reading
//! replay         sending again
//! ```

mod claim;
mod handle;
mod lanes;
pub mod reader;
pub mod replay;
mod turn;
mod types;
pub(super) mod webhook_state;

#[cfg(test)]
mod tests;

pub use self::handle::Outbox;
pub use self::reader::OutboxReader;
pub use self::types::{Ask, Attempted, Claimed, Ending, Finished, Granted, Ticket, Turn, TurnFailed, Turned};
