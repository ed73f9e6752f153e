//! The simulator over loopback: tokens, answers and refusals, as the documents describe them.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops there")]

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use presenced::clock::{Clock as _, ManualClock};
use presenced::net::{ClientOptions, http_client};
use presenced::simulator::{Running, Scenario, Simulator, api};
use presenced::time::Timestamp;
use reqwest::Client;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

/// 2023-11-07T08:54:55.876Z.
pub(crate) const START: Timestamp = Timestamp::from_ms(1_699_347_295_876);
/// The id of the only meeting.
pub(crate) const MEETING: &str = "654058f2411fe90147e68780";
/// Bob is inside from the start; Ann joins after one minute and leaves after two.
pub(crate) const SCENE: &str = r#"
[people]
ann = { union_id = "u-ann+/=", nick = "Ann" }
bob = { union_id = "u-bob", nick = "Bob", external = true }
[meetings]
m = { id = "654058f2411fe90147e68780" }
[script]
steps = [
  { at = "+0s", do = "join", who = ["bob"], meeting = "m" },
  { at = "+1m", do = "join", who = ["ann"], meeting = "m" },
  { at = "+2m", do = "leave", who = ["ann"], meeting = "m" },
]
"#;

/// A simulator, its clock, and a client for it.
pub(crate) struct Stage {
    pub(crate) simulator: Running,
    pub(crate) clock: ManualClock,
    pub(crate) client: Client,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Got {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) text: String,
}

impl Got {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {}", self.text))
    }

    pub(crate) fn code(&self) -> (u16, String) {
        (self.status, self.json()["code"].as_str().unwrap_or_default().to_owned())
    }
}

pub(crate) const ANY_PORT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

impl Stage {
    pub(crate) async fn set(rest: &str) -> Self {
        let clock = ManualClock::at(START);
        let scenario = Scenario::parse(&format!("{SCENE}{rest}"), "scene").unwrap();
        let stop = CancellationToken::new();
        let simulator = Simulator::start(ANY_PORT, scenario, Arc::new(clock.clone()), stop).await.unwrap();
        let options = ClientOptions {
            connect_timeout: Duration::from_secs(20),
            timeout: Duration::from_secs(20),
            idle_per_host: 4,
            proxy: None,
            extra_roots_pem: None,
        };
        let client = http_client(&options).unwrap().build().unwrap();
        Self { simulator, clock, client }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.simulator.base_url())
    }

    pub(crate) async fn get(&self, path: &str, headers: &[(&str, &str)]) -> Result<Got, reqwest::Error> {
        let mut request = self.client.get(self.url(path));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        finish(request).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Got {
        let request = self.client.post(self.url(path)).header("content-type", "application/json");
        finish(request.body(body.to_string())).await.unwrap()
    }

    pub(crate) async fn token(&self) -> String {
        let got = self.post(api::ACCESS_TOKEN, &json!({"appKey": "k", "appSecret": "s"})).await;
        assert_eq!(got.status, 200, "{}", got.text);
        got.json()["accessToken"].as_str().unwrap().to_owned()
    }

    /// The list call about a unionId that is already encoded.
    pub(crate) async fn lists(&self, token: &str, union_id: &str) -> Result<Got, reqwest::Error> {
        let path = format!("{}?unionId={union_id}", api::LISTS);
        self.get(&path, &[("x-acs-dingtalk-access-token", token)]).await
    }
}

async fn finish(request: reqwest::RequestBuilder) -> Result<Got, reqwest::Error> {
    let response = request.send().await?;
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    Ok(Got { status, headers, text: response.text().await? })
}

#[tokio::test]
async fn a_token_and_an_answer_with_the_documented_fields() {
    let stage = Stage::set("").await;
    stage.clock.advance(Duration::from_secs(90));
    let token = stage.token().await;
    let got = stage.lists(&token, "u-ann%2B%2F%3D").await.unwrap();
    assert_eq!(got.status, 200);
    assert_eq!(got.headers["content-type"], "application/json;charset=utf-8");
    assert_eq!(got.headers["server"], "DingTalk/1.0.0");
    assert_eq!(got.headers["x-acs-request-id"].len(), 36);
    assert_eq!(got.headers["x-acs-trace-id"].len(), 32);
    assert_eq!(
        got.json(),
        json!({"onGoingConfIdList": [MEETING], "memberModelMap": {MEETING: {
            "unionId": "u-ann+/=", "conferenceId": MEETING, "userNick": "Ann",
            "joinTime": START.plus(Duration::from_mins(1)).as_ms(), "attendStatus": 3, "host": false,
            "coHost": false, "outerOrgMember": false, "pstnJoin": false, "deviceType": "Win"}}})
    );
    stage.clock.advance(Duration::from_secs(40));
    let left = stage.lists(&token, "u-ann%2B%2F%3D").await.unwrap().json();
    let record = &left["memberModelMap"][MEETING];
    assert_eq!((&record["attendStatus"], &record["duration"]), (&json!(6), &json!(60_000)));
}

