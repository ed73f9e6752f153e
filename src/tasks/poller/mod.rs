//! The poller: who is due is asked, what changed is recorded, the rest is stretched.
//!
//! Guards: looks at one person never overlap; one slow or failing person never delays the others; a failure changes
//! nobody's presence; next looks are stored, so a restart makes no burst. One loop owns all state, so there is no lock;
//! calls and commits run beside it and report back. Deliberately not here: what an answer means (`dingtalk`), what it
//! changes (`presence`), how often to look (`policy::pace`).

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use chrono_tz::Tz;
use slotmap::SlotMap;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use crate::clock::SharedClock;
use crate::dingtalk::client::Answer;
use crate::dingtalk::error::CallError;
use crate::policy::mass_absence::MassAbsence;
use crate::policy::quota::Reservation;
use crate::policy::sweep::SweepMode;
use crate::presence::diff::DiffRules;
use crate::store::history::visit_history::PastVisit;
use crate::store::open_gaps::{OpenGap, Whose};
use crate::store::{Enrolled, PollFailure, Store, StoreError, UnchangedPolls};
use crate::tasks::alerts::{Board, Notice};
use crate::telemetry::health::Health;
use crate::telemetry::metrics::Metrics;
use crate::time::Timestamp;
use crate::webhook::routing::Subscription;

mod absence;
mod alarm;
mod alerting;
mod ask;
mod confirm;
mod explain;
mod flush;
mod hours;
mod pacing;
mod reasons;
pub mod reload;
pub mod report;
pub mod roster;
mod running;
mod settle;
mod share;
mod snapshot;
mod standing;
pub mod start;
mod sweep;
mod unseen;
pub mod upstream;
mod watchfulness;
mod who;

use alarm::Alarm;
use hours::HoursKey;
use report::{LookNow, LookReport, Request};
use roster::{UserKey, Users};
use running::Running;
use upstream::Upstream;

use super::pulse::Pulse;

/// Due people are started in ticks: one wake-up for several calls is cheaper than one for each.
const TICK: Duration = Duration::from_millis(10);
/// How long calls in flight may take once the poller is told to stop. Less than the whole daemon has for stopping.
const LAST_ANSWERS: Duration = Duration::from_secs(4);
/// Stretched snapshots are written at least this often.
const FLUSH_EVERY: Duration = Duration::from_secs(1);

/// What the operator decided about polling.
#[derive(Clone, Debug)]
pub struct Settings {
    /// For the diff.
    pub rules: DiffRules,
    /// How soon a confirmation is looked for; nobody is paced faster.
    pub min_interval: Duration,
    /// Nobody is paced slower while their window is open, if the calls reach.
    pub max_interval: Duration,
    /// No good look for so long = unknown; `None`: three intervals, at least five minutes.
    pub stale_after: Option<Duration>,
    /// Between failed looks.
    pub backoff: crate::config::Backoff,
    /// How long who is inside is followed past the end of a window.
    pub overtime: Duration,
    /// Whose wall clock expressions mean.
    pub time_zone: Tz,
    /// Meetings are asked about people whose entry vanished.
    pub confirm_calls: bool,
    /// Whether whole organisations are swept.
    pub sweep: SweepMode,
}

/// What the poller works with.
#[derive(Clone, Debug)]
pub struct Tools {
    /// Where everything is written.
    pub store: Store,
    /// The time.
    pub clock: SharedClock,
    /// Woken when there is something to deliver.
    pub outbox_wake: Arc<Notify>,
    /// Who gets which events.
    pub subscriptions: Arc<[Subscription]>,
    /// What readiness is judged by.
    pub health: Arc<Health>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
}

/// How the poller ends when it was not told to.
#[derive(Debug, thiserror::Error)]
pub enum PollerError {
    /// The database failed at the start.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The poller.
#[derive(Debug)]
pub struct Poller {
    tools: Tools,
    settings: Settings,
    upstreams: Vec<Upstream>,
    users: Users,
    requests: mpsc::Receiver<Request>,
    pulse: Pulse,
    waiting_looks: Vec<LookNow>,
    reloads: reload::Reloads,
    running: Running,
    /// People with unchanged looks since the last flush.
    stretched: Vec<UserKey>,
    /// The same of users who have left since.
    unflushed: Vec<UnchangedPolls>,
    misses: Vec<PollFailure>,
    /// People whose next look moved without a look since the last flush.
    replanned: Vec<UserKey>,
    flushing: bool,
    next_flush: Option<Timestamp>,
    next_stale_check: Timestamp,
    /// People who become due wait until then, so that they are started together.
    next_start: Timestamp,
    /// Windows, each once.
    hours: SlotMap<HoursKey, hours::Hours>,
    /// Who is followed past the end of a window.
    followed: Vec<UserKey>,
    /// Users who vanished lately, by organisation.
    absences: BTreeMap<usize, MassAbsence<UserKey>>,
    questions: confirm::Questions,
    sweeps: sweep::Sweeps,
    board: Board,
    /// To be told, in order.
    notices: VecDeque<Notice>,
    telling: bool,
    tell_after: Timestamp,
    next_alarm: Timestamp,
    reasons: reasons::Reasons,
    stopping: bool,
    totals: Totals,
}

/// Since the start, for people in a hurry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Answered looks.
    pub good: u64,
    /// Failed ones.
    pub failed: u64,
    /// Events recorded.
    pub events: u64,
}

