//! The poller of one organisation: which of its users to poll and when, what an answer changes, what is to be written.
//!
//! Guards: it decides and does nothing itself. It reads no clock and awaits nothing: what has happened comes in as an
//! [`Input`] with the time, what is to be done goes out as an [`Effect`]. So any sequence of events can be repeated.
//! Not here: its state (`state`), doing what it asks for (`perform`), several organisations (`driver`).

use std::sync::Arc;

use super::effects::{Effect, Input};
use super::limits::CallCount;
use super::pending_writes::Batch;
use super::reload::OrgReload;
use super::report::{Explanation, PollNow};
use super::reported::OpenRow;
use super::roster::UserKey;
use super::settings::{Settings, Totals, earliest};
use super::start::Assignment;
use super::state::{OrgState, OrgTools};
use super::sweep::{persist, run, user_id_resolver};
use super::upstream::SetUp;
use super::{
    alerting, answers, confirm, failures, mass_absence, open_windows, poll, reload, requests, spending,
    staleness, start, user_gaps,
};
use crate::ids::{Identity, OrgName, WebhookName};
use crate::store::Enrolled;
use crate::store::history::visit_history::PastVisit;
use crate::store::open_gaps::Whose;
use crate::store::sweep_state::{SweepRow, SweptPerson};
use crate::tasks::alerts::AlertState;
use crate::time::Timestamp;

/// Polls the users of one organisation.
#[derive(Debug)]
pub(super) struct OrgPoller {
    state: OrgState,
}

impl OrgPoller {
    /// Without users.
    pub(super) fn new(
        tools: OrgTools,
        settings: Arc<Settings>,
        set_up: SetUp,
        alert_state: AlertState,
        now: Timestamp,
    ) -> Self {
        Self { state: OrgState::new(tools, settings, set_up, alert_state, now) }
    }

    /// Starts what is due; returns when to call it again, unless something happens before. Between ticks only a full
    /// organisation is served: a slot may just have become free.
    pub(super) fn step(&mut self, now: Timestamp, tick: bool) -> Option<Timestamp> {
        self.state.now = now;
        let org = &mut self.state;
        let mut wake = open_windows::update_windows(org, now);
        mass_absence::ask_ongoing(org);
        wake = earliest(wake, confirm::ask_meetings(org, now));
        wake = earliest(wake, run::run_sweeps(org, now));
        if tick || org.limits.users_wait() {
            wake = earliest(wake, poll::start_due(org, now));
        }
        wake = earliest(wake, Some(staleness::check_stale(org, now)));
        earliest(wake, alerting::check_alerts(org, now))
    }

    /// Takes what has happened.
    pub(super) fn handle(&mut self, input: Input, now: Timestamp) {
        self.state.now = now;
        let org = &mut self.state;
        match input {
            Input::Polled { poll, result } => poll::asked(org, poll, result),
            Input::MeetingAnswered { question, calls, result, info } => {
                confirm::confirm_finished(org, question, calls, *result, info.map(|info| *info));
            }
            Input::OngoingListed { ticket, result } => mass_absence::listed(org, ticket, result),
            Input::SweepAnswered { ticket, result } => run::sweep_call_finished(org, ticket, result),
            Input::UserIdFound { user, result } => user_id_resolver::named(org, user, result),
            Input::Recorded { change, result } => answers::recorded(org, *change, result),
            Input::Unwatched { user, result } => reload::left(org, user, &result),
            Input::Reserved { reservation, result } => spending::reserved(org, reservation, result),
            Input::Emitted(result) => answers::emitted(org, result),
            Input::SweepsSaved { users, result } => persist::sweeps_persisted(org, users, result),
            Input::Written(Ok(())) => {}
            Input::Written(Err(error)) => org.database_failed(&error),
        }
    }

    /// Takes what is to be done since the last call.
    pub(super) fn take_effects(&mut self) -> Vec<Effect> {
        self.state.take_effects()
    }

