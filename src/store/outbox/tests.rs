//! The outbox against a real file.
#![expect(clippy::disallowed_methods, reason = "SQL lives in `store`")]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use sqlx::Row;

use super::*;
use crate::clock::ManualClock;
use crate::ids::WebhookName;
use crate::policy::delivery::WebhookState;
use crate::policy::delivery::{Health, Trigger};
use crate::store::Store;
use crate::store::history::sql::Value;
use crate::time::Timestamp;

const NOW: Timestamp = Timestamp::from_ms(1_700_000_000_000);
const LEASE: Timestamp = Timestamp::from_ms(1_700_000_060_000);

struct Fixture {
    store: Store,
    _folder: tempfile::TempDir,
}

fn crm() -> WebhookName {
    WebhookName::parse("crm").unwrap()
}

impl Fixture {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::at(NOW));
        let store = Store::open(&folder.path().join("p.db"), chrono_tz::UTC, clock).await.unwrap();
        Self { store, _folder: folder }
    }

    async fn sql(&self, sql: &'static str) -> Vec<sqlx::sqlite::SqliteRow> {
        let job = self.store.database.writer.write(move |connection| {
            Box::pin(async move { Ok(sqlx::query(sql).fetch_all(connection).await?) })
        });
        job.await.unwrap()
    }

    async fn number(&self, sql: &'static str) -> i64 {
        self.sql(sql).await[0].get(0)
    }

    /// `lanes` lanes of `each` deliveries; sequences run lane by lane, so lane 0 has 1, `lanes`+1, ...
    async fn fill(&self, lanes: i64, each: i64) {
        let job = self.store.database.writer.write(move |connection| {
            Box::pin(async move {
                for (sql, rows) in [
                    (
                        "INSERT INTO events (sequence, id, type, time_ms, recorded_ms, body) \
                         SELECT value, 'evt_' || value, 'meeting.participant_joined', ?2, ?2, '{\"n\":' || value || '}' \
                         FROM generate_series(1, ?1)",
                        lanes * each,
                    ),
                    (
                        "INSERT INTO deliveries (webhook, org, person_id, sequence, next_ms) \
                         SELECT 'crm', 'default', (value - 1) % ?3 + 1, value, ?2 + value FROM generate_series(1, ?1)",
                        lanes * each,
                    ),
                    (
                        "INSERT INTO lanes (webhook, org, person_id, ready_ms) \
                         SELECT 'crm', 'default', value, ?2 FROM generate_series(1, ?1)",
                        lanes,
                    ),
                ] {
                    let sql = sql.replace("generate_series(1, ?1)", SERIES);
                    sqlx::query(sqlx::AssertSqlSafe(sql))
                        .bind(rows)
                        .bind(NOW.as_ms())
                        .bind(lanes)
                        .execute(&mut *connection)
                        .await?;
                }
                Ok(())
            })
        });
        job.await.unwrap();
    }

    async fn claim(&self, max: u32) -> Vec<Claimed> {
        self.store.outbox().claim(crm(), NOW, LEASE, max).await.unwrap()
    }
}

/// The bundled SQLite has no `generate_series`.
const SERIES: &str = "(WITH RECURSIVE s(value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM s WHERE value < ?1) \
    SELECT value FROM s)";

fn finish(claimed: Claimed, ending: Ending) -> Finished {
    let attempt = Some(Attempted { status: Some(204), ..Attempted::default() });
    let strikes = claimed.ticket.strikes;
    Finished { ticket: claimed.ticket, ending, attempt, strikes, at: NOW, keeps_lane: false }
}

fn ids(claimed: &[Claimed]) -> BTreeSet<&str> {
    claimed.iter().map(|one| one.event_id.as_str()).collect()
}

#[tokio::test]
async fn the_head_of_each_free_lane_is_taken_once() {
    let f = Fixture::new().await;
    f.fill(3, 2).await;
    let two = f.claim(2).await;
    assert_eq!(two.len(), 2);
    let third = f.claim(9).await;
    let all: BTreeSet<_> = ids(&two).union(&ids(&third)).copied().map(str::to_owned).collect();
    assert_eq!(all, ["evt_1", "evt_2", "evt_3"].map(str::to_owned).into());
    assert_eq!(third[0].body, format!("{{\"n\":{}}}", &third[0].event_id[4..]).into_bytes());
    assert!(f.claim(9).await.is_empty());
    assert_eq!(f.store.outbox().next_ready(&crm()).await.unwrap(), None);
}

