//! The commands that look, as a shell sees them: what they print, where, and with which code they end.

#![expect(clippy::unwrap_used, reason = "a test that does not get this far has failed")]
#![expect(clippy::disallowed_methods, reason = "the stored bytes are looked at past the store")]

use std::path::PathBuf;

use presenced::control::{
    Advice, Endpoint, PollOutcome, PollReport, Request, Response, ask_places, request_line,
};
use presenced::presence::event::EventType;
use presenced::presence::observation::{Evidence, Observation};
use presenced::store::Store;
use tokio::process::Command;
use tokio_util::sync::CancellationToken;

use super::harness::loopback;
use super::store_fixture::{Place, START, ended, enrolment, joined, later, look, system, visit};

struct Shell {
    place: Place,
    config: PathBuf,
}

#[derive(Debug)]
struct Ended {
    code: i32,
    out: String,
    err: String,
}

impl Shell {
    /// A folder with a config and no database; nobody answers where DingTalk should be.
    fn new() -> Self {
        let place = Place::new();
        let config = place.folder.path().join("config.toml");
        let hosts = loopback::hosts("http://127.0.0.1:9");
        let text = format!(
            "time_zone = \"Asia/Shanghai\"\n[dingtalk]\napp_key = \"dingkey\"\napp_secret = \"plain\"\n\
             calls_per_month = 5000\n{hosts}[history]\npath = \"presence.db\"\n\
             [[user]]\nunion_id = \"li\"\nname = \"Name li\"\n[[user]]\nunion_id = \"liu\"\nname = \"Name liu\"\n"
        );
        std::fs::write(&config, loopback::at_home(&text)).unwrap();
        Self { place, config: config.canonicalize().unwrap() }
    }

    /// Li was in twice and is in now; Liu was looked at; there was an alert.
    async fn with_history() -> (Self, Store) {
        let shell = Self::new();
        let store = shell.place.open().await;
        let enrolled = store.watch_list().enroll(vec![enrolment("li"), enrolment("liu")]).await.unwrap().0;
        let (li, liu) = (enrolled[0].person_id, enrolled[1].person_id);
        let mut first = joined(li, "li", "one");
        first.visits = vec![ended(visit("vis_one"), later(90))];
        store.recorder().record(first).await.unwrap();
        store.recorder().record(joined(li, "li", "two")).await.unwrap();
        store.recorder().record(look(liu)).await.unwrap();
        store.recorder().record_system(None, vec![system("evt_alert", &[])]).await.unwrap();
        (shell, store)
    }

