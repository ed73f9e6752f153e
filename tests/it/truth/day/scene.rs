//! Poller, dispatcher and database between a DingTalk and a receiver that a plan spoils, in virtual time.
//!
//! Guards: time passes only when everything before is done; a jump of the clock, a restart and a crash are carried out
//! as the daemon does (`cli::run`, `app::build`). Deliberately not here: what is drawn (`plan`), what must hold (`day`).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use presenced::clock::Clock as _;
use presenced::ids::WebhookName;
use presenced::policy::delivery::Rules;
use presenced::secret::Secret;
use presenced::signature::SigningKey;
use presenced::simulator::Scenario;
use presenced::simulator::faults::FaultTarget;
use presenced::store::history::EventQuery;
use presenced::tasks::dispatcher::{Dispatcher, Target, reload};
use presenced::telemetry::health::UserReason;
use presenced::time::Timestamp;
use presenced::webhook::address::NetworkPolicy;
use presenced::webhook::format::BodyFormat;
use presenced::webhook::routing::{Pattern, Subscription};
use presenced::webhook::send::{Destination, Sender};
use serde_json::Value;

use super::hook::{Arrival, Hook};
use super::plan::{Act, Mood, Trouble, Variation};
use super::wall::WallClock;
use crate::delivery_harness::SECRET;
use crate::house::at;
use crate::poller_harness::{Office, Polling};
use crate::sweep::id;

/// The longest wait between two attempts to deliver.
pub(super) const DELIVERY_WAIT: Duration = Duration::from_mins(5);
/// After so long without a poll ages are doubted, as `app::build` has it.
const LONG_IDLE: Duration = Duration::from_hours(24);

pub(super) struct Scene {
    office: Office,
    from: Timestamp,
    wall: WallClock,
    hook: Hook,
    /// Both are there, but for the moment of a restart.
    running: Option<Running>,
    trouble: Option<Trouble>,
    /// Good answers so far, by unionId.
    answers: BTreeMap<String, u64>,
    /// Truth of the polls: when which user was answered while nothing was wrong, in seconds.
    pub(super) polled: Vec<(u64, usize)>,
    /// When the wall clock began to differ by so much from the true time.
    pub(super) skews: Vec<(u64, i64)>,
    /// When answers were wrong.
    pub(super) lies: Vec<(u64, u64)>,
    /// Calls so far, those for a token included, and when the newest was made.
    called: (u64, u64),
}

struct Running {
    polling: Polling,
    dispatcher: Dispatcher,
    due: Option<Timestamp>,
}

impl Scene {
    pub(super) async fn open(from: &str, scenario: Scenario, first: Variation) -> Self {
        let mut office = Office::open(from, scenario, &first.config()).await;
        let wall = WallClock::over(office.clock.clone());
        office.wall = Arc::new(wall.clone());
        let everything = Subscription { patterns: vec![Pattern::All], ..Subscription::new(webhook()) };
        office.subscriptions = Arc::from([everything]);
        let mut scene = Self {
            office,
            from: at(from),
            wall,
            hook: Hook::start().await,
            running: None,
            trouble: None,
            answers: BTreeMap::new(),
            polled: Vec::new(),
            skews: vec![(0, 0)],
            lies: Vec::new(),
            called: (0, 0),
        };
        scene.start().await;
        scene
    }

    /// Seconds since the beginning, by the true time.
    pub(super) fn now_s(&self) -> u64 {
        self.office.clock.now().since(self.from).as_secs()
    }

    pub(super) async fn step(&mut self, by_s: u64) {
        self.office.clock.advance(Duration::from_secs(by_s));
        self.settle().await;
    }

