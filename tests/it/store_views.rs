//! What one finds with `sqlite3 -readonly`: the views, their columns, the example queries.
#![expect(clippy::unwrap_used, reason = "a fixture that fails fails its test")]
#![expect(clippy::disallowed_methods, reason = "tests look at the tables themselves")]

use std::time::Duration;

use presenced::ids::WebhookName;
use presenced::store::gaps::Why;
use presenced::store::outbox::{Attempted, Ending, Finished};
use sqlx::{AssertSqlSafe, Column, Row, SqlSafeStr};

use crate::store_fixture::{Place, START, enroll_one, joined, later, org, system};

/// The written contract: at least these columns, in this order.
const VIEWS: &[(&str, &str)] = &[
    ("v_now", "who, org, meeting, joined_at, joined_local, minutes, role, device, checked_s_ago"),
    (
        "v_visits",
        "id, who, org, union_id, meeting, joined_at, left_at, joined_local, left_local, day_local, minutes, \
         ongoing, left_reason, basis, leave_error_s, role, external, by_phone, device",
    ),
    ("v_events", "sequence, id, type, who, org, meeting, time, recorded_at, noticed_after_s"),
    ("v_meetings", "meeting, first_join_at, last_leave_at, watched_people, span_minutes, still_in"),
    ("v_snapshots", "who, org, first_at, last_at, polls, meetings, body"),
    ("v_gaps", "who, org, from_at, to_at, minutes, why"),
    (
        "v_deliveries",
        "id, webhook, state, attempts, last_status, last_error, type, who, org, next_at, delivered_after_s",
    ),
    ("v_budget", "org, month, used, call_limit, projected, throttled"),
    ("v_health", "who, org, watched, last_poll_at, last_ok_at, errors_24h, last_error"),
    ("v_webhooks", "webhook, state, blocked, reason, waiting, next_at"),
    ("v_people", "who, org, union_id, groups, watched, presence, last_ok_at"),
    ("v_days", "who, org, day_local, minutes, first_join_at, last_leave_at, minutes_unknown"),
    ("v_attempts", "id, webhook, nth, sent_at, took_s, status, error, state"),
];

async fn a_database_with_something_in_it() -> Place {
    let place = Place::new();
    let store = place.open().await;
    let person = enroll_one(&store).await.person_id;
    store.recorder().record(joined(person, "li", "a")).await.unwrap();
    store.recorder().record_system(None, vec![system("evt_s", &["crm"])]).await.unwrap();
    let crm = WebhookName::parse("crm").unwrap();
    let mut leased = store.outbox().claim(crm, START, later(60), 1).await.unwrap();
    let ticket = leased.pop().unwrap().ticket;
    let attempt = Attempted {
        status: Some(503),
        error: Some("answered 503: busy".to_owned()),
        took: Duration::from_millis(1250),
    };
    let ending = Ending::Retry(later(5));
    let done =
        Finished { ticket, ending, attempt: Some(attempt), strikes: 1, at: later(2), keeps_lane: false };
    store.outbox().finish(vec![done]).await.unwrap();
    store.gaps().note(org(), None, START, later(60), Why::Restart).await.unwrap();
    store
        .call_usage()
        .set(org(), "2026-11".to_owned(), presenced::store::Usage { used: 1, throttled: 0 }, None, None)
        .await
        .unwrap();
    store.close().await.unwrap();
    place
}

#[tokio::test]
async fn every_view_has_its_columns_and_rows() {
    let place = a_database_with_something_in_it().await;
    let mut db = place.look().await;
    for (view, columns) in VIEWS {
        let sql = AssertSqlSafe(format!("SELECT * FROM {view}")).into_sql_str();
        let row = sqlx::query(sql).fetch_one(&mut db).await.unwrap_or_else(|error| panic!("{view}: {error}"));
        let found: Vec<_> = row.columns().iter().map(|column| column.name().to_owned()).collect();
        let wanted: Vec<_> = columns.split(", ").collect();
        assert_eq!(found[..wanted.len()], wanted, "{view}");
        for name in found.iter().filter(|name| name.ends_with("_at")) {
            let ms = name.replace("_at", "_ms");
            assert!(found.contains(&ms), "{view} has {name} without {ms}");
        }
    }
}

