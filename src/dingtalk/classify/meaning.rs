//! The meaning of an answer that is not good: class, verdict and text.
//!
//! Guards: the order of the checks is fixed, and the same code means the same in every call. A text quotes only codes, scopes
//! and this machine's address. Not here: the codes of single calls (`classify`).

use std::net::IpAddr;
use std::time::Duration;

use serde_json::Value;

use crate::dingtalk::error::{Verdict, class};
use crate::dingtalk::wire::{BodyError, FOREIGN_KEYS};

/// The window of each limit per second.
pub(super) const SECOND: Duration = Duration::from_secs(1);
/// What an answer means.
pub(super) struct Meaning {
    pub(super) class: &'static str,
    pub(super) verdict: Verdict,
    pub(super) charged: bool,
    pub(super) text: String,
}

fn charged(class: &'static str, verdict: Verdict, text: impl Into<String>) -> Meaning {
    Meaning { class, verdict, charged: true, text: text.into() }
}

/// The meaning of an answer that is not good.
pub(super) fn meaning(status: u16, body: &[u8], json: Option<&Value>, code: Option<&str>) -> Meaning {
    if json.is_some_and(is_ban) {
        return banned();
    }
    if (300..400).contains(&status) {
        let text = "DingTalk does not redirect: is the base URL right, is there a portal in between?";
        return charged(class::REDIRECT, Verdict::Misconfigured, text);
    }
    let Some(json) = json else {
        return not_json(status, body);
    };
    if let Some(code) = code
        && let Some(meaning) = by_code(code, json)
    {
        return meaning;
    }
    if status < 400 {
        return unusable_success(json);
    }
    by_status(status, code)
}

fn banned() -> Meaning {
    charged(
        class::BANNED,
        Verdict::Banned,
        "this address is banned for five minutes (10,000 requests in 20 s)",
    )
}

/// `{"status":1111,"wait":5,"source":"x5","punish":"deny","uuid":"..."}`, with any HTTP status.
fn is_ban(json: &Value) -> bool {
    let status = json.get("status");
    json.get("punish").is_some()
        || status.and_then(Value::as_i64) == Some(1111)
        || status.and_then(Value::as_str) == Some("1111")
}

/// An HTML page can also mean the ban, except from a failing server or for a wrong path.
fn not_json(status: u16, body: &[u8]) -> Meaning {
    let body = body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body).trim_ascii_start();
    let page = body.first() == Some(&b'<');
    match status {
        401 => unauthorised(),
        404 => charged(class::MISCONFIGURED, Verdict::Misconfigured, "no such path: is the base URL right?"),
        407 => charged(class::MISCONFIGURED, Verdict::Misconfigured, "the proxy wants credentials"),
        500..=599 => charged(class::OUTAGE, Verdict::Outage, format!("HTTP {status} without a JSON body")),
        _ if page && matches!(status, 200..=299 | 403 | 405 | 429) => {
            let text = "a page instead of JSON: this address may be banned, or a portal is in between";
            charged(class::BANNED, Verdict::MaybeBanned, text)
        }
        429 => busy(),
        _ if body.is_empty() => {
            charged(class::NOT_JSON, Verdict::Outage, format!("HTTP {status} with an empty body"))
        }
        _ => charged(class::NOT_JSON, Verdict::Outage, format!("HTTP {status} with a body that is not JSON")),
    }
}

fn unauthorised() -> Meaning {
    charged(class::UNAUTHORISED, Verdict::Unauthorised, "the access token is refused")
}

/// A busy answer counts against the month: it reached the business service, and only refusals of the gateway are free.
fn busy() -> Meaning {
    charged(class::BUSY, Verdict::Throttled { pause: SECOND }, "DingTalk is busy")
}

fn throttled(verdict: Verdict, text: &str) -> Meaning {
    Meaning { charged: false, ..charged(class::THROTTLED, verdict, text) }
}

/// The codes that mean the same in every call.
fn by_code(code: &str, json: &Value) -> Option<Meaning> {
    let lowercase = code.to_ascii_lowercase();
    // This check comes before "Forbidden", because these codes contain that word too.
    if lowercase.contains("qpmlimit") || lowercase.contains(".qpm") {
        return Some(throttled(Verdict::ThrottledThisMinute, "over the calls a minute"));
    }
    if lowercase.contains("qpslimit") || lowercase.contains(".qps") {
        let text = if lowercase.ends_with("qpslimitforapi") {
            "the whole platform is over the calls a second of this API"
        } else {
            "this app is over the calls a second"
        };
        return Some(throttled(Verdict::Throttled { pause: SECOND }, text));
    }
    if lowercase.contains("apicountlimit") || lowercase.contains(".apicount") {
        return Some(quota_spent());
    }
    Some(match &*lowercase {
        "90002" | "90018" | "90019" => {
            throttled(Verdict::Throttled { pause: SECOND }, "over the calls a second")
        }
        "90020" => quota_spent(),
        "invalidauthentication" | "40001" | "40014" | "42001" => unauthorised(),
        _ if lowercase.starts_with("authenticationfailed.") => unauthorised(),
        "60020" => ip_not_allowed(json),
        _ if lowercase.ends_with(".ipnotinwhitelist") => ip_not_allowed(json),
        "60011" => forbidden(json),
        _ if lowercase.starts_with("forbidden.accessdenied") => forbidden(json),
        "param.error" | "missing.user.info" => {
            charged(class::UNKNOWN_USER, Verdict::UnknownUser, "DingTalk does not know this unionId")
        }
        "system.busy" | "systembusy" => busy(),
        "system.error" | "systemerror" | "unknownerror" | "service.timeout" | "servicetimeout"
        | "serviceunavailable" | "server.error" | "internalerror" | "-1" => {
            charged(class::OUTAGE, Verdict::Outage, "DingTalk reports a failure of its own")
        }
        _ => return None,
    })
}

