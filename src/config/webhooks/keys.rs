//! The keys that `[webhook_defaults]` and `[[webhook]]` share.
//!
//! Guards: a key that is not set is `None`, so that a default is distinguished from a value. Not here: reading them (`super`).

use std::path::PathBuf;
use std::time::Duration;

use crate::config::Format;
use crate::config::secret_source::{SecretSource, Text};
use crate::config::section::Located;
use crate::ids::OrgName;
use crate::presence::event::EventType;

/// The keys that both tables have, as far as they are there and right.
#[derive(Debug, Default)]
pub(super) struct Keys {
    pub(super) format: Option<Located<Format>>,
    pub(super) secrets: Option<Located<Vec<Located<SecretSource>>>>,
    pub(super) events: Option<Vec<String>>,
    pub(super) users: Option<Vec<Located<String>>>,
    pub(super) groups: Option<Vec<Located<String>>>,
    pub(super) orgs: Option<Vec<Located<OrgName>>>,
    pub(super) only_hosts: Option<bool>,
    pub(super) skip_late: Option<bool>,
    pub(super) titles: Option<Located<bool>>,
    pub(super) snapshot_on_start: Option<bool>,
    pub(super) headers: Option<Vec<(String, Text)>>,
    pub(super) concurrency: Option<usize>,
    pub(super) rate: Option<u32>,
    pub(super) timeout: Option<Duration>,
    pub(super) connect_timeout: Option<Duration>,
    pub(super) proxy: Option<Located<String>>,
    pub(super) ca_file: Option<Located<PathBuf>>,
    pub(super) attempts: Option<u32>,
    pub(super) give_up_after: Option<Duration>,
    pub(super) max_age: Option<Located<Option<Duration>>>,
    pub(super) public_only: Option<bool>,
    pub(super) allow_link_local: Option<bool>,
    pub(super) template: Option<Located<String>>,
    pub(super) success: Option<(String, serde_json::Value)>,
    pub(super) batch: Option<Duration>,
}

/// The subscribed events; joins and leaves by default.
pub(super) fn patterns(keys: &Keys) -> Vec<String> {
    let usual = [EventType::ParticipantJoined, EventType::ParticipantLeft];
    keys.events.clone().unwrap_or_else(|| usual.map(|event| event.name().to_owned()).to_vec())
}
