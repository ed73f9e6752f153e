//! The reading side against a real file with the real schema.

use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
use sqlx::{Executor, Row};

use super::visits::VISITS_OF_ALL;
use super::*;

const ROWS: &str = "
INSERT INTO installation (one, source, created_ms) VALUES (1, 'urn:presenced:test', 0);
INSERT INTO people (person_id, org, union_id, name, watched, presence, last_ok_ms, last_poll_ms, last_error) VALUES
  (1, 'default', 'u1', '李伟', 1, 'inside', 90000, 95000, 'throttled: slow down'),
  (2, 'default', 'u2', 'Wang', 1, 'outside', 80000, 80000, NULL),
  (3, 'default', 'u3', 'Zhao', 0, 'unknown', 1000, 1000, NULL),
  (4, 'other',   'u1', 'Chen', 1, 'unknown', NULL, NULL, NULL);
INSERT INTO visits (visit_id, person_id, org, conference_id, ordinal, anchor_ms, joined_ms, joined_local, join_basis,
    left_ms, left_reason, leave_basis, role, external, by_phone, device) VALUES
  ('vis_a', 1, 'default', 'c1', 1, 1000, 1000, '', 'reported', 2000, 'left', 'reported', 'host', 0, 0, 'Mac'),
  ('vis_b', 1, 'default', 'c1', 2, 3000, 3000, '', 'observed', 4000, 'vanished', 'inferred', 'attendee', 0, 1, NULL),
  ('vis_c', 1, 'default', 'c2', 1, 5000, 5000, '', 'reported', NULL, NULL, NULL, 'co_host', 1, 0, 'Win'),
  ('vis_d', 1, 'default', 'c3', 1, 6000, 6000, '', 'reported', NULL, NULL, NULL, 'attendee', 0, 0, NULL);
INSERT INTO events (sequence, id, org, type, person_id, conference_id, time_ms, recorded_ms, body) VALUES
  (1, 'evt_1', 'default', 'meeting.participant_joined', 1, 'c1', 1000, 1100, '{\"n\": 1}'),
  (2, 'evt_2', 'default', 'meeting.participant_left', 1, 'c1', 2000, 2100, '{\"n\": 2}'),
  (3, 'evt_3', NULL, 'system.alert', NULL, NULL, 2500, 2500, '{\"n\": 3}'),
  (5, 'evt_5', 'other', 'user.presence_changed', 4, NULL, 3000, 3100, '{\"n\": 5}'),
  (6, 'evt_6', 'default', 'meeting.participant_joined', 1, 'c2', 5000, 5100, '{\"n\": 6}');
INSERT INTO poll_errors (person_id, org, hour_ms, class, errors) VALUES
  (1, 'default', 0, 'throttled', 100), (1, 'default', 86400000, 'throttled', 2), (1, 'default', 86400000, 'outage', 1);
INSERT INTO usage (org, month, used, throttled, call_limit, projected) VALUES
  ('default', '2026-10', 5000, 3, 5000, NULL), ('default', '2026-11', 12, 0, NULL, 900);
";

async fn history() -> (tempfile::TempDir, History) {
    let dir = tempfile::tempdir().unwrap();
    let options =
        SqliteConnectOptions::new().filename(dir.path().join("presence.db")).create_if_missing(true);
    let writer = SqlitePoolOptions::new().max_connections(1).connect_with(options.clone()).await.unwrap();
    let mut connection = writer.acquire().await.unwrap();
    crate::store::schema::migrate(&mut connection, dir.path()).await.unwrap();
    connection.execute(ROWS).await.unwrap();
    drop(connection);
    writer.close().await;
    let readers = SqlitePoolOptions::new().connect_with(options.read_only(true)).await.unwrap();
    (dir, History::new(readers))
}

fn of(person_id: i64) -> Filter {
    Filter { person_id: Some(person_id), ..Filter::default() }
}

fn at(ms: i64) -> Timestamp {
    Timestamp::from_ms(ms)
}

