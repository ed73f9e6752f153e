//! Settings of the push gateway: the table `[push]` of a scenario.
//!
//! Guards: each default is the documented or most plausible behaviour. Not here: what goes wrong now and then (`faults`).

use std::time::Duration;

use serde::Deserialize;

use crate::simulator::options::Lag;

/// The events that are ticked in the developer console.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TickedEvents {
    /// Both kinds.
    #[default]
    All,
    /// `meeting_status_change` only.
    Meetings,
    /// `meeting_member_status_change` only.
    Members,
    /// None of them.
    None,
}

/// How often a ticket may be used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TicketUse {
    /// For one connection; a second use is refused with 401.
    #[default]
    Once,
    /// For any number of connections while it lives.
    Many,
}

/// The settings of the push gateway.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PushOptions {
    /// The events that are ticked in the console.
    pub events: TickedEvents,
    /// Whether events of meetings of other organisations are pushed.
    pub foreign: bool,
    /// Pushes of one app per calendar month; after them comes nothing. 0 means no limit.
    pub messages_per_month: u64,
    /// `eventCorpId` for an app that names no organisation.
    pub corp_id: String,
    /// The endpoint that the open call names; empty means the simulator's own, by `ws`.
    pub endpoint: String,
    /// How often a ticket may be used.
    pub tickets: TicketUse,
    /// How long a ticket lives.
    pub ticket_life: Lag,
    /// How often the gateway sends a SYSTEM ping; zero means never.
    pub ping_every: Lag,
    /// How old a connection gets before the gateway disconnects it; zero means any age.
    pub disconnect_every: Lag,
    /// How often a third-party app gets a new suite ticket, which voids the old one; zero means never.
    pub suite_ticket_every: Lag,
}

impl Default for PushOptions {
    fn default() -> Self {
        Self {
            events: TickedEvents::All,
            foreign: false,
            messages_per_month: 0,
            corp_id: "dingsimulator".into(),
            endpoint: String::new(),
            tickets: TicketUse::Once,
            ticket_life: Lag(Duration::from_secs(90)),
            ping_every: Lag(Duration::from_secs(30)),
            disconnect_every: Lag(Duration::ZERO),
            suite_ticket_every: Lag(Duration::from_hours(5)),
        }
    }
}
