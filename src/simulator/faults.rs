//! Faults: what goes wrong, when, and for which calls.
//!
//! Guards: refusals and outages have the status, body and code of the documents or of recorded answers of the real hosts. Of
//! several faults that match a call, the first applies. Not here: healthy answers (`record`), how a fault changes the
//! sending (`wire`).

use std::collections::HashMap;
use std::time::Duration;

use super::json::Object;

mod kind;

pub use kind::{FaultKind, FaultTarget};

/// A fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What goes wrong.
    pub kind: FaultKind,
    /// The calls it applies to.
    pub on: FaultTarget,
    /// Only calls about these unionIds; empty means all.
    pub who: Vec<String>,
    /// Only from this offset on, in milliseconds after the start of the round.
    pub from_ms: Option<i64>,
    /// Only before this offset, in milliseconds.
    pub until_ms: Option<i64>,
    /// How many times it applies; `None` means always.
    pub times: Option<u64>,
    /// Only every nth matching call; 1 means each.
    pub every: u64,
    /// Replaces the usual HTTP status.
    pub status: Option<u16>,
    /// Replaces the usual `code`.
    pub code: Option<String>,
    /// `Retry-After`, in whole seconds.
    pub retry_after: Option<Duration>,
    /// The time of a slow or late answer.
    pub pause: Option<Duration>,
}

impl Fault {
    /// A fault that applies to every list call, or to every event or connection if it is one of push.
    pub fn new(kind: FaultKind) -> Self {
        Self {
            kind,
            on: kind.usual_target(),
            who: Vec::new(),
            from_ms: None,
            until_ms: None,
            times: None,
            every: 1,
            status: None,
            code: None,
            retry_after: None,
            pause: None,
        }
    }

    /// Applies it to other calls.
    #[must_use]
    pub fn on(mut self, on: FaultTarget) -> Self {
        self.on = on;
        self
    }

    /// Applies it only to this unionId. Repeated calls add unionIds.
    #[must_use]
    pub fn who(mut self, union_id: &str) -> Self {
        self.who.push(union_id.to_owned());
        self
    }

    /// Applies it this many times.
    #[must_use]
    pub fn times(mut self, times: u64) -> Self {
        self.times = Some(times);
        self
    }

    /// Sets the HTTP status.
    #[must_use]
    pub fn status(mut self, status: u16) -> Self {
        self.status = Some(status);
        self
    }

    fn fits(&self, call: FaultTarget, union_id: Option<&str>, offset_ms: i64) -> bool {
        // Calls about meetings are not about a single person. There `who` lists the people who are wrongly inside.
        let anybody = self.who.is_empty() || self.kind == FaultKind::WronglyInside;
        self.on.covers(call)
            && (anybody || union_id.is_some_and(|id| self.who.iter().any(|who| who == id)))
            && self.from_ms.is_none_or(|from_ms| offset_ms >= from_ms)
            && self.until_ms.is_none_or(|until_ms| offset_ms < until_ms)
    }
}

/// The active faults, and how often each one matched and applied.
#[derive(Debug, Default)]
pub(super) struct Faults {
    set: Vec<Fault>,
    matched: HashMap<usize, (u64, u64)>,
}

impl Faults {
    pub(super) fn add(&mut self, fault: Fault) {
        self.set.push(fault);
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// The fault that applies to this call.
    pub(super) fn take_due(
        &mut self,
        call: FaultTarget,
        union_id: Option<&str>,
        offset_ms: i64,
    ) -> Option<Fault> {
        for (index, fault) in self.set.iter().enumerate() {
            if !fault.fits(call, union_id, offset_ms) {
                continue;
            }
            let (matched, applied) = self.matched.entry(index).or_default();
            *matched += 1;
            let due = (*matched).is_multiple_of(fault.every.max(1));
            if due && fault.times.is_none_or(|times| *applied < times) {
                *applied += 1;
                return Some(fault.clone());
            }
        }
        None
    }
}

/// An answer without the standard headers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) content_type: &'static str,
    pub(super) retry_after: Option<u64>,
    pub(super) body: String,
}

pub(super) const JSON: &str = "application/json;charset=utf-8";
const HTML: &str = "text/html; charset=utf-8";

impl Answer {
    pub(super) fn json(status: u16, body: String) -> Self {
        Self { status, content_type: JSON, retry_after: None, body }
    }

    /// The gateway's error body.
    pub(super) fn refusal(status: u16, code: &str, message: &str, request_id: &str) -> Self {
        let body = Object::new().text("code", code).text("message", message).text("requestid", request_id);
        Self::json(status, body.end())
    }

    fn page(status: u16, title: &str) -> Self {
        let body = format!(
            "<!DOCTYPE html>\n<html><head><title>{title}</title></head>\n<body><h1>{title}</h1><hr>Powered by \
             DingTalk/1.0.0<hr>tengine</body></html>\n"
        );
        Self { status, content_type: HTML, retry_after: None, body }
    }
}

/// The gateway's code for too many calls of an app per second.
pub(super) const QPS: &str = "Forbidden.AccessDenied.QpsLimitForAppkeyAndApi";
/// The gateway's code for a used-up month.
pub(super) const MONTH: &str = "Forbidden.AccessDenied.ApiCountLimitForOrg";

