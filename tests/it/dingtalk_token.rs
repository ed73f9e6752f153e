//! The list call and its token over a real socket: requests, token fetches, costs.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use presenced::config::App;
use presenced::config::secrets::SecretSource;
use presenced::dingtalk::client::{Answer, Credentials};
use presenced::dingtalk::error::{Verdict, class};
use presenced::presence::attendance::AttendancePhase;
use presenced::presence::observation::Entry;
use presenced::secret::Secret;
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use crate::dingtalk_fake::{Fake, Reply, SAMPLE, client, clock, http, internal, me};

const REFUSED: &str = r#"{"requestid":"R","code":"InvalidAuthentication","message":"不合法的access_token"}"#;

/// A DingTalk that issues `tok-1`, `tok-2`, ... and accepts tokens from number `valid` on.
async fn revoking(valid: &Arc<AtomicUsize>, hold: Option<Arc<Barrier>>) -> Fake {
    let (valid, given) = (Arc::clone(valid), AtomicUsize::new(0));
    Fake::start(move |seen| {
        let Some(token) = &seen.token else {
            let number = given.fetch_add(1, Ordering::SeqCst) + 1;
            return http(200, &format!(r#"{{"accessToken":"tok-{number}","expireIn":7200}}"#));
        };
        let number: usize = token.trim_start_matches("tok-").parse().expect("one of ours");
        if number >= valid.load(Ordering::SeqCst) {
            return http(200, SAMPLE);
        }
        match &hold {
            Some(barrier) => Reply::Together(Arc::clone(barrier), Box::new(http(400, REFUSED))),
            None => http(400, REFUSED),
        }
    })
    .await
}

#[tokio::test]
async fn the_pages_sample_arrives_and_its_repetition_is_the_same() {
    let fake = Fake::with_list(http(200, SAMPLE)).await;
    let client = fake.client();
    let Answer::Observed { observation, bytes_digest, oddities: 0, calls: 1 } =
        client.ongoing(&me(), None).await.unwrap()
    else {
        panic!("not seen");
    };
    let Entry::Record(record) = &observation.entries["654058f2411fe90147e68780"] else { panic!("no record") };
    assert_eq!(record.phase(), AttendancePhase::Outside);
    let again = client.ongoing(&me(), Some(bytes_digest)).await.unwrap();
    assert!(matches!(again, Answer::Unchanged { calls: 1 }), "{again:?}");
    let other = client.ongoing(&me(), Some(bytes_digest ^ 1)).await.unwrap();
    assert!(matches!(other, Answer::Observed { bytes_digest: digest, .. } if digest == bytes_digest));
    assert_eq!((fake.token_calls(), fake.lists(), fake.connections()), (1, 3, 1));
}

#[tokio::test]
async fn the_same_bytes_with_another_status_are_an_error() {
    let asked = AtomicUsize::new(0);
    let fake = Fake::start(move |seen| match seen.is_list().then(|| asked.fetch_add(1, Ordering::SeqCst)) {
        None => http(200, r#"{"accessToken":"tok","expireIn":7200}"#),
        Some(0) => http(200, SAMPLE),
        Some(1) => http(201, SAMPLE),
        Some(_) => http(500, SAMPLE),
    })
    .await;
    let client = fake.client();
    let Answer::Observed { bytes_digest, .. } = client.ongoing(&me(), None).await.unwrap() else { panic!() };
    for class in [class::MALFORMED, class::OUTAGE] {
        assert_eq!(client.ongoing(&me(), Some(bytes_digest)).await.unwrap_err().class, class);
    }
}

#[tokio::test]
async fn what_is_sent_is_what_is_documented() {
    let fake = Fake::with_list(http(200, SAMPLE)).await;
    // A record of another id: malformed, but the call was made.
    let odd = "a+b/c=é&d".parse().unwrap();
    assert_eq!(fake.client().ongoing(&odd, None).await.unwrap_err().class, class::MALFORMED);
    let seen = fake.seen();
    assert_eq!(seen[0].line, "POST /v1.0/oauth2/accessToken");
    assert!(seen[0].head.contains("content-type: application/json"), "{}", seen[0].head);
    let body: serde_json::Value = serde_json::from_str(&seen[0].body).unwrap();
    assert_eq!(body, serde_json::json!({ "appKey": "dingkey", "appSecret": "the secret" }));
    assert_eq!(seen[0].token, None);
    assert_eq!(seen[1].line, "GET /v1.0/conference/users/lists?unionId=a%2Bb%2Fc%3D%C3%A9%26d");
    assert_eq!(seen[1].token.as_deref(), Some("tok"));
    assert!(!seen[1].head.contains("authorization"), "{}", seen[1].head);
}

#[tokio::test]
async fn fifty_refusals_at_once_are_one_token_call() {
    let valid = Arc::new(AtomicUsize::new(1));
    let fake = revoking(&valid, Some(Arc::new(Barrier::new(50)))).await;
    let client = fake.client();
    client.token_ready().await.unwrap();
    valid.store(2, Ordering::SeqCst);
    let mut calls = JoinSet::new();
    for _ in 0..50 {
        let client = client.clone();
        calls.spawn(async move { client.ongoing(&me(), None).await.map(|answer| answer.calls()) });
    }
    for result in calls.join_all().await {
        assert_eq!(result.unwrap(), 2);
    }
    assert_eq!((fake.token_calls(), fake.lists()), (2, 100));
}

#[tokio::test]
async fn fifty_first_calls_share_one_token_call() {
    let fake = Fake::with_list(http(200, SAMPLE)).await;
    let client = fake.client();
    let mut calls = JoinSet::new();
    for _ in 0..50 {
        let client = client.clone();
        calls.spawn(async move { client.ongoing(&me(), None).await.is_ok() });
    }
    assert!(calls.join_all().await.into_iter().all(|ok| ok));
    assert_eq!((fake.token_calls(), fake.lists()), (1, 50));
}

#[tokio::test]
async fn a_revoked_token_is_replaced_each_time_it_worked_before() {
    let valid = Arc::new(AtomicUsize::new(1));
    let fake = revoking(&valid, None).await;
    let client = fake.client();
    for round in 1..5 {
        valid.store(round, Ordering::SeqCst);
        assert_eq!(client.ongoing(&me(), None).await.unwrap().calls(), if round == 1 { 1 } else { 2 });
        assert_eq!(client.ongoing(&me(), None).await.unwrap().calls(), 1);
        assert_eq!(fake.token_calls(), round);
    }
}

#[tokio::test]
async fn each_kind_of_token_refusal_is_repeated_once_and_then_unauthorised() {
    for reply in [
        http(400, REFUSED),
        http(401, "{}"),
        http(400, r#"{"code":"AuthenticationFailed.MissingParameter"}"#),
    ] {
        let fake = Fake::with_list(reply).await;
        let clock = clock();
        let client = client(&fake.org(internal()), &clock);
        let error = client.ongoing(&me(), None).await.unwrap_err();
        assert_eq!(
            (error.verdict, error.class, error.calls),
            (Verdict::Unauthorised, class::UNAUTHORISED, 2)
        );
        assert_eq!((fake.token_calls(), fake.lists()), (2, 2));

        // The new token is tried once, refused and dropped; then no token call is made for a while.
        for calls in [1, 0, 0] {
            let error = client.ongoing(&me(), None).await.unwrap_err();
            assert_eq!((error.verdict, error.calls), (Verdict::Unauthorised, calls));
        }
        assert_eq!((fake.token_calls(), fake.lists()), (2, 3));

        clock.advance(Duration::from_mins(2));
        assert_eq!(client.ongoing(&me(), None).await.unwrap_err().verdict, Verdict::Unauthorised);
        assert!(fake.token_calls() > 2);
    }
}

#[tokio::test]
async fn a_repeat_that_fails_otherwise_keeps_both_calls() {
    let asked = AtomicUsize::new(0);
    let fake = Fake::start(move |seen| match seen.is_list().then(|| asked.fetch_add(1, Ordering::SeqCst)) {
        None => http(200, r#"{"accessToken":"tok","expireIn":7200}"#),
        Some(0) => http(400, REFUSED),
        Some(_) => http(403, r#"{"code":"Forbidden.AccessDenied.QpsLimitForApi"}"#),
    })
    .await;
    let error = fake.client().ongoing(&me(), None).await.unwrap_err();
    assert_eq!((error.class, error.charged, error.calls), (class::THROTTLED, false, 1));
}

#[tokio::test]
async fn failing_token_calls_back_off_and_spend_nothing() {
    let fake = Fake::start(|_| http(400, r#"{"code":"invalidClientIdOrSecret","message":"m"}"#)).await;
    let clock = clock();
    let client = client(&fake.org(internal()), &clock);
    for _ in 0..20 {
        let error = client.ongoing(&me(), None).await.unwrap_err();
        assert_eq!((error.verdict, error.class), (Verdict::Unauthorised, class::CREDENTIALS));
        assert_eq!((error.calls, error.charged), (0, false));
        assert!(error.text.starts_with("token call: "), "{}", error.text);
    }
    assert_eq!((fake.token_calls(), fake.lists()), (1, 0));
    clock.advance(Duration::from_mins(2));
    assert!(client.ongoing(&me(), None).await.is_err());
    assert_eq!(fake.token_calls(), 2);
}

#[tokio::test]
async fn a_token_is_renewed_ahead_of_its_end_and_the_old_one_serves_until_then() {
    let (ill, given) = (Arc::new(AtomicUsize::new(0)), AtomicUsize::new(0));
    let fails = Arc::clone(&ill);
    let fake = Fake::start(move |seen| {
        if seen.is_list() {
            return http(200, SAMPLE);
        }
        if fails.load(Ordering::SeqCst) == 1 {
            return http(500, r#"{"code":"system.error"}"#);
        }
        let number = given.fetch_add(1, Ordering::SeqCst) + 1;
        http(200, &format!(r#"{{"accessToken":"tok-{number}","expireIn":"7200"}}"#))
    })
    .await;
    let clock = clock();
    let client = client(&fake.org(internal()), &clock);
    let used = async || {
        client.ongoing(&me(), None).await.unwrap();
        fake.seen().last().unwrap().token.clone().unwrap()
    };
    assert_eq!(used().await, "tok-1");
    clock.advance(Duration::from_secs(6599));
    assert_eq!(used().await, "tok-1");
    ill.store(1, Ordering::SeqCst);
    clock.advance(Duration::from_secs(1));
    assert_eq!((used().await.as_str(), fake.token_calls()), ("tok-1", 2));
    assert_eq!((used().await.as_str(), fake.token_calls()), ("tok-1", 2));
    ill.store(0, Ordering::SeqCst);
    clock.advance(Duration::from_mins(2));
    assert_eq!((used().await.as_str(), fake.token_calls()), ("tok-2", 3));
    clock.advance(Duration::from_hours(3));
    assert_eq!(used().await, "tok-3");
}

#[tokio::test]
async fn the_other_kinds_of_token_calls() {
    let secret = || SecretSource::Plain(Secret::new("the secret"));
    let (key, corp_id) = (String::from("dingkey"), String::from("ding/corp"));
    let unified = serde_json::json!({
        "client_id": "dingkey", "client_secret": "the secret", "grant_type": "client_credentials",
    });
    let suite = serde_json::json!({
        "suiteKey": "dingkey", "suiteSecret": "the secret", "authCorpId": "ding/corp", "suiteTicket": "the ticket",
    });
    let rows = [
        (
            App::Internal { key: key.clone(), secret: secret(), corp_id: Some(corp_id.clone()) },
            "POST /v1.0/oauth2/ding%2Fcorp/token",
            &unified,
        ),
        (
            App::ThirdParty {
                key: key.clone(),
                secret: secret(),
                corp_id: corp_id.clone(),
                suite_ticket: None,
            },
            "POST /v1.0/oauth2/ding%2Fcorp/token",
            &unified,
        ),
        (
            App::ThirdParty { key, secret: secret(), corp_id, suite_ticket: Some(secret()) },
            "POST /v1.0/oauth2/corpAccessToken",
            &suite,
        ),
    ];
    for (app, line, body) in rows {
        let fake = Fake::start(|seen| match (seen.is_list(), seen.line.ends_with("/token")) {
            (true, _) => http(200, SAMPLE),
            (false, true) => http(200, r#"{"access_token":"tok","expires_in":7200}"#),
            (false, false) => http(200, r#"{"accessToken":"tok","expireIn":7200}"#),
        })
        .await;
        client(&fake.org(app), &clock()).ongoing(&me(), None).await.unwrap();
        let seen = fake.seen();
        assert_eq!(seen[0].line, line);
        assert_eq!(&serde_json::from_str::<serde_json::Value>(&seen[0].body).unwrap(), body);
        assert_eq!(seen[1].token.as_deref(), Some("tok"));
    }
}

#[tokio::test]
async fn a_ready_made_token_is_used_as_it_is_and_never_fetched() {
    let fake = Fake::start(|seen| match seen.token.as_deref() {
        Some("fresh") => http(200, SAMPLE),
        _ => http(400, REFUSED),
    })
    .await;
    let app = App::Token { access_token: SecretSource::Plain(Secret::new("the secret")) };
    let client = client(&fake.org(app), &clock());
    let error = client.ongoing(&me(), None).await.unwrap_err();
    assert_eq!((error.verdict, error.class, error.calls), (Verdict::Unauthorised, class::CREDENTIALS, 1));
    assert_eq!(fake.seen()[0].token.as_deref(), Some("the secret"));
    client.set_credentials(Credentials { secret: Secret::new("fresh"), suite_ticket: None });
    assert_eq!(client.ongoing(&me(), None).await.unwrap().calls(), 1);
    assert_eq!((fake.token_calls(), fake.lists()), (0, 2));
}

#[tokio::test]
async fn nothing_of_a_client_prints_its_secrets() {
    let fake = Fake::with_list(http(200, SAMPLE)).await;
    let client = fake.client();
    client.ongoing(&me(), None).await.unwrap();
    let text = format!("{client:?}");
    assert!(!text.contains("the secret") && !text.contains("\"tok\""), "{text}");
}
