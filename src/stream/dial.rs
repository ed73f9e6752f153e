//! Opens a connection: asks the gateway for an endpoint and a ticket, and makes the WebSocket handshake there.
//!
//! Guards: the proxy, the certificates and the time-outs are those of the calls. The ticket goes only to a `wss` endpoint
//! (`ws` if the API itself is on this machine). An error text holds no URL, ticket or secret. Not here: when it is done
//! (`machine`).

use std::sync::Arc;

use reqwest::header::{ACCEPT, CONNECTION, CONTENT_TYPE, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE};
use reqwest::{Response, Url};
use serde_json::{Value, json};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use super::machine::Reason;
use crate::net;
use crate::secret::Secret;

/// The call that opens a connection.
const OPEN: &str = "/v1.0/gateway/connections/open";
/// The largest answer to it, in bytes; usual ones have about 200.
const MAX_ANSWER_BYTES: usize = 64 * 1024;
/// The largest frame, in bytes. An event with 100 members has about 40,000.
pub const MAX_FRAME_BYTES: usize = 1024 * 1024;

/// A connection after its handshake.
pub type Socket = WebSocketStream<reqwest::Upgraded>;

/// An app that may connect.
#[derive(Clone)]
pub struct App {
    /// The API's address, without a slash at its end.
    pub api_base: String,
    /// The app key.
    pub key: String,
    /// The app's secret.
    pub secret: Secret,
    /// The client of the app's calls, with its proxy and certificates.
    pub http: reqwest::Client,
}

impl std::fmt::Debug for App {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("App").finish_non_exhaustive()
    }
}

/// Why no connection was made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct DialError {
    /// [`Reason::Auth`] or [`Reason::Unreachable`].
    pub reason: Reason,
    /// In plain words, without a URL, ticket or secret.
    pub text: String,
}

impl DialError {
    pub(super) fn unreachable(text: impl Into<String>) -> Self {
        Self { reason: Reason::Unreachable, text: text.into() }
    }
}

/// Opens a connection and makes the handshake. The caller limits the time.
pub async fn dial(app: &Arc<App>) -> Result<Socket, DialError> {
    let (endpoint, ticket) = open(app).await?;
    let url = socket_url(&app.api_base, &endpoint, ticket.reveal())?;
    let key = generate_key();
    let request = app
        .http
        .get(url)
        .header(CONNECTION, "Upgrade")
        .header(UPGRADE, "websocket")
        .header("Sec-WebSocket-Version", "13")
        .header(SEC_WEBSOCKET_KEY, &key);
    let response = request
        .send()
        .await
        .map_err(|error| DialError::unreachable(format!("WebSocket: {}", net::describe(error))))?;
    let status = response.status().as_u16();
    if status != 101 {
        return Err(DialError::unreachable(format!("the WebSocket was refused with HTTP {status}")));
    }
    let accepted = response.headers().get(SEC_WEBSOCKET_ACCEPT).map(reqwest::header::HeaderValue::as_bytes);
    if accepted != Some(derive_accept_key(key.as_bytes()).as_bytes()) {
        return Err(DialError::unreachable("the server's handshake is none of a WebSocket"));
    }
    let upgraded = response
        .upgrade()
        .await
        .map_err(|error| DialError::unreachable(format!("WebSocket: {}", net::describe(error))))?;
    let limits = WebSocketConfig::default()
        .max_message_size(Some(MAX_FRAME_BYTES))
        .max_frame_size(Some(MAX_FRAME_BYTES))
        .max_write_buffer_size(4 * MAX_FRAME_BYTES);
    Ok(WebSocketStream::from_raw_socket(upgraded, Role::Client, Some(limits)).await)
}

