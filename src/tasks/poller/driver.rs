//! The loop that carries polling out: takes what has happened to the organisations' pollers, and does what they ask for.
//!
//! Guards: one loop owns all state, so there is no lock; calls and commits run beside it as futures and report back.
//! Not here: when a user is polled and what an answer changes (`org`), doing it (`perform`), reloads (`take_over`).

use std::sync::Arc;
use std::time::Duration;

use slotmap::SlotMap;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::effects::Input;
use super::flush;
use super::flush::FlushQueue;
use super::open_gaps::{OpenGapRows, OpenGapWrite};
use super::org::OrgPoller;
use super::orgs::{Done, Org, OrgKey};
use super::pending_writes::Batch;
use super::perform::save_calls;
use super::reload::{ReloadHandle, Reloads};
use super::report::{ExplainNow, NoPoll, PollNow, Request, SnapshotNow};
use super::running::Running;
use super::settings::{PollerError, Settings, TICK, Tools, Totals, earliest};
use super::start::{Assignment, Beginning};
use super::state::{Erased, OrgTools};
use super::upstream::Upstream;
use super::wake_timer::WakeTimer;
use crate::store::StoreError;
use crate::tasks::alerts::AlertState;
use crate::tasks::heartbeat::Heartbeat;
use crate::time::Timestamp;

/// How long calls in flight may take once the poller stops; less than the whole daemon has for stopping.
const LAST_ANSWERS: Duration = Duration::from_secs(4);

/// Polls all organisations.
#[derive(Debug)]
pub struct Poller {
    pub(super) tools: Tools,
    pub(super) settings: Arc<Settings>,
    pub(super) orgs: SlotMap<OrgKey, Org>,
    /// The alerts that fired at the start, for organisations that come later.
    pub(super) alert_state: AlertState,
    requests: mpsc::Receiver<Request>,
    heartbeat: Heartbeat,
    waiting_polls: Vec<PollNow>,
    pub(super) reloads: Reloads,
    pub(super) running: Running<Done>,
    flush: FlushQueue,
    open_gaps: OpenGapRows,
    pub(super) disk_full_since: Option<Timestamp>,
    /// Users who become due wait until then, so that they are started together.
    next_start: Timestamp,
    stopping: bool,
}

impl Poller {
    /// Matches the watch list with the database. `upstreams`: one for each organisation in `list`.
    pub async fn start(
        tools: Tools,
        settings: Settings,
        upstreams: Vec<Upstream>,
        list: Vec<Assignment>,
        requests: mpsc::Receiver<Request>,
    ) -> Result<Self, PollerError> {
        let now = tools.clock.now();
        let mut beginning = Beginning::load(&tools, &upstreams, list, now).await?;
        let mut poller = Self {
            tools,
            settings: Arc::new(settings),
            orgs: SlotMap::default(),
            alert_state: beginning.alert_state.clone(),
            requests,
            heartbeat: Heartbeat::default(),
            waiting_polls: Vec::new(),
            reloads: Reloads::default(),
            running: Running::default(),
            flush: FlushQueue::default(),
            open_gaps: OpenGapRows::default(),
            disk_full_since: None,
            next_start: now,
            stopping: false,
        };
        for upstream in upstreams {
            let name = upstream.set_up.name.clone();
            let list = beginning.lists.remove(&name).unwrap_or_default();
            let org = poller.add(upstream, now);
            let gap = beginning.gaps.get(&name).copied();
            org.fill(list, &beginning.past_visits, &beginning.swept, gap, now);
        }
        Ok(poller)
    }

