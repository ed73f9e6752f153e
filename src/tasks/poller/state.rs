//! The state of polling in one organisation, in parts.
//!
//! Guards: it is changed by one input at a time, which gives the time (`now`) and asks for effects. Not here: what
//! follows from an input (the other files of this folder), which function takes which input (`org`).

use std::fmt;
use std::sync::Arc;

use super::alert_queue::AlertQueue;
use super::breaker::Breaker;
use super::confirmations::Confirmations;
use super::effects::{Effect, Work};
use super::gaps::Gaps;
use super::known_meetings::KnownMeetings;
use super::limits::CallLimits;
use super::pacer::Pacer;
use super::pending_writes::{Batch, PendingWrites};
use super::reported::{OpenRow, Reasons};
use super::roster::{DueQueue, UserKey, Users};
use super::settings::{Settings, Totals};
use super::sweep::state::SweepEngine;
use super::upstream::SetUp;
use super::windows::OpenWindows;
use crate::ids::OrgName;
use crate::policy::backoff;
use crate::policy::mass_absence::MassAbsence;
use crate::store::StoreError;
use crate::store::open_gaps::Whose;
use crate::tasks::alerts::AlertState;
use crate::telemetry::health::OrgHealth;
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

/// The polling state of one organisation. It has more than fifteen fields because it only puts the parts together: what is
/// of one subject is one part, with fields of its own.
#[derive(Debug)]
pub(super) struct OrgState {
    pub(super) tools: OrgTools,
    pub(super) settings: Arc<Settings>,
    pub(super) name: OrgName,
    /// Seed of the jitter of its waits.
    pub(super) key: u64,
    pub(super) health: Arc<OrgHealth>,
    pub(super) users: Users,
    pub(super) due: DueQueue,
    pub(super) limits: CallLimits,
    pub(super) breaker: Breaker,
    pub(super) gaps: Gaps,
    pub(super) pacer: Pacer,
    pub(super) pending: PendingWrites,
    pub(super) next_stale_check: Timestamp,
    pub(super) windows: OpenWindows,
    /// Users who vanished recently.
    pub(super) absence: MassAbsence<UserKey>,
    /// The ongoing meetings are to be listed as a second answer.
    pub(super) ongoing_wanted: bool,
    pub(super) confirmations: Confirmations,
    pub(super) sweeps: SweepEngine,
    pub(super) meetings: KnownMeetings,
    pub(super) alerts: AlertQueue,
    pub(super) reasons: Reasons,
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

impl OrgState {
    /// Without users.
    pub(super) fn new(
        tools: OrgTools,
        settings: Arc<Settings>,
        set_up: SetUp,
        alert_state: AlertState,
        now: Timestamp,
    ) -> Self {
        let SetUp { name, limits, health } = set_up;
        Self {
            tools,
            settings,
            key: backoff::key(&["organisation", name.as_str()]),
            name,
            health,
            users: Users::default(),
            due: DueQueue::default(),
            limits,
            breaker: Breaker::default(),
            gaps: Gaps::default(),
            pacer: Pacer::default(),
            pending: PendingWrites::default(),
            next_stale_check: now,
            windows: OpenWindows::default(),
            absence: MassAbsence::default(),
            ongoing_wanted: false,
            confirmations: Confirmations::default(),
            sweeps: SweepEngine::default(),
            meetings: KnownMeetings::default(),
            alerts: AlertQueue::new(alert_state, now),
            reasons: Reasons::default(),
            disk_full_since: None,
            leaving: 0,
            stopping: false,
            totals: Totals::default(),
            now,
            effects: Vec::new(),
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

    pub(super) fn name(&self) -> &OrgName {
        &self.name
    }

    /// The gaps that go on.
    pub(super) fn open_gaps(&self) -> impl Iterator<Item = (Whose, OpenRow)> {
        let rows = self.reasons.rows().iter();
        rows.map(|(person, row)| ((self.name.clone(), *person), *row))
    }

    /// Whether the reasons were reported since the last call.
    pub(super) fn take_reported(&mut self) -> bool {
        self.reasons.take_reported()
    }

    /// Takes what waits for the next flush.
    pub(super) fn take_pending(&mut self) -> Batch {
        self.pending.take(&mut self.users)
    }

    /// Whether no call can begin before something in flight ends.
    pub(super) fn is_full(&self) -> bool {
        self.limits.is_full(self.breaker.is_open()) || self.gaps.is_pending()
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
