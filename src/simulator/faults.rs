//! What can go wrong, when, and for whom.
//!
//! Guards: the refusals and the outages have the status, body and code that the documents or recorded answers of
//! the real hosts have; of several faults that fit, the first one strikes. Deliberately not here: what a healthy
//! answer is (`record`), what a fault does to a connection (`wire`).

use std::collections::HashMap;
use std::time::Duration;

use serde::Deserialize;

use super::json::Object;

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// The JSON that an address gets which asked too much. Status 200 unless set; 403 is as plausible.
    Ban,
    /// The same as an HTML page. Status 403 unless set.
    BanPage,
    /// A JSON error: 500 `system.error` unless set.
    ServerError,
    /// An HTML page of a proxy. Status 502 unless set.
    ErrorPage,
    /// 429 `system.busy`, with `Retry-After` if `retry_after` is set.
    Busy,
    /// 403, too many calls of this app to this path in this second.
    Qps,
    /// 403, too many calls of everybody to this path in this second.
    QpsOfAll,
    /// 403, the organisation's calls of this month are spent.
    MonthSpent,
    /// 400 `InvalidAuthentication`, although the token is good.
    BadToken,
    /// 403, the app may not read meetings.
    Permission,
    /// 403, this address is not on the app's list.
    Address,
    /// 200 with `errcode`, as the host answers paths it does not know; on the contacts `code`, or 60121: no such user.
    Errcode,
    /// 200 with text that is no JSON.
    Garbage,
    /// 200 with nothing in it.
    NoBody,
    /// Somebody else's record.
    OtherPerson,
    /// A healthy answer that knows of no meeting.
    NoMeetings,
    /// A healthy answer about meetings that has nobody in them.
    NobodyInside,
    /// An answer about meetings that has `who` in the first of them, wherever they are.
    WronglyInside,
    /// The healthy answer, cut in the middle of its body.
    Truncated,
    /// The healthy answer, a few bytes at a time; `pause` between them (1 s).
    Slow,
    /// The healthy answer, after `pause` (30 s).
    Late,
    /// Never an answer.
    Hang,
    /// The connection ends without an answer.
    Drop,
}

impl FaultKind {
    /// Its name in scenarios and counts.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ban => "ban",
            Self::BanPage => "ban_page",
            Self::ServerError => "server_error",
            Self::ErrorPage => "error_page",
            Self::Busy => "busy",
            Self::Qps => "qps",
            Self::QpsOfAll => "qps_of_all",
            Self::MonthSpent => "month_spent",
            Self::BadToken => "bad_token",
            Self::Permission => "permission",
            Self::Address => "address",
            Self::Errcode => "errcode",
            Self::Garbage => "garbage",
            Self::NoBody => "no_body",
            Self::OtherPerson => "other_person",
            Self::NoMeetings => "no_meetings",
            Self::NobodyInside => "nobody_inside",
            Self::WronglyInside => "wrongly_inside",
            Self::Truncated => "truncated",
            Self::Slow => "slow",
            Self::Late => "late",
            Self::Hang => "hang",
            Self::Drop => "drop",
        }
    }
}

/// Which calls it strikes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum On {
    /// The list of somebody's meetings.
    #[default]
    Lists,
    /// The token calls.
    Tokens,
    /// The four calls about meetings.
    Meetings,
    /// Of these, the organisation's ongoing meetings.
    OrgMeetings,
    /// Of these, the batch of ongoing meetings with their users.
    MeetingQuery,
    /// Of these, one meeting.
    MeetingInfo,
    /// Of these, its members.
    MeetingMembers,
    /// Everything but the contacts.
    All,
    /// The contacts; `who` only in the call that asks for a userid.
    Contacts,
}

impl On {
    /// Whether a fault on this strikes `call`.
    fn covers(self, call: Self) -> bool {
        let about_meetings =
            matches!(call, Self::OrgMeetings | Self::MeetingQuery | Self::MeetingInfo | Self::MeetingMembers);
        (self == Self::All && call != Self::Contacts)
            || self == call
            || (self == Self::Meetings && about_meetings)
    }
}

/// One thing that goes wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What.
    pub kind: FaultKind,
    /// Which calls.
    pub on: On,
    /// Only calls about these unionIds; empty = everybody.
    pub who: Vec<String>,
    /// Only from this offset on, in milliseconds after the start of the (round of the) scenario.
    pub from_ms: Option<i64>,
    /// Only before this offset.
    pub until_ms: Option<i64>,
    /// So often, then no more.
    pub times: Option<u64>,
    /// Only every so manieth call that fits; 1 = each.
    pub every: u64,
    /// Another HTTP status than the usual one.
    pub status: Option<u16>,
    /// Another `code` than the usual one.
    pub code: Option<String>,
    /// `Retry-After`, in whole seconds.
    pub retry_after: Option<Duration>,
    /// How long, where it has to do with time.
    pub pause: Option<Duration>,
}

