//! A page as a response, also when it cannot be read.
//!
//! Guards: each page is read within a time limit; no token stays in an address. Not here: the pages.

use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Redirect, Response};
use maud::{Markup, html};
use tokio::time::timeout;

use super::login;
use super::view::View;
use crate::web::response::Problem;

/// Timeout of reading a page.
const READ_TIME: Duration = Duration::from_secs(10);

/// A page, or the page of an error.
pub(super) async fn respond(
    view: &View,
    title: &str,
    body: impl Future<Output = Result<Markup, Problem>>,
) -> Response {
    if view.by_url {
        return without_token(view);
    }
    let (status, body) = match timeout(READ_TIME, body).await {
        Ok(Ok(body)) => (StatusCode::OK, body),
        Ok(Err(problem)) => (problem.status, failure(view, problem.status)),
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, failure(view, StatusCode::SERVICE_UNAVAILABLE)),
    };
    let mut response = (status, login::page_headers(), view.page(title, &body).into_string()).into_response();
    if view.parameter("lang").is_some() {
        let kept = format!("lang={}; Path=/; Max-Age=31536000; SameSite=Lax", view.lang.tag());
        if let Ok(kept) = HeaderValue::try_from(kept) {
            response.headers_mut().append(header::SET_COOKIE, kept);
        }
    }
    response
}

/// The same address without the token, which the cookie stands for from now on.
fn without_token(view: &View) -> Response {
    Redirect::to(&view.bare_address()).into_response()
}

/// What a page shows instead of what it should.
pub(super) fn failure(view: &View, status: StatusCode) -> Markup {
    html! {
        div.empty {
            @match status {
                StatusCode::NOT_FOUND => { (view.t("There is nothing here.", "这里没有内容。")) }
                StatusCode::FORBIDDEN => { (view.t("Your token does not open this page.", "当前令牌无权打开此页。")) }
                _ => { (view.t("The database did not answer. Reload to try again.", "数据库没有响应，请刷新重试。")) }
            }
        }
    }
}
