//! Lets requests through to the routes of a scope.
//!
//! Guards: each route names the scope that it needs; what is refused gets JSON below `/api/`, and a page elsewhere. Not here:
//! who sent a request (`visitor`).

use axum::extract::{Request, State as Shared};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;

use super::page::login;
use super::proxy::Client;
use super::session;
use super::state::State;
use super::visitor::{forbidden, set_cookie, unauthorised, visitor};
use crate::clock::{Clock as _, SystemClock};
use crate::config::{Scope, Show};

/// Lets a request pass that may do what `scope` needs, and notes who sent it.
pub(super) async fn needs(
    Shared((state, scope)): Shared<(State, Scope)>,
    mut request: Request,
    next: Next,
) -> Response {
    let is_api = request.uri().path().starts_with("/api/");
    let Some(visitor) = visitor(&state, request.headers(), request.uri()) else {
        return if is_api { unauthorised() } else { login::page(&request, StatusCode::UNAUTHORIZED) };
    };
    // A token that shows only counts has no history: every row of one is about a user.
    let counts_only = visitor.grant.show == Show::Counts && scope > Scope::Board;
    if visitor.grant.scope < scope || counts_only {
        return if is_api { forbidden() } else { login::page(&request, StatusCode::FORBIDDEN) };
    }
    let secure = request.extensions().get::<Client>().is_some_and(|client| client.is_secure);
    let renewed =
        visitor.cookie.as_deref().filter(|cookie| session::is_old(cookie, &visitor.grant, SystemClock.now()));
    // A page that is opened with a token in its address goes on with a cookie.
    let renewed = renewed.is_some() || (visitor.by_url && !is_api);
    let renewed = renewed.then(|| set_cookie(&visitor.grant, secure));
    request.extensions_mut().insert(visitor);
    let mut response = next.run(request).await;
    if let Some(cookie) = renewed {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}
