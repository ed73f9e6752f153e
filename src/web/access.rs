//! The check of the `Host` header.
//!
//! Guards: a web page whose name resolves to this address (DNS rebinding) is refused, also from a browser on this machine.
//! Not here: tokens (`visitor`), proxies (`proxy`).

use std::net::{IpAddr, SocketAddr};

use axum::extract::{Request, State as Shared};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::proxy::Client;
use super::response::problem;
use super::state::State;

/// Answers 421 unless `Host` names this listener. Paths without data about users accept any name.
pub(super) async fn known_host(Shared(state): Shared<State>, request: Request, next: Next) -> Response {
    let by_proxy = request.extensions().get::<Client>().is_some_and(|client| client.is_trusted_proxy)
        && forwarded_host(request.headers()).is_some_and(|host| state.has_host(host));
    if by_proxy || state.is_open(request.uri().path()) || is_known(&state, request.headers(), request.uri()) {
        return next.run(request).await;
    }
    let text = "unknown host name: use the address or localhost, with the port, or add the name to `hosts` in [http]";
    problem(StatusCode::MISDIRECTED_REQUEST, "unknown_host", text).into_response()
}

/// The name that the client used, if a proxy changed `Host`.
fn forwarded_host(headers: &HeaderMap) -> Option<&str> {
    headers.get("x-forwarded-host").and_then(|value| value.to_str().ok()).map(str::trim)
}

/// Whether the `Host` of a request names this listener.
pub(super) fn is_known(state: &State, headers: &HeaderMap, uri: &Uri) -> bool {
    let known = |host: &str| is_ours(host, state.0.listen) || state.has_host(host);
    let mut hosts = headers.get_all(header::HOST).iter();
    let named = match (hosts.next().map(HeaderValue::to_str), hosts.next()) {
        (Some(Ok(host)), None) => known(host),
        _ => false,
    };
    // In the absolute form the request line names the host too, and outranks the header (RFC 9112, 3.2.2).
    named && uri.authority().is_none_or(|host| known(host.as_str()))
}

/// Whether `host` is localhost or the address of the listener. If it listens on every address, any literal address counts,
/// because DNS rebinding cannot forge one.
fn is_ours(host: &str, listen: SocketAddr) -> bool {
    let (name, port) = match host.rsplit_once(':') {
        // In `[::1]` without a port the last colon is inside the brackets.
        Some((name, port)) if !port.ends_with(']') => (name, port.parse().ok()),
        _ => (host, Some(80)),
    };
    if port != Some(listen.port()) {
        return false;
    }
    if name.eq_ignore_ascii_case("localhost") {
        return true;
    }
    let literal = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    literal.parse::<IpAddr>().is_ok_and(|address| {
        let address = address.to_canonical();
        address.is_loopback() || address == listen.ip().to_canonical() || listen.ip().is_unspecified()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_mean_this_listener_pass() {
        let loopback: SocketAddr = "127.0.0.1:8787".parse().unwrap();
        for ours in ["127.0.0.1:8787", "localhost:8787", "LocalHost:8787", "[::1]:8787", "127.0.0.2:8787"] {
            assert!(is_ours(ours, loopback), "{ours}");
        }
        for foreign in [
            "",
            "127.0.0.1",
            "localhost",
            "127.0.0.1:80",
            "evil.example:8787",
            "localhost.evil.example:8787",
            "192.0.2.7:8787",
            "[::1]",
            ":8787",
            "127.0.0.1:8787:8787",
            "localhost:+8787x",
        ] {
            assert!(!is_ours(foreign, loopback), "{foreign}");
        }
    }

    #[test]
    fn port_80_may_go_unsaid() {
        let listen: SocketAddr = "127.0.0.1:80".parse().unwrap();
        assert!(is_ours("localhost", listen) && is_ours("[::1]", listen) && is_ours("127.0.0.1:80", listen));
    }

    #[test]
    fn at_every_address_any_literal_one_is_ours_and_no_name() {
        let every: SocketAddr = "0.0.0.0:8787".parse().unwrap();
        assert!(is_ours("192.0.2.7:8787", every) && is_ours("[2001:db8::7]:8787", every));
        assert!(!is_ours("evil.example:8787", every));
    }
}