/// What ran beside the loop and is done.
#[derive(Debug)]
enum Done {
    Confirmed(Box<confirm::Told>),
    Asked {
        call: ask::Call,
        result: Result<Answer, CallError>,
    },
    Recorded(Box<settle::Recorded>),
    Flushed {
        retry: Vec<PollFailure>,
        result: Result<(), StoreError>,
    },
    Reserved {
        upstream: usize,
        reservation: Reservation,
        result: Result<(), StoreError>,
    },
    Listed(Box<absence::Listed>),
    Kept(Box<sweep::Written>),
    Named(Box<sweep::Named>),
    Swept(Box<sweep::Swept>),
    Told {
        result: Result<(), StoreError>,
    },
    Noted {
        result: Result<(), StoreError>,
    },
    OpenGapsKept {
        rows: BTreeMap<Whose, OpenGap>,
        result: Result<(), StoreError>,
    },
    Enrolled {
        waiting: Box<reload::Waiting>,
        lessons: Vec<PastVisit>,
        result: Result<(Vec<Enrolled>, Vec<Enrolled>), StoreError>,
    },
    Left {
        user: Option<UserKey>,
        result: Result<(), PollerError>,
    },
}

impl Poller {
    /// Runs until `stop`, then lets calls in flight end and writes down what is known.
    pub async fn run(mut self, stop: CancellationToken) -> Result<Totals, PollerError> {
        // Both live as long as the loop: making them anew for every answer would cost more than the answer.
        let mut stopped = std::pin::pin!(stop.cancelled());
        let mut alarm = Alarm::default();
        let mut deadline = None;
        while !(self.stopping && self.running.is_empty()) {
            if let Some(wake) = self.step() {
                alarm.ring_by(wake, &self.tools.clock);
            }
            self.pulse.waits_for(self.running.len());
            tokio::select! {
                biased;
                () = &mut stopped, if !self.stopping => {
                    self.begin_stop();
                    let clock = &self.tools.clock;
                    deadline = Some(clock.sleep_until(clock.now().plus(LAST_ANSWERS)));
                }
                () = async { deadline.as_mut().expect("set with `stopping`").await }, if deadline.is_some() => {
                    let unanswered = self.running.len();
                    tracing::warn!(unanswered, "calls to DingTalk did not end in time; their answers are not recorded");
                    break;
                }
                Some(done) = self.running.next() => self.take(done),
                Some(request) = self.requests.recv(), if !self.stopping => self.requested(request),
                Some(waiting) = self.reloads.next(), if !self.stopping => self.begin_reload(waiting),
                () = self.pulse.asked() => {}
                () = alarm.ringing(), if !self.stopping => {}
            }
            // Everything that came together is dealt with before anything is started or waited for.
            while let Some(done) = self.running.ready() {
                self.take(done);
            }
            self.retry_waiting_looks();
            self.pulse.turned();
        }
        self.last_flush().await?;
        Ok(self.totals)
    }

    /// Shows whether the loop turns.
    pub fn pulse(&self) -> Pulse {
        self.pulse.clone()
    }

    /// Starts what is due. Returns when to be called again, if nothing else happens before.
    fn step(&mut self) -> Option<Timestamp> {
        if self.stopping {
            return None;
        }
        let now = self.tools.clock.now();
        self.watch_room(now);
        let mut wake = self.keep_hours(now);
        let tick = now >= self.next_start || self.next_start > now.plus(TICK);
        if tick {
            self.next_start = now.plus(TICK);
        }
        wake = earliest(wake, self.ask_meetings(now));
        wake = earliest(wake, self.keep_sweeps(now));
        for upstream in 0..self.upstreams.len() {
            // Between ticks only who waits for a place is started: that place may just have become free.
            if tick || self.upstreams[upstream].full {
                wake = earliest(wake, self.start_due(upstream, now));
            } else {
                wake = earliest(wake, Some(self.next_start));
            }
        }
        wake = earliest(wake, self.flush_if_due(now));
        wake = earliest(wake, Some(self.check_stale(now)));
        wake = earliest(wake, self.keep_alarms(now));
        wake.map(|at| at.max(self.next_start))
    }

    fn take(&mut self, done: Done) {
        match done {
            Done::Confirmed(told) => self.meeting_told(*told),
            Done::Asked { call, result } => self.asked(call, result),
            Done::Recorded(recorded) => self.recorded(*recorded),
            Done::Flushed { retry, result } => self.flushed(retry, result),
            Done::Reserved { upstream, reservation, result } => self.reserved(upstream, reservation, result),
            Done::Listed(listed) => self.listed(*listed),
            Done::Kept(written) => self.trust_kept(*written),
            Done::Named(named) => self.named(*named),
            Done::Swept(told) => self.sweep_told(*told),
            Done::Told { result } => self.told(result),
            Done::Noted { result } => self.noted(&result),
            Done::OpenGapsKept { rows, result } => self.open_gaps_kept(rows, result),
            Done::Enrolled { waiting, lessons, result } => self.enrolled(*waiting, &lessons, result),
            Done::Left { user, result } => self.left(user, result),
        }
    }

    fn requested(&mut self, request: Request) {
        match request {
            Request::Explain(asked) => self.explain(asked),
            Request::Look(look) => self.look_now(look),
            Request::Snapshot(snapshot) => self.snapshot_now(snapshot),
        }
    }

    /// To go through them while anything changes.
    fn user_keys(&self) -> Vec<UserKey> {
        self.users.keys().collect()
    }

    fn begin_stop(&mut self) {
        self.stopping = true;
        self.drop_questions();
        self.requests.close();
    }

    /// Ends a manual look, if one waits.
    fn reply(manual: Option<LookNow>, report: impl FnOnce() -> LookReport) {
        if let Some(request) = manual {
            // Nobody listening any more means nobody to tell.
            let _ = request.reply.send(Ok(report()));
        }
    }
}

fn earliest(a: Option<Timestamp>, b: Option<Timestamp>) -> Option<Timestamp> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}
