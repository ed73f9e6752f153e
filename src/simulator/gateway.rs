//! What the gateway decides: whose question is answered. Who gets a token, in a room of its own (`token`).
//!
//! Guards: the order of refusals: the token first, then the app's address and permission, the second, the month,
//! and only then the question itself. Deliberately not here: connections and faults (`api`), the answer's text
//! (`record`).

use axum::http::request::Parts;

use super::api::{Call, LISTS, Shared};
use super::faults::{self, Answer, Fault, FaultKind};
use super::http::parameter;
use super::knobs::Stranger;
use super::ledger::Admission;
use super::meetings::{Teller, Wish};
use super::record;

pub(super) mod token;

/// The calls about meetings. `lie`: what is wrong with a healthy answer.
pub(super) fn meetings(
    shared: &Shared,
    call: &Call,
    parts: &Parts,
    body: &[u8],
    lie: Option<&Fault>,
    request_id: &str,
) -> Answer {
    if let Err(refusal) = let_in(shared, parts, call.counted_as(), request_id) {
        return refusal;
    }
    let knobs = shared.knobs();
    let teller = Teller { world: &shared.world, now: shared.clock.now(), knobs: &knobs, lie };
    let query = parts.uri.query();
    let wish =
        Wish { next_token: parameter(query, "nextToken"), max_results: parameter(query, "maxResults") };
    let told = match call {
        Call::MeetingQuery => teller.batch(body),
        Call::MeetingInfo { conference_id } => teller.info(conference_id),
        Call::MeetingMembers { conference_id } => teller.members(conference_id, &wish),
        _ => teller.ongoing(&wish),
    };
    match told {
        Ok(body) => Answer::json(200, body),
        Err((status, code)) => {
            shared.count(|ledger| ledger.refused(code));
            Answer::refusal(status, code, code, request_id)
        }
    }
}

/// `GET /v1.0/conference/users/lists`.
pub(super) fn lists(
    shared: &Shared,
    parts: &Parts,
    union_id: Option<&str>,
    lie: Option<&Fault>,
    request_id: &str,
) -> Answer {
    if let Err(refusal) = let_in(shared, parts, LISTS, request_id) {
        return refusal;
    }
    let now = shared.clock.now();
    let refuse = |status, code: &str, message: &str| {
        shared.count(|ledger| ledger.refused(code));
        Answer::refusal(status, code, message, request_id)
    };
    let Some(union_id) = union_id.filter(|union_id| !union_id.is_empty()) else {
        return refuse(400, "param.error", "missing.user.info");
    };
    let knobs = shared.knobs();
    let lies = |kind| lie.is_some_and(|fault: &Fault| fault.kind == kind);
    if lies(FaultKind::NoMeetings) {
        return Answer::json(200, record::nothing(&knobs));
    }
    let whose = if lies(FaultKind::OtherPerson) { somebody_else(shared, union_id) } else { union_id };
    match (record::answer(&shared.world, whose, now, &knobs), knobs.stranger) {
        (Some(body), _) => {
            shared.count(|ledger| ledger.answered(union_id));
            Answer::json(200, body)
        }
        (None, Stranger::Empty) => Answer::json(200, record::nothing(&knobs)),
        (None, Stranger::Error) => refuse(400, "param.error", "param.error"),
    }
}

/// Another person, one in a meeting if there is one.
fn somebody_else<'a>(shared: &'a Shared, union_id: &'a str) -> &'a str {
    let now = shared.clock.now();
    let others = || shared.world.people().iter().map(|p| p.union_id.as_str()).filter(|id| *id != union_id);
    let busy = others().find(|id| shared.world.seats(id, now).is_some_and(|(_, seats)| !seats.is_empty()));
    busy.or_else(|| others().next()).unwrap_or(union_id)
}

/// Whether a call to this path is answered at all; then it is charged.
fn let_in(shared: &Shared, parts: &Parts, path: &'static str, request_id: &str) -> Result<(), Answer> {
    let now = shared.clock.now();
    let refuse = |status, code: &str, message: &str| {
        shared.count(|ledger| ledger.refused(code));
        Answer::refusal(status, code, message, request_id)
    };
    // Bearer and query tokens are no tokens here: the header is the only place.
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
        shared.count(|ledger| ledger.refused("Forbidden.AccessDenied.AccessTokenPermissionDenied"));
        return Err(faults::no_permission(request_id));
    }
    let admission = shared.count(|ledger| ledger.admit(&app_key, path, now, shared.limits));
    match admission {
        Admission::TooFast => Err(refuse(403, faults::QPS, "too many calls of this app in this second")),
        Admission::MonthSpent => Err(refuse(403, faults::MONTH, "the calls of this month are used up")),
        Admission::Granted => Ok(()),
    }
}
