//! `/api/v1/stream`: events as they are recorded, as server-sent events.
//!
//! Guards: `id:` is the sequence, so a reader that reconnects misses nothing; a token without names learns only that
//! something changed; a reader that does not read holds nothing up and is disconnected by the listener after half a
//! minute. Not here: noticing events (`feed`).

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::State as Shared;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use tokio::sync::{OwnedSemaphorePermit, watch};

use super::feed::{self, Batch, MAX_READERS};
use super::response::{Problem, bad_request, problem};
use super::state::{Settings, State};
use super::visitor::{TOKEN, Visitor, pairs};
use crate::config::Scope;
use crate::store::history::EventRow;
use crate::store::history::lists::Lists;

/// How often a comment is sent while nothing happens.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Starts to send.
pub(super) async fn stream(
    Shared(state): Shared<State>,
    Extension(visitor): Extension<Visitor>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let position = match position(&uri, &headers) {
        Ok(position) => position,
        Err(problem) => return problem.into_response(),
    };
    let Some(place) = state.0.feed.place() else {
        let text = format!("{MAX_READERS} readers are connected already; try again later");
        return problem(StatusCode::SERVICE_UNAVAILABLE, "too_many_readers", &text).into_response();
    };
    let position = match position {
        Some(position) => Ok(position),
        None => Lists::of(&state.0.history).newest_sequence().await,
    };
    let position = match position {
        Ok(position) => position,
        Err(error) => return Problem::from(error).into_response(),
    };
    let batches = state.0.feed.subscribe();
    let reader = Reader { state, visitor, position, batches, ready: VecDeque::new(), _place: place };
    let events = stream::unfold(reader, |mut reader| async move {
        let event = reader.next().await?;
        Some((Ok::<_, Infallible>(event), reader))
    });
    Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response()
}

/// After which sequence to begin: `Last-Event-ID`, which a browser sends when it reconnects, or `after`.
fn position(uri: &Uri, headers: &HeaderMap) -> Result<Option<i64>, Problem> {
    let mut position = None;
    for (name, value) in pairs(uri) {
        match name.as_str() {
            "after" if position.is_none() => {
                let number: u64 =
                    value.parse().map_err(|_| bad_request("`after` is not a whole number, 0 or more"))?;
                position = Some(i64::try_from(number).unwrap_or(i64::MAX));
            }
            TOKEN => {}
            _ => return Err(bad_request(format!("`{name}` is unknown here, or stands twice"))),
        }
    }
    let last = headers.get("last-event-id").and_then(|value| value.to_str().ok()?.trim().parse().ok());
    Ok(last.or(position))
}

/// One reader.
struct Reader {
    state: State,
    visitor: Visitor,
    /// The last sequence that was considered.
    position: i64,
    batches: watch::Receiver<Arc<Batch>>,
    ready: VecDeque<Event>,
    _place: OwnedSemaphorePermit,
}

impl Reader {
    /// The next event; `None` when the listener stops or the token has ended.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            let batch = Arc::clone(&self.batches.borrow_and_update());
            if self.position < batch.from {
                // A database that does not answer ends the stream; the reader comes back with its position.
                let rows = feed::after(&self.state.0.history, self.position).await.ok()?;
                self.take(&rows);
                self.position = rows.last().map_or(batch.to, |row| row.sequence);
                continue;
            }
            if self.position < batch.to {
                self.take(&batch.rows);
                self.position = batch.to;
                continue;
            }
            tokio::select! {
                changed = self.batches.changed() => changed.ok()?,
                () = self.state.0.feed.stop.cancelled() => return None,
            }
            let grants = self.state.grants();
            let grant = &self.visitor.grant;
            grants.iter().find(|known| known.name == grant.name && known.token == grant.token)?;
        }
    }

    fn take(&mut self, rows: &[EventRow]) {
        let settings = self.state.settings();
        let new = rows.iter().filter(|row| row.sequence > self.position);
        for row in new.filter(|row| may_see(&self.visitor, &settings, row)) {
            self.ready.push_back(shown(&self.visitor, row));
        }
    }
}

/// Whether an event is about something that the visitor may see.
pub(super) fn may_see(visitor: &Visitor, settings: &Settings, row: &EventRow) -> bool {
    if !visitor.grant.is_restricted() {
        return true;
    }
    let Some(org) = &row.org else { return false };
    let groups = row.union_id.as_deref().map(|union_id| settings.groups(org, union_id));
    visitor.grant.allows(org, groups.unwrap_or_default())
}

fn shown(visitor: &Visitor, row: &EventRow) -> Event {
    let event = Event::default().id(row.sequence.to_string());
    if visitor.grant.scope >= Scope::Viewer && visitor.grant.shows_names() {
        return event.data(&row.body);
    }
    event.event("changed").data(format!("{{\"sequence\":{}}}", row.sequence))
}