/// The call that gives endpoint and ticket.
async fn open(app: &App) -> Result<(String, Secret), DialError> {
    let body = json!({
        "clientId": app.key,
        "clientSecret": app.secret.reveal(),
        "subscriptions": [{ "type": "EVENT", "topic": "*" }],
        "ua": concat!("presenced/", env!("CARGO_PKG_VERSION")),
    });
    let request = app
        .http
        .post(format!("{}{OPEN}", app.api_base))
        // Without it the gateway answers in XML.
        .header(ACCEPT, "application/json")
        .header(CONTENT_TYPE, "application/json")
        .body(body.to_string());
    let response = request
        .send()
        .await
        .map_err(|error| DialError::unreachable(format!("open: {}", net::describe(error))))?;
    let status = response.status().as_u16();
    let body = limited_body(response).await?;
    let answer: Value = serde_json::from_slice(&body).unwrap_or_default();
    let text = |name: &str| answer.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    match (status, text("endpoint"), text("ticket")) {
        (200, Some(endpoint), Some(ticket)) => Ok((endpoint.to_owned(), Secret::new(ticket))),
        (401, ..) => refused(),
        _ if text("code") == Some("authFailed") => refused(),
        (200, ..) => Err(DialError::unreachable("the answer to the open call has no endpoint and ticket")),
        _ => Err(DialError::unreachable(format!("the open call was refused with HTTP {status}"))),
    }
}

fn refused<T>() -> Result<T, DialError> {
    let text =
        "DingTalk refuses the app's key or secret for a push connection; check `app_key` and `app_secret`";
    Err(DialError { reason: Reason::Auth, text: text.to_owned() })
}

async fn limited_body(mut response: Response) -> Result<Vec<u8>, DialError> {
    let mut body = Vec::new();
    while let Some(chunk) = response
        .chunk()
        .await
        .map_err(|error| DialError::unreachable(format!("open: {}", net::describe(error))))?
    {
        if body.len() + chunk.len() > MAX_ANSWER_BYTES {
            return Err(DialError::unreachable("the answer to the open call is too long"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// The address of the WebSocket as the HTTP client writes it, with the ticket.
fn socket_url(api_base: &str, endpoint: &str, ticket: &str) -> Result<Url, DialError> {
    let unusable = || DialError::unreachable("the gateway names an endpoint that is not `wss`");
    let mut url = Url::parse(endpoint).map_err(|_| unusable())?;
    let scheme = match url.scheme() {
        "wss" => "https",
        "ws" if Url::parse(api_base).is_ok_and(|base| is_loopback(&base)) && is_loopback(&url) => "http",
        _ => return Err(unusable()),
    };
    // `Url::set_scheme` does not change `ws` to `http`.
    let rest = url.as_str().split_once(':').map(|(_, rest)| rest.to_owned()).unwrap_or_default();
    url = Url::parse(&format!("{scheme}:{rest}")).map_err(|_| unusable())?;
    url.query_pairs_mut().append_pair("ticket", ticket);
    Ok(url)
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_goes_to_wss_only_or_stays_on_this_machine() {
        let local = "http://127.0.0.1:8788";
        let remote = "https://api.dingtalk.io";
        let url = |base, endpoint| socket_url(base, endpoint, "a+b/c=").ok().map(|url| url.to_string());
        assert_eq!(
            url(remote, "wss://wss.dingtalk.com:443/connect").as_deref(),
            Some("https://wss.dingtalk.com/connect?ticket=a%2Bb%2Fc%3D")
        );
        assert_eq!(
            url(local, "ws://127.0.0.1:8788/connect").as_deref(),
            Some("http://127.0.0.1:8788/connect?ticket=a%2Bb%2Fc%3D")
        );
        assert!(url(local, "ws://localhost:1/c").is_some() && url(local, "ws://[::1]:1/c").is_some());
        for endpoint in ["ws://wss.dingtalk.com/c", "http://127.0.0.1/c", "https://x/c", "file:///c", "x", ""]
        {
            assert_eq!(url(local, endpoint), None, "{endpoint}");
        }
        assert_eq!(url(remote, "ws://127.0.0.1:8788/connect"), None);
    }

    #[test]
    fn an_app_does_not_print() {
        let app = App {
            api_base: "http://127.0.0.1".into(),
            key: "the-key".into(),
            secret: Secret::new("hunter2"),
            http: net::http_client(&net::ClientOptions {
                connect_timeout: std::time::Duration::from_secs(1),
                timeout: std::time::Duration::from_secs(1),
                idle_per_host: 1,
                proxy: None,
                extra_roots_pem: None,
            })
            .unwrap()
            .build()
            .unwrap(),
        };
        let text = format!("{app:?}");
        assert!(!text.contains("hunter2") && !text.contains("the-key"), "{text}");
    }
}
