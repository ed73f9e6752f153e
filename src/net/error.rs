//! Why an HTTP client cannot be built.
//!
//! Guards: no text holds a URL. Not here: errors of requests (`net::describe`).

/// Why an HTTP client cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The base URL does not parse.
    #[error("the base URL is not usable: {0}")]
    Base(String),
    /// The proxy URL does not parse.
    #[error("the proxy URL is not usable: {0}")]
    Proxy(String),
    /// The extra certificates do not parse.
    #[error("the CA file holds no usable PEM certificate: {0}")]
    Roots(String),
    /// The TLS stack refused the settings; usually the system has no CA certificates installed.
    #[error("no HTTP client could be made (is the `ca-certificates` package installed?): {0}")]
    Build(String),
}
