//! What an HTTP answer means, in one fixed order: ban -> redirect -> not JSON -> the error's `code` -> a success with
//! foreign keys -> a good success. (Transport comes before: `transport`.)
//!
//! Guards: only a 200 whose body is understood is good; matching is on `code`, never on message texts, which change
//! with site and language; error texts are written here and quote nothing but codes, scopes and our own address.
//! Deliberately not here: waiting, repeating, counting.
//!
//! Sources: DingTalk's global error codes (new host) and its page on call limits. All QPS, quota, permission and
//! address refusals are HTTP 403 told apart by `code`; an invalid token is HTTP 400.

use std::net::IpAddr;
use std::time::Duration;

use chrono::{DateTime, NaiveDateTime};
use serde_json::Value;

use super::error::{CallError, Verdict, class};
use super::wire::{self, Fault, Parsed};
use crate::ids::UnionId;
use crate::time::Timestamp;

/// A complete HTTP answer.
#[derive(Clone, Copy, Debug)]
pub struct Reply<'a> {
    /// The status.
    pub status: u16,
    /// `x-acs-request-id`.
    pub request_id: Option<&'a str>,
    /// `Retry-After`, as it stands there.
    pub retry_after: Option<&'a str>,
    /// The body, whole.
    pub body: &'a [u8],
    /// When it had arrived.
    pub now: Timestamp,
}

/// The window of every limit a second.
const SECOND: Duration = Duration::from_secs(1);
/// `Retry-After` is believed up to here.
const LONGEST_RETRY_AFTER: Duration = Duration::from_hours(1);

/// The answer to the list call about `asked`.
pub fn list_answer(reply: &Reply<'_>, asked: &UnionId) -> Result<Parsed, CallError> {
    if reply.status != 200 {
        return Err(failure(reply));
    }
    match wire::observation(reply.body, asked, reply.now) {
        Ok(parsed) => Ok(parsed),
        Err(Fault::Foreign) => Err(failure(reply)),
        Err(Fault::Malformed(place)) => {
            let mut error = failure(reply);
            if error.class == class::MALFORMED {
                error.text = format!("the answer is not understood: {place}");
            }
            Err(error)
        }
    }
}

/// What an answer that is not a good one means.
pub fn failure(reply: &Reply<'_>) -> CallError {
    let json = serde_json::from_slice::<Value>(reply.body).ok();
    let code = json.as_ref().and_then(code_of);
    let request_id = reply
        .request_id
        .or_else(|| json.as_ref().and_then(|v| text_at(v, &["requestid", "requestId", "request_id"])))
        .and_then(|id| plain(id, 64));
    let retry_after = reply.retry_after.and_then(|header| retry_after(header, reply.now));
    let Meaning { class, text, charged, mut verdict } = meaning(reply, json.as_ref(), code.as_deref());
    if let Verdict::Throttled { pause } = &mut verdict {
        *pause = (*pause).max(retry_after.unwrap_or_default());
    }
    CallError {
        class,
        text,
        code: code.map(String::into_boxed_str),
        request_id: request_id.map(String::into_boxed_str),
        status: Some(reply.status),
        retry_after,
        charged,
        calls: u32::from(charged),
        verdict,
    }
}

/// What an answer to a call about meetings means that is not a good one. Their own codes are about the meetings asked
/// for and about nobody and nothing else: class `refused`.
pub fn meeting_failure(reply: &Reply<'_>) -> CallError {
    let mut error = failure(reply);
    let code = error.code.as_deref().unwrap_or_default().to_ascii_lowercase();
    let (class, verdict, text) = match &*code {
        "roomnotfound" | "missingroomid" => {
            (class::REFUSED, Verdict::UnknownUser, "DingTalk finds no such meeting")
        }
        "confclosed" | "resourceclose" => (class::REFUSED, Verdict::UnknownUser, "the meeting is over"),
        "nopermission" | "orgaccessforbidden" | "permissionerror" => {
            (class::REFUSED, Verdict::UnknownUser, "this app may not ask about this meeting")
        }
        "param.error" | "paramerror" | "paramserror" | "missing.user.info" | "unknownusererror" => {
            (class::REFUSED, Verdict::UnknownUser, "DingTalk refuses the question")
        }
        "waterlimiterror" => (class::BUSY, Verdict::Throttled { pause: SECOND }, "DingTalk is busy"),
        _ => return error,
    };
    error.class = class;
    error.verdict = verdict;
    text.clone_into(&mut error.text);
    error
}

