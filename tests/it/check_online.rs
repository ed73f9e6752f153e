//! `check --online`: every refusal of DingTalk is named, explained, and ends with the exit code that is documented.
//!
//! Guards: the answers are bytes as DingTalk sends them. Deliberately not here: what each answer means to the daemon
//! (`verdict_codes`).

use crate::harness::daemon::Site;
use crate::harness::fake::Fake;
use crate::harness::http::{response, serve};

const JSON: &str = "application/json;charset=utf-8";

/// How a call is answered, and what the operator reads.
struct Case {
    status: u16,
    body: &'static str,
    exit: i32,
    class: &'static str,
    help: &'static str,
}

const fn case(status: u16, body: &'static str, exit: i32, class: &'static str, help: &'static str) -> Case {
    Case { status, body, exit, class, help }
}

const LOOKS: &[Case] = &[
    case(
        403,
        r#"{"code":"Forbidden.AccessDenied.AccessTokenPermissionDenied","requestid":"R-1","accessdenieddetail":{"requiredScopes":["Conference.Read"]}}"#,
        77,
        "forbidden: the app lacks the permission Conference.Read (code Forbidden.AccessDenied.AccessTokenPermissionDenied) (request R-1)",
        "an administrator grants it",
    ),
    case(
        403,
        r#"{"code":"Forbidden.AccessDenied.IpNotInWhiteList","message":"request ip=203.0.113.7 not allowed"}"#,
        77,
        "ip_not_allowed: 203.0.113.7 is not on the app's address list",
        "outgoing addresses",
    ),
    case(400, r#"{"code":"param.error"}"#, 1, "unknown_user:", "presenced user find"),
    case(403, r#"{"code":"acrossOrgAccessForbidden"}"#, 1, "refused:", "only this user"),
    case(
        403,
        r#"{"code":"Forbidden.AccessDenied.QpsLimitForApi"}"#,
        75,
        "throttled:",
        "try again in a minute",
    ),
    case(403, r#"{"code":"Forbidden.AccessDenied.ApiCountLimitForOrg"}"#, 75, "quota_spent:", "next month"),
    case(429, r#"{"code":"system.busy"}"#, 75, "busy:", "try again in a minute"),
    case(500, r#"{"code":"system.error"}"#, 75, "outage:", "try again later"),
    case(200, r#"{"status":1111,"wait":5,"punish":"deny"}"#, 75, "banned:", "wait five minutes"),
    case(200, "{\"hello\":1}", 75, "malformed:", "api_base"),
    case(302, "{}", 78, "redirect:", "decide the call"),
    case(404, "<html></html>", 78, "misconfigured:", "decide the call"),
];

fn assert_said(site: &Site, case: &Case) {
    let output = site.command(&["check", "--online"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(case.exit), "{}: {text}", case.class);
    let said = text.split("error: default: ").nth(1).unwrap_or_else(|| panic!("{}: {text}", case.class));
    assert!(said.contains(case.class), "{}: {text}", case.class);
    let help = said.lines().nth(1).unwrap_or_default();
    assert!(help.starts_with("   = ") && help.contains(case.help), "{}: {text}", case.class);
    assert!(!text.contains("secret-of-the-app") && !text.contains("token-of-the-fake"), "{text}");
}

#[test]
fn every_refusal_of_a_look_is_explained() {
    let fake = Fake::start();
    let site = Site::new(&fake.base(), "http://127.0.0.1:1/", &["u1"], "", "");
    for case in LOOKS {
        fake.say_bytes("u1", Some(response(case.status, JSON, case.body)));
        assert_said(&site, case);
    }
}

#[test]
fn every_refusal_of_a_token_is_explained() {
    for case in [
        case(400, r#"{"code":"invalidClientIdOrSecret"}"#, 77, "no token: credentials:", "developer console"),
        case(400, r#"{"code":"whatever.else"}"#, 78, "no token: misconfigured:", "decide the call"),
        case(503, "", 75, "no token: outage:", "try again later"),
    ] {
        let (status, body) = (case.status, case.body);
        let address = serve(move |_| Some(response(status, JSON, body)));
        let site = Site::new(&format!("http://{address}"), "http://127.0.0.1:1/", &["u1"], "", "");
        assert_said(&site, &case);
    }
}

#[test]
fn a_user_that_dingtalk_does_not_know_is_reported() {
    let site = Site::new("http://127.0.0.1:1", "http://127.0.0.1:1/", &["u1"], "", "");
    assert_said(&site, &case(0, "", 69, "no token: unreachable:", "is the network up"));
}