#[tokio::test]
async fn now_lists_users_in_meetings_or_all_or_one() {
    let (_dir, history) = history().await;
    let brief = |rows: Vec<UserPresence>| -> Vec<(String, Option<String>)> {
        rows.into_iter().map(|row| (row.name, row.meeting.map(|m| m.conference_id))).collect()
    };
    let li = |c: &str| ("李伟".to_owned(), Some(c.to_owned()));
    assert_eq!(brief(history.now(&Filter::default(), false, 10).await.unwrap()), [li("c2"), li("c3")]);
    let all = brief(history.now(&Filter::default(), true, 10).await.unwrap());
    assert_eq!(all, [li("c2"), li("c3"), ("Chen".into(), None), ("Wang".into(), None)]);
    assert_eq!(brief(history.now(&of(3), false, 10).await.unwrap()), [("Zhao".into(), None)]);
    assert_eq!(history.now(&Filter::default(), true, 1).await.unwrap().len(), 1);
    let counts = history.counts(&Filter::default()).await.unwrap();
    assert_eq!(counts, Counts { watched: 3, inside: 1, unknown: 1, last_ok: Some(at(90_000)) });
}

#[tokio::test]
async fn visits_are_those_that_touch_the_time_asked_for() {
    let (_dir, history) = history().await;
    let ids = async |since: Option<i64>, until: Option<i64>, limit| -> Vec<String> {
        let visits = history
            .visits(&VisitQuery {
                filter: of(1),
                since: since.map(at),
                until: until.map(at),
                limit,
                ..VisitQuery::default()
            })
            .await
            .unwrap();
        visits.into_iter().map(|v| v.visit_id).collect()
    };
    assert_eq!(ids(None, None, 10).await, ["vis_a", "vis_b", "vis_c", "vis_d"]);
    assert_eq!(ids(Some(2500), None, 10).await, ["vis_b", "vis_c", "vis_d"]);
    assert_eq!(ids(Some(1500), Some(3500), 10).await, ["vis_a", "vis_b"]);
    assert_eq!(ids(Some(7000), None, 10).await, ["vis_c", "vis_d"], "still inside");
    assert_eq!(ids(None, None, 2).await, ["vis_c", "vis_d"], "the newest, oldest first");
    let all =
        history.visits(&VisitQuery { filter: of(1), limit: 10, ..VisitQuery::default() }).await.unwrap();
    assert_eq!((all[1].left_reason.as_deref(), all[1].by_phone), (Some("vanished"), true));
    assert_eq!((all[2].left, all[2].external, all[2].device.as_deref()), (None, true, Some("Win")));
}

#[tokio::test]
async fn events_come_oldest_first_from_where_one_was_or_from_the_end() {
    let (_dir, history) = history().await;
    let numbers = async |query: EventQuery| -> Vec<i64> {
        history.events(&query).await.unwrap().into_iter().map(|e| e.sequence).collect()
    };
    let query = |after, limit| EventQuery { after, limit, ..EventQuery::default() };
    assert_eq!(numbers(query(Some(0), 3)).await, [1, 2, 3]);
    assert_eq!(numbers(query(Some(3), 10)).await, [5, 6]);
    assert_eq!(numbers(query(None, 2)).await, [5, 6]);
    let joined = Some("meeting.participant_joined".to_owned());
    assert_eq!(numbers(EventQuery { event_type: joined, ..query(Some(0), 10) }).await, [1, 6]);
    let any_meeting = Some("meeting.*".to_owned());
    assert_eq!(numbers(EventQuery { event_type: any_meeting, ..query(None, 10) }).await, [1, 2, 6]);
    assert_eq!(numbers(EventQuery { org: Some("other".into()), ..query(None, 10) }).await, [5]);
    assert_eq!(numbers(EventQuery { people: Some(vec![1]), ..query(None, 2) }).await, [2, 6]);
    assert_eq!(numbers(EventQuery { people: Some(vec![1, 4]), ..query(Some(1), 10) }).await, [2, 5, 6]);
    assert_eq!(numbers(EventQuery { people: Some(vec![]), ..query(None, 10) }).await, [0; 0]);
}

