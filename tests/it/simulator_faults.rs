//! Each fault of the simulator, as a client sees it.

use std::time::Duration;

use presenced::simulator::faults::FaultTarget;
use presenced::simulator::{Fault, FaultKind, api};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::simulator_api::{MEETING, Stage};

/// The result of one list call about Bob under a fault: status, and what the body holds.
async fn struck(fault: Fault) -> Result<(u16, String), String> {
    let stage = Stage::set("").await;
    let token = stage.token().await;
    let name = fault.kind.name();
    stage.simulator.add_fault(fault);
    let got = stage.lists(&token, "u-bob").await;
    assert_eq!(stage.simulator.counts().refused(name), 1);
    got.map(|got| (got.status, got.text)).map_err(|error| error.to_string())
}

#[tokio::test]
async fn refusals_have_their_status_and_code() {
    for (kind, status, code) in [
        (FaultKind::ServerError, 500, "system.error"),
        (FaultKind::Busy, 429, "system.busy"),
        (FaultKind::Qps, 403, "Forbidden.AccessDenied.QpsLimitForAppkeyAndApi"),
        (FaultKind::QpsOfAll, 403, "Forbidden.AccessDenied.QpsLimitForApi"),
        (FaultKind::MonthSpent, 403, "Forbidden.AccessDenied.ApiCountLimitForOrg"),
        (FaultKind::BadToken, 400, "InvalidAuthentication"),
        (FaultKind::Permission, 403, "Forbidden.AccessDenied.AccessTokenPermissionDenied"),
        (FaultKind::Address, 403, "Forbidden.AccessDenied.IpNotInWhiteList"),
    ] {
        let (got_status, text) = struck(Fault::new(kind)).await.unwrap();
        let body: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!((got_status, body["code"].as_str()), (status, Some(code)), "{kind:?}");
    }
}

