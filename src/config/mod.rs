//! The configuration: reads a file into a validated [`Config`], or reports every problem of it.
//!
//! Guards: every key is parsed and checked before anything starts; all problems are reported at once. Not here: what the
//! settings do.

mod address;
pub mod change;
mod characters;
mod check;
mod credentials;
mod dingtalk;
mod document;
mod file;
pub mod file_set;
mod http;
mod ip_range;
mod keys;
mod listener;
mod model;
mod plain_file;
mod plan;
mod poll;
pub mod problem;
mod public;
mod recipients;
mod redact;
pub mod reference;
mod retention;
mod secret_source;
pub mod secrets;
mod section;
pub mod show;
mod users;
mod value;
mod webhooks;

pub use file::{DEFAULT_PATHS, Loaded, NotFound, Refused, canonical, empty, load, load_in, locate};
pub use ip_range::IpRange;
pub use listener::{Access, Http, Scope, Show};
pub use model::{
    App, Backoff, Blackout, Cadence, Config, Format, History, Log, LogFormat, Org, Poll, Titles, User,
    Webhook, Window,
};
pub use plain_file::read_ca_file;
pub use public::header_shown;
pub use secret_source::Text;
pub use value::{local_time_zone, time_zone};
