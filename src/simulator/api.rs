//! The server: DingTalk's gateway, its token calls and the list of somebody's meetings.
//!
//! Guards: what is refused, in which order and with which code, is as documented: the token first, then the app's
//! permission, the second, the month, and only then the question itself. Deliberately not here: the answer's text
//! (`record`), the way to steer a running one (`control`).

use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, Response, header};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::control;
use super::faults::{self, Answer, Fault, FaultKind, Faults, On};
use super::json::Object;
use super::knobs::{CorpToken, Knobs, Stranger};
use super::ledger::{Admission, Counts, Ledger, Limits};
use super::record;
use super::scenario::{App, Scenario};
use super::spread;
use super::tokens::{Kind, Tokens};
use super::wire::{Fate, Listener, Switch};
use super::world::World;
use crate::clock::SharedClock;

/// The path of the list of somebody's meetings.
pub const LISTS: &str = "/v1.0/conference/users/lists";
/// The path of an internal app's token call.
pub const ACCESS_TOKEN: &str = "/v1.0/oauth2/accessToken";
/// The path of a third-party app's older token call.
pub const CORP_ACCESS_TOKEN: &str = "/v1.0/oauth2/corpAccessToken";
/// The unified token call, as it is counted whatever the organisation.
pub const UNIFIED_TOKEN: &str = "/v1.0/oauth2/{corpId}/token";
/// Every other path, as it is counted.
pub const OTHER: &str = "other";

/// The largest body a token call may have, in bytes; real ones have a few hundred.
const LARGEST_BODY: usize = 64 * 1024;

/// The way to start one.
#[derive(Clone, Copy, Debug)]
pub struct Simulator;

impl Simulator {
    /// Listens on `listen` (port 0: any free one); the scenario starts now, by `clock`. It ends with `stop`, with
    /// [`Running::stop`], or when what is returned is dropped.
    pub async fn start(
        listen: SocketAddr,
        scenario: Scenario,
        clock: SharedClock,
        stop: CancellationToken,
    ) -> io::Result<Running> {
        let stop = stop.child_token();
        let world = scenario.world(clock.now()).map_err(io::Error::other)?;
        let mut set = Faults::default();
        for fault in scenario.faults {
            set.add(fault);
        }
        let shared = Arc::new(Shared {
            world,
            clock: clock.clone(),
            apps: scenario.apps,
            limits: scenario.limits,
            knobs: Mutex::new(Arc::new(scenario.knobs)),
            tokens: Mutex::default(),
            ledger: Mutex::default(),
            faults: Mutex::new(set),
            requests: AtomicU64::new(0),
            stop: stop.clone(),
        });
        let listener = Listener::bind(listen, clock, stop.clone()).await?;
        let address = listener.address()?;
        let app = Router::new().fallback(serve_one).with_state(Arc::clone(&shared));
        let mut tasks = JoinSet::new();
        let stopped = stop.clone().cancelled_owned();
        tasks.spawn(async move {
            axum::serve(listener, app.into_make_service_with_connect_info::<Switch>())
                .with_graceful_shutdown(stopped)
                .await
        });
        Ok(Running { address, base_url: format!("http://{address}"), shared, stop, tasks })
    }
}

/// One that runs.
#[derive(Debug)]
pub struct Running {
    address: SocketAddr,
    base_url: String,
    shared: Arc<Shared>,
    stop: CancellationToken,
    tasks: JoinSet<io::Result<()>>,
}

impl Running {
    /// `http://127.0.0.1:41234`: the `api_base` of a client.
    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The truth behind its answers.
    pub fn world(&self) -> &World {
        &self.shared.world
    }

    /// What has happened so far.
    pub fn counts(&self) -> Counts {
        self.shared.ledger().counts.clone()
    }

    /// From now on this goes wrong too.
    pub fn add_fault(&self, fault: Fault) {
        self.shared.faults().add(fault);
    }

    /// Nothing goes wrong any more, the scenario's own faults included.
    pub fn clear_faults(&self) {
        self.shared.faults().clear();
    }

    /// From now on the truth is told like this.
    pub fn set_knobs(&self, knobs: Knobs) {
        self.shared.set_knobs(knobs);
    }

