//! How every HTTP client here is made: one place for the limits that all of them share.
//!
//! Guards: no redirects (a token would travel along), no proxy from the environment, no hidden retries, time-outs
//! always, and error texts without the URL (its query names people, or is a secret).
//! Deliberately not here: what is asked (`dingtalk`, `webhook`).

mod reason;
mod trust;

use std::sync::Once;
use std::time::Duration;

/// What one client may do.
#[derive(Clone, Debug)]
pub struct Limits {
    /// To establish a connection, TLS included.
    pub connect_timeout: Duration,
    /// For the whole request, its body included.
    pub timeout: Duration,
    /// Idle connections kept for each host; set it to the concurrency.
    pub idle_per_host: usize,
    /// A proxy URL, when the operator configured one.
    pub proxy: Option<String>,
    /// PEM certificates to trust beside the system's.
    pub extra_roots_pem: Option<Vec<u8>>,
}

/// Why a client could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The base URL is not one.
    #[error("the base URL is not usable: {0}")]
    Base(String),
    /// The proxy URL is not one.
    #[error("the proxy URL is not usable: {0}")]
    Proxy(String),
    /// The extra certificates do not parse.
    #[error("the CA file holds no usable PEM certificate: {0}")]
    Roots(String),
    /// The TLS stack refused; usually the system has no CA certificates installed.
    #[error("no HTTP client could be made (is the `ca-certificates` package installed?): {0}")]
    Build(String),
}

/// A builder with every shared rule set; add a resolver or a user agent to it, then `build`.
#[expect(clippy::disallowed_methods, reason = "this is the room where HTTP clients are made")]
pub fn http_client(limits: &Limits) -> Result<reqwest::ClientBuilder, ClientError> {
    install_tls_provider();
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("presenced/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .no_proxy()
        .connect_timeout(limits.connect_timeout)
        .timeout(limits.timeout)
        .pool_max_idle_per_host(limits.idle_per_host)
        // Under the 60 s after which load balancers usually drop an idle connection.
        .pool_idle_timeout(Duration::from_secs(50));
    if let Some(url) = &limits.proxy {
        let proxy = reqwest::Proxy::all(url).map_err(|e| ClientError::Proxy(describe(e)))?;
        builder = builder.proxy(proxy);
    }
    if let Some(pem) = &limits.extra_roots_pem {
        builder = builder.tls_backend_preconfigured(trust::tls_trusting(pem)?);
    }
    Ok(builder)
}

/// The error with its causes, in one line, without any URL; what TLS refuses in plain words with the next step.
pub fn describe(error: reqwest::Error) -> String {
    if let Some(reason) = reason::tls_reason(&error) {
        return reason;
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

fn install_tls_provider() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        #[cfg(feature = "tls-aws-lc")]
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        #[cfg(all(feature = "tls-ring", not(feature = "tls-aws-lc")))]
        let provider = rustls::crypto::ring::default_provider();
        // An error means a provider is installed already, which is what is wanted.
        #[cfg(any(feature = "tls-ring", feature = "tls-aws-lc"))]
        let _ = provider.install_default();
    });
}
