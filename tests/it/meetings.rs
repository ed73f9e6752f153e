//! Meetings with names: what is stored of them, what is told, what commands show, and that nothing about others is kept.
#![expect(clippy::unwrap_used, reason = "a fixture that fails fails its test")]
#![expect(clippy::disallowed_methods, reason = "tests look at the tables themselves")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use presenced::ids::{ConferenceId, UnionId};
use presenced::presence::title::Title;
use presenced::store::history::meetings::{MeetingError, MeetingQuery};
use presenced::store::history::{EventQuery, Filter};
use presenced::store::{Enrolment, MeetingFacts, MeetingSource, Recording, Store};
use presenced::time::Timestamp;
use proptest::prelude::*;

use crate::harness::loopback;
use crate::store_fixture::{
    Place, START, conference, ended, enrolment, identity, joined, later, look, org, outgoing, visit,
};

const ID: &str = "654058f2411fe90147e68780";

fn facts(conference_id: &ConferenceId, title: Option<&str>, creator: &str) -> MeetingFacts {
    MeetingFacts {
        conference_id: conference_id.clone(),
        title: title.and_then(Title::parse),
        creator: UnionId::parse(creator).ok(),
        started: Some(START),
        ended: None,
        source: MeetingSource::Sweep,
        at: later(5),
    }
}

async fn enroll(store: &Store, list: &[(&str, &[&str])]) -> Vec<i64> {
    let enrolment = |(id, groups): &(&str, &[&str])| Enrolment {
        identity: identity(id),
        name: format!("Name {id}"),
        groups: groups.iter().map(ToString::to_string).collect(),
    };
    let (enrolled, _) = store.watch_list().enroll(list.iter().map(enrolment).collect()).await.unwrap();
    enrolled.into_iter().map(|one| one.person_id).collect()
}

async fn text(place: &Place, sql: &'static str) -> Option<String> {
    sqlx::query_scalar(sql).fetch_one(&mut place.look().await).await.unwrap()
}

#[tokio::test]
async fn a_title_is_stored_once_a_watched_user_is_in_and_is_never_replaced_with_nothing() {
    let place = Place::new();
    let store = place.open().await;
    let li = enroll(&store, &[("li", &[])]).await[0];
    let about = |title, creator| facts(&conference(), title, creator);
    store.recorder().record_meetings(org(), vec![about(Some("Planning"), "li")]).await.unwrap();
    assert_eq!(place.count("SELECT count(*) FROM meetings").await, 0, "a meeting of others");

    let with_title =
        Recording { meetings: vec![about(Some("Planning"), "stranger")], ..joined(li, "li", "a") };
    store.recorder().record(with_title).await.unwrap();
    assert_eq!(text(&place, "SELECT title FROM v_meetings").await.as_deref(), Some("Planning"));
    assert_eq!(
        text(&place, "SELECT creator_union_id FROM meetings").await,
        None,
        "the creator is not watched"
    );

    store.recorder().record_meetings(org(), vec![about(None, "li")]).await.unwrap();
    for view in ["v_now", "v_visits", "v_meetings"] {
        let sql = sqlx::AssertSqlSafe(format!("SELECT title FROM {view}"));
        let title: String = sqlx::query_scalar(sql).fetch_one(&mut place.look().await).await.unwrap();
        assert_eq!(title, "Planning", "{view}");
    }
    assert_eq!(text(&place, "SELECT title FROM v_events LIMIT 1").await.as_deref(), Some("Planning"));
    assert_eq!(text(&place, "SELECT creator FROM v_meetings").await.as_deref(), Some("Name li"));
    assert_eq!(
        text(&place, "SELECT started_local FROM v_meetings").await.as_deref(),
        Some("2023-11-07 16:54:55")
    );
    store.close().await.unwrap();
}

