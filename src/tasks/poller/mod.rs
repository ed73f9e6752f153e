//! Polls due users, records changes, and extends unchanged snapshots in memory.
//!
//! Guards: polls of one user never overlap; a slow or failing user never delays the others; a failure changes no user's
//! presence; next polls are stored, so a restart makes no burst. One loop owns all state, so there is no lock; calls
//! and commits run beside it and report back. Not here: what an answer means (`dingtalk`), what it changes
//! (`presence`), how often to poll (`policy::pace`).

use std::collections::BTreeMap;
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
use crate::store::{Enrolled, PollFailure, Store, StoreError};
use crate::telemetry::health::Health;
use crate::telemetry::metrics::Metrics;
use crate::time::Timestamp;
use crate::webhook::routing::Subscription;

mod alert_queue;
mod alerting;
mod answers;
mod confirm;
mod failures;
mod flush;
mod mass_absence;
mod open_windows;
mod pacing;
mod pending_writes;
mod poll;
mod reasons;
pub mod reload;
pub mod report;
mod requests;
pub mod roster;
mod running;
mod share;
mod staleness;
pub mod start;
mod sweep;
pub mod upstream;
mod user_gaps;
mod user_info;
mod wake_timer;

use alert_queue::AlertQueue;
use pending_writes::PendingWrites;
use report::{PollNow, PollResult, Request};
use roster::{UserKey, Users, WindowKey};
use running::Running;
use upstream::Upstream;
use wake_timer::WakeTimer;

use super::heartbeat::Heartbeat;

/// Due users are started in ticks: one wake-up for several calls is cheaper than one for each.
const TICK: Duration = Duration::from_millis(10);
/// How long calls in flight may take once the poller stops; less than the whole daemon has for stopping.
const LAST_ANSWERS: Duration = Duration::from_secs(4);
/// Unchanged polls are written at least this often.
const FLUSH_EVERY: Duration = Duration::from_secs(1);

/// What the config decides about polling.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How an answer is compared with the state.
    pub rules: DiffRules,
    /// Shortest interval of a paced user, and the delay of a confirming poll.
    pub min_interval: Duration,
    /// Longest interval of a paced user in open time; the call budget takes precedence.
    pub max_interval: Duration,
    /// Without a good poll for this long presence is unknown; `None`: three intervals, at least five minutes.
    pub stale_after: Option<Duration>,
    /// Delays after failed polls.
    pub backoff: crate::config::Backoff,
    /// How long a user who is inside is polled past the end of a window.
    pub overtime: Duration,
    /// The zone of cron expressions.
    pub time_zone: Tz,
    /// Whether a meeting is queried when a user's entry vanished from it.
    pub confirm_calls: bool,
    /// Which organisations are swept.
    pub sweep: SweepMode,
}

/// What the poller works with.
#[derive(Clone, Debug)]
pub struct Tools {
    /// The database.
    pub store: Store,
    /// The daemon's clock.
    pub clock: SharedClock,
    /// Notified when there is something to deliver.
    pub outbox_wake: Arc<Notify>,
    /// Which webhooks get which events.
    pub subscriptions: Arc<[Subscription]>,
    /// Input of readiness.
    pub health: Arc<Health>,
    /// Counters of polls, calls and events.
    pub metrics: Arc<Metrics>,
}

/// Why the poller ended before it was stopped.
#[derive(Debug, thiserror::Error)]
pub enum PollerError {
    /// The database failed at the start.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Owns all polling state.
#[derive(Debug)]
pub struct Poller {
    tools: Tools,
    settings: Settings,
    upstreams: Vec<Upstream>,
    users: Users,
    requests: mpsc::Receiver<Request>,
    heartbeat: Heartbeat,
    waiting_polls: Vec<PollNow>,
    reloads: reload::Reloads,
    running: Running,
    pending: PendingWrites,
    next_stale_check: Timestamp,
    /// Users who become due wait until then, so that they are started together.
    next_start: Timestamp,
    /// Each distinct set of windows once.
    windows: SlotMap<WindowKey, open_windows::OpenWindow>,
    /// Users who are polled past the end of their window.
    followed: Vec<UserKey>,
    /// Users who vanished recently, by organisation.
    absences: BTreeMap<usize, MassAbsence<UserKey>>,
    questions: confirm::Questions,
    sweeps: sweep::Sweeps,
    alerts: AlertQueue,
    reasons: reasons::Reasons,
    stopping: bool,
    totals: Totals,
}

/// Counts since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Good polls.
    pub good: u64,
    /// Failed polls.
    pub failed: u64,
    /// Recorded events.
    pub events: u64,
}

