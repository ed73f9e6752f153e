//! A month of fifty people on a clock that jumps, between the built-in DingTalk and a real database: what is spent.
//!
//! Guards: the month's calls are never exceeded and hardly any is left over, whatever goes wrong in between; what is
//! written down is what DingTalk counted. Deliberately not here: how well the calls are spent (`policy::replay`).

#![expect(clippy::unwrap_used, reason = "a test that does not get this far has failed")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use presenced::clock::{Clock as _, ManualClock, SharedClock};
use presenced::config;
use presenced::dingtalk::client::{Client, Credentials};
use presenced::ids::OrgName;
use presenced::policy::quota::{MonthBudget, RateLimiter};
use presenced::presence::diff::Rules;
use presenced::presence::event::Card;
use presenced::secret::Secret;
use presenced::simulator::{Fault, FaultKind, Running, Scenario, Simulator, api};
use presenced::store::{Store, Usage};
use presenced::tasks::poller::report::PollerHandle;
use presenced::tasks::poller::roster::Rhythm;
use presenced::tasks::poller::start::Assignment;
use presenced::tasks::poller::upstream::{Parts, Upstream};
use presenced::tasks::poller::{Poller, Settings, Tools};
use presenced::tasks::pulse::Pulse;
use presenced::telemetry::health::Health;
use presenced::telemetry::metrics::Metrics;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::house::at;

const PEOPLE: usize = 50;
const CALLS: u64 = 5_000;
const ZONE: chrono_tz::Tz = chrono_tz::Tz::Asia__Shanghai;
/// In closed time the clock takes steps so long, in open time so long.
const STEPS: (Duration, Duration) = (Duration::from_mins(10), Duration::from_secs(45));

fn member(index: usize) -> String {
    format!("member{index:02}iEiE")
}

/// Ten teams: a stand-up each morning, a meeting on its own hour each afternoon, and calls of two.
fn scenario() -> Scenario {
    let mut text = String::from("starts = \"00:00\"\nrepeat = \"24h\"\n[people]\n");
    for index in 0..PEOPLE {
        writeln!(text, "p{index} = {{ union_id = \"{}\" }}", member(index)).unwrap();
    }
    text.push_str("[meetings]\n");
    for team in 0..10 {
        writeln!(text, "standup{team} = {{}}\nafternoon{team} = {{}}\ncall{team} = {{}}").unwrap();
    }
    text.push_str("[script]\nsteps = [\n");
    let mut steps = BTreeMap::new();
    for team in 0..10 {
        let mut step = |minute: usize, act: &str| steps.insert((minute, steps.len()), act.to_owned());
        let who: Vec<String> = (0..5).map(|seat| format!("\"p{}\"", team * 5 + seat)).collect();
        let all = who.join(", ");
        let (morning, afternoon, call) = (9 * 60 + team * 5, 14 * 60 + team * 12, 11 * 60 + team * 7);
        step(morning, &format!("do = \"join\", who = [{all}], meeting = \"standup{team}\""));
        step(morning + 22, &format!("do = \"end\", meeting = \"standup{team}\""));
        step(call, &format!("do = \"join\", who = [{}, {}], meeting = \"call{team}\"", who[0], who[3]));
        step(call + 9, &format!("do = \"end\", meeting = \"call{team}\""));
        step(afternoon, &format!("do = \"join\", who = [{all}], meeting = \"afternoon{team}\""));
        step(afternoon + 50, &format!("do = \"end\", meeting = \"afternoon{team}\""));
    }
    for ((minute, _), act) in steps {
        writeln!(text, "{{ at = \"{:02}:{:02}\", {act} }},", minute / 60, minute % 60).unwrap();
    }
    text.push_str("]\n");
    Scenario::parse(&text, "a month").unwrap()
}

/// A poller alone, and what it stands between.
struct Month {
    dingtalk: Running,
    clock: ManualClock,
    pulse: Pulse,
    store: Store,
    stop: CancellationToken,
    running: tokio::task::JoinHandle<()>,
    open: presenced::policy::window::OpenTime,
    folder: tempfile::TempDir,
}

