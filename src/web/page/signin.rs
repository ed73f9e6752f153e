//! `/login` and `/logout`: a one-time code or a token becomes a cookie.
//!
//! Guards: the cookie is out of the reach of scripts and of other sites; no token stays in an address. Not here: what a
//! cookie is (`session`).

use axum::Extension;
use axum::extract::{RawForm, State as Shared};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use maud::{DOCTYPE, html};

use super::login;
use super::view::{Lang, head};
use crate::clock::{Clock as _, SystemClock};
use crate::web::proxy::Client;
use crate::web::rights::Grant;
use crate::web::session::COOKIE;
use crate::web::state::State;
use crate::web::visitor::{pairs, set_cookie};

/// `GET /login?code=`: a link that `presenced page` printed; without a code, the form.
pub(super) async fn with_code(
    Shared(state): Shared<State>,
    Extension(client): Extension<Client>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let Some((_, code)) = pairs(&uri).find(|(name, _)| name == "code") else {
        return login::draw(&uri, &headers, Some(&client), StatusCode::OK);
    };
    let operator = state.grants().first().cloned().filter(|_| state.0.codes.redeem(&code, SystemClock.now()));
    enter(&client, &uri, &headers, operator.as_ref())
}

/// `POST /login`: the form.
pub(super) async fn with_token(
    Shared(state): Shared<State>,
    Extension(client): Extension<Client>,
    uri: Uri,
    headers: HeaderMap,
    RawForm(form): RawForm,
) -> Response {
    let token = form_urlencoded::parse(&form).find(|(name, _)| name == "token").map(|(_, value)| value);
    let grants = state.grants();
    let grant = token.and_then(|token| {
        grants.iter().find(|grant| !grant.token.reveal().is_empty() && grant.token.matches(token.trim()))
    });
    enter(&client, &uri, &headers, grant)
}

/// A page that goes on to the board: a redirect would still count as a request of the site that had the link, and not
/// carry the cookie.
fn enter(client: &Client, uri: &Uri, headers: &HeaderMap, grant: Option<&Grant>) -> Response {
    let Some(grant) = grant else {
        return login::draw(uri, headers, Some(client), StatusCode::UNPROCESSABLE_ENTITY);
    };
    let lang = Lang::wanted(uri, headers);
    let home = format!("{}/", client.prefix);
    let page = html! {
        (DOCTYPE)
        html lang=(lang.tag()) {
            (head(lang.of("Sign in", "登录"), &client.prefix))
            body.login {
                main #main {
                    p.card { a data-go="1" href=(home) { (lang.of("Signed in. Go to the board", "已登录，前往看板")) } }
                }
            }
        }
    };
    let mut response = (StatusCode::OK, login::page_headers(), page.into_string()).into_response();
    let headers = response.headers_mut();
    headers.insert(header::SET_COOKIE, set_cookie(grant, client.is_secure));
    // For browsers without scripts too.
    if let Ok(refresh) = HeaderValue::try_from(format!("0; url={home}")) {
        headers.insert(header::REFRESH, refresh);
    }
    response
}

/// `POST /logout`.
pub(super) async fn leave(Extension(client): Extension<Client>, uri: Uri, headers: HeaderMap) -> Response {
    let mut response = login::draw(&uri, &headers, Some(&client), StatusCode::OK);
    let gone = format!("{COOKIE}=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict");
    if let Ok(gone) = HeaderValue::try_from(gone) {
        response.headers_mut().insert(header::SET_COOKIE, gone);
    }
    response
}