    async fn run(&self, arguments: &[&str]) -> Ended {
        let output = Command::new(env!("CARGO_BIN_EXE_presenced"))
            .args(arguments)
            .env("PRESENCED_CONFIG", &self.config)
            .env("XDG_RUNTIME_DIR", self.place.folder.path())
            .env_remove("RUNTIME_DIRECTORY")
            .env_remove("COLUMNS")
            .output()
            .await
            .unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Ended { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
    }

    async fn bodies(&self) -> Vec<String> {
        let sql = "SELECT body FROM events ORDER BY sequence";
        sqlx::query_scalar(sql).fetch_all(&mut self.place.look().await).await.unwrap()
    }

    /// Where the daemon with this config would listen, in the folder the commands look in.
    fn socket(&self) -> PathBuf {
        let place = ask_places(&self.config).remove(0);
        self.place.folder.path().join(place.file_name().unwrap())
    }

    /// Runs `poll` while a daemon gives this answer; also gives what was asked.
    async fn poll_with(&self, arguments: &[&str], answer: Response) -> (Ended, Vec<Request>) {
        let asked = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
        let heard = std::sync::Arc::clone(&asked);
        let endpoint = Endpoint::bind(&self.socket()).await.unwrap();
        let stop = CancellationToken::new();
        let handler = move |request| {
            heard.lock().unwrap().push(request);
            std::future::ready(answer.clone())
        };
        let running = async {
            let ended = self.run(arguments).await;
            stop.cancel();
            ended
        };
        let (served, ended) = tokio::join!(endpoint.serve(handler, stop.clone()), running);
        served.unwrap();
        let asked = asked.lock().unwrap().clone();
        (ended, asked)
    }
}

#[tokio::test]
async fn now_answers_with_the_daemon_up_and_down() {
    let (shell, store) = Shell::with_history().await;
    let up = shell.run(&["now", "-o", "json"]).await;
    store.close().await.unwrap();
    let down = shell.run(&["now", "-o", "json"]).await;
    for ended in [&up, &down] {
        assert_eq!(ended.code, 0, "{ended:?}");
        let rows: serde_json::Value = serde_json::from_str(&ended.out).unwrap();
        assert_eq!(rows.as_array().unwrap().len(), 1);
        assert_eq!((&rows[0]["who"], &rows[0]["role"]), (&"Name li".into(), &"host".into()));
        assert_eq!(rows[0]["joined_at"], START.rfc3339());
    }
    let table = shell.run(&["now"]).await;
    assert!(table.out.starts_with("WHO ") && table.out.contains("2023-11-07 16:54:55"), "{table:?}");
    assert!(!table.out.contains('\u{1b}'), "no colours into a pipe");
    assert!(table.err.contains("1 of 2 people inside"), "{table:?}");
    let mistyped = shell.run(&["now", "--tz", "Asia/Shangai"]).await;
    assert_eq!(mistyped.code, 2);
    assert!(mistyped.err.contains("did you mean `Asia/Shanghai`?"), "{}", mistyped.err);
    let elsewhere = shell.run(&["now", "--tz", "UTC", "-q"]).await;
    assert!(elsewhere.out.contains("2023-11-07 08:54:55") && elsewhere.err.is_empty(), "{elsewhere:?}");
}

#[tokio::test]
async fn a_time_that_ends_before_it_begins_is_refused_by_every_command_that_takes_one() {
    let (shell, store) = Shell::with_history().await;
    store.close().await.unwrap();
    let takers =
        [&["history", "li"][..], &["report"], &["webhook", "replay"], &["webhook", "replay", "--dry-run"]];
    for command in takers {
        for (since, until) in [("2026-11-24", "2026-11-23"), ("1h", "2h"), ("1h", "1h")] {
            let refused = shell.run(&[command, &["--since", since, "--until", until]].concat()).await;
            assert_eq!((refused.code, refused.out.as_str()), (2, ""), "{command:?}: {refused:?}");
            let hint = if since == until { "" } else { "; exchange the two" };
            let why = format!("error: --since {since} is not before --until {until}{hint}\n");
            assert_eq!(refused.err, why, "{command:?}");
        }
    }
}

#[tokio::test]
async fn values_that_cannot_be_are_answered_with_some_that_can() {
    let (shell, store) = Shell::with_history().await;
    store.close().await.unwrap();
    for (arguments, said) in [
        (&["history", "li", "--limit", "ten"][..], "a whole number of at least 1"),
        (&["webhook", "deliveries", "--limit", "-5"], "a whole number of at least 1"),
        (&["events", "--after", "-1"], "a whole number of at least 0"),
        (&["events", "--limit", "0"], "a whole number of at least 1"),
        (&["events", "--type", "joined"], "did you mean `meeting.participant_joined`?"),
        (&["webhook", "route", "meeting"], "did you mean `meeting.*`?"),
        (&["history", "li", "--since", "09:05"], "the day is missing; write `20"),
        (&["plan", "--days", "1000"], "a whole number from 1 to 366"),
        (&["plan", "--replay", "trace.jsonl", "--warmup", "5M"], "write days, as in `30d`"),
        (&["plan", "--replay", "trace.jsonl", "--warmup", "soon"], "as in `28d`"),
        (&["demo", "--seconds", "x"], "a whole number from 1 to 86400"),
        (&["user", "find", "--department", "sales"], "a whole number of at least 1"),
        (&["simulate", "--listen", "localhost:9000"], "as in `127.0.0.1:9000`"),
    ] {
        let refused = shell.run(arguments).await;
        assert_eq!((refused.code, refused.out.as_str()), (2, ""), "{arguments:?}: {refused:?}");
        assert!(refused.err.contains(said), "{arguments:?}: {}", refused.err);
    }
}

/// As Caddy, Prometheus and git have it. Needs no config.
#[tokio::test]
async fn help_and_version_are_words_too() {
    let (shell, store) = Shell::with_history().await;
    store.close().await.unwrap();
    for (word, option) in [
        (&["help"][..], &["--help"][..]),
        (&["help", "run"], &["run", "--help"]),
        (&["help", "webhook"], &["webhook", "--help"]),
        (&["help", "db", "backup"], &["db", "backup", "--help"]),
        (&["version"], &["--version"]),
    ] {
        let (said, wanted) = (shell.run(word).await, shell.run(option).await);
        assert_eq!((said.code, said.err.as_str()), (0, ""), "{word:?}");
        assert!(said.out.len() > 10 && said.out == wanted.out, "{word:?}: {}", said.out);
    }
    let mistyped = shell.run(&["help", "runn"]).await;
    assert!(mistyped.code == 2 && mistyped.err.contains("'run'"), "{mistyped:?}");
    let no_command = shell.run(&["help", "config", "explain", "--", "--"]).await;
    assert!(no_command.code == 2 && no_command.err.contains("the name of a command"), "{no_command:?}");
}

/// The same hour, however it is written.
#[tokio::test]
async fn a_time_without_seconds_and_with_a_zone_is_understood() {
    let (shell, store) = Shell::with_history().await;
    store.close().await.unwrap();
    // Both visits began at 16:54:55 in Shanghai, which is the config's zone.
    for (until, rows) in [
        ("2023-11-07 16:54", 0),
        ("2023-11-07T16:54+08:00", 0),
        ("2023-11-07T08:54Z", 0),
        ("2023-11-07 16:55", 2),
        ("2023-11-07T16:55+08:00", 2),
        ("2023-11-07 08:55Z", 2),
    ] {
        let ended = shell.run(&["history", "li", "--until", until, "-o", "json"]).await;
        let found: Vec<serde_json::Value> = serde_json::from_str(&ended.out).unwrap_or_default();
        assert_eq!((found.len(), ended.code), (rows, if rows == 0 { 4 } else { 0 }), "{until}: {ended:?}");
    }
    let help = shell.run(&["history", "--help"]).await;
    assert!(help.out.contains("`2026-11-23 09:05+08:00`"), "{}", help.out);
}

#[tokio::test]
async fn a_user_is_found_by_a_part_of_the_name_or_the_next_step_is_shown() {
    let (shell, store) = Shell::with_history().await;
    store.close().await.unwrap();
    let outside = shell.run(&["now", "liu", "-o", "jsonl"]).await;
    assert_eq!(outside.code, 0);
    assert!(outside.out.contains("\"presence\":\"outside\""), "{outside:?}");
    let several = shell.run(&["now", "name"]).await;
    assert_eq!(several.code, 2);
    assert!(several.err.contains("Name li (default/li), Name liu (default/liu)"), "{several:?}");
    let nobody = shell.run(&["history", "Nme li"]).await;
    assert_eq!(nobody.code, 4);
    assert!(nobody.err.contains("did you mean `Name li`"), "{nobody:?}");
}

#[tokio::test]
async fn history_has_every_visit_and_says_so_when_there_is_none() {
    let (shell, store) = Shell::with_history().await;
    store.close().await.unwrap();
    let csv = shell.run(&["history", "li", "-o", "csv"]).await;
    assert_eq!((csv.code, csv.out.lines().count()), (0, 3), "{csv:?}");
    assert!(csv.out.starts_with("id,who,org,union_id,joined_at,left_at,minutes,ongoing,meeting,"));
    let table = shell.run(&["history", "li"]).await;
    assert!(table.out.contains("~2023-11-07 16:56:25 ") && table.out.contains(" 1.5  "), "{table:?}");
    assert!(table.out.contains("still in") && table.out.contains("vanished"), "{table:?}");
    assert!(table.out.contains("654058f2411fe90147e68780"), "not cut in a pipe: {table:?}");
    let day = shell.run(&["history", "li", "--until", "2023-11-06"]).await;
    assert_eq!(day.code, 4);
    assert!(day.out.contains("No visits of Name li"), "{day:?}");
    let same_day =
        shell.run(&["history", "li", "--since", "2023-11-07", "--until", "2023-11-07", "--limit", "1"]);
    let same_day = same_day.await;
    assert_eq!((same_day.code, same_day.out.lines().count()), (0, 2), "{same_day:?}");
    assert!(same_day.err.contains("shows the newest 1"), "{same_day:?}");
    let vague = shell.run(&["history", "li", "--since", "5M"]).await;
    assert_eq!(vague.code, 2);
    let json = shell.run(&["history", "liu", "-o", "json"]).await;
    assert_eq!((json.code, json.out.as_str()), (4, "[]\n"), "{json:?}");
}

#[tokio::test]
async fn events_are_the_stored_bodies() {
    let (shell, store) = Shell::with_history().await;
    store.close().await.unwrap();
    let bodies = shell.bodies().await;
    let lines = shell.run(&["events", "-o", "jsonl"]).await;
    assert_eq!(lines.out, bodies.join("\n") + "\n");
    let after = shell.run(&["events", "-o", "jsonl", "--after", "1", "--limit", "1"]).await;
    assert_eq!(after.out, format!("{}\n", bodies[1]));
    let array = shell.run(&["events", "-o", "json", "--user", "li"]).await;
    let array: Vec<serde_json::Value> = serde_json::from_str(&array.out).unwrap();
    assert_eq!(array.len(), 2);
    let alert = shell.run(&["events", "--type", "system.*"]).await;
    assert!(alert.out.lines().count() == 2 && alert.out.contains("system.alert"), "{alert:?}");
    let none = shell.run(&["events", "--type", "watch.stale"]).await;
    assert_eq!(none.code, 4);
    assert!(none.out.starts_with("No events match"), "{none:?}");
    let unknown = shell.run(&["events", "--type", "meeting.participant_lft"]).await;
    assert_eq!(unknown.code, 2);
    assert!(unknown.err.contains("did you mean `meeting.participant_left`"), "{unknown:?}");
    let org = shell.run(&["events", "--org", "acme"]).await;
    assert_eq!(org.code, 4);
    assert!(org.err.contains("the config has default"), "{org:?}");
}

#[tokio::test]
async fn what_is_missing_is_named_with_its_code() {
    let shell = Shell::new();
    let fresh = shell.run(&["now"]).await;
    assert_eq!(fresh.code, 1);
    assert!(fresh.err.contains("presence.db does not exist: `presenced run` creates it"), "{fresh:?}");
    let nowhere = shell.run(&["now", "-c", "/nonexistent/config.toml"]).await;
    assert_eq!(nowhere.code, 78, "{nowhere:?}");
    std::fs::write(&shell.config, "[poll]\nintervall = \"2m\"\n").unwrap();
    let broken = shell.run(&["events"]).await;
    assert_eq!(broken.code, 78);
    assert!(broken.err.contains("did you mean `interval`"), "{broken:?}");
    assert_eq!(shell.run(&["now", "li", "--all"]).await.code, 2);
    assert_eq!(shell.run(&["completions", "tcsh"]).await.code, 2);
    let completions = shell.run(&["completions", "bash"]).await;
    assert!(completions.code == 0 && completions.out.contains("history"), "{}", completions.code);
}

#[tokio::test]
async fn poll_asks_the_daemon_and_shows_what_it_says() {
    let shell = Shell::new();
    let observation = Observation {
        observed_at: START,
        entries: std::collections::BTreeMap::new(),
        evidence: Evidence::Explicit,
    };
    let report = PollReport {
        org: "default".into(),
        union_id: "li".into(),
        name: "Name li".into(),
        request: request_line("https://api.dingtalk.io", "li"),
        took_ms: 7,
        recorded: true,
        outcome: PollOutcome::Seen { observation, events: Some(vec![EventType::ParticipantLeft]) },
    };
    let answer = Response::Poll(Box::new(report));
    let (ended, asked) = shell.poll_with(&["poll", "li", "--dry-run"], answer).await;
    assert_eq!(asked, [Request::Poll { who: "li".into(), dry_run: true }]);
    assert_eq!(ended.code, 0);
    let expected = "asked     GET https://api.dingtalk.io/v1.0/conference/users/lists?unionId=li (Name li)\n\
        answered  200 in 7 ms: 0 meetings\nchanged   meeting.participant_left\n";
    assert_eq!(ended.out, expected);
}

#[tokio::test]
async fn a_refusal_ends_with_the_code_that_fits() {
    let shell = Shell::new();
    for (advice, code) in [(Advice::TryLater, 75), (Advice::Refused, 77), (Advice::Nothing, 4)] {
        let answer = Response::Refused { advice, message: "the budget is spent".into() };
        let (ended, _) = shell.poll_with(&["poll", "li"], answer).await;
        assert_eq!(ended.code, code);
        assert!(ended.err.contains("error: the budget is spent"), "{ended:?}");
    }
}

#[tokio::test]
async fn poll_without_the_daemon_looks_from_here_and_keeps_nothing() {
    let shell = Shell::new();
    let ended = shell.run(&["poll", "li"]).await;
    assert_eq!(ended.code, 69, "nobody listens at the discard port: {ended:?}");
    assert!(ended.err.contains("The daemon does not run: polling directly"), "{ended:?}");
    assert!(!shell.place.file().exists(), "no database was made");
    let nobody = shell.run(&["poll", "wang"]).await;
    assert_eq!(nobody.code, 4, "{nobody:?}");
}
