//! The page for a visitor without a token: says how to get in.
//!
//! Guards: nothing about users, and nothing of what was asked for, is on it. Not here: signing in (`signin`).

use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use maud::{DOCTYPE, html};

use super::view::{Lang, head, mark};
use crate::web::proxy::Client;

/// The page, with this status.
pub(crate) fn page(request: &Request, status: StatusCode) -> Response {
    draw(request.uri(), request.headers(), request.extensions().get(), status)
}

/// The same from the parts of a request.
pub(super) fn draw(uri: &Uri, headers: &HeaderMap, client: Option<&Client>, status: StatusCode) -> Response {
    let lang = Lang::wanted(uri, headers);
    let base = client.map(|client| client.prefix.clone()).unwrap_or_default();
    let title = lang.of("Sign in", "登录");
    let text = match status {
        StatusCode::FORBIDDEN => lang.of("Your token does not open this page.", "当前令牌无权打开此页。"),
        StatusCode::UNPROCESSABLE_ENTITY => lang.of(
            "The token or the link is wrong, or the link was used or is too old.",
            "令牌或链接有误，或链接已使用、已过期。",
        ),
        _ => lang.of("This page needs a token.", "此页需要令牌。"),
    };
    let page = html! {
        (DOCTYPE)
        html lang=(lang.tag()) {
            (head(title, &base))
            body.login {
                main #main {
                    form.card method="post" action=(format!("{base}/login")) {
                        h1 { (mark()) "presenced" }
                        p role="status" { (text) }
                        label { (lang.of("Token", "令牌"))
                            input type="password" name="token" required autocomplete="current-password"; }
                        button { (title) }
                        p.hint {
                            (lang.of("On the machine of the daemon, ", "在服务所在的机器上运行 "))
                            code { "presenced page" }
                            (lang.of(" prints a link that signs you in.", " 可得到一个登录链接。"))
                        }
                    }
                }
            }
        }
    };
    (status, page_headers(), page.into_string()).into_response()
}

/// The type of every page.
pub(super) fn page_headers() -> [(axum::http::HeaderName, &'static str); 1] {
    [(axum::http::header::CONTENT_TYPE, "text/html; charset=utf-8")]
}
