//! `/api/v1/...`: the API for programs.
//!
//! Guards: the body of an event is byte for byte what was signed and sent; a page is bounded and says where the next one
//! begins. Not here: access control (`access`).

use std::time::Duration;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State as Shared};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use tokio::time::timeout;

use super::response::{json, problem};
use super::state::State;
use crate::store::StoreError;
use crate::store::history::{EventQuery, EventRow, History, check_event_type};

/// Default of `limit`.
const DEFAULT_PAGE: u32 = 100;
/// Maximum of `limit`.
const MAX_PAGE: u32 = 1000;
/// Timeout of reading a page.
const READ_TIME: Duration = Duration::from_secs(10);

/// `?after=&org=&user=&type=&limit=`; another name is an error.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EventsQuery {
    after: Option<u64>,
    org: Option<String>,
    user: Option<String>,
    #[serde(rename = "type")]
    event_type: Option<String>,
    limit: Option<u32>,
}

/// The events after a sequence, oldest first.
pub(super) async fn events(
    Shared(state): Shared<State>,
    asked: Result<Query<EventsQuery>, QueryRejection>,
) -> Response {
    let Query(asked) = match asked {
        Ok(asked) => asked,
        Err(error) => return problem(StatusCode::BAD_REQUEST, &error.body_text()),
    };
    if let Some(Err(error)) = asked.event_type.as_deref().map(check_event_type) {
        return problem(StatusCode::BAD_REQUEST, &error);
    }
    let after = i64::try_from(asked.after.unwrap_or(0)).unwrap_or(i64::MAX);
    match timeout(READ_TIME, read(&state.0.history, asked, after)).await {
        Ok(Ok(rows)) => json(StatusCode::OK, page(&rows, after)),
        Ok(Err(error)) => {
            tracing::error!(%error, "cannot read events");
            problem(StatusCode::INTERNAL_SERVER_ERROR, "the database did not answer; see the log")
        }
        Err(_) => {
            problem(StatusCode::SERVICE_UNAVAILABLE, "the database is too slow at the moment; try again")
        }
    }
}

async fn read(history: &History, asked: EventsQuery, after: i64) -> Result<Vec<EventRow>, StoreError> {
    let people = match &asked.user {
        Some(user) => Some(history.people_called(user).await?),
        None => None,
    };
    let query = EventQuery {
        after: Some(after),
        org: asked.org,
        people,
        event_type: asked.event_type,
        limit: asked.limit.unwrap_or(DEFAULT_PAGE).clamp(1, MAX_PAGE),
        ..EventQuery::default()
    };
    history.events(&query).await
}

/// The stored bodies as a JSON array. They are not parsed, because printing them again could change their bytes.
fn page(rows: &[EventRow], after: i64) -> String {
    let (damaged, sound): (Vec<_>, Vec<_>) = rows.iter().partition(|row| row.is_damaged);
    for row in damaged {
        tracing::error!(sequence = row.sequence, "a damaged event is left out; see `presenced db check`");
    }
    let bodies: Vec<&str> = sound.iter().map(|row| row.body.as_str()).collect();
    let next_after = rows.last().map_or(after, |row| row.sequence);
    format!("{{\"events\":[{}],\"next_after\":{next_after}}}", bodies.join(","))
}
