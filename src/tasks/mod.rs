//! The shell in motion: what runs for as long as the daemon does.
//!
//! Guards: the database is the queue between tasks, channels carry wake-ups and requests of the operator only; every task
//! ends when told to. Deliberately not here: who starts and supervises them (`app`).

pub mod poller;
//! The shell in motion.
//!
//! Guards: whatever is started here is waited for or stopped here. Deliberately not here: decisions (`presence`,
//! `policy`) and the outside (`store`, `dingtalk`, `webhook`).

pub mod dispatcher;
