//! Decides what an HTTP answer means, in a fixed order: ban, redirect, not JSON, the error's `code`, a success with foreign
//! keys, a good success. `transport` handles failures without an answer.
//!
//! Guards: only an answer with status 200 whose body is understood is good. Decisions use `code`, never message texts,
//! which differ by site and language. Error texts are written here; they quote only codes, scopes and this machine's
//! address. Not here: waiting, repeating, counting.
//!
//! Sources: DingTalk's global error codes (new host) and its page on call limits. All refusals for rate, quota, permission
//! and address are HTTP 403 with different codes; an invalid token is HTTP 400.

use std::time::Duration;

use serde_json::Value;

use self::meaning::{Meaning, SECOND, code_of, meaning, plain, text_at};
use super::error::{CallError, Verdict, class};
use super::wire::{self, BodyError, Parsed};
use crate::ids::UnionId;
use crate::net;
use crate::time::Timestamp;

mod meaning;

/// A complete HTTP answer.
#[derive(Clone, Copy, Debug)]
pub struct Reply<'a> {
    /// HTTP status.
    pub status: u16,
    /// `x-acs-request-id`.
    pub request_id: Option<&'a str>,
    /// `Retry-After`, unparsed.
    pub retry_after: Option<&'a str>,
    /// The whole body.
    pub body: &'a [u8],
    /// When the answer arrived.
    pub now: Timestamp,
}

/// The longest `Retry-After` that is respected.
const LONGEST_RETRY_AFTER: Duration = Duration::from_hours(1);

/// Reads the answer to the list call about `asked`.
pub fn list_answer(reply: &Reply<'_>, asked: &UnionId) -> Result<Parsed, CallError> {
    if reply.status != 200 {
        return Err(failure(reply));
    }
    match wire::observation(reply.body, asked, reply.now) {
        Ok(parsed) => Ok(parsed),
        Err(BodyError::Foreign) => Err(failure(reply)),
        Err(BodyError::Malformed(place)) => {
            let mut error = failure(reply);
            if error.class == class::MALFORMED {
                error.text = format!("the answer is not understood: {place}");
            }
            Err(error)
        }
    }
}

/// The error for an answer that is not good.
pub fn failure(reply: &Reply<'_>) -> CallError {
    let json = serde_json::from_slice::<Value>(reply.body).ok();
    let code = json.as_ref().and_then(code_of);
    let request_id = reply
        .request_id
        .or_else(|| json.as_ref().and_then(|v| text_at(v, &["requestid", "requestId", "request_id"])))
        .and_then(|id| plain(id, 64));
    let retry_after = reply
        .retry_after
        .and_then(|header| net::retry_after(header, reply.now))
        .map(|wait| wait.min(LONGEST_RETRY_AFTER));
    let Meaning { class, text, charged, mut verdict } =
        meaning(reply.status, reply.body, json.as_ref(), code.as_deref());
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

/// The error for an answer to a call about meetings that is not good. The codes of these calls concern only the meetings
/// in question: class `refused`.
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

/// The error for a token call whose answer holds no token. Token calls do not count against the month. `unified`: the call
/// was `/v1.0/oauth2/{corpId}/token`; its host answers wrong ids as if it had an outage.
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

#[cfg(test)]
mod tests;
