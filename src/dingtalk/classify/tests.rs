//! One named case for each row of the error tables, and the order of the checks.

use serde_json::json;

use super::super::wire::BodyError;
use super::*;

const SAMPLE: &str = r#"{"onGoingConfIdList":[],"memberModelMap":{}}"#;
/// 1994-11-06T08:49:37Z
const NOW: Timestamp = Timestamp::from_ms(784_111_777_000);

fn me() -> UnionId {
    UnionId::parse("2iPOLbpUNMLzB5LuwggiiqiPwiEiE").unwrap()
}

fn reply(status: u16, body: &[u8]) -> Reply<'_> {
    Reply { status, request_id: None, retry_after: None, body, now: NOW }
}

fn list(status: u16, body: impl AsRef<[u8]>) -> CallError {
    let error = list_answer(&reply(status, body.as_ref()), &me()).expect_err("an error");
    assert_eq!(error.calls, u32::from(error.charged));
    assert_eq!(error.status, Some(status));
    error
}

fn coded(status: u16, code: &str) -> CallError {
    list(status, json!({ "code": code, "message": "消息", "requestid": "A-1" }).to_string())
}

#[track_caller]
fn check(error: &CallError, class: &str, verdict: &Verdict, charged: bool) {
    assert_eq!((error.class, &error.verdict, error.charged), (class, verdict, charged), "{error:?}");
}

fn token(status: u16, body: &str, unified: bool) -> CallError {
    let error = token_failure(&reply(status, body.as_bytes()), unified);
    assert_eq!((error.charged, error.calls), (false, 0), "token calls are exempt");
    error
}

fn token_coded(status: u16, code: &str, unified: bool) -> CallError {
    token(status, &json!({ "code": code, "message": "m", "requestid": "A-1" }).to_string(), unified)
}

const THROTTLED: Verdict = Verdict::Throttled { pause: Duration::from_secs(1) };

mod the_list_calls_own_errors {
    use super::*;

    #[test]
    fn param_error() {
        check(&coded(400, "param.error"), class::UNKNOWN_USER, &Verdict::UnknownUser, true);
    }

    #[test]
    fn missing_user_info() {
        let body = json!({ "code": "param.error", "message": "missing.user.info" }).to_string();
        check(&list(400, body), class::UNKNOWN_USER, &Verdict::UnknownUser, true);
    }

    #[test]
    fn system_error_at_each_status() {
        for status in [400, 500, 503] {
            check(&coded(status, "system.error"), class::OUTAGE, &Verdict::Outage, true);
        }
    }
}

mod the_gateways_errors {
    use super::*;

    #[test]
    fn invalid_authentication_is_a_400() {
        check(&coded(400, "InvalidAuthentication"), class::UNAUTHORISED, &Verdict::Unauthorised, true);
    }

    #[test]
    fn missing_parameter_of_authentication() {
        let error = coded(400, "AuthenticationFailed.MissingParameter");
        check(&error, class::UNAUTHORISED, &Verdict::Unauthorised, true);
    }

    #[test]
    fn any_401() {
        check(&coded(401, "whatever"), class::UNAUTHORISED, &Verdict::Unauthorised, true);
        check(&list(401, "{}"), class::UNAUTHORISED, &Verdict::Unauthorised, true);
        check(&list(401, ""), class::UNAUTHORISED, &Verdict::Unauthorised, true);
    }

    #[test]
    fn permission_denied_names_the_scopes() {
        let body = json!({
            "code": "Forbidden.AccessDenied.AccessTokenPermissionDenied", "message": "see https://x/?appKey=dingsecret",
            "accessdenieddetail": { "requiredScopes": ["VideoConference.Conference.Read", "evil scope\n"] },
        });
        let error = list(403, body.to_string());
        check(&error, class::FORBIDDEN, &Verdict::Forbidden, true);
        assert_eq!(error.text, "the app lacks the permission VideoConference.Conference.Read");
    }

    #[test]
    fn permission_denied_without_detail() {
        let error = coded(403, "Forbidden.AccessDenied.AccessTokenPermissionDenied");
        check(&error, class::FORBIDDEN, &Verdict::Forbidden, true);
    }

