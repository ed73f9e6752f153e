//! Short runs of the real binary in which everything goes wrong that a seed draws: DingTalk, the receiver, reloads,
//! restarts and kills.
//!
//! Guards: once everything is healthy, every user is polled and `/readyz` is well, after a documented wait by a restart; everything
//! committed is delivered, with one body for each id, in each user's order; nothing is given up. Deliberately not here:
//! whole days, jumps of the clock and the truth behind the answers, in virtual time (`truth::day`); many kills (`crash`).
//!
//! `PRESENCED_TEST_RUN` repeats the run of one seed.

use std::sync::Arc;

use presenced::clock::Stopwatch;

use crate::crash::{events, script, verify};
use crate::harness::daemon::{Daemon, Site, sqlite3};
use crate::harness::fake::Fake;
use crate::harness::http::{Reply, response};
use crate::harness::receiver::{Drop, Receiver};
use crate::harness::{LAST, Patience, Watched};
use crate::operate::{get, listening};

const SEEDS: u64 = 3;
const USERS: usize = 8;
const ACTS: u64 = 14;
const JSON: &str = "application/json;charset=utf-8";
const POLL: &str =
    "interval = \"50ms\"\nmin_interval = \"20ms\"\nbackoff = { initial = \"10ms\", max = \"50ms\" }";
const WEBHOOK: &str =
    "events = [\"*\"]\nconcurrency = 4\nattempts = 100000\nbackoff = { initial = \"10ms\", max = \"50ms\" }";

/// What DingTalk does. Status and body; without a status the connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Trouble {
    status: u16,
    body: &'static str,
    /// The documented wait is longer than a run: a restart ends it.
    long: bool,
    /// So many calls get it, then no more.
    times: u32,
}

const fn trouble(status: u16, body: &'static str) -> Trouble {
    Trouble { status, body, long: false, times: u32::MAX }
}

const fn long(status: u16, body: &'static str) -> Trouble {
    Trouble { long: true, ..trouble(status, body) }
}

/// Each halves the request rate, which grows back too slowly for a run.
const fn throttles(status: u16, body: &'static str) -> Trouble {
    Trouble { times: 1, ..trouble(status, body) }
}

