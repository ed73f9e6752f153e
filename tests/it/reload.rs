//! Another config for the running daemon, from the outside.
//!
//! Guards: what is live is in force when the command ends, what is not is said; a config that cannot be used changes
//! nothing, however broken; who is not touched keeps their next look; nothing is lost on the way. Deliberately not here:
//! what differs between two configs (`config::change`).

use std::process::Output;

use crate::harness::daemon::{Site, sqlite3};
use crate::harness::fake::{Fake, inside};
use crate::harness::loopback;
use crate::harness::receiver::{Delivery, Receiver, SECRET};

const MEETING: &str = "654058f2411fe90147e68780";
const QUICK: &str =
    "interval = \"50ms\"\nmin_interval = \"20ms\"\nbackoff = { initial = \"20ms\", max = \"50ms\" }";
const MEETINGS: &str = "events = [\"meeting.*\"]";

fn now_ms() -> i64 {
    let since = std::time::UNIX_EPOCH.elapsed().expect("a clock after 1970");
    i64::try_from(since.as_millis()).expect("a clock before the year 292278994")
}

#[track_caller]
fn told(output: &Output, code: i32) -> String {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{out}{err}");
    format!("{out}{err}")
}

fn events(site: &Site, of: &str) -> String {
    let query = format!("SELECT type FROM v_events WHERE who = '{of}' OR who IS NULL ORDER BY sequence");
    sqlite3(&site.database(), &query)
}

#[test]
fn people_and_webhooks_come_and_go_while_it_runs() {
    let (fake, first, second) = (Fake::start(), Receiver::start(), Receiver::start());
    let site = Site::new(&fake.base(), &first.url(), &["stays", "goes"], QUICK, MEETINGS);
    let daemon = site.start();
    fake.say("goes", &inside("goes", MEETING, 3, now_ms(), ""));
    first.wait(1);

    let hook = format!("[[webhook]]\nname = \"two\"\nurl = \"{}\"\nsecret = \"{SECRET}\"\n", second.url());
    site.rewrite(site.config().replace("\"goes\"", "\"comes\"") + &hook);
    let text = told(&site.command(&["reload"]), 0);
    assert_eq!(
        text.lines().filter(|line| line.starts_with(['+', '-', '~'])).collect::<Vec<_>>(),
        ["+ user default/comes", "- user default/goes", "+ webhook two"]
    );
    assert!(text.contains("3 changes. 2 people are watched."), "{text}");

    fake.wait_looks("comes", 2);
    let looks = fake.looks("goes");
    fake.say("stays", &inside("stays", MEETING, 3, now_ms(), ""));
    let told = second.wait(2);
    assert!(told.iter().all(|delivery| delivery.verified));
    let mut subjects: Vec<&str> = told.iter().filter_map(|one| one.json["subject"].as_str()).collect();
    subjects.sort_unstable();
    assert_eq!(subjects, ["default/goes", "default/stays"], "who left the list, and who joined a meeting");
    fake.wait_looks("stays", 3);
    assert!(fake.looks("goes") <= looks + 1, "at most a look in flight");
    daemon.terminate();

    let watched = sqlite3(&site.database(), "SELECT union_id, watched FROM people ORDER BY union_id");
    assert_eq!(watched, "comes|1\ngoes|0\nstays|1");
    assert_eq!(sqlite3(&site.database(), "SELECT ongoing FROM v_visits WHERE who = 'goes'"), "0");
}

#[test]
fn a_webhook_taken_out_keeps_what_waits_for_it_and_goes_on_when_it_is_back() {
    let (fake, receiver) = (Fake::start(), Receiver::start());
    let site = Site::new(&fake.base(), "http://127.0.0.1:1/", &["u1"], QUICK, MEETINGS);
    let daemon = site.start();
    fake.say("u1", &inside("u1", MEETING, 3, now_ms(), ""));
    fake.wait_looks("u1", 4);
    let config = site.config();
    let (before, rest) = config.split_once("[[webhook]]").expect("a webhook");
    let (_, after) = rest.split_once("[history]").expect("a history");
    site.rewrite(format!("{before}[history]{after}"));
    assert!(told(&site.command(&["reload"]), 0).contains("- webhook hook"));
    site.rewrite(config.replace("http://127.0.0.1:1/", &receiver.url()));
    assert!(told(&site.command(&["reload"]), 0).contains("+ webhook hook"));
    assert_eq!(receiver.wait(1)[0].event_type(), "meeting.participant_joined");
    daemon.terminate();
}