#[tokio::test]
async fn events_tell_the_title_only_where_the_operator_wants_it() {
    let place = Place::new();
    let store = place.open().await;
    let li = enroll(&store, &[("li", &[])]).await[0];
    let mut event = outgoing("evt_a", "li", &[]);
    event.draft.data.meeting = Some(
        serde_json::from_value::<serde_json::Value>(serde_json::json!(null))
            .map(|_| presenced::presence::data::Meeting {
                conference_id: conference(),
                title: None,
                started_at: None,
            })
            .unwrap(),
    );
    let with = |event| Recording {
        visits: vec![visit("vis_a")],
        meetings: vec![facts(&conference(), Some("Planning"), "li")],
        events: vec![event],
        ..look(li)
    };
    store.recorder().record(with(event.clone())).await.unwrap();
    store.recorder().put_titles_in_events(true);
    event.draft.id = presenced::ids::EventId::parse("evt_b").unwrap();
    store.recorder().record(with(event)).await.unwrap();
    let query = EventQuery { after: Some(0), limit: 9, ..EventQuery::default() };
    let events = store.history().events(&query).await.unwrap();
    let meeting = |n: usize| {
        serde_json::from_str::<serde_json::Value>(&events[n].body).unwrap()["data"]["meeting"].clone()
    };
    assert_eq!(meeting(0), serde_json::json!({"conference_id": ID}));
    let told = serde_json::json!({"conference_id": ID, "title": "Planning", "started_at": START.rfc3339()});
    assert_eq!(meeting(1), told);
    store.close().await.unwrap();
    assert!(presenced::store::check::examine(&place.file()).await.unwrap().is_empty(), "checksums are right");
}

fn contains(folder: &Path, needle: &str) -> bool {
    fs::read_dir(folder).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        path.is_file()
            && fs::read(path).unwrap().windows(needle.len()).any(|bytes| bytes == needle.as_bytes())
    })
}

#[tokio::test]
async fn an_erased_user_is_in_no_title_and_no_event_and_created_no_meeting() {
    let place = Place::new();
    let store = place.open().await;
    store.recorder().put_titles_in_events(true);
    let people = enroll(&store, &[("li-to-be-erased", &[]), ("wang", &[])]).await;
    let title = "1:1 with Name li-to-be-erased";
    let mut event = outgoing("evt_w", "wang", &["crm"]);
    event.draft.data.meeting = Some(presenced::presence::data::Meeting {
        conference_id: conference(),
        title: None,
        started_at: None,
    });
    let mut first = joined(people[0], "li-to-be-erased", "l");
    first.meetings = vec![facts(&conference(), Some(title), "li-to-be-erased")];
    store.recorder().record(first).await.unwrap();
    let mut second = joined(people[1], "wang", "w");
    second.events = vec![event];
    store.recorder().record(second).await.unwrap();
    assert!(contains(place.folder.path(), title));

    store.erasures().forget(&identity("li-to-be-erased"), None, START).await.unwrap();
    assert!(!contains(place.folder.path(), "li-to-be-erased"));
    let stored = text(&place, "SELECT title FROM meetings").await;
    assert_eq!(stored.as_deref(), Some("1:1 with (erased)"));
    let told = text(&place, "SELECT body ->> '$.data.meeting.title' FROM events WHERE id = 'evt_w'").await;
    assert_eq!(told.as_deref(), Some("1:1 with (erased)"));
    assert_eq!(text(&place, "SELECT creator_union_id FROM meetings").await, None);
    store.erasures().forget(&identity("wang"), None, START).await.unwrap();
    assert_eq!(place.count("SELECT count(*) FROM meetings").await, 0, "no watched user was in it");
    store.close().await.unwrap();
    assert!(presenced::store::check::examine(&place.file()).await.unwrap().is_empty());
}

fn at(minutes: i64) -> Timestamp {
    Timestamp::from_ms(START.as_ms() + minutes * 60_000)
}