#[tokio::test]
async fn finishing_moves_the_lane_on_and_removes_an_empty_one() {
    let f = Fixture::new().await;
    f.fill(1, 2).await;
    for id in ["evt_1", "evt_2"] {
        let mut taken =
            f.store.outbox().claim(crm(), NOW.plus(Duration::from_secs(1)), LEASE, 9).await.unwrap();
        assert_eq!(taken[0].event_id, id);
        let one = taken.pop().unwrap();
        assert_eq!(f.store.outbox().finish(vec![finish(one, Ending::Delivered)]).await.unwrap(), 0);
    }
    assert_eq!(f.number("SELECT count(*) FROM lanes").await, 0);
    assert_eq!(
        f.number(
            "SELECT count(*) FROM deliveries WHERE state = 'delivered' AND attempts = 1 AND last_status = 204"
        )
        .await,
        2
    );
}

#[tokio::test]
async fn a_retry_keeps_the_head_and_says_when() {
    let f = Fixture::new().await;
    f.fill(1, 2).await;
    let later = NOW.plus(Duration::from_secs(5));
    let taken = f.claim(1).await.pop().unwrap();
    let strikes = taken.ticket.strikes + 1;
    let attempt =
        Some(Attempted { status: None, error: Some("reset".to_owned()), took: Duration::from_millis(1500) });
    let done = Finished {
        ticket: taken.ticket,
        ending: Ending::Retry(later),
        attempt,
        strikes,
        at: NOW,
        keeps_lane: false,
    };
    f.store.outbox().finish(vec![done]).await.unwrap();
    assert!(f.claim(1).await.is_empty());
    assert_eq!(f.store.outbox().next_ready(&crm()).await.unwrap(), Some(later));
    let again = f.store.outbox().claim(crm(), later, LEASE, 9).await.unwrap();
    assert_eq!(
        (again[0].event_id.as_str(), again[0].ticket.attempts, again[0].ticket.strikes),
        ("evt_1", 1, 1)
    );
}

#[tokio::test]
async fn what_is_released_is_as_it_was() {
    let f = Fixture::new().await;
    f.fill(1, 1).await;
    let taken = f.claim(1).await.pop().unwrap();
    let done = Finished { attempt: None, ..finish(taken, Ending::Released) };
    f.store.outbox().finish(vec![done]).await.unwrap();
    let again = f.store.outbox().claim(crm(), NOW.plus(Duration::from_secs(1)), LEASE, 1).await.unwrap();
    assert_eq!((again.len(), again[0].ticket.attempts), (1, 0));
}

#[tokio::test]
async fn live_traffic_goes_before_replays() {
    let f = Fixture::new().await;
    f.fill(1, 3).await;
    f.sql("UPDATE deliveries SET trigger = 'replay' WHERE sequence = 1").await;
    let taken = f.claim(1).await.pop().unwrap();
    assert_eq!((taken.event_id.as_str(), taken.trigger), ("evt_2", Trigger::Event));
}

#[tokio::test]
async fn leases_of_an_earlier_daemon_are_freed() {
    let f = Fixture::new().await;
    f.fill(2, 1).await;
    drop(f.claim(9).await);
    assert!(f.claim(9).await.is_empty());
    assert_eq!(f.store.outbox().free_leases().await.unwrap(), 2);
    assert_eq!(f.claim(9).await.len(), 2);
}

#[tokio::test]
async fn a_delivery_erased_in_flight_is_counted_and_its_lane_goes() {
    let f = Fixture::new().await;
    f.fill(2, 1).await;
    let taken = f.claim(9).await;
    f.sql("DELETE FROM events WHERE sequence = 1").await;
    let missing = f
        .store
        .outbox()
        .finish(taken.into_iter().map(|one| finish(one, Ending::Delivered)).collect())
        .await
        .unwrap();
    assert_eq!(missing, 1);
    assert_eq!(f.number("SELECT count(*) FROM lanes").await, 0);
}

#[tokio::test]
async fn a_lane_whose_deliveries_were_erased_is_removed_and_holds_nobody_up() {
    let f = Fixture::new().await;
    f.fill(2, 1).await;
    f.sql("DELETE FROM events WHERE sequence = 1").await;
    assert_eq!(ids(&f.claim(1).await).len() + ids(&f.claim(1).await).len(), 1);
    assert_eq!(f.number("SELECT count(*) FROM lanes").await, 1);
}