#[tokio::test]
async fn an_internal_token_stays_the_same_is_renewed_and_runs_out() {
    let stage = Stage::set("").await;
    let first = stage.token().await;
    stage.clock.advance(Duration::from_secs(7000));
    assert_eq!(stage.token().await, first);
    stage.clock.advance(Duration::from_secs(7199));
    assert_eq!(stage.lists(&first, "u-bob").await.unwrap().status, 200);
    stage.clock.advance(Duration::from_secs(1));
    let late = stage.lists(&first, "u-bob").await.unwrap();
    assert_eq!(late.code(), (400, "InvalidAuthentication".into()));
    assert_eq!(late.json()["requestid"], late.headers["x-acs-request-id"].to_str().unwrap());
    assert_ne!(stage.token().await, first);
    let counts = stage.simulator.counts();
    assert_eq!((counts.tokens, counts.calls_to(api::ACCESS_TOKEN)), (3, 3));
}

#[tokio::test]
async fn the_token_calls_of_third_party_apps_give_a_new_one_each_time() {
    let stage = Stage::set("").await;
    let unified = json!({"client_id": "k", "client_secret": "s", "grant_type": "client_credentials"});
    let first = stage.post("/v1.0/oauth2/dingcorp/token", &unified).await.json();
    let second = stage.post("/v1.0/oauth2/dingcorp/token", &unified).await.json();
    assert_eq!(first["expires_in"], 7200);
    assert_ne!(first["access_token"], second["access_token"]);
    let suite = json!({"suiteKey": "k", "suiteSecret": "s", "authCorpId": "c", "suiteTicket": "t"});
    let third = stage.post(api::CORP_ACCESS_TOKEN, &suite).await.json();
    assert_eq!(third["expireIn"], 7200);
    let replaces = presenced::simulator::AnswerOptions {
        corp_token: presenced::simulator::options::CorpToken::Replaces,
        ..Default::default()
    };
    for token in [&first["access_token"], &second["access_token"], &third["accessToken"]] {
        let got = stage.lists(token.as_str().unwrap(), "u-bob").await.unwrap();
        assert_eq!(got.status, 200, "{}", got.text);
    }
    stage.simulator.set_options(replaces);
    stage.post("/v1.0/oauth2/dingcorp/token", &unified).await;
    let got = stage.lists(second["access_token"].as_str().unwrap(), "u-bob").await.unwrap();
    assert_eq!(got.code(), (400, "InvalidAuthentication".into()));
}

#[tokio::test]
async fn named_apps_are_the_only_ones() {
    let stage =
        Stage::set("[[app]]\nkey = \"good\"\nsecret = \"right\"\ncorp_id = \"c1\"\nsuite_ticket = \"t1\"\n")
            .await;
    let internal = |key: &str, secret: &str| json!({"appKey": key, "appSecret": secret});
    let code = |got: Got| got.code();
    let wrong = (400, "invalidClientIdOrSecret".to_owned());
    assert_eq!(code(stage.post(api::ACCESS_TOKEN, &internal("good", "wrong")).await), wrong);
    assert_eq!(code(stage.post(api::ACCESS_TOKEN, &internal("other", "right")).await), wrong);
    assert_eq!(stage.post(api::ACCESS_TOKEN, &internal("good", "right")).await.status, 200);

    let suite = |key: &str, ticket: &str, corp: &str| json!({"suiteKey": key, "suiteSecret": "right", "suiteTicket": ticket, "authCorpId": corp});
    for (body, expected) in [
        (suite("bad", "t1", "c1"), "invalidSuiteKey"),
        (suite("good", "t0", "c1"), "invalidSuiteTicket"),
        (suite("good", "t1", "c2"), "invalidAuthInfo"),
    ] {
        assert_eq!(code(stage.post(api::CORP_ACCESS_TOKEN, &body).await), (400, expected.into()));
    }
    let unified =
        |key: &str, grant: &str| json!({"client_id": key, "client_secret": "right", "grant_type": grant});
    for (corp, body, expected) in [
        ("c1", unified("bad", "client_credentials"), (400, "invalid.client")),
        ("c1", unified("good", "password"), (400, "unsupported.grant.type")),
        ("c9", unified("good", "client_credentials"), (500, "unknownError")),
    ] {
        let got = stage.post(&format!("/v1.0/oauth2/{corp}/token"), &body).await;
        assert_eq!(code(got), (expected.0, expected.1.into()));
    }
}

