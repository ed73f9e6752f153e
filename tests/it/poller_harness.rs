//! A poller alone, on a clock that jumps, between the built-in DingTalk and a real database.
//!
//! Guards: time passes only when everything before is done, so months fit into seconds and nothing depends on the
//! machine. Deliberately not here: webhooks, the daemon around it (`house`).

#![expect(clippy::unwrap_used, reason = "a test that does not get this far has failed")]

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use presenced::clock::{Clock as _, ManualClock, SharedClock};
use presenced::config::{self, Cadence, Config};
use presenced::dingtalk::client::{Client, Credentials};
use presenced::ids::OrgName;
use presenced::policy::quota::{Month, MonthBudget, RateLimiter};
use presenced::presence::diff::DiffRules;
use presenced::presence::event::UserInfo;
use presenced::secret::Secret;
use presenced::simulator::{Running, Scenario, Simulator, api};
use presenced::store::history::EventQuery;
use presenced::store::{Store, Usage};
use presenced::tasks::heartbeat::Heartbeat;
use presenced::tasks::poller::reload::{Reload, ReloadHandle};
use presenced::tasks::poller::report::PollerHandle;
use presenced::tasks::poller::roster::PollSchedule;
use presenced::tasks::poller::start::Assignment;
use presenced::tasks::poller::upstream::{Upstream, UpstreamParts};
use presenced::tasks::poller::{Poller, Settings, Tools};
use presenced::telemetry::health::Health;
use presenced::telemetry::metrics::Metrics;
use presenced::time::Timestamp;
use presenced::webhook::routing::Subscription;
use serde_json::Value;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::harness::loopback;
use crate::house::at;

/// Whose wall clock everybody lives by.
pub(crate) const ZONE: chrono_tz::Tz = chrono_tz::Tz::Asia__Shanghai;

/// Everything around the poller; it outlives it.
pub(crate) struct Office {
    pub(crate) dingtalk: Running,
    pub(crate) clock: ManualClock,
    /// The poller's clock: the one above, unless a test puts a wall clock that jumps in its place.
    pub(crate) wall: SharedClock,
    pub(crate) store: Store,
    pub(crate) config: Config,
    /// Webhooks that get events; none, unless a test delivers.
    pub(crate) subscriptions: Arc<[Subscription]>,
    pub(crate) outbox_wake: Arc<Notify>,
    folder: tempfile::TempDir,
    /// Ends the simulator.
    _stop: tokio_util::sync::DropGuard,
}