    /// Adds an organisation without users.
    pub(super) fn add(&mut self, upstream: Upstream, now: Timestamp) -> &mut OrgPoller {
        let store = self.tools.store.clone();
        let store_created = store.created();
        let tools = OrgTools {
            subscriptions: Arc::clone(&self.tools.subscriptions),
            source: store.source().into(),
            erased: Erased(Arc::new(move |person| store.erasures().is_erased(person))),
            metrics: Arc::clone(&self.tools.metrics),
        };
        let Upstream { client, mut set_up } = upstream;
        set_up.limits.set_installed(store_created);
        let (settings, alerts) = (Arc::clone(&self.settings), self.alert_state.clone());
        let mut poller = OrgPoller::new(tools, settings, set_up, alerts, now);
        poller.set_disk_full(self.disk_full_since, now);
        let key = self.orgs.insert(Org { client, poller });
        &mut self.orgs[key].poller
    }

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
            let may_reload = !self.stopping && self.orgs.values().all(|org| org.poller.may_reload());
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
                Some(waiting) = self.reloads.next(), if may_reload => self.begin_reload(waiting),
                () = self.heartbeat.requested() => {}
                () = wake_timer.elapsed(), if !self.stopping => {}
            }
            // Everything that finished together is handled before the loop starts or waits for anything.
            while let Some(done) = self.running.ready() {
                self.take(done);
            }
            for request in std::mem::take(&mut self.waiting_polls) {
                self.poll_now(request);
            }
            self.heartbeat.beat();
        }
        self.last_flush().await?;
        Ok(self.orgs.values().fold(Totals::default(), |sum, org| sum.plus(org.poller.totals())))
    }

    /// Shows whether the loop runs.
    pub fn heartbeat(&self) -> Heartbeat {
        self.heartbeat.clone()
    }

    /// A handle for reloads of this poller.
    pub fn reload_handle(&self) -> ReloadHandle {
        self.reloads.handle()
    }

    /// Starts what is due. Returns when to call it again, unless something else happens before.
    fn step(&mut self) -> Option<Timestamp> {
        if self.stopping {
            return None;
        }
        let now = self.tools.clock.now();
        self.check_disk(now);
        let tick = now >= self.next_start || self.next_start > now.plus(TICK);
        if tick {
            self.next_start = now.plus(TICK);
        }
        let mut wake = (!tick).then_some(self.next_start);
        for org in self.orgs.values_mut() {
            wake = earliest(wake, org.poller.step(now, tick));
        }
        self.carry_out(now);
        wake = earliest(wake, self.flush_if_due(now));
        self.write_open_gaps(now);
        wake.map(|at| at.max(self.next_start))
    }

    /// Does what all organisations ask for.
    pub(super) fn carry_out(&mut self, now: Timestamp) {
        let Self { orgs, running, tools, .. } = self;
        let banned = orgs.iter_mut().filter_map(|(key, org)| org.carry_out(key, running, tools)).max();
        self.ban(banned, now);
    }

    /// The address is banned until then: every organisation waits.
    fn ban(&mut self, until: Option<Timestamp>, now: Timestamp) {
        if let Some(until) = until {
            self.orgs.values_mut().for_each(|org| org.poller.address_banned(until, now));
        }
    }

    fn take(&mut self, done: Done) {
        let now = self.tools.clock.now();
        match done {
            Done::Org(key, input) => {
                let Some(org) = self.orgs.get_mut(key) else { return };
                if let Some(at) = org.client.token_expiry().filter(|_| matches!(input, Input::Polled { .. }))
                {
                    self.tools.metrics.token_expires(org.poller.name(), at);
                }
                org.poller.handle(input, now);
                let banned = org.carry_out(key, &mut self.running, &self.tools);
                self.ban(banned, now);
            }
            Done::Flush(result) => {
                let (retry, result) =
                    result.map_or_else(|(retry, error)| (retry, Err(error)), |()| (Vec::new(), Ok(())));
                self.flush.finish(retry);
                self.written(result);
            }
            Done::OpenGaps(rows, result) => {
                self.open_gaps.finish(result.is_ok().then_some(rows));
                // While every window is closed this is the first write.
                if result.is_err() || self.disk_full_since.is_none() {
                    self.written(result);
                }
            }
            Done::Enroll { waiting, past_visits, result } => self.enrolled(*waiting, &past_visits, result),
            Done::LeftLate(result) => self.left_late(&result),
        }
    }

    /// A write of the loop itself has ended.
    fn written(&self, result: Result<(), StoreError>) {
        if let Err(error) = &result {
            tracing::error!(%error, "a write to the database failed; polls are repeated until it succeeds");
        }
        self.tools.health.database(result.map_err(|error| error.to_string()));
    }

    /// Detects at once when the disk becomes full, and when there is room again.
    fn check_disk(&mut self, now: Timestamp) {
        let is_full = self.tools.store.health().is_disk_full();
        if is_full != self.disk_full_since.is_some() {
            self.disk_full_since = is_full.then_some(now);
            for org in self.orgs.values_mut() {
                org.poller.set_disk_full(self.disk_full_since, now);
            }
        }
    }

    /// Flushes when it is time; returns when it will be.
    fn flush_if_due(&mut self, now: Timestamp) -> Option<Timestamp> {
        let waits = self.orgs.values().any(|org| org.poller.has_pending());
        let due = self.flush.due(waits, now)?;
        if due > now {
            return Some(due);
        }
        let batch = self.flush.begin(self.orgs.values_mut().map(|org| org.poller.take_pending()));
        let store = self.tools.store.clone();
        self.running.start(async move { Done::Flush(flush::write(&store, batch).await) });
        None
    }

    /// Writes which gaps go on, where that has changed.
    fn write_open_gaps(&mut self, now: Timestamp) {
        let reported = self.orgs.values_mut().fold(false, |any, org| org.poller.take_reported() | any);
        if !reported && !self.open_gaps.is_outdated() {
            return;
        }
        let rows = self.orgs.values().flat_map(|org| org.poller.open_gaps());
        let Some(OpenGapWrite { gaps, rows }) = self.open_gaps.begin(rows, now) else { return };
        let store = self.tools.store.clone();
        self.running.start(async move {
            let result = store.gaps().save_open(gaps).await;
            Done::OpenGaps(rows, result)
        });
    }

    fn requested(&mut self, request: Request) {
        match request {
            Request::Explain(asked) => self.explain(asked),
            Request::Poll(request) => self.poll_now(request),
            Request::Snapshot(asked) => self.snapshot_now(asked),
        }
    }

    fn poll_now(&mut self, request: PollNow) {
        let now = self.tools.clock.now();
        let who = &request.who;
        let mut found =
            self.orgs.iter().flat_map(|(key, org)| org.poller.matching(who).map(move |user| (key, user)));
        let refused = match (found.next(), found.next()) {
            (Some((key, user)), None) => {
                drop(found);
                let waits = self.orgs[key].poller.poll_now(user, request, now);
                self.carry_out(now);
                let Some(request) = waits else { return };
                if !self.running.is_empty() {
                    // It is tried again when something in flight ends.
                    return self.waiting_polls.push(request);
                }
                let text = "the user cannot be polled just now; try again".to_owned();
                return drop(request.reply.send(Err(NoPoll::Later(text))));
            }
            (None, _) => format!("no user on the watch list has the unionId or name `{who}`"),
            (Some(_), Some(_)) => format!("several users on the watch list match `{who}`: use the unionId"),
        };
        drop(found);
        // The caller may have stopped waiting.
        drop(request.reply.send(Err(NoPoll::NoMatch(refused))));
    }

    fn snapshot_now(&mut self, request: SnapshotNow) {
        let now = self.tools.clock.now();
        let SnapshotNow { webhooks, once_known, reply } = request;
        let orgs = self.orgs.values_mut();
        let count = orgs.map(|org| org.poller.snapshot_now(&webhooks, once_known, now)).sum();
        self.carry_out(now);
        // The caller may have stopped waiting.
        let _ = reply.send(count);
    }

    fn explain(&self, request: ExplainNow) {
        let now = self.tools.clock.now();
        let ExplainNow { who, reply } = request;
        let org = self.orgs.values().find(|org| *org.poller.name() == who.org);
        let answer = org.map_or_else(
            || Err(format!("the running daemon does not watch {who}")),
            |org| org.poller.explanation(&who, now),
        );
        // The caller may have stopped waiting.
        let _ = reply.send(answer);
    }

    fn begin_stop(&mut self) {
        self.stopping = true;
        self.orgs.values_mut().for_each(|org| org.poller.begin_stop());
        self.requests.close();
    }

    /// Writes everything that is still only in memory, when the poller stops.
    async fn last_flush(&mut self) -> Result<(), StoreError> {
        let (now, store) = (self.tools.clock.now(), &self.tools.store);
        let batch: Batch = self.flush.begin(self.orgs.values_mut().map(|org| org.poller.take_pending()));
        flush::write(store, batch).await.map_err(|(_, error)| error)?;
        for org in self.orgs.values_mut() {
            if let Some((row, people)) = org.poller.take_unsaved_sweeps(now) {
                store.sweep_state().save(row, people).await?;
            }
            let count = org.poller.exact_calls(now);
            save_calls(store, org.poller.name().clone(), count).await?;
        }
        Ok(())
    }
}
