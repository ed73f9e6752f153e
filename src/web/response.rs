//! JSON responses.
//!
//! Guards: an error is always `{"error":"..."}`. Not here: what is answered.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

/// `{"error":"..."}`
pub(super) fn problem(status: StatusCode, message: &str) -> Response {
    json(status, serde_json::json!({ "error": message }).to_string())
}

pub(super) fn json(status: StatusCode, body: String) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}
