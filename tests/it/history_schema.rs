//! What the file says about itself: every state is one of a few words, and the file knows which.
//!
//! Guards: a column that holds one of a few words has a CHECK that lists them, and the code writes no other; a gap that
//! still goes on is seen by hand too. Deliberately not here: the views' columns (`store_views`).
#![expect(clippy::unwrap_used, reason = "a fixture that fails fails its test")]
#![expect(clippy::disallowed_methods, reason = "tests look at the tables themselves")]

use std::time::Duration;

use presenced::presence::attendance::Role;
use presenced::presence::visit::{Basis, LeftReason};
use presenced::store::gaps::{Because, Why};
use presenced::store::open_gaps::{OpenGap, OpenGaps};
use sqlx::{AssertSqlSafe, SqlSafeStr};

use crate::store_fixture::{Place, START, enroll_one, enrolment, later, org};

/// Columns of free text: names, ids, JSON, what others said. Whoever adds one of a few words gives it a CHECK instead.
const FREE: &[&str] = &[
    "attempts.error",
    "deliveries.last_error",
    "deliveries.org",
    "deliveries.webhook",
    "events.body",
    "events.conference_id",
    "events.id",
    "events.org",
    // The catalogue of types grows without a change of the schema; `presence::event::EventType` is its only writer.
    "events.type",
    "example_queries.about",
    "example_queries.name",
    "example_queries.sql",
    "forgotten.hash",
    "forgotten.org",
    "forgotten.salt",
    // Classes of errors are DingTalk's as much as ours, and grow with them.
    "gaps.error",
    "gaps.org",
    "installation.source",
    "installation.time_zone",
    "lanes.org",
    "lanes.webhook",
    "meetings.conference_id",
    "meetings.creator_union_id",
    "meetings.org",
    "meetings.title",
    "open_gaps.error",
    "open_gaps.org",
    "organisations.counts",
    "organisations.org",
    "people.belief",
    "people.groups",
    "people.last_error",
    "people.name",
    "people.org",
    "people.union_id",
    "poll_errors.class",
    "poll_errors.org",
    "push_messages.month",
    "push_messages.org",
    "snapshots.body",
    "snapshots.org",
    "sweeps.month",
    "sweeps.org",
    "swept_people.userid",
    "usage.month",
    "usage.org",
    "visits.conference_id",
    "visits.device",
    "visits.joined_local",
    "visits.left_local",
    "visits.nick",
    "visits.org",
    "visits.visit_id",
    "webhooks.reason",
    "webhooks.webhook",
];

/// The words that a column's CHECK allows; none without one.
async fn words(place: &Place, table: &str, column: &str) -> Vec<String> {
    let sql: String = sqlx::query_scalar("SELECT sql FROM sqlite_schema WHERE name = ?1")
        .bind(table)
        .fetch_one(&mut place.look().await)
        .await
        .unwrap();
    let Some((_, after)) = sql.split_once(&format!("CHECK ({column} IN (")) else { return Vec::new() };
    let bare: String = after.lines().map(|line| line.split("--").next().unwrap_or_default()).collect();
    let list = bare.split(')').next().unwrap_or_default();
    list.split('\'').skip(1).step_by(2).map(str::to_owned).collect()
}

#[tokio::test]
async fn every_text_is_free_or_one_of_the_words_in_its_check() {
    let place = Place::new();
    place.open().await.close().await.unwrap();
    let texts: Vec<(String, String)> = sqlx::query_as(
        "SELECT t.name, c.name FROM pragma_table_list AS t JOIN pragma_table_info(t.name) AS c \
         WHERE t.schema = 'main' AND t.type = 'table' AND t.name NOT LIKE 'sqlite_%' AND t.name <> '_sqlx_migrations' \
         AND c.type = 'TEXT' ORDER BY 1, 2",
    )
    .fetch_all(&mut place.look().await)
    .await
    .unwrap();
    let mut unchecked = Vec::new();
    for (table, column) in texts {
        if words(&place, &table, &column).await.is_empty() {
            unchecked.push(format!("{table}.{column}"));
        }
    }
    assert_eq!(unchecked, FREE);
}

#[tokio::test]
async fn the_words_in_the_file_are_those_of_the_code() {
    let place = Place::new();
    place.open().await.close().await.unwrap();
    let json = |value: serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let roles = [Role::Attendee, Role::CoHost, Role::Host].map(|role| json(serde_json::json!(role)));
    assert_eq!(words(&place, "visits", "role").await, roles);
    let bases =
        [Basis::Reported, Basis::Observed, Basis::Inferred].map(|basis| json(serde_json::json!(basis)));
    assert_eq!(words(&place, "visits", "join_basis").await, bases);
    assert_eq!(words(&place, "visits", "leave_basis").await, bases);
    let reasons = [
        LeftReason::Left,
        LeftReason::Removed,
        LeftReason::MeetingEnded,
        LeftReason::Vanished,
        LeftReason::Rejoined,
        LeftReason::Unobserved,
        LeftReason::Unwatched,
    ];
    let reasons = reasons.map(|reason| json(serde_json::json!(reason)));
    assert_eq!(words(&place, "visits", "left_reason").await, reasons);
    let mut known = Why::ALL.map(Why::name);
    let mut found = words(&place, "gaps", "why").await;
    known.sort_unstable();
    found.sort_unstable();
    assert_eq!(found, known);
}

