//! The connection over which DingTalk pushes events to an app (its Stream mode).
//!
//! Guards: an event is acknowledged only after its taker says so. A connection that hears nothing is dropped and replaced. No
//! ticket, secret or content of an event is logged. Not here: what events mean for presence, who takes them (`tasks::push`).
//!
//! ```text
//! frame        frames as text, in both directions                      pure
//! event        what the data of an event says                          pure
//! machine      when to dial, answer, ping, drop and dial again         pure
//! dial         the open call and the WebSocket handshake
//! ticket_file  keeps the newest suite ticket
//! connection   the driver: carries out what the machine decides
//! ```
//!
//! Sources: DingTalk's pages on Stream mode, and its official clients for Python, Node.js, Java and Go.

pub mod connection;
pub mod dial;
pub mod event;
pub mod frame;
pub mod machine;
pub mod ticket_file;
