//! Decides which calls are refused, and answers the others. `token` answers the token calls.
//!
//! Guards: the order of checks: token, the app's address and permission, calls per second, calls per month, and then the
//! question itself. Not here: connections and faults (`api`), the text of an answer (`record`, `meeting_answers`).

use axum::http::request::Parts;

use super::calls::{Call, LISTS};
use super::counters::Admission;
use super::faults::{self, Answer, Fault, FaultKind};
use super::http::parameter;
use super::meeting_answers::{MeetingAnswers, PageQuery};
use super::options::Stranger;
use super::record;
use super::state::Shared;

pub(super) mod token;

/// Answers the calls about meetings. `content_fault` is a fault within a valid answer.
pub(super) fn meetings(
    shared: &Shared,
    call: &Call,
    parts: &Parts,
    body: &[u8],
    content_fault: Option<&Fault>,
    request_id: &str,
) -> Answer {
    if let Err(refusal) = authorise(shared, parts, call.counted_as(), request_id) {
        return refusal;
    }
    let options = shared.options();
    let answers =
        MeetingAnswers { world: &shared.world, now: shared.clock.now(), options: &options, content_fault };
    let query = parts.uri.query();
    let page_query =
        PageQuery { next_token: parameter(query, "nextToken"), max_results: parameter(query, "maxResults") };
    let result = match call {
        Call::MeetingQuery => answers.batch(body),
        Call::MeetingInfo { conference_id } => answers.info(conference_id),
        Call::MeetingMembers { conference_id } => answers.members(conference_id, &page_query),
        _ => answers.ongoing(&page_query),
    };
    match result {
        Ok(body) => Answer::json(200, body),
        Err((status, code)) => {
            shared.count(|counters| counters.refused(code));
            Answer::refusal(status, code, code, request_id)
        }
    }
}

/// Answers `GET /v1.0/conference/users/lists`.
pub(super) fn lists(
    shared: &Shared,
    parts: &Parts,
    union_id: Option<&str>,
    content_fault: Option<&Fault>,
    request_id: &str,
) -> Answer {
    if let Err(refusal) = authorise(shared, parts, LISTS, request_id) {
        return refusal;
    }
    let now = shared.clock.now();
    let refuse = |status, code: &str, message: &str| {
        shared.count(|counters| counters.refused(code));
        Answer::refusal(status, code, message, request_id)
    };
    let Some(union_id) = union_id.filter(|union_id| !union_id.is_empty()) else {
        return refuse(400, "param.error", "missing.user.info");
    };
    let options = shared.options();
    let has_fault = |kind| content_fault.is_some_and(|fault: &Fault| fault.kind == kind);
    if has_fault(FaultKind::NoMeetings) {
        return Answer::json(200, record::nothing(&options));
    }
    let shown = if has_fault(FaultKind::OtherPerson) { another_person(shared, union_id) } else { union_id };
    match (record::answer(&shared.world, shown, now, &options), options.stranger) {
        (Some(body), _) => {
            shared.count(|counters| counters.answered(union_id));
            Answer::json(200, body)
        }
        (None, Stranger::Empty) => Answer::json(200, record::nothing(&options)),
        (None, Stranger::Error) => refuse(400, "param.error", "param.error"),
    }
}

/// Another person, preferably one in a meeting.
fn another_person<'a>(shared: &'a Shared, union_id: &'a str) -> &'a str {
    let now = shared.clock.now();
    let others = || shared.world.people().iter().map(|p| p.union_id.as_str()).filter(|id| *id != union_id);
    let busy = others().find(|id| {
        shared.world.participations(id, now).is_some_and(|(_, participations)| !participations.is_empty())
    });
    busy.or_else(|| others().next()).unwrap_or(union_id)
}

/// Checks a call to this path; a call that passes counts for the month.
fn authorise(shared: &Shared, parts: &Parts, path: &'static str, request_id: &str) -> Result<(), Answer> {
    let now = shared.clock.now();
    let refuse = |status, code: &str, message: &str| {
        shared.count(|counters| counters.refused(code));
        Answer::refusal(status, code, message, request_id)
    };
    // The token is valid only in this header, not as a bearer token or in the query.
    let token = parts.headers.get("x-acs-dingtalk-access-token").and_then(|value| value.to_str().ok());
    let Some(token) = token.filter(|token| !token.is_empty()) else {
        let code = "AuthenticationFailed.MissingParameter";
        return Err(refuse(400, code, "x-acs-dingtalk-access-token is mandatory"));
    };
    let Some(app_key) = shared.tokens().owner(token, now).map(str::to_owned) else {
        return Err(refuse(400, "InvalidAuthentication", "the access token is not valid"));
    };
    let app = shared.app(&app_key);
    if app.is_some_and(|app| !app.address_allowed) {
        let code = "Forbidden.AccessDenied.IpNotInWhiteList";
        return Err(refuse(403, code, "the address is not allowed, request ip=127.0.0.1"));
    }
    if app.is_some_and(|app| !app.may_read_meetings) {
        shared.count(|counters| counters.refused("Forbidden.AccessDenied.AccessTokenPermissionDenied"));
        return Err(faults::no_permission(request_id));
    }
    let admission = shared.count(|counters| counters.admit(&app_key, path, now, shared.limits));
    match admission {
        Admission::TooFast => Err(refuse(403, faults::QPS, "too many calls of this app in this second")),
        Admission::MonthSpent => Err(refuse(403, faults::MONTH, "the calls of this month are used up")),
        Admission::Granted => Ok(()),
    }
}
