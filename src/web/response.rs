//! JSON responses.
//!
//! Guards: an error is always `{"error":"...","code":"..."}`, and its code is one of a fixed set. Not here: what is answered.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::store::StoreError;

/// An error as it is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) status: StatusCode,
    /// For programs.
    pub(super) code: &'static str,
    /// For people.
    pub(super) message: String,
}

/// An error with a code and a message.
pub(super) fn problem(status: StatusCode, code: &'static str, message: &str) -> Problem {
    Problem { status, code, message: message.to_owned() }
}

/// 400.
pub(super) fn bad_request(message: impl Into<String>) -> Problem {
    Problem { status: StatusCode::BAD_REQUEST, code: "bad_request", message: message.into() }
}

/// 404.
pub(super) fn not_found(message: &str) -> Problem {
    problem(StatusCode::NOT_FOUND, "not_found", message)
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Self { status, code, message } = self;
        json(status, serde_json::json!({ "error": message, "code": code }).to_string())
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "cannot answer a request");
        let message = "the database did not answer; see the log";
        problem(StatusCode::INTERNAL_SERVER_ERROR, "internal", message)
    }
}

pub(super) fn json(status: StatusCode, body: String) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}