    #[test]
    fn ip_not_in_white_list_names_the_address() {
        for (message, shown) in [
            ("访问ip不在白名单之中,request ip=203.0.113.7", "203.0.113.7 is not"),
            ("not in whitelist, request ip=2001:db8::17.", "2001:db8::17 is not"),
            ("no address in here", "this address is not"),
        ] {
            let code = "Forbidden.AccessDenied.IpNotInWhiteList";
            let error = list(403, json!({ "code": code, "message": message }).to_string());
            check(&error, class::IP_NOT_ALLOWED, &Verdict::Forbidden, true);
            assert!(error.text.starts_with(shown), "{}", error.text);
        }
    }

    #[test]
    fn each_limit_a_second() {
        for code in ["QpsLimitForAppkeyAndApi", "QpsLimitForApi", "QpsLimitForSuitekeyAndOrgAndApi"] {
            let error = coded(403, &format!("Forbidden.AccessDenied.{code}"));
            check(&error, class::THROTTLED, &THROTTLED, false);
        }
    }

    #[test]
    fn each_limit_a_minute() {
        for code in ["QpmLimitForAppkeyAndApi", "QpmLimitForSuitekeyAndOrgAndApi"] {
            let error = coded(403, &format!("Forbidden.AccessDenied.{code}"));
            check(&error, class::THROTTLED, &Verdict::ThrottledThisMinute, false);
        }
    }

    #[test]
    fn the_months_limit() {
        let error = coded(403, "Forbidden.AccessDenied.ApiCountLimitForOrg");
        check(&error, class::QUOTA_SPENT, &Verdict::QuotaSpent, true);
    }

    #[test]
    fn other_business_refusals_are_about_the_person() {
        check(&coded(403, "acrossOrgAccessForbidden"), class::REFUSED, &Verdict::RefusedUser, true);
        check(&coded(400, "paramError"), class::REFUSED, &Verdict::Refused, true);
        check(&coded(400, "no.priviledge"), class::REFUSED, &Verdict::Refused, true);
        let throttled = Verdict::Throttled { pause: SECOND };
        for code in ["ServiceThrottling", "resource.busy", "ConcurrencyLimitExceeded"] {
            check(&coded(400, code), class::BUSY, &throttled, true);
        }
        for code in ["gateway.unavailable", "upstreamTimeout"] {
            check(&coded(403, code), class::OUTAGE, &Verdict::Outage, true);
        }
    }

    #[test]
    fn room_not_found() {
        check(&coded(404, "roomNotFound"), class::REFUSED, &Verdict::RefusedUser, true);
    }

    #[test]
    fn another_404_is_the_wrong_address() {
        let error = coded(404, "InvalidAction.NotFound");
        check(&error, class::MISCONFIGURED, &Verdict::Misconfigured, true);
        check(&list(404, "<html>"), class::MISCONFIGURED, &Verdict::Misconfigured, true);
    }

    #[test]
    fn system_busy() {
        for code in ["system.busy", "systemBusy"] {
            check(&coded(429, code), class::BUSY, &THROTTLED, true);
        }
        check(&list(429, "{}"), class::BUSY, &THROTTLED, true);
    }

    #[test]
    fn each_outage() {
        for status in [500, 502, 503, 504] {
            for code in ["system.error", "unknownError", "service.timeout", "neverHeardOf"] {
                check(&coded(status, code), class::OUTAGE, &Verdict::Outage, true);
            }
            let page = "<html><body>Powered by DingTalk/1.0.0 <hr>tengine</body></html>";
            check(&list(status, page), class::OUTAGE, &Verdict::Outage, true);
            check(&list(status, ""), class::OUTAGE, &Verdict::Outage, true);
        }
    }

