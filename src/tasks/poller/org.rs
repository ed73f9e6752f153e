//! The poller of one organisation: which of its users to poll and when, what an answer changes, what is to be written.
//!
//! Guards: it decides and does nothing itself. It reads no clock and awaits nothing: what has happened comes in as an
//! [`Input`] with the time, what is to be done goes out as an [`Effect`]. So any sequence of events can be repeated.
//! Not here: doing it (`perform`), several organisations (`driver`).

use std::fmt;
use std::sync::Arc;

use slotmap::SlotMap;

use super::alert_queue::AlertQueue;
use super::effects::{CallCount, Effect, Input, Work};
use super::meeting_facts::KnownMeetings;
use super::open_windows::OpenWindow;
use super::pending_writes::{Batch, PendingWrites};
use super::reasons::OpenRow;
use super::roster::{UserKey, Users, WindowKey};
use super::settings::{Settings, Totals, earliest};
use super::upstream::UpstreamState;
use super::{confirm, sweep};
use crate::ids::OrgName;
use crate::policy::mass_absence::MassAbsence;
use crate::store::StoreError;
use crate::store::open_gaps::Whose;
use crate::tasks::alerts::AlertState;
use crate::telemetry::metrics::Metrics;
use crate::time::Timestamp;
use crate::webhook::routing::Subscription;

/// What all organisations share and none changes.
#[derive(Clone, Debug)]
pub(super) struct OrgTools {
    pub(super) subscriptions: Arc<[Subscription]>,
    /// The source of events.
    pub(super) source: Arc<str>,
    pub(super) erased: Erased,
    pub(super) metrics: Arc<Metrics>,
}

/// Which persons an operator has erased.
#[derive(Clone)]
pub(super) struct Erased(pub(super) Arc<dyn Fn(i64) -> bool + Send + Sync>);

impl fmt::Debug for Erased {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Erased")
    }
}

impl OrgTools {
    pub(super) fn is_erased(&self, person_id: i64) -> bool {
        (self.erased.0)(person_id)
    }
}

/// Owns all polling state of one organisation.
#[derive(Debug)]
pub(super) struct OrgPoller {
    pub(super) tools: OrgTools,
    pub(super) settings: Arc<Settings>,
    pub(super) upstream: UpstreamState,
    pub(super) users: Users,
    pub(super) pending: PendingWrites,
    pub(super) next_stale_check: Timestamp,
    /// Each distinct set of windows once.
    pub(super) windows: SlotMap<WindowKey, OpenWindow>,
    /// Users who are polled past the end of their window.
    pub(super) followed: Vec<UserKey>,
    /// Users who vanished recently.
    pub(super) absence: MassAbsence<UserKey>,
    pub(super) questions: confirm::Questions,
    pub(super) sweeps: sweep::OrgSweeps,
    pub(super) meetings: KnownMeetings,
    pub(super) alerts: AlertQueue,
    pub(super) reasons: super::reasons::Reasons,
    /// When the disk became full.
    pub(super) disk_full_since: Option<Timestamp>,
    /// Users whose removal is not written yet.
    pub(super) leaving: usize,
    pub(super) stopping: bool,
    pub(super) totals: Totals,
    /// The time of the newest input.
    pub(super) now: Timestamp,
    pub(super) effects: Vec<Effect>,
}

impl OrgPoller {
    /// Without users.
    pub(super) fn new(
        tools: OrgTools,
        settings: Arc<Settings>,
        upstream: UpstreamState,
        alert_state: AlertState,
        now: Timestamp,
    ) -> Self {
        Self {
            tools,
            settings,
            upstream,
            users: Users::default(),
            pending: PendingWrites::default(),
            next_stale_check: now,
            windows: SlotMap::default(),
            followed: Vec::new(),
            absence: MassAbsence::default(),
            questions: confirm::Questions::default(),
            sweeps: sweep::OrgSweeps::default(),
            meetings: KnownMeetings::default(),
            alerts: AlertQueue::new(alert_state, now),
            reasons: super::reasons::Reasons::default(),
            disk_full_since: None,
            leaving: 0,
            stopping: false,
            totals: Totals::default(),
            now,
            effects: Vec::new(),
        }
    }