#[tokio::test]
async fn a_token_call_wants_a_json_body() {
    let stage = Stage::set("").await;
    let form = stage
        .client
        .post(stage.url(api::ACCESS_TOKEN))
        .header("content-type", "application/x-www-form-urlencoded")
        .body("appKey=k&appSecret=s");
    assert_eq!(finish(form).await.unwrap().code(), (400, "Missingbody".into()));
}

#[tokio::test]
async fn a_token_counts_only_in_its_header() {
    let stage = Stage::set("").await;
    let token = stage.token().await;
    let path = format!("{}?unionId=u-bob", api::LISTS);
    let missing = (400, "AuthenticationFailed.MissingParameter".to_owned());
    assert_eq!(stage.get(&path, &[]).await.unwrap().code(), missing);
    let bearer = format!("Bearer {token}");
    assert_eq!(stage.get(&path, &[("authorization", &bearer)]).await.unwrap().code(), missing);
    let in_query = format!("{path}&access_token={token}");
    assert_eq!(stage.get(&in_query, &[]).await.unwrap().code(), missing);
    let quoted = format!("\"{token}\"");
    let refused = (400, "InvalidAuthentication".to_owned());
    assert_eq!(stage.lists(&quoted, "u-bob").await.unwrap().code(), refused);
    let shouted = stage.get(&path, &[("X-ACS-DINGTALK-ACCESS-TOKEN", &token)]).await.unwrap();
    assert_eq!(shouted.status, 200);
}

#[tokio::test]
async fn a_wrong_person_and_no_person_are_param_errors() {
    let stage = Stage::set("").await;
    let token = stage.token().await;
    let stranger = stage.lists(&token, "u-unknown").await.unwrap();
    assert_eq!(stranger.code(), (400, "param.error".into()));
    assert_eq!(stranger.json()["message"], "param.error");
    let missing = stage.lists(&token, "").await.unwrap();
    assert_eq!(missing.code(), (400, "param.error".into()));
    assert_eq!(missing.json()["message"], "missing.user.info");
}

#[tokio::test]
async fn unknown_paths_answer_as_the_real_host_does() {
    let stage = Stage::set("").await;
    let outside = stage.get("/topapi/whatever", &[]).await.unwrap();
    assert_eq!((outside.status, &outside.json()["errcode"]), (200, &json!(404)));
    let inside = stage.get("/v1.0/conference/nothing", &[]).await.unwrap();
    assert_eq!(inside.code(), (404, "InvalidAction.NotFound".into()));
}

#[tokio::test]
async fn a_second_holds_its_calls_and_the_month_its_own_and_refusals_by_the_second_are_free() {
    let stage = Stage::set("[limits]\nper_second = 3\nper_month = 5\n").await;
    let token = stage.token().await;
    let mut codes = Vec::new();
    for _ in 0..3 {
        for _ in 0..4 {
            let got = stage.lists(&token, "u-bob").await.unwrap();
            codes.push(if got.status == 200 { "ok".into() } else { got.code().1 });
        }
        stage.clock.advance(Duration::from_secs(1));
    }
    let qps = "Forbidden.AccessDenied.QpsLimitForAppkeyAndApi";
    let month = "Forbidden.AccessDenied.ApiCountLimitForOrg";
    let expected = ["ok", "ok", "ok", qps, "ok", "ok", month, qps, month, month, month, qps];
    assert_eq!(codes, expected);
    let counts = stage.simulator.counts();
    assert_eq!((counts.charged, counts.refused(qps), counts.answers["u-bob"]), (5, 3, 5));
    assert_eq!(counts.busiest_second[api::LISTS], 4);
}