    pub(super) async fn act(&mut self, act: Act) {
        match act {
            Act::Upstream(trouble) => self.spoil(trouble),
            Act::UpstreamIsWell => self.upstream_is_well(),
            Act::Receiver(mood) => self.receiver_is(mood).await,
            Act::Reload(variation) => {
                self.office.reconfigure(&variation.config());
                self.reload().await;
            }
            Act::Restart => {
                self.stop().await;
                self.wall.starts();
                self.start().await;
            }
            Act::Crash(turns) => {
                self.crash(turns).await;
                self.wall.starts();
                self.start().await;
            }
            Act::Jump(by_s) => {
                self.stop().await;
                self.wall.accept(by_s * 1_000);
                self.start().await;
            }
            Act::Reset(by_s) => {
                self.stop().await;
                self.wall.set_by(by_s * 1_000);
                self.wall.starts();
                self.start().await;
            }
            Act::Slew(by_s) => self.wall.set_by(by_s * 1_000),
        }
        let (now_s, offset_ms) = (self.now_s(), self.wall.offset_ms());
        if self.skews.last().is_some_and(|(_, before)| *before != offset_ms) {
            self.skews.push((now_s, offset_ms));
        }
        self.settle().await;
    }

    /// Nothing is wrong from now on.
    pub(super) async fn heal(&mut self) {
        self.upstream_is_well();
        self.receiver_is(Mood::Well).await;
    }

    /// This goes wrong instead of whatever went wrong before.
    fn spoil(&mut self, trouble: Trouble) {
        self.upstream_is_well();
        self.trouble = Some(trouble);
        if matches!(trouble, Trouble::Tokens(_) | Trouble::Late(_, FaultTarget::Tokens)) {
            self.office.dingtalk.revoke_tokens();
        }
        for fault in trouble.faults() {
            self.office.dingtalk.add_fault(fault);
        }
        if trouble.lies() {
            let now_s = self.now_s();
            self.lies.push((now_s, u64::MAX));
        }
    }

    fn upstream_is_well(&mut self) {
        self.trouble = None;
        self.office.dingtalk.clear_faults();
        let now_s = self.now_s();
        for (_, until) in &mut self.lies {
            *until = now_s.min(*until);
        }
    }

    async fn receiver_is(&mut self, mood: Mood) {
        let before = self.hook.url();
        self.hook.set(mood);
        if self.hook.url() != before {
            self.reload().await;
        }
    }

    async fn reload(&mut self) {
        let targets = vec![self.target()];
        let states = self.office.store.outbox().webhook_states().await.unwrap();
        let running = self.running.as_mut().unwrap();
        self.office.reload(&running.polling).await;
        let changed = targets.iter().map(|target| target.name.clone()).collect();
        running.dispatcher.reload(reload::Reload { targets, states, changed });
        running.due = running.dispatcher.settle().await;
    }

    async fn start(&mut self) {
        self.office.reopen().await;
        let (store, now) = (self.office.store.clone(), self.wall.now());
        let longest = Duration::from_hours(2);
        let stored = store.maintenance().compare_clock(now, self.wall.jumped_ms(), longest).await.unwrap();
        if stored.idle.is_some_and(|idle| idle > LONG_IDLE) {
            self.wall.doubt_ages();
        }
        let wake = Arc::clone(&self.office.outbox_wake);
        let mut dispatcher = Dispatcher::new(store, vec![self.target()], self.office.shared_clock(), wake);
        let polling = self.office.start().await;
        dispatcher.resume().await.unwrap();
        let due = dispatcher.settle().await;
        self.running = Some(Running { polling, dispatcher, due });
    }

    async fn stop(&mut self) {
        let Running { polling, .. } = self.running.take().unwrap();
        polling.end().await;
    }