#[tokio::test]
async fn every_view_and_example_query_is_prepared_and_run() {
    let place = a_database_with_something_in_it().await;
    let mut db = place.look().await;
    let views: Vec<String> =
        sqlx::query_scalar("SELECT name FROM sqlite_schema WHERE type = 'view' ORDER BY name")
            .fetch_all(&mut db)
            .await
            .unwrap();
    let mut known: Vec<_> = VIEWS.iter().map(|(name, _)| (*name).to_owned()).collect();
    known.sort();
    assert_eq!(views, known);
    let examples: Vec<(String, String, String)> =
        sqlx::query_as("SELECT name, about, sql FROM example_queries").fetch_all(&mut db).await.unwrap();
    assert!(examples.len() >= 8);
    for (name, about, sql) in examples {
        assert!(!about.is_empty(), "{name}");
        sqlx::query(AssertSqlSafe(sql).into_sql_str())
            .fetch_all(&mut db)
            .await
            .unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

#[tokio::test]
async fn times_are_rfc_3339_to_the_millisecond() {
    let place = a_database_with_something_in_it().await;
    for ms in (0..1000).map(|n| START.as_ms() + n).chain([0, 999, 4_102_444_799_999]) {
        let shown: String =
            sqlx::query_scalar("SELECT strftime('%Y-%m-%dT%H:%M:%fZ', ?1 / 1000.0, 'unixepoch')")
                .bind(ms)
                .fetch_one(&mut place.look().await)
                .await
                .unwrap();
        assert_eq!(shown, presenced::time::Timestamp::from_ms(ms).rfc3339());
    }
}

#[tokio::test]
async fn the_schema_explains_itself() {
    let place = a_database_with_something_in_it().await;
    let silent: Vec<String> = sqlx::query_scalar(
        "SELECT name FROM sqlite_schema WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite_%' \
         AND name <> '_sqlx_migrations' AND sql NOT LIKE '%-- %'",
    )
    .fetch_all(&mut place.look().await)
    .await
    .unwrap();
    assert!(silent.is_empty(), "{silent:?}");
}

#[tokio::test]
async fn the_schema_needs_no_newer_sqlite_than_readers_have() {
    let place = a_database_with_something_in_it().await;
    let newer = "SELECT count(*) FROM (SELECT sql FROM sqlite_schema UNION ALL SELECT sql FROM example_queries) \
                 WHERE sql LIKE '%jsonb%' OR sql LIKE '%subsec%' OR sql LIKE '%timediff%' OR sql LIKE '%concat(%' \
                 OR sql LIKE '%string_agg%' OR sql LIKE '%octet_length%' OR sql LIKE '%unistr%'";
    assert_eq!(place.count(newer).await, 0);
}

#[tokio::test]
async fn every_instant_of_a_view_has_its_local_twin_in_the_daemons_zone() {
    let place = a_database_with_something_in_it().await;
    let mut db = place.look().await;
    for (view, _) in VIEWS.iter().filter(|(view, _)| *view != "v_now") {
        let sql = AssertSqlSafe(format!("SELECT * FROM {view}")).into_sql_str();
        let row = sqlx::query(sql).fetch_one(&mut db).await.unwrap();
        let found: Vec<_> = row.columns().iter().map(|column| column.name().to_owned()).collect();
        for name in found.iter().filter(|name| name.ends_with("_at")) {
            let twin = name.replace("_at", "_local");
            assert!(found.contains(&twin), "{view} has {name} without {twin}");
        }
    }
    // Shanghai is eight hours ahead.
    let sent: (String, String, f64, i64, String) =
        sqlx::query_as("SELECT sent_at, sent_local, took_s, status, error FROM v_attempts")
            .fetch_one(&mut db)
            .await
            .unwrap();
    let (sent_at, sent_local, took_s, status, error) = sent;
    assert_eq!((sent_at.as_str(), sent_local.as_str()), ("2023-11-07T08:54:56.626Z", "2023-11-07 16:54:56"));
    assert_eq!((took_s, status, error.as_str()), (1.25, 503, "answered 503: busy"));
}

#[tokio::test]
async fn another_zone_gives_other_local_times_at_once() {
    let place = a_database_with_something_in_it().await;
    let local = "SELECT time_local FROM v_events ORDER BY sequence LIMIT 1";
    let at = async |sql: &'static str| -> String {
        sqlx::query_scalar(sql).fetch_one(&mut place.look().await).await.unwrap()
    };
    assert_eq!(at(local).await, "2023-11-07 16:54:55");
    let clock = std::sync::Arc::new(place.clock.clone());
    let store =
        presenced::store::Store::open(&place.file(), chrono_tz::America::New_York, clock).await.unwrap();
    store.close().await.unwrap();
    assert_eq!(at(local).await, "2023-11-07 03:54:55");
}