#[tokio::test]
async fn an_app_without_permission_or_from_another_address_is_refused() {
    let stage = Stage::set("[[app]]\nkey = \"k\"\nsecret = \"s\"\nmay_read_meetings = false\n").await;
    let got = stage.lists(&stage.token().await, "u-bob").await.unwrap();
    assert_eq!(got.code(), (403, "Forbidden.AccessDenied.AccessTokenPermissionDenied".into()));
    let scopes = &got.json()["accessdenieddetail"]["requiredScopes"];
    assert_eq!(scopes, &json!(["VideoConference.Conference.Read"]));

    let stage = Stage::set("[[app]]\nkey = \"k\"\nsecret = \"s\"\naddress_allowed = false\n").await;
    let got = stage.lists(&stage.token().await, "u-bob").await.unwrap();
    assert_eq!(got.code(), (403, "Forbidden.AccessDenied.IpNotInWhiteList".into()));
    assert!(got.json()["message"].as_str().unwrap().contains("request ip="));
}

#[tokio::test]
async fn what_is_answered_is_what_the_world_says_at_every_minute() {
    let clock = ManualClock::at(START);
    let scenario = Scenario::built_in("demo").unwrap().unwrap();
    let people: Vec<String> = scenario.people().iter().map(|p| p.union_id.clone()).collect();
    let mut stage = Stage::set("").await;
    stage.simulator = Simulator::start(ANY_PORT, scenario, Arc::new(clock.clone()), CancellationToken::new())
        .await
        .unwrap();
    let token = stage.token().await;
    for _minute in 0..32 {
        let truth = stage.simulator.world().inside(clock.now());
        for union_id in &people {
            let answer = stage.lists(&token, union_id).await.unwrap().json();
            let mut inside: Vec<String> = answer["memberModelMap"]
                .as_object()
                .unwrap()
                .iter()
                .filter(|(_, record)| record["attendStatus"] == 3)
                .map(|(conference, _)| conference.clone())
                .collect();
            inside.sort();
            let mut expected = truth.get(union_id).cloned().unwrap_or_default();
            expected.sort();
            assert_eq!(inside, expected, "{union_id} at {}", clock.now());
        }
        clock.advance(Duration::from_mins(1));
    }
}

#[tokio::test]
async fn it_can_be_steered_while_it_runs() {
    let stage = Stage::set("").await;
    let token = stage.token().await;
    let put = stage.client.put(stage.url("/_simulator/knobs")).body("map_key = \"key\"");
    assert_eq!(finish(put).await.unwrap().status, 200);
    let answer = stage.lists(&token, "u-bob").await.unwrap().json();
    assert_eq!(answer["memberModelMap"]["key"]["unionId"], "u-bob");

    let faults = "[[fault]]\nkind = \"server_error\"\nwho = [\"u-bob\"]\n";
    let post = stage.client.post(stage.url("/_simulator/faults")).body(faults);
    assert_eq!(finish(post).await.unwrap().status, 200);
    assert_eq!(stage.lists(&token, "u-bob").await.unwrap().status, 500);
    let delete = stage.client.delete(stage.url("/_simulator/faults"));
    assert_eq!(finish(delete).await.unwrap().status, 200);
    assert_eq!(stage.lists(&token, "u-bob").await.unwrap().status, 200);

    let wrong = stage.client.post(stage.url("/_simulator/faults")).body("[[fault]]\nkind = \"flood\"\n");
    let wrong = finish(wrong).await.unwrap();
    assert_eq!(wrong.status, 400);
    assert!(wrong.json()["error"].as_str().unwrap().starts_with("faults:2: "), "{}", wrong.text);

    stage.clock.advance(Duration::from_secs(150));
    let changes = stage.get("/_simulator/changes", &[]).await.unwrap().json();
    let words: Vec<&str> =
        changes.as_array().unwrap().iter().map(|c| c["change"].as_str().unwrap()).collect();
    assert_eq!(words, ["joined", "joined", "left"]);
    let inside = stage.get("/_simulator/inside", &[]).await.unwrap().json();
    assert_eq!(inside, json!({"u-bob": [MEETING]}));
    let counts = stage.get("/_simulator/counts", &[]).await.unwrap().json();
    assert_eq!(counts["refusals"]["server_error"], 1);

    let revoke = stage.client.post(stage.url("/_simulator/revoke-tokens"));
    assert_eq!(finish(revoke).await.unwrap().status, 200);
    let refused = stage.lists(&token, "u-bob").await.unwrap();
    assert_eq!(refused.code(), (400, "InvalidAuthentication".into()));
}

#[tokio::test]
async fn two_runs_of_the_same_calls_give_the_same_bytes() {
    let mut runs = Vec::new();
    for _ in 0..2 {
        let stage = Stage::set("").await;
        let token = stage.token().await;
        let got = stage.lists(&token, "u-bob").await.unwrap();
        runs.push((token, got.headers["x-acs-request-id"].clone(), got.text));
    }
    assert_eq!(runs[0], runs[1]);
}
