//! What an operator's tools see: `/metrics`, the watchdog, `status`, `init`, and nothing that they must not.
//!
//! Guards: alerts and dashboard name only what there is; the service manager is fed; neither a secret nor a unionId
//! stands in any log line or on the page of metrics. Deliberately not here: reloading (`reload`).

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;

use crate::harness::daemon::Site;
use crate::harness::fake::{Fake, inside};
use crate::harness::http::response;
use crate::harness::loopback::free_address;
use crate::harness::receiver::{Receiver, SECRET};

const MEETING: &str = "654058f2411fe90147e68780";
const QUICK: &str =
    "interval = \"50ms\"\nmin_interval = \"20ms\"\nbackoff = { initial = \"20ms\", max = \"50ms\" }";

fn now_ms() -> i64 {
    let since = std::time::UNIX_EPOCH.elapsed().expect("a clock after 1970");
    i64::try_from(since.as_millis()).expect("a clock before the year 292278994")
}

/// A site whose listener is at a port that was free a moment ago.
pub(crate) fn listening(site: &Site) -> String {
    let address = free_address();
    site.edit("listen = \"\"", &format!("listen = \"{address}\""));
    address
}

pub(crate) fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("the listener is there");
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("the listener reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("the listener answers");
    answer
}

fn read(file: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).expect("a file of the project")
}

/// Every `presenced_...` word of a text.
fn names(text: &str) -> Vec<String> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut names: Vec<String> = text
        .split(|c: char| !is_name(c))
        .filter(|word| word.starts_with("presenced_"))
        .map(|word| word.trim_end_matches("_bucket").to_owned())
        .collect();
    names.sort();
    names.dedup();
    names
}

