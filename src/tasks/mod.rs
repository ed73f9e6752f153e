//! The shell in motion.
//!
//! Guards: whatever is started here is waited for or stopped here. Deliberately not here: decisions (`presence`,
//! `policy`) and the outside (`store`, `dingtalk`, `webhook`).

pub mod dispatcher;