#[test]
fn a_broken_file_changes_nothing_and_is_reported() {
    let (fake, receiver) = (Fake::start(), Receiver::start());
    let webhook = "events = [\"system.alert\"]";
    let site = Site::new(&fake.base(), &receiver.url(), &["u1"], QUICK, webhook);
    let daemon = site.start();
    let good = site.config();
    site.rewrite(good.replace("interval = \"50ms\"", "intervall = \"50ms\""));
    let text = told(&site.command(&["reload"]), 78);
    assert!(text.contains("error: unknown key `intervall`") && text.contains("did you mean"), "{text}");
    fake.wait_looks("u1", 3);
    site.rewrite(good.replace(&format!("secret = \"{SECRET}\""), "secret = { file = \"nowhere.key\" }"));
    let text = told(&site.command(&["reload"]), 78);
    assert!(text.contains("there is no file nowhere.key"), "{text}");
    fake.wait_looks("u1", 3);
    site.rewrite(good);
    told(&site.command(&["reload"]), 0);
    let alerts = receiver.wait(2);
    let states: Vec<&str> =
        alerts.iter().filter_map(|d: &Delivery| d.json["data"]["alert"]["state"].as_str()).collect();
    assert_eq!(states, ["firing", "resolved"], "one alert until it is put right");
    assert_eq!(alerts[0].json["data"]["alert"]["name"], "config");
    daemon.terminate();
}

#[test]
fn a_refusal_is_over_when_the_daemon_is_started_again() {
    let (fake, receiver) = (Fake::start(), Receiver::start());
    let site = Site::new(&fake.base(), &receiver.url(), &["u1"], QUICK, "events = [\"system.alert\"]");
    let daemon = site.start();
    let good = site.config();
    site.rewrite(good.replace("[poll]", "[polll]"));
    told(&site.command(&["reload"]), 78);
    receiver.wait_alerts("config", &["firing"]);
    daemon.kill();
    site.rewrite(good);
    let daemon = site.start();
    receiver.wait_alerts("config", &["firing", "resolved"]);
    daemon.terminate();
    // Nothing fires any more: another start has nothing to say.
    let daemon = site.start();
    fake.wait_looks("u1", 2);
    daemon.terminate();
    receiver.wait_alerts("config", &["firing", "resolved"]);
}

#[test]
fn what_waits_for_a_restart_is_said_every_time() {
    let fake = Fake::start();
    let site = Site::new(&fake.base(), "http://127.0.0.1:1/", &["u1"], QUICK, "");
    let daemon = site.start();
    site.rewrite(site.config().replace("\"presence.db\"", "\"other.db\""));
    for _ in 0..2 {
        let text = told(&site.command(&["reload"]), 0);
        assert!(text.contains("~ [history]: path (needs a restart)"), "{text}");
    }
    daemon.terminate();
    assert!(!site.path("other.db").exists());
}

#[test]
fn who_is_not_touched_keeps_the_next_look() {
    let fake = Fake::start();
    let poll = "interval = \"1h\"\nfirst_poll = \"silent\"";
    let site = Site::new(&fake.base(), "http://127.0.0.1:1/", &["u1", "u2"], poll, "");
    let daemon = site.start();
    fake.wait_any(2 - fake.looks("u1") - fake.looks("u2"));
    let person = "\n[[user]]\nunion_id = \"u3\"\ninterval = \"30ms\"\n";
    site.rewrite(site.config() + person);
    told(&site.command(&["reload"]), 0);
    fake.wait_looks("u3", 5);
    site.rewrite(site.config().replace("30ms", "20ms"));
    assert!(told(&site.command(&["reload"]), 0).contains("~ user default/u3: interval"));
    fake.wait_looks("u3", 5);
    assert_eq!((fake.looks("u1"), fake.looks("u2")), (1, 1), "no burst");
    assert_eq!(fake.token_calls(), 1, "the token stays");
    daemon.terminate();
}