/// What a token call's answer that is not a token means. Token calls are exempt from the month. `unified`: the call
/// was `/v1.0/oauth2/{corpId}/token`, whose real host answers wrong ids like an outage.
pub fn token_failure(reply: &Reply<'_>, unified: bool) -> CallError {
    let mut error = failure(reply);
    error.charged = false;
    error.calls = 0;
    let code = error.code.as_deref().unwrap_or_default().to_ascii_lowercase();
    let refused = matches!(
        &*code,
        "invalidclientidorsecret"
            | "invalid.client"
            | "unauthorized.client"
            | "invalidsuitekey"
            | "invalidsuiteticket"
            | "invalidauthinfo"
            | "40089"
            | "40096"
    );
    if refused || matches!(error.class, class::UNAUTHORISED) {
        error.class = class::CREDENTIALS;
        error.verdict = Verdict::Unauthorised;
        error.text = match &*code {
            "invalidsuiteticket" => "the suite ticket is refused: it expires, use the latest".into(),
            "invalidauthinfo" => "the organisation has not authorised this app (corp_id)".into(),
            _ => {
                "the app's key or secret is refused (credentials of one site are unknown on the other)".into()
            }
        };
    } else if unified && code == "unknownerror" {
        error.class = class::MISCONFIGURED;
        error.verdict = Verdict::Misconfigured;
        error.text =
            "DingTalk answers `unknownError`, as it does when corp_id and app_key do not belong together"
                .into();
    } else if matches!(error.class, class::REFUSED | class::UNKNOWN_USER) {
        error.class = class::MISCONFIGURED;
        error.verdict = Verdict::Misconfigured;
        error.text = "the token call is refused".into();
    } else if error.class == class::MALFORMED {
        error.text = "the token call's answer holds no token".into();
    }
    error
}

/// `Retry-After`: seconds or an HTTP date. A date in the past is no wait; junk is `None`; never over an hour.
pub fn retry_after(header: &str, now: Timestamp) -> Option<Duration> {
    let header = header.trim();
    if !header.is_empty() && header.bytes().all(|b| b.is_ascii_digit()) {
        let seconds = header.parse::<u64>().unwrap_or(u64::MAX);
        return Some(Duration::from_secs(seconds.min(LONGEST_RETRY_AFTER.as_secs())));
    }
    let ms = DateTime::parse_from_rfc2822(header).map(|date| date.timestamp_millis()).or_else(|_| {
        // The two obsolete forms of RFC 9110, section 5.6.7.
        NaiveDateTime::parse_from_str(header, "%A, %d-%b-%y %H:%M:%S GMT")
            .or_else(|_| NaiveDateTime::parse_from_str(header, "%a %b %e %H:%M:%S %Y"))
            .map(|date| date.and_utc().timestamp_millis())
    });
    ms.ok().map(|ms| Timestamp::from_ms(ms).since(now).min(LONGEST_RETRY_AFTER))
}

struct Meaning {
    class: &'static str,
    verdict: Verdict,
    charged: bool,
    text: String,
}

fn is(class: &'static str, verdict: Verdict, text: impl Into<String>) -> Meaning {
    Meaning { class, verdict, charged: true, text: text.into() }
}

fn meaning(reply: &Reply<'_>, json: Option<&Value>, code: Option<&str>) -> Meaning {
    let status = reply.status;
    if json.is_some_and(is_ban) {
        return banned();
    }
    if (300..400).contains(&status) {
        let text = "DingTalk does not redirect: is the base URL right, is there a portal in between?";
        return is(class::REDIRECT, Verdict::Misconfigured, text);
    }
    let Some(json) = json else {
        return not_json(status, reply.body);
    };
    if let Some(code) = code
        && let Some(meaning) = by_code(code, json)
    {
        return meaning;
    }
    if status < 400 {
        return success_that_is_none(json);
    }
    by_status(status, code)
}