#[tokio::test]
async fn a_turn_writes_back_and_takes_the_next_head_at_once() {
    let f = Fixture::new().await;
    f.fill(1, 2).await;
    let taken = f.claim(1).await.pop().unwrap();
    let ask = Ask { webhook: crm(), max: 4, run: 1, lease_until: LEASE, probe: false };
    let turn = Turn {
        at: NOW.plus(Duration::from_secs(1)),
        finished: vec![finish(taken, Ending::Delivered)],
        asks: vec![ask],
        ..Turn::default()
    };
    let turned = f.store.outbox().turn(turn).await.unwrap();
    assert_eq!(turned.missing, 0);
    assert_eq!(ids(&turned.granted[0].claimed), ["evt_2"].into());
    assert_eq!(turned.granted[0].next_ready, None);
}

#[tokio::test]
async fn a_probe_takes_one_head_ready_or_not() {
    let f = Fixture::new().await;
    f.fill(2, 1).await;
    let ask = Ask { webhook: crm(), max: 9, run: 3, lease_until: LEASE, probe: true };
    let turn = || Turn { at: NOW.minus(Duration::from_hours(1)), asks: vec![ask.clone()], ..Turn::default() };
    assert_eq!(f.store.outbox().turn(turn()).await.unwrap().granted[0].claimed.len(), 1);
}

#[tokio::test]
async fn lanes_of_a_hurried_webhook_are_ready_at_once_some_thousand_in_a_turn() {
    let f = Fixture::new().await;
    f.fill(5_003, 1).await;
    let taken = f.claim(1).await;
    f.sql("INSERT INTO lanes (webhook, org, person_id, ready_ms) VALUES ('other', 'default', 1, 0)").await;
    f.sql("UPDATE lanes SET ready_ms = 1700003600000").await;
    let ask = Ask { webhook: crm(), max: 9_000, run: 1, lease_until: LEASE, probe: false };
    let turn = || Turn { at: NOW, hurried: vec![crm()], asks: vec![ask.clone()], ..Turn::default() };
    let first = f.store.outbox().turn(turn()).await.unwrap();
    assert_eq!((first.granted[0].claimed.len(), first.unfinished), (5_000, vec![crm()]));
    let rest = f.store.outbox().turn(turn()).await.unwrap();
    assert_eq!((rest.granted[0].claimed.len(), rest.unfinished), (2, vec![]));
    assert_eq!(f.number("SELECT count(*) FROM lanes WHERE ready_ms > 1700000000000").await, 2);
    assert_eq!(taken.len(), 1, "what is in flight and what is another webhook's stays as it was");
}

#[tokio::test]
async fn states_are_kept_and_strikes_given_back() {
    let f = Fixture::new().await;
    f.fill(1, 1).await;
    f.sql("UPDATE deliveries SET strikes = 2").await;
    let id = f.number("SELECT delivery_id FROM deliveries").await;
    let standings = [
        WebhookState::Down { since: NOW, probe_at: LEASE, probes: 3 },
        WebhookState::Disabled { reason: "gone".to_owned() },
        WebhookState::Paused { reason: "by hand".to_owned() },
        WebhookState::Up,
    ];
    for standing in standings {
        let health = Health { state: standing, failures: 4, ..Health::default() };
        let turn = Turn { forgiven: vec![id], states: vec![(crm(), health.clone())], ..Turn::default() };
        f.store.outbox().turn(turn).await.unwrap();
        assert_eq!(f.store.outbox().webhook_states().await.unwrap(), [(crm(), health)]);
    }
    assert_eq!(f.number("SELECT strikes FROM deliveries").await, 0, "never below none");
}

#[tokio::test]
async fn what_waits_for_a_disabled_webhook_is_buried_with_the_reason() {
    let f = Fixture::new().await;
    f.fill(3, 2_000).await;
    assert_eq!(f.store.outbox().give_up_all(crm(), "gone".to_owned(), NOW).await.unwrap(), 6_000);
    assert_eq!(
        f.number(
            "SELECT count(*) FROM deliveries WHERE state = 'dead' AND last_error = 'gone' AND finished_ms > 0"
        )
        .await,
        6_000
    );
    assert_eq!(f.number("SELECT count(*) FROM lanes").await, 0);
}

