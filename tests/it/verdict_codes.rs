//! Every refusal DingTalk documents, from its bytes to what the daemon does about it.
//!
//! Guards: no code loses its reaction on the way from `dingtalk::classify` to `policy::failure_policy`. Deliberately not here:
//! the reactions' own rules (`policy::failure_policy`), odd bodies (`dingtalk::classify`).

use std::time::Duration;

use presenced::dingtalk::classify::{Reply, failure, token_failure};
use presenced::dingtalk::error::CallError;
use presenced::policy::circuit::{Cause, CircuitBreaker};
use presenced::policy::failure_policy::{BackoffScope, BackoffSteps, Failure, respond};
use presenced::time::Timestamp;

/// 2026-11-23T06:00:20Z
const NOW: Timestamp = Timestamp::from_ms(1_795_413_620_000);
const DENIED: &str = "Forbidden.AccessDenied.";
const SECOND: u64 = 1;
const SOON: u64 = 30;
const MINUTE: u64 = 60;

/// Status, `code`, who waits, for how many seconds at least, why the organisation is shut, whether it slows down, and
/// whether the call counts for the month.
type Row = (u16, &'static str, BackoffScope, u64, Option<Cause>, bool, bool);

const ROWS: &[Row] = &[
    (400, "InvalidAuthentication", BackoffScope::Organisation, SOON, Some(Cause::Auth), false, true),
    (
        400,
        "AuthenticationFailed.MissingParameter",
        BackoffScope::Organisation,
        SOON,
        Some(Cause::Auth),
        false,
        true,
    ),
    (401, "", BackoffScope::Organisation, SOON, Some(Cause::Auth), false, true),
    (403, "AccessTokenPermissionDenied", BackoffScope::Organisation, SOON, Some(Cause::Auth), false, true),
    (403, "IpNotInWhiteList", BackoffScope::Organisation, SOON, Some(Cause::Auth), false, true),
    (403, "QpsLimitForAppkeyAndApi", BackoffScope::Organisation, SECOND, None, true, false),
    (403, "QpsLimitForApi", BackoffScope::Organisation, SECOND, None, true, false),
    (403, "QpsLimitForSuitekeyAndOrgAndApi", BackoffScope::Organisation, SECOND, None, true, false),
    (403, "QpmLimitForAppkeyAndApi", BackoffScope::Organisation, 40, None, true, false),
    (403, "QpmLimitForSuitekeyAndOrgAndApi", BackoffScope::Organisation, 40, None, true, false),
    (403, "ApiCountLimitForOrg", BackoffScope::Organisation, 6 * 3600, Some(Cause::MonthSpent), false, true),
    (403, "acrossOrgAccessForbidden", BackoffScope::RefusedUser, MINUTE, None, false, true),
    (404, "roomNotFound", BackoffScope::RefusedUser, MINUTE, None, false, true),
    (429, "system.busy", BackoffScope::Organisation, SECOND, None, true, true),
    (429, "systemBusy", BackoffScope::Organisation, SECOND, None, true, true),
    (400, "param.error", BackoffScope::RefusedUser, MINUTE, None, false, true),
    (400, "missing.user.info", BackoffScope::RefusedUser, MINUTE, None, false, true),
    (400, "system.error", BackoffScope::User, SOON, None, false, true),
    (500, "system.error", BackoffScope::User, SOON, None, false, true),
    (502, "service.timeout", BackoffScope::User, SOON, None, false, true),
    (504, "unknownError", BackoffScope::User, SOON, None, false, true),
    (500, "unknownError", BackoffScope::User, SOON, None, false, true),
    (503, "service.timeout", BackoffScope::User, SOON, None, false, true),
];

fn reply(status: u16, body: &str) -> Reply<'_> {
    Reply { status, request_id: None, retry_after: None, body: body.as_bytes(), now: NOW }
}

fn reaction(error: &CallError) -> (BackoffScope, Duration, Option<Cause>, bool) {
    let steps = BackoffSteps { initial: Duration::from_secs(40), max: Duration::from_mins(15), factor: 2.0 };
    let failure = Failure {
        verdict: &error.verdict,
        retry_after: error.retry_after,
        now: NOW,
        earlier_failures: 0,
        refusals: 0,
        answered_lately: true,
        interval: Duration::from_hours(1),
        user: 1,
        org: 2,
        month_ends: NOW.plus(Duration::from_hours(24 * 7)),
    };
    let (reaction, standing) = respond(&failure, CircuitBreaker::default(), &steps);
    (reaction.scope, reaction.next_poll.since(NOW), standing.open.map(|shut| shut.cause), reaction.halve_rate)
}

#[test]
fn each_code_has_its_reaction() {
    for (status, code, hold, seconds, cause, slower, charged) in ROWS.iter().copied() {
        let denied = status == 403 && !code.starts_with("across");
        let code = if denied { format!("{DENIED}{code}") } else { code.to_owned() };
        let body = format!(r#"{{"code":"{code}","message":"m","requestid":"R"}}"#);
        let error = failure(&reply(status, &body));
        let (held, wait, shut, slowed) = reaction(&error);
        assert_eq!((held, shut, slowed), (hold, cause, slower), "{status} {code}: {error}");
        assert!(wait >= Duration::from_secs(seconds), "{status} {code}: {wait:?}");
        assert_eq!(error.charged, charged, "{status} {code}");
    }
}

#[test]
fn a_ban_stops_all_users_whatever_its_status() {
    let body = r#"{"status":1111,"wait":5,"source":"x5","punish":"deny","uuid":"u"}"#;
    for status in [200, 403, 503] {
        let (hold, wait, cause, _) = reaction(&failure(&reply(status, body)));
        assert_eq!(
            (hold, wait, cause),
            (BackoffScope::AllOrganisations, Duration::from_mins(5), Some(Cause::Banned))
        );
    }
    let (hold, ..) = reaction(&failure(&reply(403, "<html>Powered by DingTalk</html>")));
    assert_eq!(hold, BackoffScope::AllOrganisations);
}

#[test]
fn an_outage_page_and_a_foreign_success_are_no_absence() {
    for (status, body, hold) in [
        (502, "<html>Powered by DingTalk/1.0.0</html>", BackoffScope::User),
        (200, r#"{"errcode":404,"errmsg":"no such URI"}"#, BackoffScope::Organisation),
        (302, "", BackoffScope::Organisation),
    ] {
        let error = failure(&reply(status, body));
        assert_eq!(reaction(&error).0, hold, "{status}: {error}");
    }
}

#[test]
fn token_refusals_shut_the_organisation_also_when_they_look_like_an_outage() {
    for (status, code, unified) in [
        (400, "invalidClientIdOrSecret", false),
        (400, "Missingbody", false),
        (400, "invalidSuiteKey", false),
        (400, "invalidSuiteTicket", false),
        (400, "invalidAuthInfo", false),
        (400, "invalid.client", true),
        (400, "unsupported.grant.type", true),
        (401, "unauthorized.client", true),
        (500, "unknownError", true),
    ] {
        let body = format!(r#"{{"code":"{code}","message":"m","requestid":"R"}}"#);
        let error = token_failure(&reply(status, &body), unified);
        let (hold, _, cause, _) = reaction(&error);
        assert_eq!((hold, cause), (BackoffScope::Organisation, Some(Cause::Auth)), "{code}: {error}");
        assert_eq!(error.calls, 0, "token calls are free");
    }
    let body = r#"{"code":"server.error","message":"m","requestid":"R"}"#;
    assert_eq!(reaction(&token_failure(&reply(500, body), true)).0, BackoffScope::User, "a real outage");
}