impl Month {
    async fn begin(from: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = ManualClock::at(at(from));
        let shared: SharedClock = Arc::new(clock.clone());
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let stop = CancellationToken::new();
        let dingtalk =
            Simulator::start(any, scenario(), Arc::clone(&shared), stop.child_token()).await.unwrap();
        let users: String =
            (0..PEOPLE).map(|index| format!("[[user]]\nunion_id = \"{}\"\n", member(index))).collect();
        let text = format!(
            "time_zone = \"{ZONE}\"\n[dingtalk]\napi_base = \"{}\"\napp_key = \"key\"\napp_secret = \"made-up\"\n\
             calls_per_month = {CALLS}\ntimeout = \"100ms\"\n\
             [[window]]\ndays = [\"mon-fri\"]\nfrom = \"08:30\"\nto = \"19:30\"\n\
             [[webhook]]\nname = \"none\"\nurl = \"http://127.0.0.1:9/\"\n\
             [history]\npath = \"presence.db\"\n[http]\nlisten = \"\"\n{users}",
            dingtalk.base_url()
        );
        std::fs::write(folder.path().join("config.toml"), text).unwrap();
        let config = config::load(&folder.path().join("config.toml"))
            .unwrap_or_else(|refused| panic!("{refused}"))
            .config;
        let store = Store::open(&config.history.path, ZONE, Arc::clone(&shared)).await.unwrap();
        let org = &config.orgs[0];
        let credentials = Credentials { secret: Secret::new("made-up"), suite_ticket: None };
        let health = Health::new();
        let upstream = Upstream::new(Parts {
            name: org.name.clone(),
            client: Client::new(org, credentials, Arc::clone(&shared)).unwrap(),
            limiter: RateLimiter::new(org.rate),
            budget: MonthBudget::new(org.month_time_zone, org.calls_per_month, clock.now(), 0),
            concurrency: org.concurrency,
            month_time_zone: org.month_time_zone,
            throttled: 0,
            health: health.org(&org.name),
        });
        let poll = &config.poll;
        let settings = Settings {
            rules: Rules {
                leave_after_misses: poll.leave_after_misses,
                first_poll_silent: poll.first_poll_silent,
            },
            min_interval: poll.min_interval,
            max_interval: poll.max_interval,
            stale_after: poll.stale_after,
            backoff: poll.backoff,
            overtime: poll.overtime,
            time_zone: config.time_zone,
        };
        let list = config.users.iter().map(|user| Assignment {
            card: Card {
                identity: user.identity.clone(),
                name: user.name.clone(),
                groups: Vec::new(),
                tags: BTreeMap::new(),
                store_nick: true,
            },
            rhythm: Rhythm::Auto,
            open: config.open_time(user),
        });
        let tools = Tools {
            store: store.clone(),
            clock: shared,
            outbox_wake: Arc::new(Notify::new()),
            subscriptions: Arc::from([]),
            health,
            metrics: Metrics::new(),
        };
        let (_, requests) = PollerHandle::pair();
        let list: Vec<Assignment> = list.collect();
        let open = list[0].open.clone();
        let poller = Poller::start(tools, settings, vec![upstream], list, requests).await.unwrap();
        let (pulse, halt) = (poller.pulse(), stop.clone());
        let running = tokio::task::spawn(async move { poller.run(halt).await.map(drop).unwrap() });
        Self { dingtalk, clock, pulse, store, stop, running, open, folder }
    }

    /// Lets time pass until `to`: a step at a time, each once everything before is done.
    async fn pass_until(&self, to: &str) {
        let to = at(to);
        while self.clock.now() < to {
            let now = self.clock.now();
            let step = if self.open.open_at(now) { STEPS.1 } else { STEPS.0 };
            let change = self.open.next_change(now).unwrap_or(to);
            self.clock.set(now.plus(step).min(change).min(to));
            self.settled().await;
        }
    }

    /// Waits until the loop has seen the present and nothing is under way.
    async fn settled(&self) {
        let seen = self.pulse.turns() + 2;
        loop {
            self.pulse.ask();
            if self.pulse.turns() >= seen && self.pulse.under_way() == 0 {
                return;
            }
            tokio::task::yield_now().await;
        }
    }

    /// What DingTalk would charge: everything but what a rate limit refused.
    fn charged(&self) -> u64 {
        let counts = self.dingtalk.counts();
        counts.calls_to(api::LISTS) - counts.refused(FaultKind::Qps.name())
    }

    async fn end(self) -> Usage {
        self.stop.cancel();
        self.running.await.unwrap();
        let usage = self.store.usage(OrgName::default_name(), "2026-11".into()).await.unwrap();
        self.store.close().await.unwrap();
        drop(self.folder);
        usage
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_month_with_troubles_spends_its_calls_and_not_one_more() {
    let month = Month::begin("2026-10-31T16:00:00Z").await;
    for (kind, every, times) in [
        (FaultKind::Qps, 41, u64::MAX),
        (FaultKind::ServerError, 97, u64::MAX),
        (FaultKind::Hang, 233, u64::MAX),
        (FaultKind::Drop, 307, u64::MAX),
        (FaultKind::Ban, 1_201, 3),
    ] {
        month.dingtalk.add_fault(Fault { every, ..Fault::new(kind).times(times) });
    }
    // A minute before it turns in Shanghai.
    month.pass_until("2026-11-30T15:59:00Z").await;
    let (charged, counts) = (month.charged(), month.dingtalk.counts());
    for kind in [FaultKind::Qps, FaultKind::ServerError, FaultKind::Hang, FaultKind::Drop, FaultKind::Ban] {
        assert!(counts.refused(kind.name()) >= 3, "{} struck: {counts:?}", kind.name());
    }
    let visits = month.store.history().lessons(at("2026-10-31T16:00:00Z"), 100_000).await.unwrap().len();
    assert!(visits > 1_000, "people were seen in meetings: {visits}");
    let usage = month.end().await;
    assert_eq!(usage.used, charged, "what was written down is what DingTalk counted");
    assert!(charged <= CALLS, "{charged} of {CALLS}");
    assert!(charged * 100 >= CALLS * 97, "{charged} of {CALLS}: more than 3 % were left over");
}