#[tokio::test]
async fn a_body_comes_out_as_it_was_stored() {
    let (_dir, history) = history().await;
    let events =
        history.events(&EventQuery { limit: 1, after: Some(0), ..EventQuery::default() }).await.unwrap();
    assert_eq!(events[0].body, "{\"n\": 1}");
    assert_eq!((events[0].name.as_deref(), events[0].union_id.as_deref()), (Some("李伟"), Some("u1")));
}

#[tokio::test]
async fn health_counts_the_errors_of_a_day_and_budget_has_the_newest_month_first() {
    let (_dir, history) = history().await;
    let health = history.health(at(86_400_000 + HOUR_MS), 10).await.unwrap();
    let li = health.iter().find(|row| row.name == "李伟").unwrap();
    assert_eq!((li.errors_24h, li.last_error.as_deref()), (3, Some("throttled: slow down")));
    assert_eq!(health.len(), 3, "users who are not watched are not listed");
    let budget = history.budget(10).await.unwrap();
    assert_eq!(budget.iter().map(|b| b.month.as_str()).collect::<Vec<_>>(), ["2026-11", "2026-10"]);
}

#[tokio::test]
async fn a_user_is_found_and_the_connection_cannot_write() {
    let (_dir, history) = history().await;
    assert_eq!(history.find("wang").await.unwrap().unwrap().person_id, 2);
    assert!(
        matches!(history.find("Wong").await.unwrap(), Err(WhoError::NotFound { like, .. }) if like.len() == 1)
    );
    for (who, ids) in [("u1", vec![1, 4]), ("other/u1", vec![4]), ("李伟", vec![1]), ("李", vec![])] {
        assert_eq!(history.people_called(who).await.unwrap(), ids, "{who}");
    }
    assert!(history.readers.execute("DELETE FROM people").await.is_err());
}

#[tokio::test]
async fn every_statement_is_understood_and_none_reads_all_events_for_a_few() {
    let (_dir, history) = history().await;
    for statement in [PEOPLE, CALLED, STANDINGS, COUNTS, VISITS_OF_ALL, HEALTH, BUDGET] {
        let plan = sqlx::query(sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {statement}")));
        plan.fetch_all(&history.readers).await.unwrap();
    }
    for statement in [EVENTS_AFTER, EVENTS_NEWEST, EVENTS_OF_AFTER, EVENTS_OF_NEWEST] {
        let plan = sqlx::query(sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {statement}")));
        let rows = plan.fetch_all(&history.readers).await.unwrap();
        let plan: Vec<String> = rows.iter().map(|row| row.get("detail")).collect();
        let indexed = plan.iter().any(|step| step.starts_with("SEARCH e "));
        let in_order =
            plan.iter().any(|step| step == "SCAN e") && !plan.iter().any(|step| step.contains("TEMP"));
        assert!(indexed || in_order, "{statement}\n{plan:?}");
    }
}

#[test]
fn a_type_that_matches_nothing_ever_is_refused() {
    for known in ["meeting.participant_left", "meeting.*", "*", "webhook.test"] {
        assert_eq!(check_event_type(known), Ok(()), "{known}");
    }
    let error = check_event_type("participant_left").unwrap_err();
    assert!(error.ends_with("did you mean `meeting.participant_left`?"), "{error}");
    for (part, meant) in [
        ("joined", "meeting.participant_joined"),
        ("meeting.joined", "meeting.participant_joined"),
        ("meeting", "meeting.*"),
        ("meetings.*", "meeting.*"),
        ("gap", "system.gap"),
        ("meeting.participant_lft", "meeting.participant_left"),
        ("presence", "user.presence_changed"),
    ] {
        let error = check_event_type(part).unwrap_err();
        assert!(error.ends_with(&format!("did you mean `{meant}`?")), "{error}");
    }
    for wrong in ["", "meetings.*", "*.test", "meeting.[a-z]*", "meeting.participant_lef?"] {
        assert!(check_event_type(wrong).is_err(), "{wrong}");
    }
}
