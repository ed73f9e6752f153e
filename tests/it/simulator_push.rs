//! The simulator's push gateway over loopback: opening, tickets, events, acknowledgements, faults and suite tickets.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops there")]

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use presenced::simulator::api;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::simulator_api::{MEETING, Stage};

type Socket = WebSocketStream<TcpStream>;

/// Answers the open call: endpoint and ticket.
async fn open(stage: &Stage, key: &str) -> (u16, Value) {
    let body = json!({
        "clientId": key,
        "clientSecret": "s",
        "subscriptions": [{ "type": "EVENT", "topic": "*" }],
    });
    let request = stage.client.post(stage.url(api::PUSH_OPEN)).header("accept", "application/json");
    let answer =
        request.header("content-type", "application/json").body(body.to_string()).send().await.unwrap();
    let status = answer.status().as_u16();
    (status, serde_json::from_str(&answer.text().await.unwrap()).unwrap())
}

async fn socket(stage: &Stage, ticket: &str) -> Result<Socket, String> {
    let stream = TcpStream::connect(stage.simulator.address()).await.unwrap();
    let url = format!("ws://{}/connect?ticket={ticket}", stage.simulator.address());
    client_async(url, stream).await.map(|(socket, _)| socket).map_err(|error| error.to_string())
}

async fn connected(stage: &Stage) -> Socket {
    let before = stage.simulator.counts().pushed("connected");
    let ticket = open(stage, "app").await.1["ticket"].as_str().unwrap().to_owned();
    let socket = socket(stage, &ticket).await.unwrap();
    stage.simulator.until(|counts| counts.pushed("connected") > before).await;
    socket
}

/// The next frame, with its data read.
async fn frame(socket: &mut Socket) -> (Value, Value) {
    loop {
        if let Message::Text(text) = socket.next().await.unwrap().unwrap() {
            let frame: Value = serde_json::from_str(&text).unwrap();
            let data = serde_json::from_str(frame["data"].as_str().unwrap()).unwrap();
            return (frame, data);
        }
    }
}

async fn ack(socket: &mut Socket, frame: &Value, data: &str) {
    let headers = json!({ "messageId": frame["headers"]["messageId"], "contentType": "application/json" });
    let answer = json!({ "code": 200, "headers": headers, "message": "OK", "data": data });
    socket.send(Message::text(answer.to_string())).await.unwrap();
}

