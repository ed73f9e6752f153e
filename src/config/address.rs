//! Reading addresses: URLs, bases of APIs, proxies, where to listen.
//!
//! Guards: no user or password in a URL (they are printed and logged), host names in ASCII, the app's secret never
//! unencrypted beyond this machine. Deliberately not here: which addresses may be connected to (`webhook`).

use std::net::{IpAddr, SocketAddr};

use super::public;
use super::section::{Raw, Trouble};
use super::value::text;

/// An `http` or `https` URL without a user, its host in ASCII.
pub(super) fn url(text: &str) -> Result<reqwest::Url, Trouble> {
    let example = "for example `https://hooks.example.com/dingtalk`";
    if text.trim() != text {
        return Err(Trouble::new("white space stands around the URL", "take it out"));
    }
    let Some((scheme, rest)) = text.split_once("://") else {
        return Err(without_scheme(text).unwrap_or_else(|| Trouble::new("is not a URL", example)));
    };
    if !matches!(scheme.to_ascii_lowercase().as_str(), "http" | "https") {
        return Err(Trouble::new("its scheme cannot be called", "write `https://`"));
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or("");
    if authority.contains('@') {
        return Err(Trouble::new(
            "holds a user or a password",
            "a URL is printed and logged: send them in a header whose value is a secret",
        ));
    }
    if !authority.is_ascii() {
        return Err(Trouble::new("the host is not ASCII", "write its punycode form, `xn--...`"));
    }
    reqwest::Url::parse(text).map_err(|error| Trouble::new(format!("is not a URL: {error}"), example))
}

/// What is an address once its scheme stands in front.
fn without_scheme(text: &str) -> Option<Trouble> {
    let rest = ["https:", "http:"].iter().find_map(|scheme| text.strip_prefix(scheme)).unwrap_or(text);
    let whole = format!("https://{}", rest.trim_start_matches('/'));
    let host = reqwest::Url::parse(&whole).ok()?.host_str()?.to_owned();
    let is_one = host == "localhost" || host.contains(['.', ':']) && !text.contains(['@', ' ']);
    let shown = public::origin_shown(&whole).filter(|_| public::is_host(&host) && text.contains(&host));
    is_one.then(|| {
        let help =
            shown.map_or_else(|| "put `https://` in front of it".to_owned(), |it| format!("write `{it}`"));
        Trouble::new("does not begin with `https://`", help)
    })
}

/// Whether the URL's host is this machine.
pub(super) fn is_loopback(url: &reqwest::Url) -> bool {
    let host = url.host_str().unwrap_or("").trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || host.ends_with(".localhost")
        || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// A base of an API: `https`, or `http` to this machine; without a slash at the end.
pub(super) fn api_base(raw: Raw<'_>) -> Result<String, Trouble> {
    let text = text(raw)?;
    let url = url(&text)?;
    if url.scheme() == "http" && !is_loopback(&url) {
        return Err(Trouble::new(
            "the app's secret would travel unencrypted",
            "write `https://`; `http` is for loopback",
        ));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(Trouble::new("a base has no query", "leave away what follows the path"));
    }
    Ok(text.trim_end_matches('/').to_owned())
}

/// A proxy's URL.
pub(super) fn proxy(raw: Raw<'_>) -> Result<String, Trouble> {
    let text = text(raw)?;
    let example = "for example `http://proxy.example.com:3128`";
    let authority = text.split_once("://").map_or("", |(_, rest)| rest).split('/').next().unwrap_or("");
    if !authority.is_ascii() {
        return Err(Trouble::new("the host is not ASCII", "write its punycode form, `xn--...`"));
    }
    match reqwest::Url::parse(&text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Ok(text),
        Ok(_) => Err(Trouble::new("is not an HTTP proxy", example)),
        Err(error) => Err(Trouble::new(format!("is not a URL: {error}"), example)),
    }
}

/// Where to listen; `None` is off.
pub(super) fn listen(raw: Raw<'_>) -> Result<Option<SocketAddr>, Trouble> {
    let text = text(raw)?;
    if text.is_empty() {
        return Ok(None);
    }
    let address =
        text.strip_prefix("localhost:").map_or_else(|| text.clone(), |port| format!("127.0.0.1:{port}"));
    address.parse().map(Some).map_err(|_| {
        let help = match text.parse::<u16>().or_else(|_| text.trim_start_matches(':').parse()) {
            Ok(port) => format!("write `127.0.0.1:{port}`"),
            Err(_) => "an IP address and a port, such as `127.0.0.1:8787`; \"\" is off".to_owned(),
        };
        Trouble::new(format!("`{text}` is not an address to listen on"), help)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_http_without_a_user_and_ascii() {
        assert!(url("https://crm.example.com/hooks?x=1").is_ok());
        for (text, word) in [
            ("crm.example.com", "`https://`"),
            (" https://crm.example.com", "white space"),
            ("crm", "is not a URL"),
            ("", "is not a URL"),
            ("ftp://crm.example.com", "scheme"),
            ("https://me:pw@crm.example.com", "user"),
            ("https://客户.example.com", "ASCII"),
            ("https://", "is not a URL"),
        ] {
            let trouble = url(text).expect_err(text);
            assert!(trouble.message.contains(word), "{text}: {}", trouble.message);
        }
    }

    #[test]
    fn a_url_without_its_scheme_is_written_out() {
        for (text, whole) in [
            ("crm.example.com/hook?a=1", "https://crm.example.com/..."),
            ("crm.example.com:8443", "https://crm.example.com:8443"),
            ("//crm.example.com", "https://crm.example.com"),
            ("https:/crm.example.com", "https://crm.example.com"),
            ("localhost:8080/hook", "https://localhost:8080/..."),
        ] {
            assert_eq!(url(text).expect_err(text).help, format!("write `{whole}`"), "{text}");
        }
        for text in ["eyJhbGci.eyJzdWIi.c2ln", "hunter2.kX9fQz"] {
            assert_eq!(url(text).expect_err(text).help, "put `https://` in front of it");
        }
        for text in ["hook", "/hook", "me@crm.example.com", "ask the boss"] {
            assert!(url(text).expect_err(text).help.starts_with("for example"), "{text}");
        }
    }

    #[test]
    fn loopback_is_this_machine() {
        for (text, expected) in [
            ("http://127.0.0.1:1", true),
            ("http://localhost", true),
            ("http://[::1]:8", true),
            ("http://10.0.0.1", false),
            ("http://127.0.0.1.example.com", false),
        ] {
            assert_eq!(is_loopback(&url(text).expect(text)), expected, "{text}");
        }
    }
}
