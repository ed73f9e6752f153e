//! The listener over real loopback sockets, with a real database behind it.

#![expect(clippy::unwrap_used, reason = "a test that does not get this far has failed")]
#![expect(clippy::disallowed_methods, reason = "the stored bytes are looked at past the store")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use presenced::clock::SharedClock;
use presenced::ids::OrgName;
use presenced::secret::Secret;
use presenced::store::Store;
use presenced::telemetry::health::Health;
use presenced::web;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::store_fixture::{Place, START, enroll_one, joined, later, system};

pub(super) const TOKEN: &str = "a-token-for-tests-only";

pub(super) struct Site {
    place: Place,
    pub(super) store: Store,
    health: Arc<Health>,
    pub(super) address: SocketAddr,
    pub(super) state: web::State,
    stop: CancellationToken,
    serving: JoinSet<std::io::Result<()>>,
}

pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) head: String,
    pub(super) body: String,
}

impl Answer {
    pub(super) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

impl Site {
    pub(super) async fn open() -> Self {
        Self::open_for(640).await
    }

    async fn open_for(connections: usize) -> Self {
        let place = Place::new();
        let store = place.open().await;
        let health = Health::new();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let clock: SharedClock = Arc::new(place.clock.clone());
        let grants = Arc::from([web::Grant::operator(Secret::new(TOKEN))]);
        let state = web::State::new(store.history(), Arc::clone(&health), grants, clock, address);
        let stop = CancellationToken::new();
        let mut serving = JoinSet::new();
        serving.spawn(web::serve_at_most(connections, listener, state.clone(), stop.clone()));
        Self { place, store, health, address, state, stop, serving }
    }

    /// Li joins, an alert, and Li joins again.
    pub(super) async fn with_events() -> Self {
        let site = Self::open().await;
        let li = enroll_one(&site.store).await;
        site.store.recorder().record(joined(li.person_id, "li", "one")).await.unwrap();
        site.store.recorder().record_system(None, vec![system("evt_two", &[])]).await.unwrap();
        site.store.recorder().record(joined(li.person_id, "li", "three")).await.unwrap();
        site
    }

    pub(super) async fn get(&self, path: &str) -> Answer {
        let line =
            format!("GET {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {TOKEN}\r\n", self.address);
        self.send(&line).await
    }

    /// The request line and its headers; the connection closes after it.
    pub(super) async fn send(&self, request: &str) -> Answer {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(format!("{request}Connection: close\r\n\r\n").as_bytes()).await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer { status, head: head.to_ascii_lowercase(), body: body.to_owned() }
    }

    async fn stored_bodies(&self) -> Vec<String> {
        let mut connection = self.place.look().await;
        let sql = "SELECT body FROM events ORDER BY sequence";
        sqlx::query_scalar(sql).fetch_all(&mut connection).await.unwrap()
    }