    /// Makes every token so far worthless, as when an app's secret is changed.
    pub fn revoke_tokens(&self) {
        self.shared.tokens().revoke_all();
    }

    /// Ends it: no new connections, answers under way are finished, those that never end are dropped.
    pub async fn stop(mut self) {
        self.stop.cancel();
        while let Some(ended) = self.tasks.join_next().await {
            if let Ok(Err(error)) = ended {
                tracing::warn!(%error, "the simulator's listener ended with an error");
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// What all requests share. Each lock is held for a look-up or a count, never across an await.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) world: World,
    pub(super) clock: SharedClock,
    apps: Vec<App>,
    limits: Limits,
    knobs: Mutex<Arc<Knobs>>,
    tokens: Mutex<Tokens>,
    ledger: Mutex<Ledger>,
    faults: Mutex<Faults>,
    requests: AtomicU64,
    stop: CancellationToken,
}

/// A panic while a lock is held leaves counts behind that are still good enough.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub(super) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        lock(&self.ledger)
    }

    pub(super) fn faults(&self) -> MutexGuard<'_, Faults> {
        lock(&self.faults)
    }

    pub(super) fn tokens(&self) -> MutexGuard<'_, Tokens> {
        lock(&self.tokens)
    }

    pub(super) fn set_knobs(&self, knobs: Knobs) {
        *lock(&self.knobs) = Arc::new(knobs);
    }

    fn knobs(&self) -> Arc<Knobs> {
        Arc::clone(&lock(&self.knobs))
    }

    fn app(&self, key: &str) -> Option<&App> {
        self.apps.iter().find(|app| app.key == key)
    }
}

/// Which call it is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Call {
    Lists { union_id: Option<String> },
    AccessToken,
    CorpAccessToken,
    UnifiedToken { corp_id: String },
    UnknownApi,
    UnknownUri,
}

impl Call {
    fn of(method: &Method, path: &str, query: Option<&str>) -> Self {
        let unified = path.strip_prefix("/v1.0/oauth2/").and_then(|rest| rest.strip_suffix("/token"));
        match (method, path, unified) {
            (&Method::GET, LISTS, _) => Self::Lists { union_id: parameter(query, "unionId") },
            (&Method::POST, ACCESS_TOKEN, _) => Self::AccessToken,
            (&Method::POST, CORP_ACCESS_TOKEN, _) => Self::CorpAccessToken,
            (&Method::POST, _, Some(corp)) if !corp.contains('/') => {
                Self::UnifiedToken { corp_id: decoded(corp) }
            }
            _ if path.starts_with("/v1.0/") => Self::UnknownApi,
            _ => Self::UnknownUri,
        }
    }

    fn counted_as(&self) -> &'static str {
        match self {
            Self::Lists { .. } => LISTS,
            Self::AccessToken => ACCESS_TOKEN,
            Self::CorpAccessToken => CORP_ACCESS_TOKEN,
            Self::UnifiedToken { .. } => UNIFIED_TOKEN,
            Self::UnknownApi | Self::UnknownUri => OTHER,
        }
    }

    /// Which faults can strike it, and about whom it is.
    fn target(&self) -> Option<(On, Option<&str>)> {
        match self {
            Self::Lists { union_id } => Some((On::Lists, union_id.as_deref())),
            Self::AccessToken | Self::CorpAccessToken | Self::UnifiedToken { .. } => Some((On::Tokens, None)),
            Self::UnknownApi | Self::UnknownUri => None,
        }
    }
}