const TROUBLES: &[Trouble] = &[
    trouble(0, ""),
    trouble(500, r#"{"code":"system.error","message":"m"}"#),
    trouble(502, "<html>bad gateway</html>"),
    trouble(200, ""),
    trouble(200, r#"{"onGoingConfIdList":["#),
    trouble(200, r#"{"errcode":404,"errmsg":"m"}"#),
    trouble(200, r#"{"onGoingConfIdList":[],"memberModelMap":{}}"#),
    throttles(429, r#"{"code":"system.busy","message":"m"}"#),
    throttles(403, r#"{"code":"Forbidden.AccessDenied.QpsLimitForApi","message":"m"}"#),
    trouble(403, r#"{"code":"Forbidden.AccessDenied.AccessTokenPermissionDenied","message":"m"}"#),
    trouble(403, r#"{"code":"Forbidden.AccessDenied.IpNotInWhiteList","message":"m"}"#),
    trouble(403, "<html>405</html>"),
    long(400, r#"{"code":"Lookup.NotAllowedToday","message":"m"}"#),
    long(400, r#"{"code":"param.error","message":"m"}"#),
    long(200, r#"{"status":1111,"wait":5,"source":"x5","punish":"deny","uuid":"u"}"#),
    long(403, r#"{"code":"Forbidden.AccessDenied.ApiCountLimitForOrg","message":"m"}"#),
];

const STATUSES: [u16; 6] = [204, 500, 422, 301, 429, 503];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    DingTalk(Trouble),
    DingTalkIsWell,
    Receiver(u16),
    Drops(Drop),
    Reload,
    Restart,
    Kill,
}

/// What both sides do at the moment.
#[derive(Clone, Copy, Debug, Default)]
struct Mood {
    trouble: Option<Trouble>,
    left: u32,
    /// Calls that got it.
    struck: u64,
    drop: Option<Drop>,
}

type SharedMood = Arc<Watched<Mood>>;

#[test]
fn generated_runs_end_well() {
    let only = std::env::var("PRESENCED_TEST_RUN").ok().map(|seed| seed.parse().expect("a number"));
    for seed in only.map_or(1..=SEEDS, |seed| seed..=seed) {
        let acts = draw(seed);
        println!("seed {seed} (repeat it with PRESENCED_TEST_RUN={seed}):");
        for act in &acts {
            println!("  {act:?}");
        }
        let seconds = run(seed, &acts);
        println!("  all users polled after {seconds:.1} s");
    }
}

fn draw(seed: u64) -> Vec<Act> {
    let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut roll = move |sides: usize| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(random >> 33).expect("31 bits") % sides
    };
    let act = |_| match roll(12) {
        0..4 => Act::DingTalk(TROUBLES[roll(TROUBLES.len())]),
        4 => Act::DingTalkIsWell,
        5 | 6 => Act::Receiver(STATUSES[roll(STATUSES.len())]),
        7 => Act::Drops(if roll(2) == 0 { Drop::Unread } else { Drop::Unanswered }),
        8 => Act::Reload,
        9 => Act::Restart,
        _ => Act::Kill,
    };
    (0..ACTS).map(act).collect()
}

/// One run; gives how long it took until everybody was polled again, in seconds.
fn run(seed: u64, acts: &[Act]) -> f64 {
    let mood = SharedMood::default();
    let (asked, dropping) = (Arc::clone(&mood), Arc::clone(&mood));
    let fake = Fake::scripted(move |user, call| asked.with(|mood| mood.answer(user, call)));
    let receiver = Receiver::dropping(move |_| dropping.with(|mood| mood.drop));
    let users: Vec<String> = (0..USERS).map(|n| format!("user{n:02}")).collect();
    let names: Vec<&str> = users.iter().map(String::as_str).collect();
    let site = Site::new(&fake.base(), &receiver.url(), &names, POLL, WEBHOOK);
    let address = listening(&site);
    let (mut daemon, waits) = go_wrong(&site, &fake, (&mood, &receiver), acts);
    let began = Stopwatch::start();
    mood.with(|mood| *mood = Mood::default());
    receiver.answers(204);
    if waits {
        // Not by a reload: an answer that is still under way would begin the wait again.
        daemon.terminate();
        daemon = site.start();
    }
    for user in &names {
        fake.wait_looks(user, 2);
    }
    let seconds = began.elapsed().as_secs_f64();
    wait_until("well", || get(&address, "/readyz").starts_with("HTTP/1.1 200"));
    let recorded = events(&site);
    let newest = recorded.values().map(|(sequence, _)| *sequence).max().unwrap_or(0);
    let waiting = format!("SELECT count(*) FROM deliveries WHERE state = 'pending' AND sequence <= {newest}");
    wait_until("delivered", || sqlite3(&site.database(), &waiting) == "0");
    daemon.terminate();
    assert!(recorded.len() > USERS, "the load made events (seed {seed})");
    verify(&receiver, &events(&site), seed);
    let given_up = "SELECT count(*) FROM deliveries WHERE state NOT IN ('pending', 'delivered')";
    assert_eq!(sqlite3(&site.database(), given_up), "0", "nothing is given up (seed {seed})");
    seconds
}

/// Carries out the acts; gives the daemon, and whether it is in a wait that only a restart ends.
fn go_wrong(
    site: &Site,
    fake: &Fake,
    (mood, receiver): (&SharedMood, &Receiver),
    acts: &[Act],
) -> (Daemon, bool) {
    let (mut daemon, mut waits) = (site.start(), false);
    fake.wait_any(50);
    for act in acts {
        match *act {
            Act::DingTalk(trouble) => {
                mood.with(|mood| (mood.trouble, mood.left, mood.struck) = (Some(trouble), trouble.times, 0));
                if !waits {
                    mood.until("a call that is struck", |mood| (mood.struck > 0).then_some(()));
                }
                waits |= trouble.long;
            }
            Act::DingTalkIsWell => mood.with(|mood| mood.trouble = None),
            Act::Receiver(status) => receiver.answers(status),
            Act::Drops(drop) => mood.with(|mood| mood.drop = Some(drop)),
            Act::Reload => daemon.signal("HUP"),
            Act::Restart => {
                daemon.terminate();
                daemon = site.start();
            }
            Act::Kill => {
                daemon.kill();
                daemon = site.start();
            }
        }
        if matches!(act, Act::Restart | Act::Kill) {
            waits &= mood.with(|mood| mood.trouble.is_some_and(|trouble| trouble.long));
        }
        if !waits {
            fake.wait_any(10);
        }
    }
    (daemon, waits)
}

impl Mood {
    fn answer(&mut self, user: &str, call: u64) -> Reply {
        let trouble = self.trouble.filter(|_| self.left > 0);
        self.left = self.left.saturating_sub(1);
        self.struck += u64::from(trouble.is_some());
        match trouble {
            None => Some(response(200, JSON, &script(user, call))),
            Some(Trouble { status: 0, .. }) => None,
            Some(Trouble { status, body, .. }) => {
                let kind = if body.starts_with('<') { "text/html" } else { JSON };
                Some(response(status, kind, body))
            }
        }
    }
}

/// Asks again until it is so: neither a database nor a listener has a bell.
fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let patience = Patience::of(LAST);
    while !is_so() {
        assert!(patience.left().is_some(), "waited in vain until it is {what}");
    }
}
