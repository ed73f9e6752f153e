//! Requests that come through a reverse proxy: the client behind it, and the prefix of links.
//!
//! Guards: `X-Forwarded-*` counts only from `trusted_proxies`; a request that was forwarded is never one from this machine
//! unless a trusted proxy says so. Not here: the check of `Host` (`access`).

use std::net::IpAddr;

use axum::extract::{ConnectInfo, Request, State as Shared};
use axum::http::{HeaderMap, Uri, uri::PathAndQuery};
use axum::middleware::Next;
use axum::response::Response;

use super::state::State;
use crate::server::Peer;

/// Where a request comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Client {
    /// From this machine.
    pub(super) is_local: bool,
    /// By TLS, as far as the proxy says or `public_url` promises.
    pub(super) is_secure: bool,
    /// What links begin with: empty, or a path without a slash at the end.
    pub(super) prefix: String,
    /// The peer is a trusted proxy.
    pub(super) is_trusted_proxy: bool,
}

/// Reads the headers of a request from `peer`.
pub(super) fn client(state: &State, peer: &Peer, headers: &HeaderMap) -> Client {
    let trusted =
        |address: IpAddr| state.settings().trusted_proxies.iter().any(|range| range.contains(address));
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let public_url = state.settings().public_url.clone();
    let own_prefix = public_url.as_deref().map(path_of).unwrap_or_default();
    let is_forwarded = ["x-forwarded-for", "forwarded"].iter().any(|name| headers.contains_key(*name));
    if !peer.address.is_some_and(|address| trusted(address.ip())) {
        let is_local = peer.is_local() && !is_forwarded;
        let is_secure = is_forwarded && public_url.is_some_and(|url| url.starts_with("https:"));
        return Client { is_local, is_secure, prefix: own_prefix, is_trusted_proxy: false };
    }
    // The rightmost address that is no proxy of ours is the client; what is left of it the client may have written.
    let hops = text("x-forwarded-for").unwrap_or_default();
    let origin = hops.rsplit(',').map(|hop| hop.trim().parse().ok()).find(|hop| !hop.is_some_and(trusted));
    let is_local = match origin {
        Some(Some(address)) => IpAddr::to_canonical(&address).is_loopback(),
        Some(None) => false,
        None => peer.is_local() && !is_forwarded,
    };
    let is_secure = match text("x-forwarded-proto") {
        Some(scheme) => scheme.eq_ignore_ascii_case("https"),
        None => public_url.is_some_and(|url| url.starts_with("https:")),
    };
    let prefix = text("x-forwarded-prefix").filter(|prefix| is_prefix(prefix));
    let prefix = prefix.map_or(own_prefix, |prefix| prefix.trim_end_matches('/').to_owned());
    Client { is_local, is_secure, prefix, is_trusted_proxy: true }
}

/// A path that can stand in a link: `//host` would name another site.
fn is_prefix(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/-._~".contains(c);
    text.starts_with('/') && !text.starts_with("//") && text.chars().all(plain)
}

/// The path of a URL, without a slash at the end.
fn path_of(url: &str) -> String {
    let path = url.split_once("://").and_then(|(_, rest)| rest.split_once('/'));
    path.map(|(_, path)| format!("/{}", path.trim_end_matches('/'))).unwrap_or_default()
}

/// Notes the client for all that follows, and takes the prefix off a path that a proxy passed on with it.
pub(super) async fn note_client(
    Shared(state): Shared<State>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    mut request: Request,
    next: Next,
) -> Response {
    let client = client(&state, &peer, request.headers());
    if let Some(uri) = without_prefix(request.uri(), &client.prefix) {
        *request.uri_mut() = uri;
    }
    request.extensions_mut().insert(client);
    next.run(request).await
}

fn without_prefix(uri: &Uri, prefix: &str) -> Option<Uri> {
    let rest = uri
        .path()
        .strip_prefix(prefix)
        .filter(|rest| !prefix.is_empty() && (rest.is_empty() || rest.starts_with('/')))?;
    let rest = if rest.is_empty() { "/" } else { rest };
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(format!("{rest}{query}").parse::<PathAndQuery>().ok()?);
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_taken_off_only_as_a_whole() {
        let of = |uri: &str| without_prefix(&uri.parse().unwrap(), "/presence").map(|uri| uri.to_string());
        assert_eq!(of("/presence/day?date=1"), Some("/day?date=1".into()));
        assert_eq!(of("/presence"), Some("/".into()));
        assert_eq!(of("/presences"), None);
        assert_eq!(of("/day"), None);
        assert_eq!(without_prefix(&"/day".parse().unwrap(), ""), None);
        assert_eq!(path_of("https://example.com/presence/"), "/presence");
        assert_eq!(path_of("https://example.com"), "");
        assert!(is_prefix("/a/b") && !is_prefix("//evil.example") && !is_prefix("/\"><script>"));
    }
}