fn banned() -> Meaning {
    is(class::BANNED, Verdict::Banned, "this address is banned for five minutes (10,000 requests in 20 s)")
}

/// `{"status":1111,"wait":5,"source":"x5","punish":"deny","uuid":"..."}`, at any HTTP status.
fn is_ban(json: &Value) -> bool {
    let status = json.get("status");
    json.get("punish").is_some()
        || status.and_then(Value::as_i64) == Some(1111)
        || status.and_then(Value::as_str) == Some("1111")
}

/// A page is the ban's other form; from a failing server or for a wrong path it is just a page.
fn not_json(status: u16, body: &[u8]) -> Meaning {
    let body = body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body).trim_ascii_start();
    let page = body.first() == Some(&b'<');
    match status {
        401 => unauthorised(),
        404 => is(class::MISCONFIGURED, Verdict::Misconfigured, "no such path: is the base URL right?"),
        407 => is(class::MISCONFIGURED, Verdict::Misconfigured, "the proxy wants credentials"),
        500..=599 => is(class::OUTAGE, Verdict::Outage, format!("HTTP {status} without a JSON body")),
        _ if page && matches!(status, 200..=299 | 403 | 405 | 429) => {
            let text = "a page instead of JSON: this address may be banned, or a portal is in between";
            is(class::BANNED, Verdict::MaybeBanned, text)
        }
        429 => busy(),
        _ if body.is_empty() => {
            is(class::NOT_JSON, Verdict::Outage, format!("HTTP {status} with an empty body"))
        }
        _ => is(class::NOT_JSON, Verdict::Outage, format!("HTTP {status} with a body that is not JSON")),
    }
}

fn unauthorised() -> Meaning {
    is(class::UNAUTHORISED, Verdict::Unauthorised, "the access token is refused")
}

/// Charged: the business service was reached, and only the gateway's refusals are free.
fn busy() -> Meaning {
    is(class::BUSY, Verdict::Throttled { pause: SECOND }, "DingTalk is busy")
}

fn throttled(verdict: Verdict, text: &str) -> Meaning {
    Meaning { charged: false, ..is(class::THROTTLED, verdict, text) }
}

/// The codes that mean the same wherever they come.
fn by_code(code: &str, json: &Value) -> Option<Meaning> {
    let low = code.to_ascii_lowercase();
    // Before "Forbidden": these codes hold that word too.
    if low.contains("qpmlimit") || low.contains(".qpm") {
        return Some(throttled(Verdict::ThrottledThisMinute, "over the calls a minute"));
    }
    if low.contains("qpslimit") || low.contains(".qps") {
        let text = if low.ends_with("qpslimitforapi") {
            "the whole platform is over the calls a second of this API"
        } else {
            "this app is over the calls a second"
        };
        return Some(throttled(Verdict::Throttled { pause: SECOND }, text));
    }
    if low.contains("apicountlimit") || low.contains(".apicount") {
        return Some(quota_spent());
    }
    Some(match &*low {
        "90002" | "90018" | "90019" => {
            throttled(Verdict::Throttled { pause: SECOND }, "over the calls a second")
        }
        "90020" => quota_spent(),
        "invalidauthentication" | "40001" | "40014" | "42001" => unauthorised(),
        _ if low.starts_with("authenticationfailed.") => unauthorised(),
        "60020" => ip_not_allowed(json),
        _ if low.ends_with(".ipnotinwhitelist") => ip_not_allowed(json),
        "60011" => forbidden(json),
        _ if low.starts_with("forbidden.accessdenied") => forbidden(json),
        "param.error" | "missing.user.info" => {
            is(class::UNKNOWN_USER, Verdict::UnknownUser, "DingTalk does not know this unionId")
        }
        "system.busy" | "systembusy" => busy(),
        "system.error" | "systemerror" | "unknownerror" | "service.timeout" | "servicetimeout"
        | "serviceunavailable" | "server.error" | "internalerror" | "-1" => {
            is(class::OUTAGE, Verdict::Outage, "DingTalk reports a failure of its own")
        }
        _ => return None,
    })
}

fn quota_spent() -> Meaning {
    is(class::QUOTA_SPENT, Verdict::QuotaSpent, "the organisation's calls of this month are used up")
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
    is(class::FORBIDDEN, Verdict::Forbidden, text)
}