    /// Whatever is under way a moment later is broken off.
    async fn crash(&mut self, turns: u64) {
        let Running { polling, mut dispatcher, .. } = self.running.take().unwrap();
        self.office.clock.advance(Duration::from_secs(30));
        let moment = async {
            for _ in 0..turns {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            biased;
            () = moment => {}
            _ = dispatcher.settle() => {}
        }
        polling.die().await;
    }

    async fn settle(&mut self) {
        let running = self.running.as_mut().unwrap();
        running.polling.settled().await;
        let woken = tokio::select! {
            biased;
            () = self.office.outbox_wake.notified() => true,
            () = std::future::ready(()) => false,
        };
        if woken || running.due.is_some_and(|due| due <= self.wall.now()) {
            running.due = running.dispatcher.settle().await;
        }
        self.note();
    }

    /// Keeps who was answered since.
    fn note(&mut self) {
        let (counts, now_s) = (self.office.dingtalk.counts(), self.now_s());
        let calls = counts.calls.values().sum();
        if calls > self.called.0 {
            self.called = (calls, now_s);
        }
        if self.trouble.is_none() {
            let of = |answers: &BTreeMap<String, u64>, user| answers.get(&id(user)).copied().unwrap_or(0);
            let fresh =
                (0..self.users()).filter(|user| of(&counts.answers, *user) > of(&self.answers, *user));
            self.polled.extend(fresh.map(|user| (now_s, user)));
        }
        self.answers = counts.answers;
    }

    /// How long nobody has been polled, unless a reason is told.
    pub(super) fn silent_s(&self) -> u64 {
        let health = &self.running.as_ref().unwrap().polling.health;
        let named = health.blocked().iter().any(|(_, blocked)| blocked.is_some())
            || health.unpolled().iter().any(|(_, unpolled)| !unpolled.is_empty())
            || !health.readiness(self.wall.now()).degraded.is_empty();
        if named { 0 } else { self.now_s() - self.called.1 }
    }

    /// What is not well, in words.
    pub(super) async fn complaints(&self) -> String {
        let health = &self.running.as_ref().unwrap().polling.health;
        let readiness = health.readiness(self.wall.now());
        let (blocked, mut unpolled) = (health.blocked(), health.unpolled());
        unpolled.retain(|(_, users)| !users.is_empty());
        let alerts = self.office.store.alerts().firing().await.unwrap();
        if readiness.ready && readiness.degraded.is_empty() && unpolled.is_empty() && alerts.is_empty() {
            return String::new();
        }
        format!("{readiness:?} {blocked:?} {unpolled:?} {alerts:?}")
    }

    /// Users without a good answer since then.
    pub(super) fn not_polled_since(&self, since_s: u64) -> Vec<usize> {
        let since = self.polled.iter().rev().take_while(|(at_s, _)| *at_s >= since_s);
        let polled: Vec<usize> = since.map(|(_, user)| *user).collect();
        (0..self.users()).filter(|user| !polled.contains(user)).collect()
    }

    /// Whether polls of some users are late.
    pub(super) fn some_are_late(&self) -> bool {
        let unpolled = self.running.as_ref().unwrap().polling.health.unpolled();
        unpolled.iter().flat_map(|(_, users)| users).any(|users| users.reason == UserReason::Late)
    }

    /// Users on the list.
    pub(super) fn users(&self) -> usize {
        self.office.config.users.len()
    }

    /// Deliveries that wait, and those that were given up.
    pub(super) async fn undelivered(&self) -> (i64, i64) {
        let queues = self.office.store.history().webhooks().queues().await.unwrap();
        (queues.iter().map(|queue| queue.pending).sum(), queues.iter().map(|queue| queue.dead).sum())
    }

    /// Everything in the history, and everything the receiver got.
    pub(super) async fn end(mut self) -> (Vec<Value>, Vec<Arrival>) {
        self.stop().await;
        let query = EventQuery { after: Some(0), limit: 100_000, ..EventQuery::default() };
        let rows = self.office.store.history().events(&query).await.unwrap();
        let events = rows.iter().map(|row| serde_json::from_str(&row.body).unwrap()).collect();
        (events, self.hook.arrivals())
    }

    fn target(&self) -> Target {
        let destination = Destination {
            webhook: webhook(),
            url: Secret::new(&self.hook.url()),
            format: BodyFormat::Standard,
            keys: vec![SigningKey::parse(SECRET).unwrap()],
            headers: Vec::new(),
            timeout: Duration::from_millis(500),
            connect_timeout: Duration::from_millis(500),
            concurrency: 8,
            network: NetworkPolicy::default(),
            proxy: None,
            ca_file: None,
            confidential: presenced::confidential::SharedConfidential::default(),
        };
        Target {
            name: webhook(),
            // Nothing is given up within a day: what is lost would be hidden by it.
            rules: Rules { max: DELIVERY_WAIT, attempts: 1_000, ..Rules::default() },
            concurrency: 8,
            rate: 1_000,
            timeout: destination.timeout,
            sender: Sender::new(destination, self.office.shared_clock()).unwrap(),
        }
    }
}

fn webhook() -> WebhookName {
    WebhookName::parse("all").unwrap()
}
