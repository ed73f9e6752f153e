//! Polls due users, records changes, and extends unchanged snapshots in memory.
//!
//! Guards: polls of one user never overlap; a slow or failing user never delays the others; a failure changes no user's
//! presence; next polls are stored, so a restart makes no burst. Each organisation has a poller that only decides
//! (`org`); one loop (`driver`) carries out what they ask for. Not here: what an answer means (`dingtalk`), what it
//! changes (`presence`), how often to poll (`policy::pace`).

pub use driver::Poller;
pub use settings::{PollerError, Settings, Tools, Totals};

mod alert_queue;
mod alerting;
mod answers;
mod breaker;
mod confirm;
mod confirmations;
mod driver;
mod effects;
mod failures;
mod flush;
mod gaps;
mod known_meetings;
mod limits;
mod mass_absence;
mod meeting_facts;
mod open_gaps;
mod open_windows;
mod org;
mod orgs;
mod pacer;
mod pacing;
mod pending_writes;
mod perform;
mod poll;
mod queue;
mod reasons;
mod record;
pub mod reload;
pub mod report;
mod reported;
mod requests;
pub mod roster;
mod running;
mod schedule;
mod settings;
mod share;
mod spending;
mod staleness;
pub mod start;
mod state;
mod sweep;
mod take_over;
pub mod upstream;
mod user_gaps;
mod user_info;
mod wake_timer;
mod windows;