async fn serve_one(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(line): ConnectInfo<Switch>,
    request: Request,
) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let request_id = RequestId::new(shared.requests.fetch_add(1, Ordering::Relaxed));
    line.set(Fate::Plain);
    if parts.uri.path().starts_with(control::PREFIX) {
        let body = to_bytes(body, LARGEST_BODY).await.unwrap_or_default();
        return request_id.response(control::answer(&shared, &parts, &body));
    }
    let call = Call::of(&parts.method, parts.uri.path(), parts.uri.query());
    let now = shared.clock.now();
    shared.ledger().arrived(call.counted_as(), now);
    let fault = call
        .target()
        .and_then(|(on, union_id)| shared.faults().strike(on, union_id, shared.world.offset_ms(now)));
    if let Some(fault) = &fault {
        shared.ledger().refused(fault.kind.name());
        if let Some(answer) = faults::replacement(fault, &request_id.text) {
            return request_id.response(answer);
        }
    }
    let healthy = match &call {
        Call::Lists { union_id } => {
            let other = fault.as_ref().is_some_and(|fault| fault.kind == FaultKind::OtherPerson);
            lists(&shared, &parts, union_id.as_deref(), other, &request_id.text)
        }
        Call::UnknownApi => {
            let code = "InvalidAction.NotFound";
            Answer::refusal(404, code, "there is no such API, check path and method", &request_id.text)
        }
        Call::UnknownUri => Answer::json(200, faults::unknown_uri()),
        token_call => match to_bytes(body, LARGEST_BODY).await {
            Ok(body) => token(&shared, token_call, &parts.headers, &body, &request_id.text),
            Err(_) => Answer::refusal(400, "Missingbody", "the body is mandatory", &request_id.text),
        },
    };
    if let Some(fault) = fault {
        suffer(&shared, &fault, &line, &healthy).await;
    }
    request_id.response(healthy)
}

/// What a fault does to an answer that is healthy in itself.
async fn suffer(shared: &Shared, fault: &Fault, line: &Switch, healthy: &Answer) {
    match fault.kind {
        FaultKind::Truncated => line.set(Fate::Cut { body_bytes: healthy.body.len() / 2 }),
        FaultKind::Slow => line.set(Fate::Drip { pause: fault.pause.unwrap_or(Duration::from_secs(1)) }),
        FaultKind::Drop => line.set(Fate::Drop),
        FaultKind::Late => {
            let until = shared.clock.now().plus(fault.pause.unwrap_or(Duration::from_secs(30)));
            tokio::select! {
                () = shared.clock.sleep_until(until) => {}
                () = shared.stop.cancelled() => line.set(Fate::Drop),
            }
        }
        FaultKind::Hang => {
            shared.stop.cancelled().await;
            line.set(Fate::Drop);
        }
        // The others have replaced the answer already.
        _ => {}
    }
}

/// `GET /v1.0/conference/users/lists`.
fn lists(shared: &Shared, parts: &Parts, union_id: Option<&str>, other: bool, request_id: &str) -> Answer {
    let now = shared.clock.now();
    let refuse = |status, code: &str, message: &str| {
        shared.ledger().refused(code);
        Answer::refusal(status, code, message, request_id)
    };
    // Bearer and query tokens are no tokens here: the header is the only place.
    let token = parts.headers.get("x-acs-dingtalk-access-token").and_then(|value| value.to_str().ok());
    let Some(token) = token.filter(|token| !token.is_empty()) else {
        return refuse(
            400,
            "AuthenticationFailed.MissingParameter",
            "x-acs-dingtalk-access-token is mandatory",
        );
    };
    let Some(app_key) = shared.tokens().owner(token, now).map(str::to_owned) else {
        return refuse(400, "InvalidAuthentication", "the access token is not valid");
    };
    let app = shared.app(&app_key);
    if app.is_some_and(|app| !app.address_allowed) {
        let code = "Forbidden.AccessDenied.IpNotInWhiteList";
        return refuse(403, code, "the address is not allowed, request ip=127.0.0.1");
    }
    if app.is_some_and(|app| !app.may_read_meetings) {
        shared.ledger().refused("Forbidden.AccessDenied.AccessTokenPermissionDenied");
        return faults::no_permission(request_id);
    }
    let admission = shared.ledger().admit(&app_key, LISTS, now, shared.limits);
    match admission {
        Admission::TooFast => return refuse(403, faults::QPS, "too many calls of this app in this second"),
        Admission::MonthSpent => return refuse(403, faults::MONTH, "the calls of this month are used up"),
        Admission::Granted => {}
    }
    let Some(union_id) = union_id.filter(|union_id| !union_id.is_empty()) else {
        return refuse(400, "param.error", "missing.user.info");
    };
    let knobs = shared.knobs();
    let whose = if other { somebody_else(shared, union_id) } else { union_id };
    match (record::answer(&shared.world, whose, now, &knobs), knobs.stranger) {
        (Some(body), _) => {
            shared.ledger().answered(union_id);
            Answer::json(200, body)
        }
        (None, Stranger::Empty) => Answer::json(200, record::nothing(&knobs)),
        (None, Stranger::Error) => refuse(400, "param.error", "param.error"),
    }
}