/// Three meetings: an old one with the title of the second, and one without a title that goes on.
async fn three_meetings(store: &Store) {
    let people = enroll(store, &[("li", &["ops"]), ("wang", &["sales"])]).await;
    let meetings =
        [("aaaa0001", Some("Standup"), 0), ("aaaa0002", Some("Standup"), 60), ("bbbb0003", None, 120)];
    for (n, (id, title, minute)) in meetings.into_iter().enumerate() {
        let conference = ConferenceId::parse(id).unwrap();
        for (&person, who) in people.iter().zip(["li", "wang"]).take(if n == 1 { 1 } else { 2 }) {
            let mut record = joined(person, who, &format!("{who}{n}"));
            let mut one = visit(&format!("vis_{who}{n}"));
            (one.conference_id, one.joined, one.anchor) = (conference.clone(), at(minute), at(minute));
            record.visits = vec![if n < 2 { ended(one, at(minute + 30)) } else { one }];
            record.meetings = vec![MeetingFacts { started: None, ..facts(&conference, title, "li") }];
            store.recorder().record(record).await.unwrap();
        }
    }
}

#[tokio::test]
async fn meetings_are_listed_by_pages_and_found_by_what_a_table_shows() {
    let place = Place::new();
    let store = place.open().await;
    three_meetings(&store).await;
    let (history, now) = (store.history(), at(180));
    let ids = async |query: MeetingQuery| -> Vec<String> {
        let rows = history.meetings().list(&query, now).await.unwrap();
        rows.into_iter().map(|row| row.conference_id).collect()
    };
    let all = MeetingQuery { limit: 9, ..MeetingQuery::default() };
    assert_eq!(ids(all.clone()).await, ["bbbb0003", "aaaa0002", "aaaa0001"]);
    let first =
        history.meetings().list(&MeetingQuery { limit: 1, ..all.clone() }, now).await.unwrap().remove(0);
    assert_eq!((first.people, first.inside, first.last_leave, first.longest_ms), (2, 2, None, 60 * 60_000));
    let before = Some((first.first_seen, first.conference_id.clone()));
    assert_eq!(ids(MeetingQuery { before, ..all.clone() }).await, ["aaaa0002", "aaaa0001"]);
    let sales = Filter { group: Some("sales".into()), ..Filter::default() };
    assert_eq!(ids(MeetingQuery { filter: sales.clone(), ..all.clone() }).await, ["bbbb0003", "aaaa0001"]);
    assert_eq!(
        ids(MeetingQuery { since: Some(at(40)), until: Some(at(100)), ..all.clone() }).await,
        ["aaaa0002"]
    );

    let find = async |text: &str| history.meetings().find(text, &Filter::default(), now).await.unwrap();
    let id = |found: Result<(_, usize), MeetingError>| {
        found.map(|(row, n): (presenced::store::history::meetings::MeetingRow, usize)| (row.conference_id, n))
    };
    assert_eq!(id(find("aaaa0001").await), Ok(("aaaa0001".to_owned(), 1)));
    assert_eq!(id(find("…0003").await), Ok(("bbbb0003".to_owned(), 1)), "as a table cuts it");
    assert_eq!(id(find("standup").await), Ok(("aaaa0002".to_owned(), 2)), "the newest of two");
    assert!(matches!(find("nothing").await, Err(MeetingError::NotFound(_))));
    assert!(matches!(find("…000").await, Err(MeetingError::NotFound(_))));
    let (meeting, _) = find("bbbb0003").await.unwrap();
    let attendance = history.meetings().attendance(meeting, &sales, now).await.unwrap();
    assert_eq!(attendance.visits.iter().map(|visit| visit.name.as_str()).collect::<Vec<_>>(), ["Name wang"]);
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_meeting_goes_with_its_last_visit() {
    let place = Place::new();
    let store = place.open().await;
    three_meetings(&store).await;
    let limits = presenced::store::retention::Limits {
        visits: Some(std::time::Duration::from_hours(1)),
        ..presenced::store::retention::Limits::default()
    };
    let pruned = store.maintenance().prune(limits, at(91 + 60)).await.unwrap();
    assert_eq!((pruned.visits, pruned.meetings), (3, 2));
    assert_eq!(place.count("SELECT count(*) FROM meetings").await, 1);
    store.close().await.unwrap();
}

struct Shell {
    place: Place,
}

impl Shell {
    async fn with_meetings() -> Self {
        let place = Place::new();
        let store = place.open().await;
        three_meetings(&store).await;
        store.close().await.unwrap();
        let hosts = loopback::hosts("http://127.0.0.1:9");
        let text = format!(
            "time_zone = \"Asia/Shanghai\"\n[dingtalk]\napp_key = \"k\"\napp_secret = \"s\"\ncalls_per_month = 5000\n{hosts}\
             [history]\npath = \"presence.db\"\n\
             [[user]]\nunion_id = \"li\"\nname = \"Name li\"\ngroups = [\"ops\"]\n\
             [[user]]\nunion_id = \"wang\"\nname = \"Name wang\"\ngroups = [\"sales\"]\n"
        );
        fs::write(place.folder.path().join("config.toml"), loopback::at_home(&text)).unwrap();
        Self { place }
    }

    fn run(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_presenced"))
            .args(arguments)
            .env("PRESENCED_CONFIG", self.place.folder.path().join("config.toml"))
            .output()
            .unwrap()
    }

    fn out(&self, arguments: &[&str]) -> String {
        let ended = self.run(arguments);
        assert!(ended.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&ended.stderr));
        String::from_utf8(ended.stdout).unwrap()
    }

    fn code(&self, arguments: &[&str]) -> Option<i32> {
        self.run(arguments).status.code()
    }

    fn json(&self, arguments: &[&str]) -> serde_json::Value {
        serde_json::from_str(&self.out(&[arguments, &["-o", "json"]].concat())).unwrap()
    }
}

