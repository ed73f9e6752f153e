//! `/api/v1/...`: the API for programs.
//!
//! Guards: one table of operations makes the routes, the checks of parameters and the OpenAPI document; each answer is read
//! through connections that cannot write, within a time limit. Not here: access control (`visitor`), the stream (`stream`).

use std::time::Duration;

use axum::extract::{Path, State as Shared};
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use futures_util::future::BoxFuture;
use serde_json::Value;
use tokio::time::timeout;

use super::response::{Problem, json, problem};
use super::state::State;
use super::visitor::Visitor;
use crate::config::{Scope, Show};
use query::{Parameter, Query};

mod events;
pub(super) mod lists;
pub(super) mod now;
pub(super) mod openapi;
pub(super) mod operator;
mod query;
mod schema;

/// Timeout of reading an answer.
const READ_TIME: Duration = Duration::from_secs(10);

/// What an operation is answered from.
#[derive(Debug)]
struct Context {
    state: State,
    visitor: Visitor,
    query: Query,
    /// The part of the path in braces; empty without one.
    id: String,
}

type Answer = Result<String, Problem>;

/// One `GET`.
struct Operation {
    path: &'static str,
    /// Unique; what generated clients call it.
    id: &'static str,
    about: &'static str,
    scope: Scope,
    /// Also for tokens that show only counts.
    for_counts: bool,
    parameters: &'static [Parameter],
    schema: fn() -> Value,
    run: fn(Context) -> BoxFuture<'static, Answer>,
}

static OPERATIONS: [Operation; 10] = {
    use Parameter::{After, Event, Group, Limit, Org, Since, State, Type, Until, User};
    [
        Operation {
            path: "/api/v1/now",
            id: "now",
            about: "Who is in a meeting now, who is free, and of whom it is not known.",
            scope: Scope::Board,
            for_counts: true,
            parameters: &[Org, User, Group, After, Limit],
            schema: schema_of::<now::Now>,
            run: |context| Box::pin(now::now(context)),
        },
        Operation {
            path: "/api/v1/users",
            id: "users",
            about: "The users who are or were watched.",
            scope: Scope::Viewer,
            for_counts: false,
            parameters: &[Org, User, Group, After, Limit],
            schema: schema_of::<now::Users>,
            run: |context| Box::pin(now::users(context)),
        },
        Operation {
            path: "/api/v1/visits",
            id: "visits",
            about: "Visits, in the order in which they were recorded: who was in which meeting, from when to when.",
            scope: Scope::Viewer,
            for_counts: false,
            parameters: &[Org, User, Group, Since, Until, After, Limit],
            schema: schema_of::<lists::Visits>,
            run: |context| Box::pin(lists::visits(context)),
        },
        Operation {
            path: "/api/v1/meetings",
            id: "meetings",
            about: "Meetings, in the order in which a watched user was first seen in them.",
            scope: Scope::Viewer,
            for_counts: false,
            parameters: &[Org, User, Group, Since, Until, After, Limit],
            schema: schema_of::<lists::Meetings>,
            run: |context| Box::pin(lists::meetings(context)),
        },
        Operation {
            path: "/api/v1/meetings/{id}",
            id: "meeting",
            about: "A meeting, the visits in it, and when nobody was polled meanwhile.",
            scope: Scope::Viewer,
            for_counts: false,
            parameters: &[Org],
            schema: schema_of::<lists::MeetingDetails>,
            run: |context| Box::pin(lists::meeting(context)),
        },
        Operation {
            path: "/api/v1/events",
            id: "events",
            about: "Events, oldest first, with the bytes that webhooks get.",
            scope: Scope::Viewer,
            for_counts: false,
            parameters: &[After, Org, User, Type, Limit],
            schema: schema_of::<events::Events>,
            run: |context| Box::pin(events::events(context)),
        },
        Operation {
            path: "/api/v1/webhooks",
            id: "webhooks",
            about: "Webhooks, with their queues and why they are blocked.",
            scope: Scope::Operator,
            for_counts: false,
            parameters: &[],
            schema: schema_of::<operator::Webhooks>,
            run: |context| Box::pin(operator::webhooks(context)),
        },
        Operation {
            path: "/api/v1/webhooks/{name}/deliveries",
            id: "deliveries",
            about: "Deliveries to a webhook, in the order in which they were made; without `after` the newest.",
            scope: Scope::Operator,
            for_counts: false,
            parameters: &[State, Event, After, Limit],
            schema: schema_of::<operator::Deliveries>,
            run: |context| Box::pin(operator::deliveries(context)),
        },
        Operation {
            path: "/api/v1/health",
            id: "health",
            about: "Whether the daemon works, with reasons, as `presenced status` says it.",
            scope: Scope::Operator,
            for_counts: false,
            parameters: &[],
            schema: schema_of::<operator::Health>,
            run: |context| Box::pin(operator::health(context)),
        },
        Operation {
            path: "/api/v1/budget",
            id: "budget",
            about: "Calls to DingTalk by organisation and month, newest month first.",
            scope: Scope::Operator,
            for_counts: false,
            parameters: &[Org, Limit],
            schema: schema_of::<operator::Budget>,
            run: |context| Box::pin(operator::budget(context)),
        },
    ]
};

fn schema_of<T: schema::Schema>() -> Value {
    T::schema()
}

/// The routes of a scope.
pub(super) fn routes(scope: Scope) -> Router<State> {
    let mut router = Router::new();
    for operation in OPERATIONS.iter().filter(|operation| operation.scope == scope) {
        let answer = move |Shared(state): Shared<State>,
                           Extension(visitor): Extension<Visitor>,
                           path: Path<Vec<(String, String)>>,
                           uri: Uri| async move {
            let id = path.0.into_iter().next().map(|(_, id)| id).unwrap_or_default();
            answer(operation, state, visitor, id, &uri).await
        };
        router = router.route(operation.path, get(answer));
    }
    router
}

async fn answer(operation: &Operation, state: State, visitor: Visitor, id: String, uri: &Uri) -> Response {
    if visitor.grant.show == Show::Counts && !operation.for_counts {
        let text = "this token shows only counts";
        return problem(StatusCode::FORBIDDEN, "forbidden", text).into_response();
    }
    let query = match Query::read(uri, operation.parameters) {
        Ok(query) => query,
        Err(problem) => return problem.into_response(),
    };
    if query.user.is_some() && !visitor.grant.shows_names() {
        let text = "this token shows no names, so `user` cannot be asked for";
        return problem(StatusCode::FORBIDDEN, "forbidden", text).into_response();
    }
    match timeout(READ_TIME, (operation.run)(Context { state, visitor, query, id })).await {
        Ok(Ok(body)) => json(StatusCode::OK, body),
        Ok(Err(problem)) => problem.into_response(),
        Err(_) => {
            let text = "the database is too slow at the moment; try again";
            problem(StatusCode::SERVICE_UNAVAILABLE, "unavailable", text).into_response()
        }
    }
}

/// A record as the body of an answer.
fn written(record: &impl serde::Serialize) -> Answer {
    serde_json::to_string(record).map_err(|error| {
        tracing::error!(%error, "cannot write an answer");
        problem(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the answer could not be written; see the log")
    })
}