/// A failed test was once counted in `status` and in the metric that an alert reads.
#[tokio::test]
async fn a_failed_test_is_no_dead_letter_for_those_who_watch_the_queue() {
    let f = Fixture::new().await;
    f.fill(1, 2).await;
    let attempt = || Attempted { status: None, error: Some("refused".to_owned()), ..Attempted::default() };
    f.store.outbox().record_test(crm(), "evt_1".to_owned(), false, attempt(), NOW).await.unwrap();
    assert_eq!(f.number("SELECT count(*) FROM deliveries WHERE state = 'dead'").await, 1);
    let dead = async || f.store.history().webhooks().queues().await.unwrap()[0].dead;
    assert_eq!(dead().await, 0);
    let history = f.store.history();
    let stored = history.examples().await.unwrap().into_iter().find(|example| example.name == "undelivered");
    let stored = stored.unwrap().sql;
    // Webhook, state, how many.
    let undelivered = async || {
        let rows = history.sql(&stored).await.unwrap().rows;
        rows.into_iter().map(|row| (row[1].clone(), row[2].clone())).collect::<Vec<_>>()
    };
    let text = |word: &str| Value::Text(word.to_owned());
    assert_eq!(undelivered().await, [(text("pending"), Value::Integer(2))]);
    f.store.outbox().give_up_all(crm(), "gone".to_owned(), NOW).await.unwrap();
    assert_eq!(dead().await, 2, "what was given up counts");
    assert_eq!(undelivered().await, [(text("dead"), Value::Integer(2))]);
}

/// What comes of asking for `max` deliveries in runs of at most `run`.
async fn runs(f: &Fixture, max: u32, run: u32) -> Granted {
    let ask = Ask { webhook: crm(), max, run, lease_until: LEASE, probe: false };
    let at = NOW.plus(Duration::from_mins(1));
    let turned = f.store.outbox().turn(Turn { at, asks: vec![ask], ..Turn::default() }).await.unwrap();
    turned.granted.into_iter().next().unwrap()
}

fn behind(claimed: &Claimed) -> Vec<&str> {
    claimed.behind.iter().map(|one| one.event_id.as_str()).collect()
}

#[tokio::test]
async fn a_run_is_a_lanes_next_in_order_and_its_lane_stays_taken_to_the_end() {
    let f = Fixture::new().await;
    f.fill(2, 5).await;
    let granted = runs(&f, 6, 4).await;
    assert_eq!(granted.next_ready, None, "both lanes are taken");
    assert_eq!(
        granted.claimed.iter().map(|one| one.event_id.as_str()).collect::<Vec<_>>(),
        ["evt_1", "evt_2"]
    );
    assert_eq!(behind(&granted.claimed[0]), ["evt_3", "evt_5", "evt_7"]);
    let mut head = granted.claimed.into_iter().next().unwrap();
    assert_eq!(head.behind[2].body, b"{\"n\":7}");
    let next = head.behind.pop_front().unwrap();
    let first = Finished { keeps_lane: true, ..finish(head, Ending::Delivered) };
    assert_eq!(f.store.outbox().finish(vec![first]).await.unwrap(), 0);
    assert!(runs(&f, 6, 4).await.claimed.is_empty(), "the lane is not free before its run is over");
    let later = NOW.plus(Duration::from_hours(1));
    f.store.outbox().finish(vec![finish(next, Ending::Retry(later))]).await.unwrap();
    assert_eq!(
        f.store.outbox().next_ready(&crm()).await.unwrap(),
        Some(later),
        "the run ended early; its rest waits"
    );
    assert_eq!(f.number("SELECT count(*) FROM deliveries WHERE state = 'pending'").await, 9);
}

#[tokio::test]
async fn a_run_that_does_not_fit_is_left_for_later_as_a_whole() {
    let f = Fixture::new().await;
    f.fill(3, 5).await;
    let granted = runs(&f, 5, 4).await;
    assert_eq!(granted.claimed.iter().map(|one| 1 + one.behind.len()).collect::<Vec<_>>(), [4, 4]);
    assert!(granted.next_ready.is_some_and(|ready| ready <= NOW.plus(Duration::from_mins(1))));
    assert_eq!(runs(&f, 5, 4).await.claimed.len(), 1);
}

#[tokio::test]
async fn a_damaged_event_ends_and_the_lane_goes_on_with_what_is_behind_it() {
    let f = Fixture::new().await;
    f.fill(2, 3).await;
    f.sql("UPDATE events SET checksum = 7 WHERE sequence IN (1, 5)").await;
    let granted = runs(&f, 9, 8).await;
    assert_eq!(
        granted.damaged.iter().collect::<BTreeSet<_>>(),
        [&"evt_1".to_owned(), &"evt_5".to_owned()].into()
    );
    let heads: Vec<_> = granted.claimed.iter().map(|one| (one.event_id.as_str(), behind(one))).collect();
    assert_eq!(heads.len(), 2);
    assert!(
        heads.contains(&("evt_3", vec![])) && heads.contains(&("evt_2", vec!["evt_4", "evt_6"])),
        "{heads:?}"
    );
    assert_eq!(f.number("SELECT count(*) FROM deliveries WHERE state = 'dead'").await, 2);
    assert_eq!(f.store.health().damaged_events(), 2);
}

