//! Builds every HTTP client of the program, with the options that all of them share.
//!
//! Guards: a client follows no redirects (a token would travel along), takes no proxy from the environment and makes no
//! hidden retries. It always has time-outs. An error text holds no URL, because a query names people or is a secret.
//! Not here: the requests (`dingtalk`, `webhook`).

mod error;
mod retry_after;
mod tls_error;
mod trust;

pub use error::ClientError;
pub use retry_after::retry_after;

use std::io::ErrorKind;
use std::sync::Once;
use std::time::Duration;

/// The options of one client.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// For opening a connection, TLS included.
    pub connect_timeout: Duration,
    /// For the whole request, body included.
    pub timeout: Duration,
    /// Idle connections kept per host; set it to the concurrency.
    pub idle_per_host: usize,
    /// A proxy URL, if the operator configured one.
    pub proxy: Option<String>,
    /// PEM certificates to trust in addition to the system's.
    pub extra_roots_pem: Option<Vec<u8>>,
}

/// A client builder with all shared rules set. Callers add a resolver or a user agent and then call `build`.
#[expect(clippy::disallowed_methods, reason = "this is the room where HTTP clients are made")]
pub fn http_client(options: &ClientOptions) -> Result<reqwest::ClientBuilder, ClientError> {
    install_tls_provider();
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("presenced/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .no_proxy()
        .connect_timeout(options.connect_timeout)
        .timeout(options.timeout)
        .pool_max_idle_per_host(options.idle_per_host)
        // Load balancers usually close an idle connection after 60 s.
        .pool_idle_timeout(Duration::from_secs(50));
    if let Some(url) = &options.proxy {
        let proxy = reqwest::Proxy::all(url).map_err(|e| ClientError::Proxy(describe(e)))?;
        builder = builder.proxy(proxy);
    }
    if let Some(pem) = &options.extra_roots_pem {
        builder = builder.tls_backend_preconfigured(trust::tls_trusting(pem)?);
    }
    Ok(builder)
}

/// The error and its causes in one line, without any URL. A TLS failure is explained with the next step.
pub fn describe(error: reqwest::Error) -> String {
    if let Some(reason) = tls_error::tls_reason(&error) {
        return reason;
    }
    if let Some(reason) = connect_reason(&error) {
        return reason.to_owned();
    }
    let error = error.without_url();
    let mut text = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

/// Why no connection was opened, in plain words. `None`: not one of the usual reasons.
fn connect_reason(error: &reqwest::Error) -> Option<&'static str> {
    if !error.is_connect() {
        return None;
    }
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        // The text of the C library.
        if cause.to_string().starts_with("failed to lookup address information") {
            return Some("the host name cannot be resolved");
        }
        match cause.downcast_ref::<std::io::Error>().map(std::io::Error::kind) {
            Some(ErrorKind::ConnectionRefused) => return Some("connection refused"),
            Some(ErrorKind::ConnectionReset) => return Some("connection reset"),
            Some(ErrorKind::HostUnreachable) => return Some("the host cannot be reached"),
            Some(ErrorKind::NetworkUnreachable) => return Some("the network cannot be reached"),
            Some(ErrorKind::TimedOut) => return Some("connecting timed out"),
            _ => source = cause.source(),
        }
    }
    None
}

fn install_tls_provider() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        #[cfg(feature = "tls-aws-lc")]
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        #[cfg(all(feature = "tls-ring", not(feature = "tls-aws-lc")))]
        let provider = rustls::crypto::ring::default_provider();
        // An error means that a provider is already installed, which is enough.
        #[cfg(any(feature = "tls-ring", feature = "tls-aws-lc"))]
        let _ = provider.install_default();
    });
}
