//! Parses addresses: URLs, API base URLs, proxies, listen addresses.
//!
//! Guards: a URL has no user and no password, because URLs are printed and logged; host names are ASCII; the secret of the
//! app is sent unencrypted only to this machine. Not here: which addresses may be connected to (`webhook`).

use std::net::{IpAddr, SocketAddr};

use super::public;
use super::section::{RawValue, ValueError};
use super::value::text;
use crate::invisible::named;

/// An `http` or `https` URL without a user, its host in ASCII.
pub(super) fn url(text: &str) -> Result<reqwest::Url, ValueError> {
    let example = "for example `https://hooks.example.com/dingtalk`";
    if text.trim() != text {
        return Err(ValueError::new("the URL begins or ends with white space", "remove it"));
    }
    let Some((scheme, rest)) = text.split_once("://") else {
        return Err(without_scheme(text).unwrap_or_else(|| ValueError::new("is not a URL", example)));
    };
    if !matches!(scheme.to_ascii_lowercase().as_str(), "http" | "https") {
        return Err(ValueError::new("its scheme is not supported", "write `https://`"));
    }
    if let Some(at) = text.chars().position(char::is_whitespace) {
        let blank = text.chars().nth(at).map(named).unwrap_or_default();
        return Err(ValueError::new(format!("holds {blank} at character {}", at + 1), "remove it"));
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or("");
    if authority.contains('@') {
        return Err(ValueError::new(
            "contains a user or a password",
            "URLs are printed and logged; send credentials in a header with a secret value",
        ));
    }
    if !authority.is_ascii() {
        return Err(ValueError::new("the host is not ASCII", "write its punycode form, `xn--...`"));
    }
    reqwest::Url::parse(text).map_err(|error| ValueError::new(format!("is not a URL: {error}"), example))
}

/// The error for a text that is an address without a scheme.
fn without_scheme(text: &str) -> Option<ValueError> {
    let rest = ["https:", "http:"].iter().find_map(|scheme| text.strip_prefix(scheme)).unwrap_or(text);
    let whole = format!("https://{}", rest.trim_start_matches('/'));
    let host = reqwest::Url::parse(&whole).ok()?.host_str()?.to_owned();
    let is_one = host == "localhost" || host.contains(['.', ':']) && !text.contains(['@', ' ']);
    let shown = public::origin_shown(&whole).filter(|_| public::is_host(&host) && text.contains(&host));
    is_one.then(|| {
        let help =
            shown.map_or_else(|| "add `https://` at the beginning".to_owned(), |it| format!("write `{it}`"));
        ValueError::new("does not begin with `https://`", help)
    })
}

/// Whether the host of the URL is this machine.
pub(super) fn is_loopback(url: &reqwest::Url) -> bool {
    let host = url.host_str().unwrap_or("").trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || host.ends_with(".localhost")
        || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// A base of an API: `https`, or `http` to this machine; without a slash at the end.
pub(super) fn api_base(raw: RawValue<'_>) -> Result<String, ValueError> {
    let text = text(raw)?;
    let url = url(&text)?;
    if url.scheme() == "http" && !is_loopback(&url) {
        return Err(ValueError::new(
            "the secret of the app would be sent unencrypted",
            "write `https://`; `http` is allowed only for loopback",
        ));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(ValueError::new("a base URL has no query", "remove what follows the path"));
    }
    Ok(text.trim_end_matches('/').to_owned())
}

/// The URL of a proxy.
pub(super) fn proxy(raw: RawValue<'_>) -> Result<String, ValueError> {
    let text = text(raw)?;
    let example = "for example `http://proxy.example.com:3128`";
    let authority = text.split_once("://").map_or("", |(_, rest)| rest).split('/').next().unwrap_or("");
    if !authority.is_ascii() {
        return Err(ValueError::new("the host is not ASCII", "write its punycode form, `xn--...`"));
    }
    match reqwest::Url::parse(&text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Ok(text),
        Ok(_) => Err(ValueError::new("is not an HTTP proxy", example)),
        Err(error) => Err(ValueError::new(format!("is not a URL: {error}"), example)),
    }
}

/// An address to listen on; `None` = off.
pub(super) fn listen(raw: RawValue<'_>) -> Result<Option<SocketAddr>, ValueError> {
    let text = text(raw)?;
    if text.is_empty() {
        return Ok(None);
    }
    let address =
        text.strip_prefix("localhost:").map_or_else(|| text.clone(), |port| format!("127.0.0.1:{port}"));
    address.parse().map(Some).map_err(|_| {
        let help = match text.parse::<u16>().or_else(|_| text.trim_start_matches(':').parse()) {
            Ok(port) => format!("write `127.0.0.1:{port}`"),
            Err(_) => "an IP address and a port, such as `127.0.0.1:8787` (\"\" = off)".to_owned(),
        };
        ValueError::new(format!("`{text}` is not an address to listen on"), help)
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
            ("https://crm.example.com/a b", "holds U+0020 SPACE at character 26"),
            ("https://crm.example.com/\u{a0}", "white space"),
            ("https://crm.example.com/a?\u{3000}b", "holds U+3000 IDEOGRAPHIC SPACE at character 27"),
            ("crm", "is not a URL"),
            ("", "is not a URL"),
            ("ftp://crm.example.com", "scheme"),
            ("https://me:pw@crm.example.com", "user"),
            ("https://客户.example.com", "ASCII"),
            ("https://", "is not a URL"),
        ] {
            let error = url(text).expect_err(text);
            assert!(error.message.contains(word), "{text}: {}", error.message);
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
            assert_eq!(url(text).expect_err(text).help, "add `https://` at the beginning");
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