/// Another person, one in a meeting if there is one.
fn somebody_else<'a>(shared: &'a Shared, union_id: &'a str) -> &'a str {
    let now = shared.clock.now();
    let others = || shared.world.people().iter().map(|p| p.union_id.as_str()).filter(|id| *id != union_id);
    let busy = others().find(|id| shared.world.seats(id, now).is_some_and(|(_, seats)| !seats.is_empty()));
    busy.or_else(|| others().next()).unwrap_or(union_id)
}

/// The three token calls.
fn token(shared: &Shared, call: &Call, headers: &HeaderMap, body: &[u8], request_id: &str) -> Answer {
    let refuse = |status, code: &str, message: &str| {
        shared.ledger().refused(code);
        Answer::refusal(status, code, message, request_id)
    };
    let is_json = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.to_ascii_lowercase().starts_with("application/json"));
    let sent: Option<serde_json::Value> = serde_json::from_slice(body).ok().filter(|_| is_json);
    let Some(sent) = sent else { return refuse(400, "Missingbody", "the body is mandatory") };
    let field = |name: &str| sent.get(name).and_then(serde_json::Value::as_str).unwrap_or_default();
    let knows = |key: &str, secret: &str| {
        let known = shared.apps.is_empty() || shared.app(key).is_some_and(|app| app.secret == secret);
        known && !key.is_empty() && !secret.is_empty()
    };
    let in_corp = |key: &str, corp: &str| {
        let of_app = shared.app(key).and_then(|app| app.corp_id.as_deref());
        !corp.is_empty() && of_app.is_none_or(|of_app| of_app == corp)
    };
    let corp_kind = match shared.knobs().corp_token {
        CorpToken::New => Kind::Fresh,
        CorpToken::Same => Kind::Internal,
        CorpToken::Replaces => Kind::Only,
    };
    match call {
        Call::CorpAccessToken => {
            let (key, corp, ticket) = (field("suiteKey"), field("authCorpId"), field("suiteTicket"));
            let wanted = shared.app(key).and_then(|app| app.suite_ticket.as_deref());
            if !knows(key, field("suiteSecret")) {
                return refuse(400, "invalidSuiteKey", "the suite key is not valid");
            }
            if ticket.is_empty() || wanted.is_some_and(|wanted| wanted != ticket) {
                return refuse(400, "invalidSuiteTicket", "the suite ticket is not valid");
            }
            if !in_corp(key, corp) {
                return refuse(400, "invalidAuthInfo", "the organisation has not authorised this app");
            }
            issue(shared, key, corp_kind, ["accessToken", "expireIn"])
        }
        Call::UnifiedToken { corp_id } => {
            let key = field("client_id");
            if field("grant_type") != "client_credentials" {
                return refuse(400, "unsupported.grant.type", "the grant type is not supported");
            }
            if !in_corp(key, corp_id) {
                // The real host takes an organisation it does not know for its own trouble.
                return refuse(500, "unknownError", "unknown error");
            }
            if !knows(key, field("client_secret")) {
                return refuse(400, "invalid.client", "client id or secret is not valid");
            }
            issue(shared, key, corp_kind, ["access_token", "expires_in"])
        }
        _ => {
            let key = field("appKey");
            if !knows(key, field("appSecret")) {
                return refuse(400, "invalidClientIdOrSecret", "client id or secret is not valid");
            }
            issue(shared, key, Kind::Internal, ["accessToken", "expireIn"])
        }
    }
}