    pub(super) async fn close(mut self) {
        self.stop.cancel();
        self.serving.join_next().await.unwrap().unwrap().unwrap();
        self.store.close().await.unwrap();
    }
}

#[tokio::test]
async fn events_come_in_pages_with_their_bytes_unchanged() {
    let site = Site::with_events().await;
    let bodies = site.stored_bodies().await;
    let first = site.get("/api/v1/events?limit=2").await;
    assert_eq!((first.status, first.json()["next_after"].as_i64()), (200, Some(2)));
    assert_eq!(first.body, format!("{{\"events\":[{},{}],\"next_after\":2}}", bodies[0], bodies[1]));
    let second = site.get("/api/v1/events?after=2&limit=2").await;
    assert_eq!(second.body, format!("{{\"events\":[{}],\"next_after\":3}}", bodies[2]));
    let end = site.get("/api/v1/events?after=3").await;
    assert_eq!(end.body, "{\"events\":[],\"next_after\":3}");
    site.close().await;
}

#[tokio::test]
async fn events_are_filtered_and_a_mistake_is_said() {
    let site = Site::with_events().await;
    let count = async |query: &str| -> usize {
        let answer = site.get(&format!("/api/v1/events?{query}")).await;
        assert_eq!(answer.status, 200, "{query}: {}", answer.body);
        answer.json()["events"].as_array().unwrap().len()
    };
    assert_eq!(count("").await, 3);
    assert_eq!(count("user=li").await, 2);
    assert_eq!(count("user=default/li").await, 2);
    assert_eq!(count("user=Name%20li&type=meeting.*").await, 2);
    assert_eq!(count("user=nobody").await, 0);
    assert_eq!(count("type=system.alert").await, 1);
    assert_eq!(count("org=default").await, 2);
    assert_eq!(count("org=other").await, 0);
    assert_eq!(count("limit=0").await, 1, "a page has at least one place");
    assert_eq!(count("limit=4000000000").await, 3);
    assert_eq!(count("after=18446744073709551615").await, 0);
    for mistake in ["usr=li", "after=-1", "after=x", "type=meeting.left", "limit=many", "after=1&after=2"] {
        let answer = site.get(&format!("/api/v1/events?{mistake}")).await;
        assert_eq!(answer.status, 400, "{mistake}");
        assert!(answer.json()["error"].is_string(), "{mistake}");
    }
    site.close().await;
}

#[tokio::test]
async fn what_is_about_people_needs_the_token() {
    let site = Site::with_events().await;
    let host = format!("Host: {}\r\n", site.address);
    for authorization in ["", "Authorization: Bearer wrong\r\n", "Authorization: Basic YTpi\r\n"] {
        let answer = site.send(&format!("GET /api/v1/events HTTP/1.1\r\n{host}{authorization}")).await;
        assert_eq!(answer.status, 401, "{authorization}");
        assert!(answer.head.contains("www-authenticate: bearer"), "{}", answer.head);
        assert!(!answer.body.contains("evt_"), "{}", answer.body);
    }
    site.close().await;
}

#[tokio::test]
async fn a_name_that_is_not_ours_is_misdirected() {
    let site = Site::open().await;
    let port = site.address.port();
    let ask = async |line: &str, hosts: &str| {
        site.send(&format!("{line}\r\n{hosts}Authorization: Bearer {TOKEN}\r\n")).await.status
    };
    for path in ["/api/v1/events", "/elsewhere"] {
        let line = format!("GET {path} HTTP/1.1");
        assert_eq!(ask(&line, &format!("Host: evil.example:{port}\r\n")).await, 421, "{path}");
    }
    let events = "GET /api/v1/events HTTP/1.1";
    assert_eq!(ask(events, "Host: localhost\r\n").await, 421, "without the port");
    assert_eq!(ask(events, "").await, 421, "without a host");
    assert_eq!(ask(events, &format!("Host: localhost:{port}\r\nHost: evil.example\r\n")).await, 421);
    let absolute = format!("GET http://evil.example:{port}/api/v1/events HTTP/1.1");
    assert_eq!(ask(&absolute, &format!("Host: localhost:{port}\r\n")).await, 421);
    for ours in ["localhost", "LOCALHOST", "127.0.0.1", "[::1]"] {
        assert_eq!(ask(events, &format!("Host: {ours}:{port}\r\n")).await, 200, "{ours}");
    }
    site.close().await;
}

#[tokio::test]
async fn health_answers_by_any_name_and_people_only_by_the_names_of_hosts() {
    let site = Site::open().await;
    for path in ["/healthz", "/readyz"] {
        for request in [
            format!("GET {path} HTTP/1.1\r\nHost: presenced:8787\r\n"),
            format!("GET {path} HTTP/1.0\r\n"),
            format!("GET {path} HTTP/1.1\r\nHost: evil.example\r\n"),
        ] {
            let answer = site.send(&request).await;
            assert_ne!(answer.status, 421, "{request}");
            assert!(
                !answer.body.contains("reasons"),
                "no reasons for a name that is not ours: {}",
                answer.body
            );
        }
    }
    let events =
        format!("GET /api/v1/events HTTP/1.1\r\nHost: Presenced:8787\r\nAuthorization: Bearer {TOKEN}\r\n");
    let refused = site.send(&events).await;
    assert_eq!(refused.status, 421);
    assert!(refused.body.contains("`hosts` in [http]"), "{}", refused.body);
    site.state.set_hosts(&["presenced".to_owned()]);
    assert_eq!(site.send(&events).await.status, 200);
    site.close().await;
}

#[tokio::test]
async fn three_hundred_slow_connections_leave_room_for_health_and_are_dropped_after_seconds() {
    let site = Site::open().await;
    let mut slow = Vec::new();
    for _ in 0..300 {
        let mut connection = TcpStream::connect(site.address).await.unwrap();
        connection.write_all(b"GET / HT").await.unwrap();
        slow.push(connection);
    }
    assert_eq!(site.get("/healthz").await.status, 200);
    // Each ends from the other side, whatever it was sent; nothing here waits for a clock.
    for mut connection in slow {
        let mut rest = Vec::new();
        let _ = connection.read_to_end(&mut rest).await;
    }
    site.close().await;
}

#[tokio::test]
async fn nothing_can_be_changed_from_here_and_nothing_is_kept_by_caches() {
    let site = Site::open().await;
    let headers = format!("Host: {}\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: 0\r\n", site.address);
    for path in ["/healthz", "/readyz", "/api/v1/events"] {
        for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"] {
            let answer = site.send(&format!("{method} {path} HTTP/1.1\r\n{headers}")).await;
            assert_eq!(answer.status, 405, "{method} {path}");
        }
    }
    let head = site.send(&format!("HEAD /api/v1/events HTTP/1.1\r\n{headers}")).await;
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    for path in ["/healthz", "/api/v1/events", "/nowhere"] {
        let answer = site.get(path).await;
        for header in
            ["x-content-type-options: nosniff", "cache-control: no-store", "content-type: application/json"]
        {
            assert!(answer.head.contains(header), "{path}: {}", answer.head);
        }
    }
    assert_eq!(site.get("/nowhere").await.status, 404);
    site.close().await;
}