    /// Resumes with these users; `gap`: since when they were not polled.
    pub(super) fn fill(
        &mut self,
        list: Vec<(Assignment, Enrolled)>,
        past_visits: &[PastVisit],
        swept: &(Vec<SweepRow>, Vec<SweptPerson>),
        gap: Option<Timestamp>,
        now: Timestamp,
    ) {
        start::fill(&mut self.state, list, past_visits, swept, now);
        if let Some(from) = gap {
            user_gaps::cover_downtime(&mut self.state, from, now);
        }
    }

    /// Takes over another config.
    pub(super) fn reload(&mut self, reload: OrgReload<'_>, now: Timestamp) {
        self.state.now = now;
        reload::reload(&mut self.state, reload, now);
    }

    /// Whether nothing stands in the way of a reload: no removal of a user is being written.
    pub(super) fn may_reload(&self) -> bool {
        self.state.leaving == 0
    }

    /// Stops: nothing new is begun.
    pub(super) fn begin_stop(&mut self) {
        self.state.stopping = true;
        confirm::drop_confirmations(&mut self.state);
    }

    /// The disk is full since then, or has room again.
    pub(super) fn set_disk_full(&mut self, since: Option<Timestamp>, now: Timestamp) {
        self.state.set_disk_full(since, now);
    }

    /// The address is banned: the organisation waits until then.
    pub(super) fn address_banned(&mut self, until: Timestamp, now: Timestamp) {
        failures::address_banned(&mut self.state, until, now);
    }

    pub(super) fn name(&self) -> &OrgName {
        self.state.name()
    }

    /// Whether this user is watched.
    pub(super) fn watches(&self, who: &Identity) -> bool {
        reload::watches(&self.state, who)
    }

    /// The users that a request may mean.
    pub(super) fn matching(&self, who: &str) -> impl Iterator<Item = UserKey> {
        requests::matching(&self.state, who)
    }

    /// Polls a user at once; returns the request if something in flight has to end first.
    pub(super) fn poll_now(&mut self, user: UserKey, request: PollNow, now: Timestamp) -> Option<PollNow> {
        self.state.now = now;
        requests::poll_now(&mut self.state, user, request, now)
    }

    /// Snapshots of all users for these webhooks; returns of how many.
    pub(super) fn snapshot_now(
        &mut self,
        webhooks: &[WebhookName],
        once_known: bool,
        now: Timestamp,
    ) -> usize {
        self.state.now = now;
        requests::snapshot_now(&mut self.state, webhooks, once_known, now)
    }

    /// Why the next poll of a user is when it is.
    pub(super) fn explanation(&self, who: &Identity, now: Timestamp) -> Result<Explanation, String> {
        requests::explanation(&self.state, who, now)
    }

    /// The gaps that go on.
    pub(super) fn open_gaps(&self) -> impl Iterator<Item = (Whose, OpenRow)> {
        self.state.open_gaps()
    }

    /// Whether the reasons were reported since the last call.
    pub(super) fn take_reported(&mut self) -> bool {
        self.state.take_reported()
    }

    /// Whether something waits for the next flush.
    pub(super) fn has_pending(&self) -> bool {
        !self.state.pending.is_empty()
    }

    /// Takes what waits for the next flush.
    pub(super) fn take_pending(&mut self) -> Batch {
        self.state.take_pending()
    }

    /// Takes what sweeps have learned and is not written yet.
    pub(super) fn take_unsaved_sweeps(&mut self, now: Timestamp) -> Option<(SweepRow, Vec<SweptPerson>)> {
        let (row, people, _) = persist::unsaved_sweeps(&mut self.state, now)?;
        Some((row, people))
    }

    /// The calls that were made: what was reserved and not spent is returned.
    pub(super) fn exact_calls(&mut self, now: Timestamp) -> CallCount {
        self.state.limits.exact_count(now)
    }

    /// Counts since the start.
    pub(super) fn totals(&self) -> Totals {
        self.state.totals
    }
}

#[cfg(test)]
mod tests;