#[tokio::test]
async fn each_reason_for_a_gap_can_be_written_and_no_other() {
    let place = Place::new();
    let store = place.open().await;
    enroll_one(&store).await;
    for why in Why::ALL {
        store
            .gaps()
            .note(org(), None, START, later(60), Because { why, error: Some("outage") })
            .await
            .unwrap();
    }
    store.gaps().note_for_all(START, later(60), Why::DiskFull).await.unwrap();
    assert_eq!(place.count("SELECT count(*) FROM v_gaps WHERE to_ms IS NOT NULL").await, 12);
    let by_hand = "INSERT INTO gaps (org, from_ms, to_ms, why) VALUES ('default', 1, 2, 'something else')";
    let error = sqlx::query(by_hand).execute(&mut place.meddle().await).await.unwrap_err().to_string();
    assert!(error.contains("CHECK"), "{error}");
    store.close().await.unwrap();
}

#[tokio::test]
async fn every_instant_has_a_twin_that_people_can_read_and_no_check_computes() {
    // A visit's anchor and the bounds of its leave are the daemon's own; `v_visits.leave_error_s` says what there is to say.
    let own = "('visits.anchor_ms', 'visits.leave_earliest_ms', 'visits.leave_latest_ms')";
    let without = format!(
        "SELECT t.name || '.' || c.name FROM pragma_table_list AS t JOIN pragma_table_xinfo(t.name) AS c \
         WHERE t.schema = 'main' AND t.type = 'table' AND c.name GLOB '*_ms' AND t.name || '.' || c.name NOT IN {own} \
         AND NOT EXISTS (SELECT 1 FROM pragma_table_xinfo(t.name) AS twin \
            WHERE twin.hidden = 2 AND twin.type = 'ANY' AND twin.name = replace(c.name, '_ms', '_at'))"
    );
    let place = Place::new();
    place.open().await.close().await.unwrap();
    let silent: Vec<String> = sqlx::query_scalar(AssertSqlSafe(without).into_sql_str())
        .fetch_all(&mut place.look().await)
        .await
        .unwrap();
    assert_eq!(silent, Vec::<String>::new());
}

/// (who, why, error, from) of the gaps that go on.
async fn going_on(place: &Place) -> Vec<(Option<String>, String, Option<String>, i64)> {
    let sql = "SELECT who, why, error, from_ms FROM v_gaps WHERE to_at IS NULL AND minutes > 5 ORDER BY who";
    sqlx::query_as(AssertSqlSafe(sql).into_sql_str()).fetch_all(&mut place.look().await).await.unwrap()
}

#[tokio::test]
async fn a_gap_that_goes_on_has_the_reason_that_was_kept_until_it_ends() {
    let place = Place::new();
    let store = place.open().await;
    let (people, _) = store.watch_list().enroll(vec![enrolment("li"), enrolment("wang")]).await.unwrap();
    let (li, wang) = (people[0].person_id, people[1].person_id);
    let open =
        |person, from, why, error| ((org(), person), OpenGap { from, because: Because { why, error } });
    let keep = async |anew, ended, begun| {
        store.gaps().save_open(OpenGaps { reset: anew, ended, begun }).await.unwrap();
    };
    let nobody = 4711;
    keep(
        false,
        vec![],
        vec![
            open(Some(li), START, Why::Failed, Some("unknown_user")),
            open(Some(wang), later(1), Why::Late, None),
            open(Some(nobody), START, Why::Late, None),
        ],
    )
    .await;
    let of_li =
        (Some("Name li".to_owned()), "failed".to_owned(), Some("unknown_user".to_owned()), START.as_ms());
    let of_wang = (Some("Name wang".to_owned()), "late".to_owned(), None, later(1).as_ms());
    assert_eq!(going_on(&place).await, [of_li.clone(), of_wang], "who was erased has none");

    let banned = open(None, later(2), Why::Banned, Some("banned"));
    let refused = open(None, later(2), Why::Upstream, Some("refused"));
    keep(false, vec![(org(), Some(wang))], vec![banned]).await;
    keep(false, vec![], vec![refused]).await;
    let all = (None, "upstream".to_owned(), Some("refused".to_owned()), later(2).as_ms());
    assert_eq!(going_on(&place).await, [all, of_li], "another reason takes the place of the first");

    keep(true, vec![], vec![open(Some(wang), START, Why::Late, None)]).await;
    assert_eq!(going_on(&place).await.len(), 1, "what an earlier daemon left is gone");
    keep(false, vec![(org(), Some(wang))], vec![]).await;
    assert_eq!(going_on(&place).await, []);

    store.gaps().note_of_user(li, START, START.plus(Duration::from_hours(1)), Why::Failed).await.unwrap();
    let own = "SELECT count(*) FROM v_gaps WHERE who = 'Name li' AND minutes = 60 AND why = 'failed'";
    assert_eq!(place.count(own).await, 1);
    for why in Why::ALL {
        let word = why.name();
        let sql = format!("INSERT INTO open_gaps (org, from_ms, why) VALUES ('{word}', 1, '{word}')");
        let written = sqlx::query(AssertSqlSafe(sql).into_sql_str()).execute(&mut place.meddle().await).await;
        let goes_on = !why.is_planned() && why != Why::Restart;
        assert_eq!(written.is_ok(), goes_on, "{word}");
    }
    store.close().await.unwrap();
}