impl Fault {
    /// It strikes every list call from now on.
    pub fn new(kind: FaultKind) -> Self {
        Self {
            kind,
            on: On::Lists,
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

    /// On other calls than the list.
    #[must_use]
    pub fn on(mut self, on: On) -> Self {
        self.on = on;
        self
    }

    /// Only for this unionId; called again, for that one too.
    #[must_use]
    pub fn who(mut self, union_id: &str) -> Self {
        self.who.push(union_id.to_owned());
        self
    }

    /// So often, then no more.
    #[must_use]
    pub fn times(mut self, times: u64) -> Self {
        self.times = Some(times);
        self
    }

    /// With this HTTP status.
    #[must_use]
    pub fn status(mut self, status: u16) -> Self {
        self.status = Some(status);
        self
    }

    fn fits(&self, call: On, union_id: Option<&str>, offset_ms: i64) -> bool {
        // Calls about meetings are about nobody in particular; there `who` says who is wrongly inside.
        let anybody = self.who.is_empty() || self.kind == FaultKind::WronglyInside;
        self.on.covers(call)
            && (anybody || union_id.is_some_and(|id| self.who.iter().any(|who| who == id)))
            && self.from_ms.is_none_or(|from_ms| offset_ms >= from_ms)
            && self.until_ms.is_none_or(|until_ms| offset_ms < until_ms)
    }
}

/// The faults that are set, and how often each one fitted and struck.
#[derive(Debug, Default)]
pub(super) struct Faults {
    set: Vec<Fault>,
    fitted: HashMap<usize, (u64, u64)>,
}

impl Faults {
    pub(super) fn add(&mut self, fault: Fault) {
        self.set.push(fault);
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// The one that strikes this call.
    pub(super) fn strike(&mut self, call: On, union_id: Option<&str>, offset_ms: i64) -> Option<Fault> {
        for (index, fault) in self.set.iter().enumerate() {
            if !fault.fits(call, union_id, offset_ms) {
                continue;
            }
            let (fitted, struck) = self.fitted.entry(index).or_default();
            *fitted += 1;
            let due = (*fitted).is_multiple_of(fault.every.max(1));
            if due && fault.times.is_none_or(|times| *struck < times) {
                *struck += 1;
                return Some(fault.clone());
            }
        }
        None
    }
}

/// An answer before it has its standard headers.
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

/// What the gateway says when an app calls too often.
pub(super) const QPS: &str = "Forbidden.AccessDenied.QpsLimitForAppkeyAndApi";
/// What it says when the month is spent.
pub(super) const MONTH: &str = "Forbidden.AccessDenied.ApiCountLimitForOrg";

/// The answer that replaces the healthy one; `None` for the kinds that only change how that one goes out.
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
        FaultKind::OtherPerson
        | FaultKind::NoMeetings
        | FaultKind::NobodyInside
        | FaultKind::WronglyInside
        | FaultKind::Truncated
        | FaultKind::Slow
        | FaultKind::Late
        | FaultKind::Hang
        | FaultKind::Drop => return None,
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

/// What the host answers, with 200, to paths outside `/v1.0`.
pub(super) fn unknown_uri() -> String {
    Object::new().number("errcode", 404).text("errmsg", "the requested URI does not exist").end()
}

/// The refusal that names the scope which is lacking.
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
    fn a_fault_strikes_whom_when_and_how_often_it_says() {
        let mut faults = Faults::default();
        let mut fault = Fault::new(FaultKind::Hang).who("a").times(1);
        fault.from_ms = Some(10);
        fault.until_ms = Some(20);
        faults.add(fault);
        let mut struck =
            |call, who, offset| faults.strike(call, who, offset).map(|fault| fault.kind).is_some();
        assert!(!struck(On::Lists, Some("a"), 9));
        assert!(!struck(On::Lists, Some("b"), 10));
        assert!(!struck(On::Tokens, Some("a"), 10));
        assert!(struck(On::Lists, Some("a"), 10));
        assert!(!struck(On::Lists, Some("a"), 11));
    }

    #[test]
    fn every_third_call_is_every_third_call() {
        let mut faults = Faults::default();
        faults.add(Fault { every: 3, ..Fault::new(FaultKind::Drop) });
        let struck: Vec<bool> = (0..6).map(|_| faults.strike(On::Lists, None, 0).is_some()).collect();
        assert_eq!(struck, [false, false, true, false, false, true]);
    }

    #[test]
    fn a_ban_is_json_without_a_code_and_status_200() {
        let answer = replacement(&Fault::new(FaultKind::Ban), "AB").unwrap();
        assert_eq!(answer.status, 200);
        assert_eq!(answer.body, r#"{"status":1111,"wait":5,"source":"x5","punish":"deny","uuid":"ab"}"#);
        assert_eq!(replacement(&Fault::new(FaultKind::Ban).status(403), "AB").unwrap().status, 403);
    }
}