#[test]
fn a_thousand_hangups_are_a_few_reloads_and_lose_nothing() {
    let (fake, receiver) = (Fake::start(), Receiver::start());
    let site = Site::new(&fake.base(), &receiver.url(), &["u1"], QUICK, MEETINGS);
    let daemon = site.start();
    fake.say("u1", &inside("u1", MEETING, 3, now_ms(), ""));
    daemon.hang_up(1000);
    receiver.wait(1);
    fake.say("u1", r#"{"onGoingConfIdList":[],"memberModelMap":{}}"#);
    daemon.hang_up(10);
    receiver.wait(2);
    told(&site.command(&["reload"]), 0);
    let log = daemon.log();
    daemon.terminate();
    assert!(log.contains("config reloaded"), "{log}");
    let all = receiver.all();
    assert_eq!(all.len(), 2, "joined and left, once each");
}

/// Two lists of 400 users that have nobody in common, in turn: whoever comes gets the place of one who left.
#[test]
fn reloads_between_two_long_lists_take_no_more_memory() {
    let (warm, measured) = if std::env::var_os("PRESENCED_LONG").is_some() { (100, 900) } else { (10, 20) };
    let fake = Fake::start();
    let users = |list: char| (0..400).map(|n| format!("{list}-{n}")).collect::<Vec<_>>();
    let one: Vec<String> = users('a');
    let one: Vec<&str> = one.iter().map(String::as_str).collect();
    let site = Site::new(&fake.base(), "http://127.0.0.1:1/", &one, "interval = \"1h\"", MEETINGS);
    let daemon = site.start();
    let (first, second) = (site.config(), site.config().replace("\"a-", "\"b-"));
    let mut resident = Vec::new();
    for n in 0..warm + measured {
        site.rewrite(if n % 2 == 0 { &second } else { &first });
        told(&site.command(&["reload"]), 0);
        resident.push(daemon.resident_kib());
    }
    daemon.terminate();
    let grown = resident[resident.len() - 1].saturating_sub(resident[warm]);
    assert!(grown < 4096, "{measured} reloads took {grown} KiB: {resident:?}");
}

#[test]
fn no_config_however_broken_stops_the_daemon() {
    let fake = Fake::start();
    let site = Site::new(&fake.base(), "http://127.0.0.1:1/", &["u1"], QUICK, MEETINGS);
    let daemon = site.start();
    let good = site.config();
    let mut dice = Dice(0x9E37_79B9_7F4A_7C15);
    let broken = std::iter::repeat_with(|| mutated(good.as_bytes(), &mut dice));
    // Not those in which just a host is lost: one that is not named is the real one.
    for broken in broken.filter(|broken| loopback::is_at_home(broken)).take(200) {
        site.rewrite(&broken);
        let output = site.command(&["reload"]);
        let code = output.status.code();
        assert!(matches!(code, Some(0 | 78)), "{code:?} for\n{}", String::from_utf8_lossy(&broken));
    }
    site.rewrite(&good);
    told(&site.command(&["reload"]), 0);
    fake.wait_looks("u1", 2);
    let ever = events(&site, "u1");
    assert!(!ever.contains("participant"), "nobody was ever in a meeting: {ever}");
    daemon.terminate();
}

#[test]
fn without_a_daemon_there_is_no_answer() {
    let site = Site::new("http://127.0.0.1:1", "http://127.0.0.1:1/", &["u1"], QUICK, "");
    assert!(told(&site.command(&["reload"]), 69).contains("the daemon does not answer"));
}

/// Numbers that look random and are the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % (n.max(1) as u64)).expect("smaller than a usize")
    }
}

/// A file as it comes out of a bad edit, a bad merge or a bad disk.
fn mutated(good: &[u8], dice: &mut Dice) -> Vec<u8> {
    let mut text = good.to_vec();
    for _ in 0..=dice.below(3) {
        let at = dice.below(text.len());
        let end = (at + dice.below(40)).min(text.len());
        match dice.below(6) {
            0 => text.truncate(at),
            1 => drop(text.drain(at..end)),
            2 => {
                let copied = text[at..end].to_vec();
                text.splice(at..at, copied);
            }
            3 if !text.is_empty() => text[at] = u8::try_from(dice.below(256)).expect("a byte"),
            4 => {
                let words: [&[u8]; 6] = [b"\"", b"[[user]]\n", b"= ", b"\n", b"{", b"\xff"];
                text.splice(at..at, words[dice.below(words.len())].iter().copied());
            }
            _ => {
                let digits: Vec<usize> = (0..text.len()).filter(|&i| text[i].is_ascii_digit()).collect();
                if let Some(&at) = digits.get(dice.below(digits.len())) {
                    text.splice(at..at, *b"999999");
                }
            }
        }
    }
    text
}