#[tokio::test]
async fn no_answer_may_load_run_or_frame_anything_or_be_guessed_at() {
    let site = Site::open().await;
    let bad = site.send("GET /api/v1/events HTTP/1.1\r\nHost: evil.example\r\n").await;
    let denied = site.send(&format!("GET /api/v1/events HTTP/1.1\r\nHost: {}\r\n", site.address)).await;
    assert_eq!((bad.status, denied.status), (421, 401));
    for answer in
        [site.get("/healthz").await, site.get("/api/v1/events").await, site.get("/none").await, bad, denied]
    {
        for header in [
            "content-security-policy: default-src 'none'; frame-ancestors 'none'",
            "x-content-type-options: nosniff",
            "cache-control: no-store",
            "referrer-policy: no-referrer",
        ] {
            assert!(answer.head.contains(header), "{header}\n{}", answer.head);
        }
        for header in ["access-control-", "set-cookie", "server:"] {
            assert!(!answer.head.contains(header), "{header}\n{}", answer.head);
        }
    }
    site.close().await;
}

/// Sends what can be sent; gives what came back until the other end closed.
async fn flood(address: SocketAddr, head: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // The listener may close before it has everything, which is the point.
    let _ = stream.write_all(head.as_bytes()).await;
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes).await;
    String::from_utf8_lossy(&bytes).into_owned()
}