/// One that runs.
pub(crate) struct Polling {
    heartbeat: Heartbeat,
    reloads: ReloadHandle,
    pub(crate) looks: PollerHandle,
    pub(crate) health: Arc<Health>,
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl Office {
    /// `config`: what stands beside `time_zone`, DingTalk's hosts, the app and the webhook; it begins in `[dingtalk]`.
    pub(crate) async fn open(from: &str, scenario: Scenario, config: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = ManualClock::at(at(from));
        let shared: SharedClock = Arc::new(clock.clone());
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let stop = CancellationToken::new();
        let dingtalk =
            Simulator::start(any, scenario, Arc::clone(&shared), stop.child_token()).await.unwrap();
        let config = load(folder.path(), dingtalk.base_url(), config);
        let store = Store::open(&config.history.path, ZONE, Arc::clone(&shared)).await.unwrap();
        Self {
            dingtalk,
            clock,
            wall: shared,
            store,
            config,
            subscriptions: Arc::from([]),
            outbox_wake: Arc::new(Notify::new()),
            folder,
            _stop: stop.drop_guard(),
        }
    }

    /// The database is closed and opened again, as by another process.
    pub(crate) async fn reopen(&mut self) {
        self.store.close().await.unwrap();
        self.store = Store::open(&self.config.history.path, ZONE, self.shared_clock()).await.unwrap();
    }

    /// Another config, for the next start or reload.
    pub(crate) fn reconfigure(&mut self, config: &str) {
        self.config = load(self.folder.path(), self.dingtalk.base_url(), config);
    }

    pub(crate) fn shared_clock(&self) -> SharedClock {
        Arc::clone(&self.wall)
    }

    /// A poller begins, as after a start.
    pub(crate) async fn start(&self) -> Polling {
        let health = Health::new();
        let upstreams = self.upstreams(&health).await;
        let tools = Tools {
            store: self.store.clone(),
            clock: self.shared_clock(),
            outbox_wake: Arc::clone(&self.outbox_wake),
            subscriptions: Arc::clone(&self.subscriptions),
            health: Arc::clone(&health),
            metrics: Metrics::new(),
        };
        let (looks, requests) = PollerHandle::pair();
        let list = self.list();
        let poller = Poller::start(tools, settings(&self.config), upstreams, list, requests).await.unwrap();
        let (heartbeat, reloads, stop) =
            (poller.heartbeat(), poller.reload_handle(), CancellationToken::new());
        let (mut tasks, halt) = (JoinSet::new(), stop.clone());
        tasks.spawn(async move { poller.run(halt).await.map(drop).unwrap() });
        let polling = Polling { heartbeat, reloads, looks, health, stop, tasks };
        polling.settled().await;
        polling
    }

    /// The running poller takes over the config as it is now.
    pub(crate) async fn reload(&self, polling: &Polling) {
        let reload = Reload {
            settings: settings(&self.config),
            subscriptions: Arc::clone(&self.subscriptions),
            upstreams: self.upstreams(&polling.health).await,
            renewed: Vec::new(),
            list: self.list(),
        };
        polling.reloads.reload(reload).await.unwrap().unwrap();
        polling.settled().await;
    }

    async fn upstreams(&self, health: &Health) -> Vec<Upstream> {
        let (now, mut upstreams) = (self.wall.now(), Vec::new());
        for org in &self.config.orgs {
            let credentials = Credentials { secret: Secret::new("made-up"), suite_ticket: None };
            let usage = self.usage_of(&org.name, &Month::of(now, org.month_time_zone).to_string()).await;
            upstreams.push(Upstream::new(UpstreamParts {
                name: org.name.clone(),
                client: Client::new(org, credentials, self.shared_clock()).unwrap(),
                limiter: RateLimiter::new(org.rate),
                budget: MonthBudget::new(org.month_time_zone, org.calls_per_month, now, usage.used),
                concurrency: org.concurrency,
                month_time_zone: org.month_time_zone,
                throttled: usage.throttled,
                health: health.org(&org.name),
            }));
        }
        upstreams
    }

    fn list(&self) -> Vec<Assignment> {
        let one = |user: &config::User| Assignment {
            card: UserInfo {
                identity: user.identity.clone(),
                name: user.name.clone(),
                groups: Vec::new(),
                tags: BTreeMap::new(),
                store_nick: true,
            },
            schedule: match &user.cadence {
                Cadence::Auto => PollSchedule::Auto,
                Cadence::Every(interval) => PollSchedule::Every(*interval),
                Cadence::Cron(cron) => PollSchedule::At(cron.clone()),
            },
            open: self.config.open_time(user),
        };
        self.config.users.iter().map(one).collect()
    }

    /// Lets time pass until `to` in steps of at most `step`, in closed time of ten minutes; each once everything
    /// before is done.
    pub(crate) async fn pass_until(&self, polling: &Polling, to: Timestamp, step: Duration) {
        let open = self.config.open_time(&self.config.users[0]);
        while self.clock.now() < to {
            let now = self.clock.now();
            let step = if open.open_at(now) { step } else { Duration::from_mins(10) };
            let change = open.next_change(now).unwrap_or(to);
            self.clock.set(now.plus(step).min(change).min(to));
            polling.settled().await;
        }
    }

    /// List calls so far.
    pub(crate) fn calls(&self) -> u64 {
        self.dingtalk.counts().calls_to(api::LISTS)
    }

    /// Events of a type, in their order.
    pub(crate) async fn told(&self, event_type: &str) -> Vec<Value> {
        let query =
            EventQuery { event_type: Some(event_type.to_owned()), limit: 1_000, ..EventQuery::default() };
        let events = self.store.history().events(&query).await.unwrap();
        events.iter().map(|event| serde_json::from_str(&event.body).unwrap()).collect()
    }

    /// What is written down for a month of the only organisation.
    pub(crate) async fn usage(&self, month: &str) -> Usage {
        self.usage_of(&OrgName::default_name(), month).await
    }

    async fn usage_of(&self, org: &OrgName, month: &str) -> Usage {
        self.store.call_usage().of_month(org.clone(), month.to_owned()).await.unwrap()
    }
}

impl Polling {
    /// Waits until the loop has seen the present and nothing is under way.
    pub(crate) async fn settled(&self) {
        self.heartbeat.idle().await;
    }

    /// Ends it in order.
    pub(crate) async fn end(mut self) {
        self.stop.cancel();
        while let Some(ended) = self.tasks.join_next().await {
            ended.unwrap();
        }
    }

    /// Ends it in the middle of whatever it does: what is only in memory is lost.
    pub(crate) async fn die(mut self) {
        self.tasks.shutdown().await;
    }
}

fn load(folder: &std::path::Path, base: &str, config: &str) -> Config {
    let hosts = loopback::hosts(base);
    let text = format!(
        "time_zone = \"{ZONE}\"\n[[webhook]]\nname = \"none\"\nurl = \"http://127.0.0.1:9/\"\n\
         [history]\npath = \"presence.db\"\n[http]\nlisten = \"\"\n\
         [dingtalk]\n{hosts}app_key = \"key\"\napp_secret = \"made-up\"\n{config}"
    );
    std::fs::write(folder.join("config.toml"), loopback::at_home(&text)).unwrap();
    config::load(&folder.join("config.toml")).unwrap_or_else(|refused| panic!("{refused}")).config
}

fn settings(config: &Config) -> Settings {
    let poll = &config.poll;
    Settings {
        sweep: poll.sweeping(),
        confirm_calls: poll.confirm_calls,
        titles: presenced::presence::title::TitleRules { keep: true, hide: Vec::new() },
        rules: DiffRules {
            leave_after_misses: poll.leave_after_misses,
            first_poll_silent: poll.first_poll_silent,
        },
        min_interval: poll.min_interval,
        max_interval: poll.max_interval,
        stale_after: poll.stale_after,
        backoff: poll.backoff,
        overtime: poll.overtime,
        time_zone: config.time_zone,
    }
}
