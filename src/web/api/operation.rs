//! One operation of the API: what it is asked with, and what answers it.
//!
//! Guards: an answer is written in one place. Not here: the operations (`table`), the routes (`api`).

use axum::http::StatusCode;
use futures_util::future::BoxFuture;
use serde_json::Value;

use super::query::{Parameter, Query};
use crate::config::Scope;
use crate::web::response::{Problem, problem};
use crate::web::state::State;
use crate::web::visitor::Visitor;

/// What an operation is answered from.
#[derive(Debug)]
pub(super) struct Context {
    pub(super) state: State,
    pub(super) visitor: Visitor,
    pub(super) query: Query,
    /// The part of the path in braces; empty without one.
    pub(super) id: String,
}

/// The body of an answer, or why there is none.
pub(super) type Answer = Result<String, Problem>;

/// One `GET`.
pub(super) struct Operation {
    pub(super) path: &'static str,
    /// Unique; what generated clients call it.
    pub(super) id: &'static str,
    pub(super) about: &'static str,
    pub(super) scope: Scope,
    pub(super) parameters: &'static [Parameter],
    pub(super) schema: fn() -> Value,
    pub(super) run: fn(Context) -> BoxFuture<'static, Answer>,
}

/// A record as the body of an answer.
pub(super) fn written(record: &impl serde::Serialize) -> Answer {
    serde_json::to_string(record).map_err(|error| {
        tracing::error!(%error, "cannot write an answer");
        problem(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the answer could not be written; see the log")
    })
}