/// Work that ran beside the loop and has finished.
#[derive(Debug)]
enum Finished {
    Confirm(Box<confirm::ConfirmFinished>),
    Poll {
        call: poll::Call,
        result: Result<Answer, CallError>,
    },
    Record(Box<answers::RecordFinished>),
    Flush {
        retry: Vec<PollFailure>,
        result: Result<(), StoreError>,
    },
    Reserve {
        upstream: usize,
        reservation: Reservation,
        result: Result<(), StoreError>,
    },
    OngoingMeetings(Box<mass_absence::OngoingFinished>),
    SweepState(Box<sweep::PersistFinished>),
    UserId(Box<sweep::UserIdFinished>),
    SweepCall(Box<sweep::SweepCallFinished>),
    Emit {
        result: Result<(), StoreError>,
    },
    Note {
        result: Result<(), StoreError>,
    },
    OpenGaps {
        rows: BTreeMap<Whose, OpenGap>,
        result: Result<(), StoreError>,
    },
    Enroll {
        waiting: Box<reload::Waiting>,
        past_visits: Vec<PastVisit>,
        result: Result<(Vec<Enrolled>, Vec<Enrolled>), StoreError>,
    },
    Unwatch {
        user: Option<UserKey>,
        result: Result<(), PollerError>,
    },
}

impl Poller {
    /// Runs until `stop`, then lets calls in flight end and writes what is still in memory.
    pub async fn run(mut self, stop: CancellationToken) -> Result<Totals, PollerError> {
        // Both live as long as the loop: creating them for every answer would cost more than the answer.
        let mut stopped = std::pin::pin!(stop.cancelled());
        let mut wake_timer = WakeTimer::default();
        let mut deadline = None;
        while !(self.stopping && self.running.is_empty()) {
            if let Some(wake) = self.step() {
                wake_timer.wake_by(wake, &self.tools.clock);
            }
            self.heartbeat.set_in_flight(self.running.len());
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
                () = self.heartbeat.requested() => {}
                () = wake_timer.elapsed(), if !self.stopping => {}
            }
            // Everything that finished together is handled before the loop starts or waits for anything.
            while let Some(done) = self.running.ready() {
                self.take(done);
            }
            self.retry_waiting_polls();
            self.heartbeat.beat();
        }
        self.last_flush().await?;
        Ok(self.totals)
    }

    /// Shows whether the loop runs.
    pub fn heartbeat(&self) -> Heartbeat {
        self.heartbeat.clone()
    }

    /// Starts what is due. Returns when to call it again, unless something else happens before.
    fn step(&mut self) -> Option<Timestamp> {
        if self.stopping {
            return None;
        }
        let now = self.tools.clock.now();
        self.check_disk(now);
        let mut wake = self.update_windows(now);
        let tick = now >= self.next_start || self.next_start > now.plus(TICK);
        if tick {
            self.next_start = now.plus(TICK);
        }
        wake = earliest(wake, self.ask_meetings(now));
        wake = earliest(wake, self.run_sweeps(now));
        for upstream in 0..self.upstreams.len() {
            // Between ticks only a full organisation is served: a slot may just have become free.
            if tick || self.upstreams[upstream].full {
                wake = earliest(wake, self.start_due(upstream, now));
            } else {
                wake = earliest(wake, Some(self.next_start));
            }
        }
        wake = earliest(wake, self.flush_if_due(now));
        wake = earliest(wake, Some(self.check_stale(now)));
        wake = earliest(wake, self.check_alerts(now));
        wake.map(|at| at.max(self.next_start))
    }

    fn take(&mut self, done: Finished) {
        match done {
            Finished::Confirm(finished) => self.confirm_finished(*finished),
            Finished::Poll { call, result } => self.asked(call, result),
            Finished::Record(recorded) => self.recorded(*recorded),
            Finished::Flush { retry, result } => self.flushed(retry, result),
            Finished::Reserve { upstream, reservation, result } => {
                self.reserved(upstream, reservation, result);
            }
            Finished::OngoingMeetings(listed) => self.listed(*listed),
            Finished::SweepState(written) => self.sweeps_persisted(*written),
            Finished::UserId(named) => self.named(*named),
            Finished::SweepCall(finished) => self.sweep_call_finished(*finished),
            Finished::Emit { result } => self.emitted(result),
            Finished::Note { result } => self.noted(&result),
            Finished::OpenGaps { rows, result } => self.open_gaps_kept(rows, result),
            Finished::Enroll { waiting, past_visits, result } => {
                self.enrolled(*waiting, &past_visits, result);
            }
            Finished::Unwatch { user, result } => self.left(user, result),
        }
    }

    fn requested(&mut self, request: Request) {
        match request {
            Request::Explain(asked) => self.explain(asked),
            Request::Poll(look) => self.poll_now(look),
            Request::Snapshot(snapshot) => self.snapshot_now(snapshot),
        }
    }

    /// A copy of the keys, for loops that change users.
    fn user_keys(&self) -> Vec<UserKey> {
        self.users.keys().collect()
    }

    fn begin_stop(&mut self) {
        self.stopping = true;
        self.drop_confirmations();
        self.requests.close();
    }

    /// Answers a manual poll, if one waits.
    fn reply(manual: Option<PollNow>, report: impl FnOnce() -> PollResult) {
        if let Some(request) = manual {
            // The caller may have stopped waiting.
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
