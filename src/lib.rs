//! `presenced` knows who is in a DingTalk meeting and tells other systems, from a polled endpoint and a small
//! call budget, without losing or inventing a join or a leave.
//!
//! The map, from the bottom; a module names only lower floors (`tests/it/tidy.rs` keeps it so):
//!
//! ```text
//! 6  cli                                             one file a command
//! 5  app                                             builds everything, supervises, stops
//! 4  tasks | web | control                           the shell in motion
//! 3  store | dingtalk | stream | webhook | telemetry | simulator | server   adapters; none knows another
//! 2  clock | config | net                            ground of the shell
//! 1  presence | policy | signature | message | confidential   decisions: pure
//! 0  time | ids | secret | invisible                 words
//! ```
//!
//! Three rules shape it: only a fully understood answer may change anybody's presence; the call budget is
//! spent, never overspent; an event committed is delivered, in each user's order, until acknowledged or
//! visibly given up.

pub mod app;
pub mod cli;
pub mod clock;
pub mod confidential;
pub mod config;
pub mod control;
pub mod dingtalk;
pub mod ids;
pub mod invisible;
pub mod message;
pub mod net;
pub mod policy;
pub mod presence;
pub mod secret;
pub mod server;
pub mod signature;
pub mod simulator;
pub mod store;
pub mod stream;
pub mod tasks;
pub mod telemetry;
#[cfg(test)]
mod testing;
pub mod time;
pub mod web;
pub mod webhook;