#[tokio::test]
async fn bans_and_foreign_answers_look_like_success() {
    let (status, text) = struck(Fault::new(FaultKind::Ban)).await.unwrap();
    assert!(status == 200 && text.starts_with(r#"{"status":1111,"wait":5,"source":"x5""#), "{text}");
    assert_eq!(struck(Fault::new(FaultKind::Ban).status(403)).await.unwrap().0, 403);
    let (status, text) = struck(Fault::new(FaultKind::BanPage)).await.unwrap();
    assert!(status == 403 && text.contains("<html>"), "{text}");
    let (status, text) = struck(Fault::new(FaultKind::ErrorPage)).await.unwrap();
    assert!(status == 502 && text.contains("tengine"), "{text}");
    let (status, text) = struck(Fault::new(FaultKind::Errcode)).await.unwrap();
    assert!(status == 200 && text.contains("\"errcode\":404"), "{text}");
    let (status, text) = struck(Fault::new(FaultKind::Garbage)).await.unwrap();
    assert!(status == 200 && serde_json::from_str::<serde_json::Value>(&text).is_err(), "{text}");
    assert_eq!(struck(Fault::new(FaultKind::NoBody)).await.unwrap(), (200, String::new()));
    let (status, text) = struck(Fault::new(FaultKind::OtherPerson)).await.unwrap();
    assert!(status == 200 && !text.contains("u-bob"), "{text}");
}

#[tokio::test]
async fn retry_after_is_sent_when_it_is_set() {
    let stage = Stage::set("").await;
    let token = stage.token().await;
    let retry_after = Some(Duration::from_secs(7));
    stage.simulator.add_fault(Fault { retry_after, ..Fault::new(FaultKind::Busy) });
    let got = stage.lists(&token, "u-bob").await.unwrap();
    assert_eq!((got.status, got.headers["retry-after"].to_str().unwrap()), (429, "7"));
}

#[tokio::test]
async fn a_cut_answer_and_a_dropped_connection_are_errors() {
    let cut = struck(Fault::new(FaultKind::Truncated)).await;
    assert!(cut.is_err(), "{cut:?}");
    let dropped = struck(Fault::new(FaultKind::Drop)).await;
    assert!(dropped.is_err(), "{dropped:?}");
}

#[tokio::test]
async fn a_cut_answer_has_its_head_and_half_its_body() {
    let stage = Stage::set("").await;
    let token = stage.token().await;
    let whole = stage.lists(&token, "u-bob").await.unwrap().text;
    stage.simulator.add_fault(Fault::new(FaultKind::Truncated));
    let mut stream = TcpStream::connect(stage.simulator.address()).await.unwrap();
    let request = format!(
        "GET {}?unionId=u-bob HTTP/1.1\r\nhost: x\r\nx-acs-dingtalk-access-token: {token}\r\n\r\n",
        api::LISTS
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains(&format!("content-length: {}", whole.len())), "{head}");
    assert_eq!(body, &whole[..whole.len() / 2]);
}

#[tokio::test]
async fn a_late_answer_comes_when_its_time_has_come() {
    let stage = Stage::set("").await;
    let token = stage.token().await;
    stage.simulator.add_fault(Fault::new(FaultKind::Late));
    let asked = stage.lists(&token, "u-bob");
    let passing = async {
        while stage.clock.next_wake().is_none() {
            tokio::task::yield_now().await;
        }
        stage.clock.advance(Duration::from_secs(30));
    };
    let (got, ()) = tokio::join!(asked, passing);
    assert_eq!(got.unwrap().json()["onGoingConfIdList"], json!([MEETING]));
}

#[tokio::test]
async fn a_slow_answer_drips_and_is_whole_in_the_end() {
    let stage = Stage::set("").await;
    let token = stage.token().await;
    stage.simulator.add_fault(Fault::new(FaultKind::Slow));
    let asked = stage.lists(&token, "u-bob");
    tokio::pin!(asked);
    let mut pauses = 0;
    let got = loop {
        tokio::select! {
            got = &mut asked => break got.unwrap(),
            () = tokio::task::yield_now() => {
                if let Some(wake) = stage.clock.next_wake() {
                    pauses += 1;
                    stage.clock.set(wake);
                }
            }
        }
    };
    assert_eq!(got.json()["onGoingConfIdList"], json!([MEETING]));
    assert!(pauses > 10, "{pauses} pauses");
}

#[tokio::test]
async fn a_call_that_never_ends_does_not_keep_the_simulator_from_stopping() {
    let Stage { simulator, client, clock: _clock } = Stage::set("").await;
    simulator.add_fault(Fault::new(FaultKind::Hang).on(FaultTarget::All));
    let url = format!("{}{}?unionId=u-bob", simulator.base_url(), api::LISTS);
    let asked = client.get(url).send();
    let stopped = async {
        simulator.until(|counts| counts.refused("hang") > 0).await;
        simulator.stop().await;
    };
    let (asked, ()) = tokio::join!(asked, stopped);
    assert!(asked.is_err());
}

#[tokio::test]
async fn token_calls_have_faults_of_their_own() {
    let stage = Stage::set("").await;
    stage.simulator.add_fault(Fault::new(FaultKind::ServerError).on(FaultTarget::Tokens).times(1));
    let body = json!({"appKey": "k", "appSecret": "s"});
    assert_eq!(stage.post(api::ACCESS_TOKEN, &body).await.code(), (500, "system.error".into()));
    let token = stage.token().await;
    assert_eq!(stage.lists(&token, "u-bob").await.unwrap().status, 200);
}

#[tokio::test]
async fn a_fault_in_a_scenario_has_its_time_and_its_people() {
    let fault = "[[fault]]\nkind = \"server_error\"\nwho = [\"bob\"]\nfrom = \"+1m\"\nuntil = \"+2m\"\n";
    let stage = Stage::set(fault).await;
    let token = stage.token().await;
    let mut statuses = Vec::new();
    for _ in 0..3 {
        statuses.push(stage.lists(&token, "u-bob").await.unwrap().status);
        stage.clock.advance(Duration::from_mins(1));
    }
    assert_eq!(statuses, [200, 500, 200]);
}