/// The answer that replaces the healthy one; `None` for the kinds that only change how it is sent.
pub(super) fn replacement(fault: &Fault, request_id: &str) -> Option<Answer> {
    let status = |usual: u16| fault.status.unwrap_or(usual);
    let refusal = |usual_status: u16, usual_code: &str, message: &str| {
        let code = fault.code.as_deref().unwrap_or(usual_code);
        Answer::refusal(status(usual_status), code, message, request_id)
    };
    let mut answer = match fault.kind {
        FaultKind::Ban => Answer::json(status(200), ban(request_id)),
        FaultKind::BanPage => Answer::page(status(403), "405 - access blocked"),
        FaultKind::ServerError => refusal(500, "system.error", "system.error"),
        FaultKind::ErrorPage => Answer::page(status(502), "502 Bad Gateway"),
        FaultKind::Busy => refusal(429, "system.busy", "the service is busy"),
        FaultKind::Qps => refusal(403, QPS, "too many calls of this app in this second"),
        FaultKind::QpsOfAll => {
            let code = "Forbidden.AccessDenied.QpsLimitForApi";
            refusal(403, code, "too many calls of this API in this second")
        }
        FaultKind::MonthSpent => refusal(403, MONTH, "the calls of this month are used up"),
        FaultKind::BadToken => refusal(400, "InvalidAuthentication", "the access token is not valid"),
        FaultKind::Permission => no_permission(request_id),
        FaultKind::Address => {
            let code = "Forbidden.AccessDenied.IpNotInWhiteList";
            refusal(403, code, "the address is not allowed, request ip=127.0.0.1")
        }
        FaultKind::Errcode => Answer::json(status(200), unknown_uri()),
        FaultKind::Garbage => Answer::json(status(200), "<<< not what you asked for".to_owned()),
        FaultKind::NoBody => Answer::json(status(200), String::new()),
        FaultKind::AuthFailed => auth_failed(request_id),
        FaultKind::UsedTicket => refusal(401, "invalidTicket", "the ticket is not valid"),
        FaultKind::OtherPerson
        | FaultKind::NoMeetings
        | FaultKind::NobodyInside
        | FaultKind::WronglyInside
        | FaultKind::Truncated
        | FaultKind::Slow
        | FaultKind::Late
        | FaultKind::Hang
        | FaultKind::Drop
        | FaultKind::Zombie
        | FaultKind::Lost
        | FaultKind::Twice
        | FaultKind::TwiceNewId
        | FaultKind::Delayed
        | FaultKind::Reordered
        | FaultKind::Thief
        | FaultKind::Disconnect
        | FaultKind::Abort => return None,
    };
    answer.retry_after = fault.retry_after.map(|wait| wait.as_secs());
    Some(answer)
}

fn ban(request_id: &str) -> String {
    Object::new()
        .number("status", 1111)
        .number("wait", 5)
        .text("source", "x5")
        .text("punish", "deny")
        .text("uuid", &request_id.to_lowercase())
        .end()
}

/// The host's answer, with status 200, to a path outside `/v1.0`.
pub(super) fn unknown_uri() -> String {
    Object::new().number("errcode", 404).text("errmsg", "the requested URI does not exist").end()
}

/// The push gateway's refusal of an app.
pub(super) fn auth_failed(request_id: &str) -> Answer {
    Answer::refusal(401, "authFailed", "client id or secret is not valid", request_id)
}

/// The refusal that names the missing scope.
pub(super) fn no_permission(request_id: &str) -> Answer {
    let scopes = r#"{"requiredScopes":["VideoConference.Conference.Read"]}"#;
    let body = Object::new()
        .text("code", "Forbidden.AccessDenied.AccessTokenPermissionDenied")
        .text("message", "the app lacks the permission for this API")
        .text("requestid", request_id)
        .raw("accessdenieddetail", scopes);
    Answer::json(403, body.end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_applies_by_user_time_and_count() {
        let mut faults = Faults::default();
        let mut fault = Fault::new(FaultKind::Hang).who("a").times(1);
        fault.from_ms = Some(10);
        fault.until_ms = Some(20);
        faults.add(fault);
        let mut applied =
            |call, who, offset| faults.take_due(call, who, offset).map(|fault| fault.kind).is_some();
        assert!(!applied(FaultTarget::Lists, Some("a"), 9));
        assert!(!applied(FaultTarget::Lists, Some("b"), 10));
        assert!(!applied(FaultTarget::Tokens, Some("a"), 10));
        assert!(applied(FaultTarget::Lists, Some("a"), 10));
        assert!(!applied(FaultTarget::Lists, Some("a"), 11));
    }

    #[test]
    fn every_third_call_is_every_third_call() {
        let mut faults = Faults::default();
        faults.add(Fault { every: 3, ..Fault::new(FaultKind::Drop) });
        let applied: Vec<bool> =
            (0..6).map(|_| faults.take_due(FaultTarget::Lists, None, 0).is_some()).collect();
        assert_eq!(applied, [false, false, true, false, false, true]);
    }

    #[test]
    fn a_ban_is_json_without_a_code_and_status_200() {
        let answer = replacement(&Fault::new(FaultKind::Ban), "AB").unwrap();
        assert_eq!(answer.status, 200);
        assert_eq!(answer.body, r#"{"status":1111,"wait":5,"source":"x5","punish":"deny","uuid":"ab"}"#);
        assert_eq!(replacement(&Fault::new(FaultKind::Ban).status(403), "AB").unwrap().status, 403);
    }
}