#[tokio::test]
async fn commands_show_meetings_attendance_and_who_was_in_at_a_time() {
    let shell = Shell::with_meetings().await;
    let meetings = shell.json(&["meetings", "--since", "2023-11-01"]);
    assert_eq!(meetings.as_array().unwrap().len(), 3);
    assert_eq!((&meetings[2]["title"], &meetings[2]["people"]), (&"Standup".into(), &2.into()));
    assert_eq!((&meetings[0]["ongoing"], &meetings[0]["end_at"]), (&true.into(), &serde_json::Value::Null));
    let ops = shell.json(&["meetings", "--since", "2023-11-01", "--group", "sales"]);
    assert_eq!(ops.as_array().unwrap().len(), 2);

    let table = shell.out(&["meeting", "standup", "--start", "17:50", "--group", "ops"]);
    assert!(table.starts_with("Standup: 2023-11-07 17:54:55 to 2023-11-07 18:24:55"), "{table}");
    assert!(table.contains("The newest of 2 meetings with this title"), "{table}");
    let list = shell.json(&["meeting", "aaaa0002", "--start", "17:50", "--org", "default"]);
    let brief: Vec<_> = list
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (row["who"].clone(), row["seen"].clone(), row["late_by_minutes"].clone()))
        .collect();
    assert_eq!(brief[0], ("Name li".into(), true.into(), 4.into()));
    assert_eq!(brief[1], ("Name wang".into(), false.into(), serde_json::Value::Null), "not seen, not absent");
    assert_eq!(list[0]["minutes_min"], 0.0);
    assert_eq!(list[0]["minutes_max"], 30.0);
    assert!(
        shell.json(&["meeting", "aaaa0002"])[0].get("late_by_minutes").is_none(),
        "nobody is late by themselves"
    );
    let csv = shell.out(&["meeting", "aaaa0002", "-o", "csv", "--bom"]);
    assert!(csv.starts_with("\u{feff}who,org,"), "{csv}");

    let was = |when: &str| shell.json(&["now", "--at", when, "--all"]);
    let state = |states: &serde_json::Value, n: usize| states[n]["presence"].as_str().unwrap().to_owned();
    let first = was("2023-11-07 16:54:55.876");
    assert_eq!((state(&first, 0), first[0]["title"].clone()), ("inside".to_owned(), "Standup".into()));
    let doubtful = was("2023-11-07 17:00");
    assert_eq!(state(&doubtful, 0), "unknown", "left between two polls");
    let long_ago = was("2023-11-01 10:00");
    assert_eq!(
        (state(&long_ago, 0), &long_ago[0]["why_unknown"]),
        ("unknown".to_owned(), &"not watched yet".into())
    );
    assert_eq!(shell.code(&["now", "--at", "2099-01-01"]), Some(2));

    assert_eq!(shell.code(&["now", "--check", "Name li"]), Some(0));
    assert_eq!(shell.code(&["now", "--check", "Nobody"]), Some(2));
    assert_eq!(shell.code(&["now", "--check"]), Some(2));
    assert_eq!(shell.json(&["now", "--group", "ops"]).as_array().unwrap().len(), 1);
    assert_eq!(shell.code(&["now", "--group", "nobody"]), Some(4));
}