#[test]
fn the_page_of_metrics_has_what_alerts_and_dashboard_ask_for() {
    let (fake, receiver) = (Fake::start(), Receiver::start());
    let site = Site::new(&fake.base(), &receiver.url(), &["u1"], QUICK, "");
    let address = listening(&site);
    site.edit("calls_per_month = 0", "calls_per_month = 100000000");
    let daemon = site.start();
    fake.say("u1", &inside("u1", MEETING, 3, now_ms(), ""));
    receiver.wait(1);
    fake.say("u1", r#"{"onGoingConfIdList":[],"memberModelMap":{}}"#);
    receiver.wait(2);
    fake.wait_looks("u1", 2);
    let page = get(&address, "/metrics");
    daemon.terminate();

    assert!(page.starts_with("HTTP/1.1 200") && page.contains("text/plain; version=0.0.4"), "{page}");
    for line in [
        "presenced_events_total{type=\"meeting.participant_joined\"} 1",
        "presenced_events_total{type=\"meeting.participant_left\"} 1",
        "presenced_people{presence=\"out\"} 1",
        "presenced_config_last_reload_successful 1",
        "presenced_budget_limit_calls{org=\"default\"} 100000000",
        "presenced_database_answers 1",
        "presenced_noticing_delay_seconds_count 2",
    ] {
        assert!(page.lines().any(|there| there == line), "{line}\n{page}");
    }
    assert!(page.contains("presenced_webhook_attempts_total{webhook=\"hook\",code=\"204\"}"), "{page}");
    assert!(!page.contains("u1"), "no person is named");
    let there = names(&page);
    for file in ["contrib/prometheus/alerts.yml", "contrib/grafana/presenced.json"] {
        for name in names(&read(file)) {
            assert!(there.contains(&name), "{file} asks for {name}, which is nowhere");
        }
    }
    let board: serde_json::Value =
        serde_json::from_str(&read("contrib/grafana/presenced.json")).expect("the dashboard is JSON");
    assert_eq!(board["title"], "presenced");
}

#[test]
fn people_are_named_in_metrics_only_when_asked_for() {
    let fake = Fake::start();
    let site = Site::new(&fake.base(), "http://127.0.0.1:1/", &["u1"], QUICK, "");
    let address = listening(&site);
    let daemon = site.start();
    fake.wait_looks("u1", 2);
    assert!(!get(&address, "/metrics").contains("presenced_user_in_meeting"));
    site.edit("[http]", "[http]\nmetrics_per_user = true");
    assert_eq!(site.command(&["reload"]).status.code(), Some(0));
    let page = get(&address, "/metrics");
    assert!(page.contains("presenced_user_in_meeting{org=\"default\",user=\"u1\"} 0"), "{page}");
    daemon.terminate();
}

#[test]
fn the_service_manager_is_fed_while_everything_moves() {
    let fake = Fake::start();
    // Nothing is due for hours: the loops turn because they are asked to.
    let site = Site::new(&fake.base(), "http://127.0.0.1:1/", &["u1"], "interval = \"12h\"", "");
    let daemon = site.start_with(&[("WATCHDOG_USEC", "600000")]);
    daemon.wait_told("WATCHDOG=1");
    daemon.wait_told("STATUS=watching 1 people, 0 in a meeting");
    daemon.terminate();
}

/// Somebody with the system's own sqlite3 holds the lock that every write needs.
struct Hog {
    sqlite3: std::process::Child,
}

impl Hog {
    fn hold(database: &Path) -> Self {
        let mut sqlite3 = std::process::Command::new("sqlite3")
            .arg(database)
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .expect("sqlite3 is installed");
        let mut stdin = sqlite3.stdin.as_ref().expect("a pipe");
        stdin.write_all(b".timeout 20000\nBEGIN IMMEDIATE;\n.print held\n").expect("it reads");
        let mut word = [0; 4];
        sqlite3.stdout.as_mut().expect("a pipe").read_exact(&mut word).expect("it answers");
        assert_eq!(&word, b"held");
        Self { sqlite3 }
    }

    fn let_go(mut self) {
        drop(self.sqlite3.stdin.take());
        self.sqlite3.wait().expect("a child to wait for");
    }
}

#[test]
fn a_writer_that_hangs_is_not_covered_up() {
    let fake = Fake::start();
    let site = Site::new(&fake.base(), "http://127.0.0.1:1/", &["u1"], QUICK, "");
    let daemon = site.start_with(&[("WATCHDOG_USEC", "600000")]);
    daemon.wait_told("WATCHDOG=1");
    let hog = Hog::hold(&site.database());
    site.wait_for_log("event loops do not respond");
    hog.let_go();
    site.wait_for_log("event loops are responsive again");
    daemon.terminate();
}

#[test]
fn the_service_manager_is_notified_of_every_reload_and_of_the_end() {
    let fake = Fake::start();
    let site = Site::new(&fake.base(), "http://127.0.0.1:1/", &["u1"], QUICK, "");
    let daemon = site.start();
    let good = site.config();
    for text in [good.replace("[poll]", "[polll]"), good] {
        site.rewrite(text);
        daemon.hang_up(1);
        daemon.wait_told("RELOADING=1\nMONOTONIC_USEC=");
        daemon.wait_told("READY=1");
    }
    daemon.signal("TERM");
    daemon.wait_stopping();
    assert_eq!(daemon.wait(), Some(0));
}

#[test]
fn a_refused_config_is_on_the_page_of_metrics_and_in_status_until_it_is_put_right() {
    let fake = Fake::start();
    let site = Site::new(&fake.base(), "http://127.0.0.1:1/", &["u1"], QUICK, "");
    let address = listening(&site);
    let daemon = site.start();
    let good = site.config();
    let has = |page: &str, line: &str| page.lines().any(|there| there == line);
    site.rewrite(good.replace("[poll]", "[polll]"));
    assert_eq!(site.command(&["reload"]).status.code(), Some(78));
    let page = get(&address, "/metrics");
    assert!(has(&page, "presenced_config_last_reload_successful 0"), "{page}");
    assert!(has(&page, "presenced_config_reloads_total{outcome=\"refused\"} 1"), "{page}");
    // What cannot be read by `status` either: it needs the file to know where the database is.
    site.rewrite(&good);
    let status = || {
        let output = site.command(&["status", "-o", "json"]);
        serde_json::from_slice::<serde_json::Value>(&output.stdout).expect("JSON")
    };
    let text = status();
    assert!(
        text["daemon"]["refused"]["why"]
            .as_str()
            .is_some_and(|why| why.contains("polll") && why.contains("config.toml:")),
        "{text}"
    );
    assert_eq!(text["config"]["changed_since"], true);
    assert_eq!(site.command(&["reload"]).status.code(), Some(0));
    assert!(has(&get(&address, "/metrics"), "presenced_config_last_reload_successful 1"));
    let text = status();
    assert_eq!(
        (&text["daemon"]["refused"], &text["config"]["changed_since"]),
        (&serde_json::Value::Null, &false.into())
    );
    daemon.terminate();
}

#[test]
fn status_is_one_screen_with_and_without_the_daemon() {
    let fake = Fake::start();
    let site = Site::new(&fake.base(), "http://127.0.0.1:1/", &["u1"], QUICK, "");
    let daemon = site.start();
    fake.wait_looks("u1", 3);
    let good = site.config();
    site.rewrite(good.replace("[poll]", "[poll]\nx = 1"));
    assert_eq!(site.command(&["reload"]).status.code(), Some(78));
    site.rewrite(good);
    let output = site.command(&["status"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(0), "{text}");
    for word in [" runs, started ", "refused ", "unknown key in [poll]", "people    1 watched", "database  "]
    {
        assert!(text.contains(word), "{word}\n{text}");
    }
    let json = site.command(&["status", "-o", "json"]);
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).expect("JSON");
    assert_eq!(json["people"]["watched"], 1);
    assert_eq!(json["daemon"]["version"], env!("CARGO_PKG_VERSION"));
    for key in ["started_ms", "loaded_ms", "refused", "restart_for", "ready", "reasons"] {
        assert!(json["daemon"].get(key).is_some(), "{key}: {json}");
    }
    assert!(json["at_ms"].is_number() && json["people"]["last_good_poll_ms"].is_number(), "{json}");
    let windows = serde_json::json!({ "people": 1, "open_for": 1, "next_change_ms": null });
    assert_eq!(json["windows"], windows);
    let warning = json["config"]["warnings"][0].as_str().unwrap_or_default().to_owned();
    assert!(warning.contains("plain text"), "{json}");
    assert_eq!(
        (&json["budget"][0]["org"], &json["webhooks"][0]["webhook"]),
        (&"default".into(), &"hook".into())
    );
    daemon.terminate();
    let output = site.command(&["status"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.code() == Some(69) && text.contains("people    1 watched"), "{text}");
}

#[test]
fn init_makes_what_check_reads_and_touches_nothing_twice() {
    let site = Site::with_config("");
    let there = site.path("new");
    let there = there.to_str().expect("a folder with a readable name");
    for _ in 0..2 {
        let output = site.command(&["init", "--dir", there]);
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let config = std::fs::read_to_string(site.path("new/config.toml")).expect("a config");
    assert!(config.contains("app_key = \"dingxxxx\"") && config.lines().count() < 40, "{config}");
    std::fs::write(site.path("new/config.toml"), "mine").expect("a writable folder");
    site.command(&["init", "--dir", there]);
    assert_eq!(std::fs::read_to_string(site.path("new/config.toml")).expect("a config"), "mine");
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &std::fs::metadata(site.path("new/credentials")).expect("a folder").permissions(),
    );
    assert_eq!(mode & 0o777, 0o700);
}

#[test]
fn check_online_asks_for_a_token_and_one_person() {
    let fake = Fake::start();
    let site = Site::new(&fake.base(), "http://127.0.0.1:1/", &["u1"], QUICK, "");
    let output = site.command(&["check", "--online"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains("default: the app gets a token and may poll u1"), "{text}");
    assert_eq!((fake.looks("u1"), fake.token_calls()), (1, 1));
    let body = r#"{"code":"Forbidden.AccessDenied.AccessTokenPermissionDenied","message":"no permission","requestid":"R-1"}"#;
    fake.say_bytes("u1", Some(response(403, "application/json", body)));
    let output = site.command(&["check", "--online"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(77), "{text}");
    assert!(
        text.contains("error: default: polling u1: forbidden") && text.contains("(request R-1)"),
        "{text}"
    );
}

/// Everything goes wrong that can, with every line of the log on: what must not be shown is nowhere.
#[test]
fn neither_secrets_nor_union_ids_are_in_anything_the_daemon_says() {
    const UNION_ID: &str = "canaryUnionIdiiEiE";
    let secrets = [
        "canary-app-secret",
        "token-of-the-fake",
        "canary-http-token-0123",
        "canary-in-url",
        "canary-header",
    ];
    // The last one is the end of looking: this person does not exist.
    let answers = [
        (200, r#"{"onGoingConfIdList":[],"memberModelMap":{}}"#.to_owned()),
        (200, inside(UNION_ID, MEETING, 3, now_ms(), "")),
        (200, format!("<html>{UNION_ID}</html>")),
        (200, format!(r#"{{"memberModelMap":{{"{UNION_ID}":[]}}}}"#)),
        (
            403,
            format!(
                r#"{{"code":"Forbidden.AccessDenied.AccessTokenPermissionDenied","message":"{UNION_ID}"}}"#
            ),
        ),
        (500, format!(r#"{{"code":"ServiceUnavailable","message":"{UNION_ID} token-of-the-fake"}}"#)),
        (400, format!(r#"{{"code":"invalidParameter.unionId","message":"{UNION_ID} is not valid"}}"#)),
    ];
    let last = answers.len() as u64;
    let fake = Fake::scripted(move |_, look| {
        let at = usize::try_from(look).expect("few looks").min(answers.len());
        let (status, body) = &answers[at - 1];
        Some(response(*status, "application/json", body))
    });
    let site = Site::new(
        &fake.base(),
        "http://127.0.0.1:1/canary-in-url",
        &[UNION_ID],
        QUICK,
        "headers = { X-Key = \"canary-header\" }",
    );
    site.edit("secret-of-the-app", "canary-app-secret");
    let address = listening(&site);
    site.edit("[http]", "[log]\nlevel = \"trace\"\n[http]\ntoken = \"canary-http-token-0123\"");
    let daemon = site.start();
    fake.wait_looked(UNION_ID, last);
    let mut said =
        vec![get(&address, "/metrics"), get(&address, "/readyz"), get(&address, "/nowhere/canary")];
    let good = site.config();
    site.rewrite(good.replace("[dingtalk]", "[dingtalkk]"));
    site.command(&["reload"]);
    site.rewrite(good);
    site.command(&["reload"]);
    said.push(daemon.log());
    daemon.terminate();

    let said = said.concat();
    assert!(said.contains("TRACE") && said.contains("presenced_polls_total"), "{said}");
    for secret in secrets.into_iter().chain([SECRET, UNION_ID]) {
        let line = said.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "{secret}");
    }
}

#[test]
fn a_standard_error_that_is_never_read_stops_neither_polling_nor_the_stop() {
    let (fake, receiver) = (Fake::start(), Receiver::start());
    let poll = "interval = \"5ms\"\nmin_interval = \"5ms\"";
    let site = Site::new(&fake.base(), &receiver.url(), &["li"], poll, "");
    let (daemon, unread) = site.start_unread();
    // More lines than the pipe holds.
    fake.wait_looks("li", 2_500);
    daemon.terminate();
    drop(unread);
}

#[test]
fn a_stop_while_dingtalk_hangs_ends_well_and_says_what_was_not_recorded() {
    let fake = Fake::scripted(|_, call| {
        if call > 1 {
            loop {
                std::thread::park();
            }
        }
        Some(response(200, "application/json", r#"{"onGoingConfIdList":[],"memberModelMap":{}}"#))
    });
    let receiver = Receiver::start();
    let site = Site::new(&fake.base(), &receiver.url(), &["li"], "interval = \"100ms\"", "");
    site.edit("timeout = \"2s\"", "timeout = \"1m\"");
    let daemon = site.start();
    fake.wait_looked("li", 2);
    daemon.terminate();
    site.wait_for_log("their answers are not recorded");
}

#[test]
fn a_typo_in_the_file_on_disk_stops_no_command_that_the_daemon_or_the_database_answers() {
    let (fake, receiver) = (Fake::start(), Receiver::start());
    let site = Site::new(&fake.base(), &receiver.url(), &["li"], QUICK, "");
    let daemon = site.start();
    fake.wait_looked("li", 1);
    site.edit("[poll]", "[poll]\nintervall = = 3");
    let commands = [
        &["status"][..],
        &["now"],
        &["history", "li"],
        &["report"],
        &["webhook", "list"],
        &["webhook", "pause", "hook"],
        &["webhook", "resume", "hook"],
        &["poll", "li"],
        &["db", "info"],
        &["db", "check"],
        &["db", "sql", "SELECT 1"],
        &["user", "list"],
        &["events"],
        &["webhook", "deliveries"],
    ];
    let all_answer = || {
        for command in commands {
            let ended = site.command(command);
            let said = String::from_utf8_lossy(&ended.stderr).into_owned();
            assert!(matches!(ended.status.code(), Some(0 | 4)), "{command:?}: {said}");
        }
        let users = String::from_utf8(site.command(&["user", "list"]).stdout).unwrap();
        assert!(users.contains("li"), "{users}");
    };
    all_answer();
    let status = String::from_utf8(site.command(&["status"]).stdout).unwrap();
    assert!(status.contains("the config file is invalid now"), "{status}");
    // What needs the whole config says what is wrong with it.
    for command in [&["check"][..], &["reload"], &["plan"]] {
        assert_eq!(site.command(command).status.code(), Some(78), "{command:?}");
    }
    // The daemon says where its database is, although the file has another path or is gone.
    site.edit("intervall = = 3", "");
    site.edit("[history]", "[history]\npath = \"elsewhere/presence.db\"\n[histori]");
    all_answer();
    std::fs::remove_file(site.path("config.toml")).unwrap();
    all_answer();
    for command in [&["check"][..], &["reload"], &["plan"]] {
        assert_eq!(site.command(command).status.code(), Some(78), "{command:?}");
    }
    daemon.terminate();
    assert_eq!(site.command(&["now"]).status.code(), Some(78), "without the daemon the config is needed");
    assert_eq!(
        site.command(&["poll", "li"]).status.code(),
        Some(78),
        "without the daemon the config is needed"
    );
}
