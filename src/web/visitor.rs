//! Which grant a request has: by `Authorization`, by a cookie, or by `?token=`.
//!
//! Guards: a request that shows several is judged by the first only. Not here: which routes need one (`gate`), what a scope
//! may see (`rights`), what a cookie is (`session`).

use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};

use super::response::problem;
use super::rights::Grant;
use super::session::{self, COOKIE};
use super::state::State;
use crate::clock::{Clock as _, SystemClock};
use crate::config::Scope;

/// The parameter of a URL that holds a token.
pub(super) const TOKEN: &str = "token";

/// Who sent a request.
#[derive(Clone, Debug)]
pub(super) struct Visitor {
    pub(super) grant: Grant,
    /// The cookie by which the visitor is known; a form needs one.
    pub(super) cookie: Option<String>,
    /// Known by `?token=`, which must not stay in an address bar.
    pub(super) by_url: bool,
}

/// The value of a cookie.
pub(super) fn cookie<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let all = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = all.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
}

/// The parameters of a URL.
pub(super) fn pairs(uri: &Uri) -> impl Iterator<Item = (String, String)> + '_ {
    form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()).into_owned()
}

/// Who sent a request, if it shows anything valid.
pub(super) fn visitor(state: &State, headers: &HeaderMap, uri: &Uri) -> Option<Visitor> {
    let grants = state.grants();
    let by_token = |token: &str, by_url| {
        // An empty token would match any request. There is none, but the check is cheap.
        let grant =
            grants.iter().find(|grant| !grant.token.reveal().is_empty() && grant.token.matches(token))?;
        Some(Visitor { grant: grant.clone(), cookie: None, by_url })
    };
    if let Some(value) = headers.get(header::AUTHORIZATION) {
        let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
        return scheme.eq_ignore_ascii_case("bearer").then(|| by_token(token.trim(), false))?;
    }
    if let Some((_, token)) = pairs(uri).find(|(name, _)| name == TOKEN) {
        return by_token(&token, true);
    }
    let cookie = cookie(headers, COOKIE)?;
    let grant = session::holder(cookie, &grants, SystemClock.now())?.clone();
    Some(Visitor { grant, cookie: Some(cookie.to_owned()), by_url: false })
}

/// The header that signs a browser in.
pub(super) fn set_cookie(grant: &Grant, secure: bool) -> HeaderValue {
    let value = session::cookie(grant, SystemClock.now());
    let (age, secure) = (session::lifetime(grant.scope).as_secs(), if secure { "; Secure" } else { "" });
    let text = format!("{COOKIE}={value}; Path=/; Max-Age={age}; HttpOnly; SameSite=Strict{secure}");
    // The name is checked by the config and the rest is base64, so it is a valid header.
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""))
}

/// 401 with a message.
pub(super) fn unauthorised() -> Response {
    let text = "the token is missing or wrong: send `Authorization: Bearer ...`";
    let mut response = problem(StatusCode::UNAUTHORIZED, "unauthorized", text).into_response();
    let challenge = HeaderValue::from_static("Bearer realm=\"presenced\"");
    response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    response
}

/// 403 with a message.
pub(super) fn forbidden() -> Response {
    problem(StatusCode::FORBIDDEN, "forbidden", "this token does not open this").into_response()
}

/// Whether a request has a token that opens everything.
pub(super) fn is_operator(state: &State, headers: &HeaderMap, uri: &Uri) -> bool {
    visitor(state, headers, uri).is_some_and(|visitor| visitor.grant.scope == Scope::Operator)
}
