//! The questions stored in the file: each has an answer, by index, on the shell that people have.
#![expect(clippy::unwrap_used, reason = "a fixture that fails fails its test")]
#![expect(clippy::disallowed_methods, reason = "tests look at the tables themselves")]

use std::fmt::Write as _;

use sqlx::{AssertSqlSafe, Row, SqlSafeStr};

use crate::store_fixture::Place;
use crate::tidy::{read, root};

/// Tables of a few rows, whatever the history's length: reading them whole is the best there is. `v_gaps` is put together
/// from two halves, whose own steps are in the plan; `o` is a row for each gap that goes on, `k` for
/// each webhook.
const SMALL: &[&str] =
    &["people", "p", "usage", "organisations", "webhooks", "installation", "lanes", "o", "k", "v_gaps"];

async fn plan(place: &Place, sql: &str) -> Vec<String> {
    let explain = AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}")).into_sql_str();
    let rows = sqlx::query(explain).fetch_all(&mut place.look().await).await.unwrap();
    rows.iter().map(|row| row.get::<String, _>("detail")).collect()
}

/// Steps that read a whole table that grows.
fn scans(plan: &[String]) -> Vec<&String> {
    let whole = plan.iter().filter(|step| step.starts_with("SCAN") && !step.contains("USING"));
    whole
        .filter(|step| {
            let table = step.split_whitespace().nth(1).unwrap_or_default();
            // What a subquery gave is no table.
            !SMALL.contains(&table)
                && !table.starts_with('(')
                && !step.contains("CONSTANT")
                && !step.contains("SUBQUERY")
        })
        .collect()
}

#[tokio::test]
async fn every_example_finds_its_rows_by_index() {
    let place = Place::new();
    place.open().await.close().await.unwrap();
    let examples: Vec<(String, String)> = sqlx::query_as("SELECT name, sql FROM example_queries")
        .fetch_all(&mut place.look().await)
        .await
        .unwrap();
    for (name, sql) in examples {
        let plan = plan(&place, &sql).await;
        assert!(scans(&plan).is_empty(), "{name} reads a whole table:\n{}", plan.join("\n"));
    }
}

/// An index of everything is no way to the few that are open.
#[tokio::test]
async fn who_is_in_now_is_found_among_the_open_visits_only() {
    let place = Place::new();
    place.open().await.close().await.unwrap();
    for question in [
        "SELECT * FROM v_now",
        "SELECT * FROM v_now ORDER BY joined_ms",
        "SELECT * FROM v_now WHERE who = 'Li Wei'",
    ] {
        let plan = plan(&place, question).await;
        assert!(plan.iter().any(|step| step.contains("visits_open")), "{question}:\n{}", plan.join("\n"));
        assert!(!plan.iter().any(|step| step.contains("visits_by_time")), "{question}:\n{}", plan.join("\n"));
    }
}

#[tokio::test]
async fn the_usual_ways_into_the_views_are_by_index() {
    let place = Place::new();
    place.open().await.close().await.unwrap();
    for question in [
        "SELECT * FROM v_now",
        "SELECT * FROM v_visits WHERE joined_ms > 5",
        "SELECT * FROM v_visits WHERE who = 'Li Wei' ORDER BY joined_ms",
        "SELECT * FROM v_visits WHERE meeting = '654058f2411fe90147e68780'",
        "SELECT * FROM v_meetings WHERE meeting = '654058f2411fe90147e68780'",
        "SELECT * FROM v_meetings WHERE first_join_ms > 5",
        "SELECT * FROM v_events WHERE sequence > 5",
        "SELECT * FROM v_events WHERE id = 'evt_a'",
        "SELECT * FROM v_events WHERE recorded_ms > 5",
        "SELECT * FROM v_events WHERE union_id = 'u'",
        "SELECT * FROM v_snapshots WHERE who = 'Li Wei'",
        "SELECT * FROM v_gaps WHERE from_ms > 5",
        "SELECT * FROM v_deliveries WHERE id = 'evt_a'",
        "SELECT * FROM v_deliveries WHERE state = 'dead'",
        "SELECT * FROM v_deliveries WHERE state = 'pending'",
        "SELECT * FROM v_health",
        "SELECT * FROM v_webhooks",
    ] {
        let plan = plan(&place, question).await;
        assert!(scans(&plan).is_empty(), "{question} reads a whole table:\n{}", plan.join("\n"));
    }
}

#[test]
fn a_scan_is_noticed() {
    let steps =
        ["SCAN visits".to_owned(), "SCAN f USING INDEX visits_by_time".to_owned(), "SEARCH v".to_owned()];
    assert_eq!(scans(&steps), [&steps[0]]);
}

#[tokio::test]
async fn every_column_of_every_table_is_explained() {
    let place = Place::new();
    place.open().await.close().await.unwrap();
    let tables: Vec<(String, String)> = sqlx::query_as(
        "SELECT name, sql FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' AND name <> '_sqlx_migrations'",
    )
    .fetch_all(&mut place.look().await)
    .await
    .unwrap();
    let mut silent = Vec::new();
    for (table, sql) in tables {
        for line in
            sql.lines().skip(1).map(str::trim).filter(|line| !line.starts_with("--") && !line.is_empty())
        {
            let first = line.split_whitespace().next().unwrap_or_default();
            let is_column = first.chars().next().is_some_and(|c| c.is_ascii_lowercase());
            // A twin says by its name what it is.
            if is_column && !first.ends_with("_at") && !line.contains("-- ") {
                silent.push(format!("{table}: {line}"));
            }
        }
    }
    assert!(silent.is_empty(), "\n{}", silent.join("\n"));
}

#[tokio::test]
async fn datasette_asks_the_stored_questions() {
    let place = Place::new();
    place.open().await.close().await.unwrap();
    let page = read(&root().join("contrib/datasette.yaml"));
    let examples: Vec<(String, String)> = sqlx::query_as("SELECT name, sql FROM example_queries")
        .fetch_all(&mut place.look().await)
        .await
        .unwrap();
    assert_eq!(page.matches("        sql: |-").count(), examples.len());
    for (name, sql) in examples {
        let mut block = String::from("        sql: |-\n");
        for line in sql.lines() {
            writeln!(block, "          {line}").unwrap();
        }
        let entry = page.split(&format!("\n      {name}:\n")).nth(1).unwrap_or_default();
        assert!(entry.contains(&block), "{name} is not what is stored:\n{block}");
    }
}

#[tokio::test]
async fn grafana_asks_what_the_file_can_answer() {
    let place = Place::new();
    place.open().await.close().await.unwrap();
    let dashboard: serde_json::Value =
        serde_json::from_str(&read(&root().join("contrib/grafana/history.json"))).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    assert!(panels.len() >= 8);
    for panel in panels {
        let asked = panel["targets"][0]["queryText"].as_str().unwrap();
        assert_eq!(asked, panel["targets"][0]["rawQueryText"].as_str().unwrap());
        let sql = asked.replace("$__from", "1795363200000").replace("$__to", "1795449600000");
        let steps = plan(&place, &sql).await;
        assert!(scans(&steps).is_empty(), "{}:\n{}", panel["title"], steps.join("\n"));
    }
}