#[tokio::test]
async fn history_report_and_events_can_be_about_all_of_a_group() {
    let shell = Shell::with_meetings().await;
    assert_eq!(shell.json(&["history"]).as_array().unwrap().len(), 5);
    assert_eq!(shell.json(&["history", "--group", "sales"]).as_array().unwrap().len(), 2);
    assert_eq!(shell.json(&["history", "li"]).as_array().unwrap().len(), 3);
    let table = shell.out(&["history"]);
    assert!(table.lines().next().unwrap().starts_with("WHO"), "{table}");
    assert!(table.contains("Standup") && table.contains("bbbb0003"), "{table}");
    assert!(!shell.out(&["history", "li"]).lines().next().unwrap().starts_with("WHO"));

    let total = shell.json(&["report", "--total", "--since", "2023-11-06", "--until", "2023-11-08"]);
    assert_eq!(total[0]["who"], "Name li", "the most hours first");
    assert_eq!((&total[0]["meetings"], &total[0]["days_with_meetings"]), (&3.into(), &1.into()));
    let ops = shell.json(&["report", "--group", "ops", "--since", "2023-11-07", "--until", "2023-11-07"]);
    assert_eq!(ops.as_array().unwrap().len(), 1);

    assert_eq!(shell.code(&["events", "--since", "2023-11-07", "--until", "2023-11-07"]), Some(0));
    assert_eq!(shell.code(&["events", "--since", "2023-11-08"]), Some(4));
    let sales = shell.out(&["events", "--group", "sales", "-o", "csv"]);
    assert_eq!(sales.lines().count(), 3, "{sales}");
    assert!(shell.out(&["events", "--wide"]).contains("evt_li0"));
    assert!(!shell.out(&["events"]).contains("evt_li0"));
}

#[tokio::test]
async fn a_table_is_not_cut_in_a_pipe() {
    let shell = Shell::with_meetings().await;
    let out = shell.out(&["now", "--all"]);
    assert!(out.contains("bbbb0003") && !out.contains('…'), "{out}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Of any mix of meetings only those with a visit of a watched user are in the file, and of creators only watched ones.
    #[test]
    fn nothing_about_others_is_stored(meetings in proptest::collection::vec((any::<bool>(), any::<bool>(), any::<bool>()), 1..12)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let place = Place::new();
            let store = place.open().await;
            let (people, _) = store.watch_list().enroll(vec![enrolment("li")]).await.unwrap();
            let li = people[0].person_id;
            for (n, (visited, before, watched_creator)) in meetings.iter().enumerate() {
                let conference = ConferenceId::parse(&format!("conference-{n}-{visited}")).unwrap();
                let creator = if *watched_creator { "li".to_owned() } else { format!("stranger-{n}") };
                let about = facts(&conference, Some(&format!("title-{n}-{visited}")), &creator);
                if *before {
                    store.recorder().record_meetings(org(), vec![about.clone()]).await.unwrap();
                }
                if *visited {
                    let mut record = look(li);
                    let mut one = visit(&format!("vis_{n}"));
                    one.conference_id = conference;
                    record.visits = vec![one];
                    record.meetings = vec![about];
                    store.recorder().record(record).await.unwrap();
                } else {
                    store.recorder().record_meetings(org(), vec![about]).await.unwrap();
                }
            }
            store.close().await.unwrap();
            let bytes = fs::read(place.file()).unwrap();
            let has = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
            assert!(!has("stranger-"), "a creator who is not watched");
            for (n, (visited, ..)) in meetings.iter().enumerate() {
                assert_eq!(has(&format!("title-{n}-{visited}")), *visited);
                assert_eq!(has(&format!("conference-{n}-{visited}")), *visited);
            }
        });
    }
}