#[tokio::test]
async fn a_client_hears_what_happens_and_a_good_ack_ends_the_repeats() {
    let stage = Stage::set("[push]\nping_every = \"0s\"\n").await;
    let mut socket = connected(&stage).await;
    stage.clock.advance(Duration::from_mins(1));
    let (first, data) = frame(&mut socket).await;
    assert_eq!((first["type"].as_str(), first["specVersion"].as_str()), (Some("EVENT"), Some("1.0")));
    assert_eq!(first["headers"]["eventType"], "meeting_member_status_change");
    assert_eq!(first["headers"]["eventCorpId"], "dingsimulator");
    assert_eq!(data["changeScene"], "user_join");
    assert_eq!(data["openMemberModels"][0]["userId"], "u-ann+/=");
    assert_eq!(data["openMemberModels"][0]["conferenceId"], MEETING);
    ack(&mut socket, &first, r#"{"status":"LATER"}"#).await;
    stage.simulator.until(|counts| counts.pushed("later") == 1).await;
    stage.clock.advance(Duration::from_secs(10));
    let (again, _) = frame(&mut socket).await;
    assert_eq!(again["headers"]["messageId"], first["headers"]["messageId"]);
    ack(&mut socket, &again, r#"{"status":"SUCCESS"}"#).await;
    stage.simulator.until(|counts| counts.pushed("acked") == 1).await;
    stage.clock.advance(Duration::from_secs(50));
    let (left, data) = frame(&mut socket).await;
    assert_eq!((data["changeScene"].as_str(), data["statusSeqNum"].as_i64()), (Some("user_leave"), Some(4)));
    assert_ne!(left["headers"]["eventId"], first["headers"]["eventId"]);
    assert_eq!(stage.simulator.counts().pushed("messages"), 2);
}

#[tokio::test]
async fn refused_are_a_wrong_secret_a_used_ticket_and_an_old_one() {
    let stage = Stage::set("[[app]]\nkey = \"app\"\nsecret = \"s\"\n").await;
    assert_eq!(open(&stage, "app").await.0, 200);
    let (status, answer) = open(&stage, "another").await;
    assert_eq!((status, answer["code"].as_str()), (401, Some("authFailed")));
    let ticket = open(&stage, "app").await.1["ticket"].as_str().unwrap().to_owned();
    let _open = socket(&stage, &ticket).await.unwrap();
    assert!(socket(&stage, &ticket).await.unwrap_err().contains("401"), "it was used");
    let old = open(&stage, "app").await.1["ticket"].as_str().unwrap().to_owned();
    stage.clock.advance(Duration::from_secs(90));
    assert!(socket(&stage, &old).await.unwrap_err().contains("401"), "it has expired");
    let without_accept = stage.client.post(stage.url(api::PUSH_OPEN)).body(
        json!({ "clientId": "app", "clientSecret": "s", "subscriptions": [{ "type": "EVENT" }] }).to_string(),
    );
    assert!(without_accept.send().await.unwrap().text().await.unwrap().starts_with('<'), "it is XML");
}

#[tokio::test]
async fn a_disconnected_client_hears_no_events_and_is_closed_after_ten_seconds() {
    let stage = Stage::set("[push]\nping_every = \"0s\"\n").await;
    let mut old = connected(&stage).await;
    let answer = stage.client.post(stage.url("/_simulator/push/disconnect")).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let (order, _) = frame(&mut old).await;
    assert_eq!(
        (order["type"].as_str(), order["headers"]["topic"].as_str()),
        (Some("SYSTEM"), Some("disconnect"))
    );
    let mut new = connected(&stage).await;
    stage.clock.advance(Duration::from_mins(1));
    assert_eq!(frame(&mut new).await.1["changeScene"], "user_join");
    while let Some(Ok(message)) = old.next().await {
        assert!(matches!(message, Message::Close(_)), "no event comes on the old one: {message:?}");
    }
}

#[tokio::test]
async fn a_ping_comes_and_its_answer_is_counted() {
    let stage = Stage::set("").await;
    let mut socket = connected(&stage).await;
    stage.clock.advance(Duration::from_secs(30));
    let (ping, data) = frame(&mut socket).await;
    assert_eq!(ping["headers"]["topic"], "ping");
    assert!(data["opaque"].is_string());
    ack(&mut socket, &ping, ping["data"].as_str().unwrap()).await;
    stage.simulator.until(|counts| counts.pushed("system_answered") == 1).await;
}

#[tokio::test]
async fn a_new_suite_ticket_is_pushed_and_voids_the_old_one() {
    let stage = Stage::set(
        "[push]\nping_every = \"0s\"\n[[app]]\nkey = \"app\"\nsecret = \"s\"\nsuite_ticket = \"first\"\n",
    )
    .await;
    let token = async |ticket: &str| {
        let body = json!({ "suiteKey": "app", "suiteSecret": "s", "authCorpId": "c", "suiteTicket": ticket });
        let request = stage.client.post(stage.url(api::CORP_ACCESS_TOKEN));
        let request = request.header("content-type", "application/json").body(body.to_string());
        request.send().await.unwrap().status().as_u16()
    };
    let mut socket = connected(&stage).await;
    assert_eq!(token("first").await, 200);
    stage.simulator.renew_suite_tickets();
    let (event, data) = frame(&mut socket).await;
    assert_eq!(event["headers"]["eventType"], "suite_ticket");
    assert_eq!(token("first").await, 400);
    assert_eq!(token(data["suiteTicket"].as_str().unwrap()).await, 200);
}

#[tokio::test]
async fn faults_of_push_are_set_while_it_runs() {
    let stage = Stage::set("[push]\nping_every = \"0s\"\n").await;
    let add = async |fault: &str| {
        let request = stage.client.post(stage.url("/_simulator/faults")).body(format!("[[fault]]\n{fault}"));
        assert_eq!(request.send().await.unwrap().status(), 200, "{fault}");
    };
    add("kind = \"auth_failed\"\ntimes = 1\n").await;
    assert_eq!(open(&stage, "app").await.0, 401);
    add("kind = \"used_ticket\"\ntimes = 1\n").await;
    let ticket = open(&stage, "app").await.1["ticket"].as_str().unwrap().to_owned();
    assert!(socket(&stage, &ticket).await.unwrap_err().contains("401"));
    add("kind = \"lost\"\ntimes = 1\n").await;
    let mut socket = connected(&stage).await;
    stage.clock.advance(Duration::from_mins(1));
    stage.simulator.until(|counts| counts.pushed("lost") == 1).await;
    stage.clock.advance(Duration::from_mins(1));
    assert_eq!(frame(&mut socket).await.1["changeScene"], "user_leave");
}