    /// Starts what is due; returns when to call it again, unless something happens before. Between ticks only a full
    /// organisation is served: a slot may just have become free.
    pub(super) fn step(&mut self, now: Timestamp, tick: bool) -> Option<Timestamp> {
        self.now = now;
        let mut wake = self.update_windows(now);
        wake = earliest(wake, self.ask_meetings(now));
        wake = earliest(wake, self.run_sweeps(now));
        if tick || self.upstream.full {
            wake = earliest(wake, self.start_due(now));
        }
        wake = earliest(wake, Some(self.check_stale(now)));
        earliest(wake, self.check_alerts(now))
    }

    /// Takes what has happened.
    pub(super) fn handle(&mut self, input: Input, now: Timestamp) {
        self.now = now;
        match input {
            Input::Polled { poll, result } => self.asked(poll, result),
            Input::MeetingAnswered { question, calls, result, info } => {
                self.confirm_finished(question, calls, *result, info.map(|info| *info));
            }
            Input::OngoingListed { ticket, result } => self.listed(ticket, result),
            Input::SweepAnswered { ticket, result } => self.sweep_call_finished(ticket, result),
            Input::UserIdFound { user, result } => self.named(user, result),
            Input::Recorded { change, result } => self.recorded(*change, result),
            Input::Unwatched { user, result } => self.left(user, &result),
            Input::Reserved { reservation, result } => self.reserved(reservation, result),
            Input::Emitted(result) => self.emitted(result),
            Input::SweepsSaved { users, result } => self.sweeps_persisted(users, result),
            Input::Written(Ok(())) => {}
            Input::Written(Err(error)) => self.database_failed(&error),
        }
    }

    /// What is to be done since the last call.
    pub(super) fn take_effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    pub(super) fn start_work(&mut self, work: Work) {
        self.effects.push(Effect::Start(work));
    }

    /// The disk is full since then, or has room again.
    pub(super) fn set_disk_full(&mut self, since: Option<Timestamp>, now: Timestamp) {
        self.disk_full_since = since;
        self.alerts.check_by(now);
    }

    pub(super) fn begin_stop(&mut self) {
        self.stopping = true;
        self.drop_confirmations();
    }

    pub(super) fn name(&self) -> &OrgName {
        &self.upstream.name
    }

    /// The gaps that go on.
    pub(super) fn open_gaps(&self) -> impl Iterator<Item = (Whose, OpenRow)> {
        let rows = self.reasons.rows().iter();
        rows.map(|(person, row)| ((self.upstream.name.clone(), *person), *row))
    }

    /// Whether the reasons were reported since the last call.
    pub(super) fn take_reported(&mut self) -> bool {
        self.reasons.take_reported()
    }

    /// Takes what waits for the next flush.
    pub(super) fn take_pending(&mut self) -> Batch {
        self.pending.take(&mut self.users)
    }

    /// The calls that were made: what was reserved and not spent is returned.
    pub(super) fn exact_calls(&mut self, now: Timestamp) -> CallCount {
        let exact = self.upstream.budget.exact(now);
        self.upstream.call_count(exact.month, exact.calls, now)
    }

    /// A copy of the keys, for loops that change users.
    pub(super) fn user_keys(&self) -> Vec<UserKey> {
        self.users.keys().collect()
    }

    /// Logs and reports a failed write.
    pub(super) fn database_failed(&mut self, error: &StoreError) {
        tracing::error!(%error, "a write to the database failed; polls are repeated until it succeeds");
        self.effects.push(Effect::DatabaseAnswered(Err(error.to_string())));
    }
}
