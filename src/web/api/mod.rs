//! `/api/v1/...`: the API for programs.
//!
//! Guards: each answer is read through connections that cannot write, within a time limit. Not here: access control
//! (`gate`), the operations (`table`), the stream (`stream`).

use std::time::Duration;

use axum::extract::{Path, State as Shared};
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use tokio::time::timeout;

use super::response::{json, problem};
use super::state::State;
use super::visitor::Visitor;
use crate::config::Scope;
use operation::{Context, Operation};
use query::Query;
use table::OPERATIONS;

mod events;
pub(super) mod lists;
pub(super) mod now;
pub(super) mod openapi;
mod operation;
pub(super) mod operator;
mod query;
mod schema;
mod table;

/// Timeout of reading an answer.
const READ_TIME: Duration = Duration::from_secs(10);

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
