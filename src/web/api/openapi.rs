//! `/api/v1/openapi.json`: the API described as `OpenAPI` 3.1, from the table that makes its routes.
//!
//! Guards: no operation, parameter or field is described twice or by hand. Not here: the operations (`api`).

use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Map, Value, json};

use super::operation::Operation;
use super::table::OPERATIONS;
use crate::config::Scope;
use crate::web::response;

/// The document.
pub(crate) async fn openapi() -> Response {
    response::json(StatusCode::OK, document().to_string())
}

fn document() -> Value {
    let mut paths = Map::new();
    for operation in &OPERATIONS {
        paths.insert(operation.path.to_owned(), json!({ "get": operation.document() }));
    }
    paths.insert("/api/v1/stream".to_owned(), json!({ "get": stream() }));
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "presenced",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Who is in which DingTalk meeting. A token has a scope: `board` opens who is in a meeting now, \
                `viewer` the history too, `operator` everything.",
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "security": [{ "bearer": [] }],
        "paths": paths,
        "components": {
            "securitySchemes": { "bearer": { "type": "http", "scheme": "bearer" } },
            "schemas": { "Error": {
                "type": "object",
                "required": ["error", "code"],
                "properties": {
                    "error": { "type": "string", "description": "For people." },
                    "code": { "type": "string", "description": "For programs.", "enum": [
                        "bad_request", "unauthorized", "forbidden", "not_found", "unknown_host", "too_many_readers",
                        "method_not_allowed", "unavailable", "internal",
                    ] },
                },
            } },
        },
    })
}

impl Operation {
    fn document(&self) -> Value {
        let mut parameters: Vec<Value> =
            self.parameters.iter().map(|parameter| parameter.document()).collect();
        let in_path =
            self.path.split_once('{').and_then(|(_, rest)| rest.split_once('}')).map(|(name, _)| name);
        if let Some(name) = in_path {
            parameters.push(
                json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }),
            );
        }
        let mut responses = json!({
            "200": { "description": "The answer.", "content": { "application/json": { "schema": (self.schema)() } } },
            "400": failure("A parameter is wrong."),
            "401": failure("The token is missing or wrong."),
            "403": failure("The token does not open this."),
            "421": failure("`Host` names another server."),
            "503": failure("The database is too slow at the moment."),
        });
        if in_path.is_some() {
            responses["404"] = failure("There is none of this name.");
        }
        json!({
            "operationId": self.id,
            "summary": self.about,
            "description": format!("Scope: `{}`.", scope(self.scope)),
            "parameters": parameters,
            "responses": responses,
        })
    }
}

fn scope(scope: Scope) -> &'static str {
    match scope {
        Scope::Board => "board",
        Scope::Viewer => "viewer",
        Scope::Operator => "operator",
    }
}

fn failure(about: &str) -> Value {
    let schema = json!({ "$ref": "#/components/schemas/Error" });
    json!({ "description": about, "content": { "application/json": { "schema": schema } } })
}

fn stream() -> Value {
    json!({
        "operationId": "stream",
        "summary": "Events as they are recorded, as server-sent events.",
        "description": "Scope: `board`. `id:` is the sequence; after a reconnect `Last-Event-ID` continues there. `data:` is \
            the body of the event; a token that opens no history or shows no names gets `event: changed` and the sequence \
            alone. A comment every 15 s keeps the connection open.",
        "parameters": [
            { "name": "after", "in": "query", "schema": { "type": "integer", "minimum": 0, "maximum": u64::MAX },
              "description": "Begin after this sequence; without it, with the next event." },
            { "name": "Last-Event-ID", "in": "header", "schema": { "type": "integer", "minimum": 0, "maximum": u64::MAX },
              "description": "The same, and outranks it." },
        ],
        "responses": {
            "200": { "description": "The stream.", "content": { "text/event-stream": { "schema": { "type": "string" } } } },
            "400": failure("A parameter is wrong."),
            "401": failure("The token is missing or wrong."),
            "421": failure("`Host` names another server."),
            "503": failure("64 readers are connected already."),
        },
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn ids_and_paths_stand_once_and_every_field_has_a_sentence() {
        let ids: BTreeSet<&str> = OPERATIONS.iter().map(|operation| operation.id).collect();
        let paths: BTreeSet<&str> = OPERATIONS.iter().map(|operation| operation.path).collect();
        assert_eq!((ids.len(), paths.len()), (OPERATIONS.len(), OPERATIONS.len()));
        for operation in &OPERATIONS {
            let schema = (operation.schema)();
            for (name, field) in schema["properties"].as_object().unwrap() {
                let about = field["description"].as_str().unwrap();
                assert!(about.ends_with('.'), "{name} of {}: {about}", operation.path);
            }
        }
    }
}
