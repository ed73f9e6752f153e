//! An organisation in the driver: its poller, and doing what the poller asks for.
//!
//! Guards: what takes time runs beside the loop and comes back under the organisation's key. Not here: the loop
//! (`driver`), the calls and the writes (`perform`).

use super::effects::{Effect, Input};
use super::org::OrgPoller;
use super::perform::perform;
use super::reload::Waiting;
use super::running::Running;
use super::settings::Tools;
use crate::dingtalk::client::Client;
use crate::store::history::visit_history::PastVisit;
use crate::store::open_gaps::{OpenGap, Whose};
use crate::store::{Enrolled, PollFailure, StoreError};
use crate::time::Timestamp;

slotmap::new_key_type! {
    /// An organisation.
    pub(super) struct OrgKey;
}

/// An organisation: its poller, and what calls DingTalk for it.
#[derive(Debug)]
pub(super) struct Org {
    pub(super) client: Client,
    pub(super) poller: OrgPoller,
}

/// Work that ran beside the loop and has finished.
#[derive(Debug)]
pub(super) enum Done {
    Org(OrgKey, Input),
    Flush(Result<(), (Vec<PollFailure>, StoreError)>),
    OpenGaps(std::collections::BTreeMap<Whose, OpenGap>, Result<(), StoreError>),
    Enroll {
        waiting: Box<Waiting>,
        past_visits: Vec<PastVisit>,
        result: Result<(Vec<Enrolled>, Vec<Enrolled>), StoreError>,
    },
    LeftLate(Result<(), StoreError>),
}

impl Org {
    /// Does what the poller asks for; returns until when the address is banned, if it is.
    pub(super) fn carry_out(
        &mut self,
        key: OrgKey,
        running: &mut Running<Done>,
        tools: &Tools,
    ) -> Option<Timestamp> {
        let mut banned = None;
        for effect in self.poller.take_effects() {
            match effect {
                Effect::Start(work) => {
                    let (client, tools) = (self.client.clone(), tools.clone());
                    running.start(async move { Done::Org(key, perform(work, client, tools).await) });
                }
                Effect::Deliver => tools.outbox_wake.notify_one(),
                Effect::DatabaseAnswered(result) => tools.health.database(result),
                // The caller may have stopped waiting.
                Effect::Reply { request, result } => drop(request.reply.send(*result)),
                Effect::BanAddress { until } => banned = banned.max(Some(until)),
            }
        }
        banned
    }
}
