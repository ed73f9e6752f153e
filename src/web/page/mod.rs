//! The page: server-rendered HTML, a style and a small script.
//!
//! Guards: everything works without the script; a strict policy allows only the files of this listener. Not here: access
//! control (`gate`), reading (`people`, `store`).

use axum::Router;
use axum::routing::{get, post};

use super::state::State;
use crate::config::Scope;

mod assets;
mod board;
mod calls;
mod chart;
mod day;
mod health;
mod lane;
pub(super) mod login;
mod meeting;
mod parts;
mod person;
mod respond;
mod signin;
mod view;
mod webhooks;
mod words;

/// The routes of a scope.
pub(super) fn routes(scope: Scope) -> Router<State> {
    match scope {
        Scope::Board => Router::new().route("/", get(board::board)),
        Scope::Viewer => Router::new()
            .route("/day", get(day::day))
            .route("/meeting/{id}", get(meeting::meeting))
            .route("/person/{id}", get(person::person)),
        Scope::Operator => Router::new()
            .route("/webhooks", get(webhooks::webhooks))
            .route("/webhooks/{name}", get(webhooks::webhook))
            .route("/webhooks/{name}/{action}", post(webhooks::act))
            .route("/calls", get(calls::calls))
            .route("/health", get(health::health)),
    }
}

/// The routes that are open without a token.
pub(super) fn open_routes() -> Router<State> {
    let login = get(signin::with_code).post(signin::with_token);
    assets::routes().route("/login", login).route("/logout", post(signin::leave))
}
