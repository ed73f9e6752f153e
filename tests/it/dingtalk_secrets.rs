//! Secrets that change while the daemon runs: suite tickets and ready-made tokens in files.
//!
//! Guards: after a refusal a newer secret in the file is used; without a newer one the call is not repeated endlessly. Not
//! here: fetching tokens (`dingtalk_token`).

#![expect(clippy::unwrap_used, reason = "a test that does not get this far has failed")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use presenced::clock::{ManualClock, SharedClock};
use presenced::confidential::{Confidential, SharedConfidential};
use presenced::config::App;
use presenced::config::secrets::{SecretSource, resolve};
use presenced::dingtalk::client::{Client, Credentials};
use presenced::dingtalk::error::class;
use presenced::secret::Secret;

use crate::dingtalk_fake::{Fake, SAMPLE, clock, http, me};

const REFUSED: &str = r#"{"requestid":"R","code":"InvalidAuthentication","message":"m"}"#;

async fn from_file(fake: &Fake, app: App, file: &Path, clock: &ManualClock) -> Client {
    let in_file = resolve(&SecretSource::File(file.to_owned())).await.unwrap();
    let credentials = match app {
        App::Token { .. } => Credentials { secret: in_file, suite_ticket: None },
        _ => Credentials { secret: Secret::new("the secret"), suite_ticket: Some(in_file) },
    };
    let clock: SharedClock = Arc::new(clock.clone());
    Client::new(&fake.org(app), credentials, clock).unwrap()
}

#[tokio::test]
async fn a_refused_suite_ticket_is_read_again_and_tried_in_the_same_call() {
    let fake = Fake::start(|seen| match (seen.is_list(), seen.body.contains("\"new\"")) {
        (true, _) => http(200, SAMPLE),
        (false, true) => http(200, r#"{"accessToken":"tok","expireIn":7200}"#),
        (false, false) => http(400, r#"{"code":"invalidSuiteTicket","message":"m"}"#),
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ticket");
    std::fs::write(&file, "old").unwrap();
    let app = App::ThirdParty {
        key: "suite".into(),
        secret: SecretSource::Plain(Secret::new("the secret")),
        corp_id: "corp".into(),
        suite_ticket: Some(SecretSource::File(file.clone())),
    };
    let clock = clock();
    let client = from_file(&fake, app, &file, &clock).await;
    // The file holds the same secret: one refused call, no second one.
    assert_eq!(client.ongoing(&me(), None).await.unwrap_err().class, class::CREDENTIALS);
    assert_eq!(fake.token_calls(), 1);
    std::fs::write(&file, "new\n").unwrap();
    clock.advance(Duration::from_mins(2));
    // The old secret is refused, read again and accepted: one poll, two token calls.
    client.ongoing(&me(), None).await.unwrap();
    assert_eq!((fake.token_calls(), fake.lists()), (3, 1));
}

#[tokio::test]
async fn a_ready_made_token_is_read_again_when_refused_and_when_its_file_changed() {
    let fake = Fake::start(|seen| match seen.token.as_deref() {
        Some("second" | "third") => http(200, SAMPLE),
        _ => http(400, REFUSED),
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "first").unwrap();
    let app = App::Token { access_token: SecretSource::File(file.clone()) };
    let clock = clock();
    let client = from_file(&fake, app, &file, &clock).await;
    let used = || fake.seen().last().unwrap().token.clone().unwrap();
    std::fs::write(&file, "second").unwrap();
    // Refused, read again, repeated within one poll.
    assert_eq!(client.ongoing(&me(), None).await.unwrap().calls(), 2);
    assert_eq!(used(), "second");
    std::fs::write(&file, "third").unwrap();
    client.ongoing(&me(), None).await.unwrap();
    assert_eq!(used(), "second", "a token that works is not read again at every call");
    clock.advance(Duration::from_mins(2));
    client.ongoing(&me(), None).await.unwrap();
    assert_eq!((used().as_str(), fake.token_calls()), ("third", 0));
}

#[tokio::test]
async fn an_answer_that_repeats_the_token_the_secret_or_the_unionid_leaves_none_of_them_in_the_error() {
    let other = "u-of-another-user";
    let texts = ["the-token-of-the-app", "the secret", me().as_str(), other].map(str::to_owned);
    let confidential = SharedConfidential::default();
    let mut users = Confidential::default();
    for id in [me().as_str(), other] {
        users.add_escaped(id);
    }
    confidential.replace(users);
    for text in texts.clone() {
        for of_token_call in [false, true] {
            let body = serde_json::json!({ "code": text, "message": text, "requestid": text }).to_string();
            let fake = Fake::start(move |seen| {
                if seen.is_list() == of_token_call {
                    http(200, r#"{"accessToken":"the-token-of-the-app","expireIn":7200}"#)
                } else {
                    http(400, &body)
                }
            })
            .await;
            let secret = SecretSource::Plain(Secret::new("the secret"));
            let app = App::Internal { key: "key".into(), secret, corp_id: None };
            let credentials = Credentials { secret: Secret::new("the secret"), suite_ticket: None };
            let clock: SharedClock = Arc::new(clock());
            let client = Client::hiding(&fake.org(app), credentials, clock, confidential.clone()).unwrap();
            let error = client.ongoing(&me(), None).await.unwrap_err();
            for known in &texts {
                let shown = format!("{error:?}");
                assert!(!shown.contains(known.as_str()) || (of_token_call && *known == texts[0]), "{shown}");
            }
        }
    }
}
