//! `/api/v1/events`: the events, to pull.
//!
//! Guards: the body of an event is byte for byte what was signed and sent; a page is bounded and says where the next one
//! begins. Not here: events as they come (`stream`).

use axum::http::StatusCode;

use super::operation::{Answer, Context};
use super::schema::{EventBody, records};
use crate::store::history::{EventQuery, EventRow};
use crate::web::people::{Filter, People};
use crate::web::response::problem;
use crate::web::stream::may_see;

records! {
    /// A page of events.
    EventPage {
        /// The events, oldest first.
        events: Vec<Body>,
        /// Where the next page begins: `after` of the next request.
        next_after: i64,
    }
}

/// Written by hand, because printing a parsed body again could change its bytes.
type Body = EventBody;

impl serde::Serialize for EventBody {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_none()
    }
}

/// The events after a sequence, oldest first.
pub(super) async fn events(context: Context) -> Answer {
    let Context { state, visitor, query, .. } = context;
    if !visitor.grant.shows_names() {
        let text = "this token shows no names, and events have them";
        return Err(problem(StatusCode::FORBIDDEN, "forbidden", text));
    }
    let after = query.after.unwrap_or(0);
    let people = match &query.user {
        Some(user) => {
            let filter = Filter { user: Some(user), ..Filter::default() };
            People::read(&state, &visitor.grant, filter).await?.ids()
        }
        None => None,
    };
    let limit = query.limit();
    let query = EventQuery {
        after: Some(after),
        org: query.org,
        people,
        group: query.group,
        event_type: query.event_type,
        since: query.since,
        until: query.until,
        limit,
    };
    let rows = state.0.history.events(&query).await?;
    let settings = state.settings();
    let shown: Vec<&EventRow> = rows.iter().filter(|row| may_see(&visitor, &settings, row)).collect();
    let bodies: Vec<&str> = shown.iter().map(|row| row.body.as_str()).collect();
    let next_after = rows.last().map_or(after, |row| row.sequence);
    Ok(format!("{{\"events\":[{}],\"next_after\":{next_after}}}", bodies.join(",")))
}