    #[test]
    fn an_unknown_path_outside_v1_is_a_200() {
        let error = list(200, r#"{"errcode":404,"errmsg":"请求的URI地址不存在"}"#);
        check(&error, class::MISCONFIGURED, &Verdict::Misconfigured, true);
    }

    #[test]
    fn the_ban_at_any_status() {
        let body = r#"{"status":1111,"wait":5,"source":"x5","punish":"deny","uuid":"u"}"#;
        for status in [200, 302, 403, 429, 500, 503] {
            check(&list(status, body), class::BANNED, &Verdict::Banned, true);
        }
        check(&list(200, r#"{"status":"1111"}"#), class::BANNED, &Verdict::Banned, true);
        check(&list(200, r#"{"punish":"deny"}"#), class::BANNED, &Verdict::Banned, true);
        let both = r#"{"onGoingConfIdList":[],"memberModelMap":{},"status":1111}"#;
        check(&list(200, both), class::BANNED, &Verdict::Banned, true);
    }

    #[test]
    fn a_page_is_the_ban_where_no_failing_server_explains_it() {
        for status in [200, 403, 405, 429] {
            for page in ["<!DOCTYPE html><html></html>", "\u{FEFF} \n<html>"] {
                check(&list(status, page), class::BANNED, &Verdict::MaybeBanned, true);
            }
        }
    }
}

mod the_legacy_hosts_errors {
    use super::*;

    #[test]
    fn refusals_come_with_200() {
        let rows: [(Value, &str, Verdict, bool); 8] = [
            (json!({ "errcode": 88, "sub_code": "40014" }), class::UNAUTHORISED, Verdict::Unauthorised, true),
            (json!({ "errcode": 40014 }), class::UNAUTHORISED, Verdict::Unauthorised, true),
            (json!({ "errcode": "42001" }), class::UNAUTHORISED, Verdict::Unauthorised, true),
            (json!({ "errcode": 88, "sub_code": "90018" }), class::THROTTLED, THROTTLED, false),
            (json!({ "errcode": 90020 }), class::QUOTA_SPENT, Verdict::QuotaSpent, true),
            (json!({ "errcode": 60011 }), class::FORBIDDEN, Verdict::Forbidden, true),
            (json!({ "errcode": -1 }), class::OUTAGE, Verdict::Outage, true),
            (json!({ "errcode": 0, "errmsg": "ok" }), class::FOREIGN, Verdict::Outage, true),
        ];
        for (body, class, verdict, charged) in rows {
            check(&list(200, body.to_string()), class, &verdict, charged);
        }
    }
}

mod the_order {
    use super::*;

    #[test]
    fn ban_before_code() {
        let body = r#"{"punish":"deny","code":"InvalidAuthentication"}"#;
        check(&list(400, body), class::BANNED, &Verdict::Banned, true);
    }

    #[test]
    fn limits_before_permission() {
        let error = coded(403, "Forbidden.AccessDenied.QpsLimitForAppkeyAndApi");
        assert_ne!(error.class, class::FORBIDDEN);
    }

    #[test]
    fn code_before_status() {
        let error = coded(500, "Forbidden.AccessDenied.QpsLimitForApi");
        check(&error, class::THROTTLED, &THROTTLED, false);
    }

    #[test]
    fn a_success_with_an_errors_code_is_that_error() {
        check(&coded(200, "InvalidAuthentication"), class::UNAUTHORISED, &Verdict::Unauthorised, true);
        check(&coded(200, "neverHeardOf"), class::FOREIGN, &Verdict::Outage, true);
    }

    #[test]
    fn only_a_200_is_good() {
        assert!(list_answer(&reply(200, SAMPLE.as_bytes()), &me()).is_ok());
        for status in [201, 203, 206, 299] {
            check(&list(status, SAMPLE), class::MALFORMED, &Verdict::Outage, true);
        }
        for status in [400, 403, 418] {
            check(
                &list(status, SAMPLE),
                if status == 403 { class::FORBIDDEN } else { class::FOREIGN },
                &if status == 403 { Verdict::Forbidden } else { Verdict::Outage },
                true,
            );
        }
        check(&list(500, SAMPLE), class::OUTAGE, &Verdict::Outage, true);
        check(&list(204, ""), class::NOT_JSON, &Verdict::Outage, true);
        check(&list(302, ""), class::REDIRECT, &Verdict::Misconfigured, true);
        check(&list(302, "<html>"), class::REDIRECT, &Verdict::Misconfigured, true);
    }

    #[test]
    fn not_json_and_not_understood() {
        check(&list(200, ""), class::NOT_JSON, &Verdict::Outage, true);
        check(&list(200, "OK"), class::NOT_JSON, &Verdict::Outage, true);
        check(&list(200, &SAMPLE[..20]), class::NOT_JSON, &Verdict::Outage, true);
        let error = list(200, r#"{"onGoingConfIdList":7}"#);
        check(&error, class::MALFORMED, &Verdict::Outage, true);
        assert!(error.text.contains("onGoingConfIdList is not a list"), "{}", error.text);
        check(&list(200, r#"{"hello":1}"#), class::MALFORMED, &Verdict::Outage, true);
        assert!(BodyError::Foreign.to_string().contains("another service"));
    }

    #[test]
    fn odd_4xx() {
        check(&list(407, "<html>"), class::MISCONFIGURED, &Verdict::Misconfigured, true);
        check(&list(408, "{}"), class::OUTAGE, &Verdict::Outage, true);
        check(&list(403, "{}"), class::FORBIDDEN, &Verdict::Forbidden, true);
        check(&list(400, "{}"), class::FOREIGN, &Verdict::Outage, true);
        check(&list(400, "bad request"), class::NOT_JSON, &Verdict::Outage, true);
    }
}

mod token_calls {
    use super::*;

    #[test]
    fn wrong_key_or_secret() {
        for code in ["invalidClientIdOrSecret", "invalidSuiteKey", "invalidSuiteTicket", "invalidAuthInfo"] {
            check(&token_coded(400, code, false), class::CREDENTIALS, &Verdict::Unauthorised, false);
        }
        check(&token_coded(400, "invalid.client", true), class::CREDENTIALS, &Verdict::Unauthorised, false);
        check(
            &token_coded(401, "unauthorized.client", true),
            class::CREDENTIALS,
            &Verdict::Unauthorised,
            false,
        );
        check(&token(200, r#"{"errcode":40096}"#, false), class::CREDENTIALS, &Verdict::Unauthorised, false);
    }

    #[test]
    fn a_wrong_request_is_ours() {
        for code in ["Missingbody", "unsupported.grant.type"] {
            check(&token_coded(400, code, true), class::MISCONFIGURED, &Verdict::Misconfigured, false);
        }
    }

    #[test]
    fn a_wrong_organisation_looks_like_an_outage() {
        check(&token_coded(500, "unknownError", true), class::MISCONFIGURED, &Verdict::Misconfigured, false);
        check(&token_coded(500, "unknownError", false), class::OUTAGE, &Verdict::Outage, false);
    }

    #[test]
    fn servers_and_paths() {
        check(&token_coded(500, "server.error", true), class::OUTAGE, &Verdict::Outage, false);
        check(&token(200, r#"{"errcode":404}"#, false), class::MISCONFIGURED, &Verdict::Misconfigured, false);
        let banned = token(403, r#"{"status":1111,"punish":"deny"}"#, false);
        check(&banned, class::BANNED, &Verdict::Banned, false);
        check(&token(200, r#"{"accessToken":7}"#, false), class::MALFORMED, &Verdict::Outage, false);
    }
}

#[test]
fn request_ids_come_from_the_header_or_the_body_if_plain() {
    let body = r#"{"code":"system.error","requestid":"B-2"}"#;
    assert_eq!(list(500, body).request_id.as_deref(), Some("B-2"));
    let with_header = Reply { request_id: Some("H-1"), ..reply(500, body.as_bytes()) };
    assert_eq!(failure(&with_header).request_id.as_deref(), Some("H-1"));
    assert_eq!(list(500, r#"{"code":"system.error","requestid":"x\n[31m"}"#).request_id, None);
    assert_eq!(coded(500, "white space").code, None);
    assert_eq!(coded(500, "system.error").code.as_deref(), Some("system.error"));
}

#[test]
fn texts_quote_nothing() {
    let secret = "dingsecretappkey";
    for status in [200, 302, 400, 401, 403, 404, 429, 500] {
        for code in ["param.error", "InvalidAuthentication", "Forbidden.AccessDenied.IpNotInWhiteList", "x.y"]
        {
            let body =
                json!({ "code": code, "message": format!("https://x/?k={secret}"), "sub_msg": secret });
            let error = list(status, body.to_string());
            assert!(!format!("{error:?} {error}").contains(secret), "{error:?}");
        }
    }
}

#[test]
fn retry_after_lengthens_a_pause_and_never_shortens_it() {
    let pause = |header| {
        let body = br#"{"code":"Forbidden.AccessDenied.QpsLimitForApi"}"#;
        let error = failure(&Reply { retry_after: Some(header), ..reply(403, body) });
        (error.verdict, error.retry_after)
    };
    let of = |s| Verdict::Throttled { pause: Duration::from_secs(s) };
    assert_eq!(pause("7"), (of(7), Some(Duration::from_secs(7))));
    assert_eq!(pause("0"), (of(1), Some(Duration::ZERO)));
    assert_eq!(pause("99999"), (of(3_600), Some(LONGEST_RETRY_AFTER)));
}