#[tokio::test]
async fn a_head_without_end_is_cut_off() {
    let site = Site::open().await;
    let host = format!("GET /healthz HTTP/1.1\r\nHost: {}\r\n", site.address);
    let long = format!("{host}X-Long: {}\r\n\r\n", "x".repeat(1 << 20));
    let many = host.clone() + &"X-Many: x\r\n".repeat(1000) + "\r\n";
    let path = format!("GET /{} HTTP/1.1\r\nHost: {}\r\n\r\n", "x".repeat(1 << 20), site.address);
    for head in [long, many, path] {
        let answer = flood(site.address, &head).await;
        assert!(!answer.contains(" 200 "), "{answer}");
    }
    assert_eq!(site.get("/healthz").await.status, 200, "and nobody else minds");
    site.close().await;
}

/// As many as fit sit there and say nothing. The next one waits until a place is free, and is answered then.
#[tokio::test]
async fn connections_are_counted() {
    let site = Site::open_for(64).await;
    let mut idle = Vec::new();
    for _ in 0..64 {
        let mut stream = TcpStream::connect(site.address).await.unwrap();
        let head = format!("GET /healthz HTTP/1.1\r\nHost: {}\r\n\r\n", site.address);
        stream.write_all(head.as_bytes()).await.unwrap();
        // Answered, so it has its place for certain.
        stream.read_exact(&mut [0; 12]).await.unwrap();
        idle.push(stream);
    }
    let mut waits = Box::pin(site.get("/healthz"));
    let early = tokio::select! {
        biased;
        _ = &mut waits => true,
        // Each of these turns the listener, too: had it a place, it would answer.
        () = async { for _ in 0..1000 { tokio::task::yield_now().await } } => false,
    };
    assert!(!early, "there was no place");
    idle.pop();
    assert_eq!((&mut waits).await.status, 200);
    drop(waits);
    site.close().await;
}

#[tokio::test]
async fn ready_says_what_is_missing_until_nothing_is() {
    let site = Site::open().await;
    assert_eq!(site.get("/healthz").await.status, 200, "alive from the first moment");
    let cold = site.get("/readyz").await;
    assert_eq!(cold.status, 503);
    let reasons = cold.json()["reasons"].to_string();
    assert!(reasons.contains("database: nothing was written yet") && reasons.contains("poll:"), "{reasons}");
    site.health.database(Ok(()));
    let org = site.health.org(&OrgName::default_name());
    org.token(Ok(()));
    org.looked(START, later(60));
    let warm = site.get("/readyz").await;
    assert_eq!((warm.status, warm.json()["ready"].as_bool()), (200, Some(true)), "{}", warm.body);
    site.place.clock.advance(Duration::from_secs(61));
    let late = site.get("/readyz").await;
    assert_eq!(late.status, 503);
    let reason =
        "poll of default: the last successful poll was 61 s ago; the next successful poll is 1 s late";
    assert_eq!(late.json()["reasons"], serde_json::json!([reason]));
    site.close().await;
}

#[tokio::test]
async fn a_database_that_is_gone_is_not_ready_and_an_error_without_details() {
    let site = Site::open().await;
    site.health.database(Ok(()));
    site.health.org(&OrgName::default_name()).idle();
    assert_eq!(site.get("/readyz").await.status, 200);
    site.store.close().await.unwrap();
    let gone = site.get("/readyz").await;
    assert_eq!(gone.status, 503);
    assert_eq!(gone.json()["reasons"], serde_json::json!(["database: does not answer"]));
    let events = site.get("/api/v1/events").await;
    assert_eq!(events.status, 500);
    assert!(!events.body.contains("presence.db"), "{}", events.body);
    site.close().await;
}

#[tokio::test]
async fn a_silent_connection_does_not_keep_the_daemon_alive() {
    let site = Site::open().await;
    let mut idle = TcpStream::connect(site.address).await.unwrap();
    assert_eq!(site.get("/healthz").await.status, 200);
    let address = site.address;
    site.close().await;
    assert_eq!(idle.read(&mut [0]).await.unwrap_or(0), 0, "closed");
    assert!(TcpStream::connect(address).await.is_err());
}