fn ip_not_allowed(json: &Value) -> Meaning {
    let text = match text_at(json, &["message", "errmsg", "Message"]).and_then(ip_in) {
        Some(ip) if ip.is_ipv6() => {
            format!("{ip} is not on the app's address list (an IPv6 way out, where IPv4 is listed?)")
        }
        Some(ip) => format!("{ip} is not on the app's address list"),
        None => "this address is not on the app's address list".to_owned(),
    };
    is(class::IP_NOT_ALLOWED, Verdict::Forbidden, text)
}

/// The first whole address in a message such as `... request ip=203.0.113.7 ...`.
fn ip_in(message: &str) -> Option<IpAddr> {
    message
        .split(|c: char| !(c.is_ascii_hexdigit() || c == '.' || c == ':'))
        .map(|word| word.trim_matches('.'))
        .filter(|word| word.len() >= 7)
        .find_map(|word| word.parse().ok())
}

fn success_that_is_none(json: &Value) -> Meaning {
    if json.get("errcode").is_some_and(|v| v.as_i64() == Some(404) || v.as_str() == Some("404")) {
        let text = "DingTalk has no such path: is the base URL right?";
        return is(class::MISCONFIGURED, Verdict::Misconfigured, text);
    }
    if wire::FOREIGN_KEYS.iter().any(|key| json.get(key).is_some()) {
        return is(class::FOREIGN, Verdict::Outage, Fault::Foreign.to_string());
    }
    is(class::MALFORMED, Verdict::Outage, "the answer is not understood")
}

fn by_status(status: u16, code: Option<&str>) -> Meaning {
    match (status, code) {
        (401, _) => unauthorised(),
        (429, _) => busy(),
        (500.. | 408 | 425, _) => is(class::OUTAGE, Verdict::Outage, format!("HTTP {status}")),
        (404, Some("roomNotFound")) => {
            is(class::REFUSED, Verdict::RefusedUser, "DingTalk finds no such meeting")
        }
        (404, _) => is(class::MISCONFIGURED, Verdict::Misconfigured, "no such path: is the base URL right?"),
        (407, _) => is(class::MISCONFIGURED, Verdict::Misconfigured, "the proxy wants credentials"),
        (403, None) => is(class::FORBIDDEN, Verdict::Forbidden, "refused, without a reason"),
        (_, Some(code)) => unknown_code(code),
        (_, None) => is(class::FOREIGN, Verdict::Outage, format!("HTTP {status} with JSON that has no code")),
    }
}

/// A refusal by a code that no table has. One whose words speak of load or a failure concerns no user.
fn unknown_code(code: &str) -> Meaning {
    let low = code.to_ascii_lowercase();
    let speaks_of = |words: &[&str]| words.iter().any(|word| low.contains(word));
    if low == "acrossorgaccessforbidden" {
        return is(class::REFUSED, Verdict::RefusedUser, "the user belongs to another organisation");
    }
    if speaks_of(&["throttl", "busy", "limit"]) {
        return is(class::BUSY, Verdict::Throttled { pause: SECOND }, format!("refused for load: {code}"));
    }
    if speaks_of(&["unavailable", "timeout"]) {
        return is(class::OUTAGE, Verdict::Outage, format!("DingTalk reports a failure of its own: {code}"));
    }
    is(class::REFUSED, Verdict::Refused, format!("refused: {code}"))
}

/// `code` of the new host, else the legacy host's `sub_code` or `errcode`; only where it looks like one.
fn code_of(json: &Value) -> Option<String> {
    ["code", "Code", "sub_code", "errcode"].iter().find_map(|key| match json.get(key)? {
        Value::String(text) => plain(text, 100),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    })
}

fn text_at<'v>(json: &'v Value, keys: &[&str]) -> Option<&'v str> {
    keys.iter().find_map(|key| json.get(key)?.as_str())
}

/// The text, if it is a plain word of at most `most` characters: what may stand in a log line.
fn plain(text: &str, most: usize) -> Option<String> {
    let fits = !text.is_empty()
        && text.len() <= most
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-:".contains(&b));
    fits.then(|| text.to_owned())
}

#[cfg(test)]
mod tests;