fn quota_spent() -> Meaning {
    charged(class::QUOTA_SPENT, Verdict::QuotaSpent, "the organisation's calls of this month are used up")
}

fn forbidden(json: &Value) -> Meaning {
    let scopes: Vec<String> = ["accessdenieddetail", "accessDeniedDetail"]
        .iter()
        .find_map(|key| json.get(key))
        .and_then(|detail| detail.get("requiredScopes"))
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .take(10)
        .filter_map(|scope| plain(scope.as_str()?, 100))
        .collect();
    let text = if scopes.is_empty() {
        "a permission is missing".to_owned()
    } else {
        format!("the app lacks the permission {}", scopes.join(", "))
    };
    charged(class::FORBIDDEN, Verdict::Forbidden, text)
}

fn ip_not_allowed(json: &Value) -> Meaning {
    let text = match text_at(json, &["message", "errmsg", "Message"]).and_then(ip_in) {
        Some(ip) if ip.is_ipv6() => {
            format!("{ip} is not on the app's address list (an IPv6 way out, where IPv4 is listed?)")
        }
        Some(ip) => format!("{ip} is not on the app's address list"),
        None => "this address is not on the app's address list".to_owned(),
    };
    charged(class::IP_NOT_ALLOWED, Verdict::Forbidden, text)
}

/// The first complete IP address in a message such as `... request ip=203.0.113.7 ...`.
fn ip_in(message: &str) -> Option<IpAddr> {
    message
        .split(|c: char| !(c.is_ascii_hexdigit() || c == '.' || c == ':'))
        .map(|word| word.trim_matches('.'))
        .filter(|word| word.len() >= 7)
        .find_map(|word| word.parse().ok())
}

fn unusable_success(json: &Value) -> Meaning {
    if json.get("errcode").is_some_and(|v| v.as_i64() == Some(404) || v.as_str() == Some("404")) {
        let text = "DingTalk has no such path: is the base URL right?";
        return charged(class::MISCONFIGURED, Verdict::Misconfigured, text);
    }
    if FOREIGN_KEYS.iter().any(|key| json.get(key).is_some()) {
        return charged(class::FOREIGN, Verdict::Outage, BodyError::Foreign.to_string());
    }
    charged(class::MALFORMED, Verdict::Outage, "the answer is not understood")
}

fn by_status(status: u16, code: Option<&str>) -> Meaning {
    match (status, code) {
        (401, _) => unauthorised(),
        (429, _) => busy(),
        (500.. | 408 | 425, _) => charged(class::OUTAGE, Verdict::Outage, format!("HTTP {status}")),
        (404, Some("roomNotFound")) => {
            charged(class::REFUSED, Verdict::RefusedUser, "DingTalk finds no such meeting")
        }
        (404, _) => {
            charged(class::MISCONFIGURED, Verdict::Misconfigured, "no such path: is the base URL right?")
        }
        (407, _) => charged(class::MISCONFIGURED, Verdict::Misconfigured, "the proxy wants credentials"),
        (403, None) => charged(class::FORBIDDEN, Verdict::Forbidden, "refused, without a reason"),
        (_, Some(code)) => unknown_code(code),
        (_, None) => {
            charged(class::FOREIGN, Verdict::Outage, format!("HTTP {status} with JSON that has no code"))
        }
    }
}

/// A refusal with an unknown code. If its words speak of load or of a failure, it does not concern the user.
fn unknown_code(code: &str) -> Meaning {
    let lowercase = code.to_ascii_lowercase();
    let contains_any = |words: &[&str]| words.iter().any(|word| lowercase.contains(word));
    if lowercase == "acrossorgaccessforbidden" {
        return charged(class::REFUSED, Verdict::RefusedUser, "the user belongs to another organisation");
    }
    if contains_any(&["throttl", "busy", "limit"]) {
        return charged(
            class::BUSY,
            Verdict::Throttled { pause: SECOND },
            format!("refused for load: {code}"),
        );
    }
    if contains_any(&["unavailable", "timeout"]) {
        return charged(
            class::OUTAGE,
            Verdict::Outage,
            format!("DingTalk reports a failure of its own: {code}"),
        );
    }
    charged(class::REFUSED, Verdict::Refused, format!("refused: {code}"))
}

/// `code` of the new host, or `sub_code` or `errcode` of the legacy host, if it is a plain word or a number.
pub(super) fn code_of(json: &Value) -> Option<String> {
    ["code", "Code", "sub_code", "errcode"].iter().find_map(|key| match json.get(key)? {
        Value::String(text) => plain(text, 100),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    })
}

pub(super) fn text_at<'v>(json: &'v Value, keys: &[&str]) -> Option<&'v str> {
    keys.iter().find_map(|key| json.get(key)?.as_str())
}

/// The text, if it is a plain word of at most `most` characters, which is safe in a log line.
pub(super) fn plain(text: &str, most: usize) -> Option<String> {
    let fits = !text.is_empty()
        && text.len() <= most
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-:".contains(&b));
    fits.then(|| text.to_owned())
}