fn issue(shared: &Shared, app: &str, kind: Kind, names: [&str; 2]) -> Answer {
    let seconds = shared.limits.token_seconds;
    let token = shared.tokens().issue(app, kind, shared.clock.now(), seconds);
    shared.ledger().counts.tokens += 1;
    Answer::json(200, Object::new().text(names[0], &token).number(names[1], i64::from(seconds)).end())
}

/// What names one request: the same in header and body.
#[derive(Debug)]
struct RequestId {
    text: String,
    trace: String,
}

impl RequestId {
    /// An upper-case UUID and 32 hex digits, made of how manieth request it is.
    fn new(number: u64) -> Self {
        let part = |salt: &[u8]| spread(&[&number.to_be_bytes(), salt]);
        let (high, low) = (part(b"high"), part(b"low"));
        let mut text = String::with_capacity(36);
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "{:08X}-{:04X}-7{:03X}-A{:03X}-{:012X}",
            high >> 32,
            (high >> 16) & 0xffff,
            high & 0xfff,
            low >> 52,
            low & 0xffff_ffff_ffff
        );
        Self { text, trace: format!("{:016x}{:016x}", part(b"trace"), part(b"span")) }
    }

    /// The answer with the headers that every real one has.
    fn response(&self, answer: Answer) -> Response<Body> {
        let mut response = Response::builder()
            .status(answer.status)
            .header(header::CONTENT_TYPE, answer.content_type)
            .header(header::SERVER, "DingTalk/1.0.0")
            .header("x-acs-request-id", &self.text)
            .header("x-acs-trace-id", &self.trace)
            .header(header::ACCESS_CONTROL_ALLOW_ORIGIN, "*")
            .header(header::ACCESS_CONTROL_MAX_AGE, "172800");
        if let Some(seconds) = answer.retry_after {
            response = response.header(header::RETRY_AFTER, seconds);
        }
        response.body(Body::from(answer.body)).unwrap_or_else(|_| {
            // Only a status outside 100 to 999 gets here; a scenario refuses those.
            Response::new(Body::empty())
        })
    }
}

/// The first parameter of this name, decoded: `+` and `%20` are both a space.
pub(super) fn parameter(query: Option<&str>, name: &str) -> Option<String> {
    query?.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decoded(key) == name).then(|| decoded(value))
    })
}

fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut index = 0;
    while let Some(&byte) = bytes.get(index) {
        let escaped = text.get(index + 1..index + 3).filter(|_| byte == b'%');
        if let Some(value) = escaped.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            plain.push(value);
            index += 3;
        } else {
            plain.push(if byte == b'+' { b' ' } else { byte });
            index += 1;
        }
    }
    String::from_utf8_lossy(&plain).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_to_write_a_space_are_understood() {
        let query = Some("x=1&unionId=a+b%2Bc%2Fd%3D%C3%A9%26x");
        assert_eq!(parameter(query, "unionId").as_deref(), Some("a b+c/d=é&x"));
        assert_eq!(parameter(Some("unionId=a%20b%"), "unionId").as_deref(), Some("a b%"));
        assert_eq!(parameter(Some("unionId"), "unionId").as_deref(), Some(""));
        assert_eq!(parameter(None, "unionId"), None);
    }

    #[test]
    fn a_request_id_is_an_upper_case_uuid_and_repeats() {
        let id = RequestId::new(7);
        assert_eq!(id.text.len(), 36);
        assert!(id.text.chars().all(|c| c == '-' || c.is_ascii_digit() || c.is_ascii_uppercase()));
        assert_eq!(id.text, RequestId::new(7).text);
        assert_ne!(id.text, RequestId::new(8).text);
    }

    #[test]
    fn calls_are_told_apart() {
        let of = |method, path| Call::of(&method, path, None);
        assert_eq!(of(Method::GET, LISTS), Call::Lists { union_id: None });
        assert_eq!(of(Method::POST, LISTS), Call::UnknownApi);
        let unified = Call::UnifiedToken { corp_id: "ding1".into() };
        assert_eq!(of(Method::POST, "/v1.0/oauth2/ding1/token"), unified);
        assert_eq!(of(Method::POST, "/oauth2/accessToken"), Call::UnknownUri);
    }
}