/// A text that is no valid UTF-8 any more, in the body, the id or the type.
#[tokio::test]
async fn an_event_that_is_no_text_any_more_ends_and_stops_no_other() {
    for sql in [
        "UPDATE events SET checksum = 7, body = CAST(X'7B22ED' AS TEXT) WHERE sequence = 1",
        "UPDATE events SET checksum = 7, id = CAST(X'657674ED' AS TEXT) WHERE sequence = 1",
        "UPDATE events SET checksum = 7, type = CAST(X'ED' AS TEXT) WHERE sequence = 1",
    ] {
        let f = Fixture::new().await;
        f.fill(2, 2).await;
        f.sql(sql).await;
        let granted = runs(&f, 9, 8).await;
        assert_eq!(granted.damaged.len(), 1, "{sql}");
        assert_eq!(granted.claimed.len(), 2, "{sql}");
        assert_eq!(granted.claimed.iter().map(|one| 1 + one.behind.len()).sum::<usize>(), 3, "{sql}");
    }
}

#[tokio::test]
async fn a_lane_of_nothing_but_damaged_events_is_gone_in_the_end() {
    let f = Fixture::new().await;
    f.fill(1, 3).await;
    f.sql("UPDATE events SET checksum = 7").await;
    for left in [2, 1, 0] {
        assert!(runs(&f, 1, 1).await.claimed.is_empty());
        assert_eq!(f.number("SELECT count(*) FROM deliveries WHERE state = 'pending'").await, left);
        assert_eq!(f.store.outbox().next_ready(&crm()).await.unwrap().is_some(), left > 0);
    }
}

#[tokio::test]
async fn live_traffic_goes_first_and_a_replay_alone() {
    let f = Fixture::new().await;
    f.fill(1, 5).await;
    f.sql("UPDATE deliveries SET trigger = 'replay' WHERE sequence IN (1, 2, 4)").await;
    let head = runs(&f, 9, 8).await.claimed.pop().unwrap();
    assert_eq!((head.event_id.as_str(), behind(&head)), ("evt_3", vec!["evt_5"]));
    f.store.outbox().finish(vec![finish(head, Ending::Delivered)]).await.unwrap();
    f.sql("UPDATE deliveries SET state = 'delivered' WHERE sequence = 5").await;
    let head = runs(&f, 9, 8).await.claimed.pop().unwrap();
    assert_eq!((head.event_id.as_str(), head.behind.len()), ("evt_1", 0));
}

#[tokio::test]
async fn a_turn_that_is_not_written_comes_back() {
    let f = Fixture::new().await;
    f.fill(1, 1).await;
    let taken = f.claim(1).await.pop().unwrap();
    f.store.close().await.unwrap();
    let turn = Turn { at: NOW, finished: vec![finish(taken, Ending::Delivered)], ..Turn::default() };
    let failed = f.store.outbox().turn(turn).await.unwrap_err();
    assert_eq!(failed.turn.expect("no other owner").finished.len(), 1);
}

#[tokio::test]
async fn nothing_scans_a_table() {
    let f = Fixture::new().await;
    f.fill(3, 3).await;
    for sql in turn::INDEXED {
        let plan = format!("EXPLAIN QUERY PLAN {sql}");
        let job = f.store.database.writer.write(move |connection| {
            Box::pin(async move {
                let mut query = sqlx::query(sqlx::AssertSqlSafe(plan));
                for argument in ["[]", "0", "0", "0"].iter().take(sql.matches('?').count().min(4)) {
                    query = query.bind(*argument);
                }
                Ok(query.fetch_all(connection).await?)
            })
        });
        let rows = job.await.unwrap();
        let steps: Vec<String> = rows.iter().map(|row| row.get("detail")).collect();
        for table in ["lanes", "deliveries", "events", "head", "webhooks"] {
            assert!(
                !steps.iter().any(|step| step.starts_with(&format!("SCAN {table}"))),
                "{sql}\n{steps:#?}"
            );
        }
        assert!(!steps.iter().any(|step| step.contains("TEMP B-TREE")), "{sql}\n{steps:#?}");
    }
}
