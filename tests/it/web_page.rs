//! The page, the tokens and the stream of the listener over loopback sockets; browsers are in `tests/page`.

#![expect(clippy::unwrap_used, reason = "a test that does not get this far has failed")]

use std::sync::Arc;

use presenced::config::secrets::SecretSource;
use presenced::config::{Access, Scope, Show};
use presenced::secret::Secret;
use presenced::web::Grant;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use super::store_fixture::{enroll_one, joined};
use super::web_api::{Site, TOKEN};

const OTHER: &str = "another-token-for-tests";

/// A site with a token of this scope beside the operator's.
async fn site_with(scope: Scope, show: Show, groups: &[&str]) -> Site {
    let site = Site::with_events().await;
    let access = Access {
        name: "other".into(),
        token: SecretSource::Plain(Secret::new(OTHER)),
        scope,
        orgs: Vec::new(),
        groups: groups.iter().map(|group| (*group).to_owned()).collect(),
        show,
    };
    let grants = [Grant::operator(Secret::new(TOKEN)), Grant::new(&access, Secret::new(OTHER))];
    site.state.set_grants(Arc::from(grants));
    site
}

async fn status(site: &Site, path: &str) -> u16 {
    let line = format!("GET {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {OTHER}\r\n", site.address);
    site.send(&line).await.status
}

#[tokio::test]
async fn a_token_opens_its_scope_and_no_more() {
    let all = ["/api/v1/now", "/", "/api/v1/visits", "/day", "/api/v1/webhooks", "/health"];
    for (scope, show, opened) in [
        (Scope::Board, Show::Names, 2),
        (Scope::Viewer, Show::Names, 4),
        (Scope::Viewer, Show::Counts, 2),
        (Scope::Operator, Show::Names, 6),
    ] {
        let site = site_with(scope, show, &[]).await;
        for (at, path) in all.iter().enumerate() {
            let expected = if at < opened { 200 } else { 403 };
            assert_eq!(status(&site, path).await, expected, "{path} with {scope:?} and {show:?}");
        }
        site.close().await;
    }
}

#[tokio::test]
async fn who_is_not_of_the_tokens_group_is_in_no_list() {
    let site = site_with(Scope::Viewer, Show::Names, &["sales"]).await;
    for path in
        ["/api/v1/now", "/api/v1/users", "/api/v1/visits", "/api/v1/events", "/api/v1/meetings", "/", "/day"]
    {
        let line =
            format!("GET {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {OTHER}\r\n", site.address);
        let answer = site.send(&line).await;
        assert!(answer.status == 200 && !answer.body.contains("Name li"), "{path}: {}", answer.body);
        let all = site.get(path).await;
        assert!(all.body.len() > answer.body.len(), "the operator sees the user: {path}: {}", all.body);
    }
    site.close().await;
}

#[tokio::test]
async fn a_link_signs_in_once_and_a_form_needs_what_the_page_has() {
    let site = Site::open().await;
    let link = site.state.page_link().unwrap();
    let path = link.strip_prefix(&format!("http://{}", site.address)).unwrap();
    let host = format!("Host: {}\r\n", site.address);
    assert_eq!(site.send(&format!("GET / HTTP/1.1\r\n{host}")).await.status, 401);
    let entered = site.send(&format!("GET {path} HTTP/1.1\r\n{host}")).await;
    assert_eq!(entered.status, 200);
    assert!(entered.head.contains("httponly; samesite=strict"), "{}", entered.head);
    assert_eq!(site.send(&format!("GET {path} HTTP/1.1\r\n{host}")).await.status, 422, "it works once");
    // Header names and values are in lower case in `head`; the cookie is not.
    let page = site.send(&format!("GET /?token={TOKEN} HTTP/1.1\r\n{host}")).await;
    assert_eq!(page.status, 303, "no token stays in an address");
    assert!(page.head.contains("location: /\r\n"), "{}", page.head);
    let post =
        format!("POST /webhooks/x/pause HTTP/1.1\r\n{host}Cookie: presenced=~1~x\r\nContent-Length: 0\r\n");
    assert_eq!(site.send(&post).await.status, 401);
    site.close().await;
}

#[tokio::test]
async fn a_forwarded_request_is_not_one_from_this_machine() {
    let site = Site::open().await;
    let line = format!("GET /readyz HTTP/1.1\r\nHost: {}\r\n", site.address);
    assert!(site.send(&line).await.json()["reasons"].is_array());
    let forwarded = site.send(&format!("{line}X-Forwarded-For: 127.0.0.1\r\n")).await;
    assert!(forwarded.json().get("reasons").is_none(), "{}", forwarded.body);
    site.close().await;
}

#[tokio::test]
async fn the_document_names_every_route_and_every_error_has_a_code() {
    let site = Site::open().await;
    let document = site.get("/api/v1/openapi.json").await.json();
    assert_eq!(document["openapi"], "3.1.0");
    for path in document["paths"].as_object().unwrap().keys().filter(|path| !path.ends_with("/stream")) {
        let answer = site.get(&path.replace("{id}", "none").replace("{name}", "none")).await;
        assert!(answer.status == 200 || answer.json()["code"] == "not_found", "{path}: {}", answer.body);
        let wrong =
            site.get(&format!("{}?wrong=1", path.replace("{id}", "none").replace("{name}", "none"))).await;
        assert_eq!(wrong.json()["code"], "bad_request", "{path}");
    }
    site.close().await;
}

async fn read_ids(site: &Site, more: &str, count: usize) -> Vec<i64> {
    let stream = TcpStream::connect(site.address).await.unwrap();
    let mut stream = BufReader::new(stream);
    let head = format!(
        "GET /api/v1/stream HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {TOKEN}\r\n{more}\r\n",
        site.address
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut ids = Vec::new();
    let mut line = String::new();
    while ids.len() < count && stream.read_line(&mut line).await.unwrap() > 0 {
        ids.extend(line.strip_prefix("id: ").map(|id| id.trim().parse::<i64>().unwrap()));
        line.clear();
    }
    ids
}

#[tokio::test]
async fn the_stream_goes_on_after_the_last_event_and_brings_new_ones() {
    let site = Site::with_events().await;
    assert_eq!(read_ids(&site, "Last-Event-ID: 1\r\n", 2).await, [2, 3]);
    let li = enroll_one(&site.store).await;
    let (ids, ()) = tokio::join!(read_ids(&site, "Last-Event-ID: 3\r\n", 1), async {
        site.store.recorder().record(joined(li.person_id, "li", "four")).await.unwrap();
    });
    assert_eq!(ids, [4]);
    site.close().await;
}
