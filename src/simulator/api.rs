//! The server: which call it is, what goes wrong with it, and the handle on a simulator that runs.
//!
//! Guards: it listens where it is told, its requests share nothing but `Shared`, and ends when it is asked to, also
//! with answers under way. Deliberately not here: refusals and answers (`gateway`), the way to steer (`control`).

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{Method, Response};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::contacts;
use super::control;
use super::faults::{self, Answer, Fault, FaultKind, Faults, On};
use super::gateway::{lists, meetings, token};
use super::http::{RequestId, decoded, parameter};
use super::knobs::Knobs;
use super::ledger::{Counts, Ledger, Limits};
use super::scenario::{App, Scenario};
use super::tokens::Tokens;
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
/// The path of the organisation's ongoing meetings.
pub const ORG_MEETINGS: &str = "/v1.0/conference/orgConferences";
/// The path of the batch of ongoing meetings with their users.
pub const MEETING_QUERY: &str = "/v1.0/conference/videoConferences/query";
/// One meeting, as it is counted whichever it is.
pub const MEETING_INFO: &str = "/v1.0/conference/videoConferences/{conferenceId}";
/// Its members, as they are counted.
pub const MEETING_MEMBERS: &str = "/v1.0/conference/videoConferences/{conferenceId}/members";
/// The contacts calls, as they are counted.
pub const CONTACTS: &str = "/topapi";
/// Every other path, as it is counted.
pub const OTHER: &str = "other";

/// What comes before a conference id.
const ONE_MEETING: &str = "/v1.0/conference/videoConferences/";

/// The largest body a call may have, in bytes; real ones have a few hundred.
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
            counted: watch::Sender::new(()),
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

    /// Waits until what has happened is enough. It waits for ever if that does not come: the caller has the time-out.
    pub async fn until(&self, mut enough: impl FnMut(&Counts) -> bool) {
        // The sender lives as long as `self`, so this cannot fail.
        let _ = self.shared.counted.subscribe().wait_for(|()| enough(&self.shared.ledger().counts)).await;
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
    pub(super) apps: Vec<App>,
    pub(super) limits: Limits,
    knobs: Mutex<Arc<Knobs>>,
    tokens: Mutex<Tokens>,
    ledger: Mutex<Ledger>,
    faults: Mutex<Faults>,
    counted: watch::Sender<()>,
    requests: AtomicU64,
    stop: CancellationToken,
}

/// A panic while a lock is held leaves counts behind that are still good enough.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    /// For reading; [`Shared::count`] writes.
    pub(super) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        lock(&self.ledger)
    }

    /// Counts something and wakes whoever waits for it.
    pub(super) fn count<R>(&self, act: impl FnOnce(&mut Ledger) -> R) -> R {
        let result = act(&mut self.ledger());
        self.counted.send_replace(());
        result
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

    pub(super) fn knobs(&self) -> Arc<Knobs> {
        Arc::clone(&lock(&self.knobs))
    }

    pub(super) fn app(&self, key: &str) -> Option<&App> {
        self.apps.iter().find(|app| app.key == key)
    }
}

/// Which call it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Call {
    Lists { union_id: Option<String> },
    AccessToken,
    CorpAccessToken,
    UnifiedToken { corp_id: String },
    OrgMeetings,
    MeetingQuery,
    MeetingInfo { conference_id: String },
    MeetingMembers { conference_id: String },
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
            (&Method::GET, ORG_MEETINGS, _) => Self::OrgMeetings,
            (&Method::POST, MEETING_QUERY, _) => Self::MeetingQuery,
            (&Method::GET, _, _) if path.starts_with(ONE_MEETING) => {
                Self::of_meeting(&path[ONE_MEETING.len()..])
            }
            (&Method::POST, _, Some(corp)) if !corp.contains('/') => {
                Self::UnifiedToken { corp_id: decoded(corp) }
            }
            _ if path.starts_with("/v1.0/") => Self::UnknownApi,
            _ => Self::UnknownUri,
        }
    }

    /// `path`: what comes after [`ONE_MEETING`].
    fn of_meeting(path: &str) -> Self {
        match path.split_once('/') {
            None => Self::MeetingInfo { conference_id: decoded(path) },
            Some((id, "members")) => Self::MeetingMembers { conference_id: decoded(id) },
            Some(_) => Self::UnknownApi,
        }
    }

    pub(super) fn counted_as(&self) -> &'static str {
        match self {
            Self::Lists { .. } => LISTS,
            Self::AccessToken => ACCESS_TOKEN,
            Self::CorpAccessToken => CORP_ACCESS_TOKEN,
            Self::UnifiedToken { .. } => UNIFIED_TOKEN,
            Self::OrgMeetings => ORG_MEETINGS,
            Self::MeetingQuery => MEETING_QUERY,
            Self::MeetingInfo { .. } => MEETING_INFO,
            Self::MeetingMembers { .. } => MEETING_MEMBERS,
            Self::UnknownApi | Self::UnknownUri => OTHER,
        }
    }

    /// Which faults can strike it, and about whom it is.
    fn target(&self) -> Option<(On, Option<&str>)> {
        match self {
            Self::Lists { union_id } => Some((On::Lists, union_id.as_deref())),
            Self::AccessToken | Self::CorpAccessToken | Self::UnifiedToken { .. } => Some((On::Tokens, None)),
            Self::OrgMeetings => Some((On::OrgMeetings, None)),
            Self::MeetingQuery => Some((On::MeetingQuery, None)),
            Self::MeetingInfo { .. } => Some((On::MeetingInfo, None)),
            Self::MeetingMembers { .. } => Some((On::MeetingMembers, None)),
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
    if contacts::knows(parts.uri.path()) {
        shared.count(|ledger| ledger.arrived(CONTACTS, shared.clock.now()));
        let body = to_bytes(body, LARGEST_BODY).await.unwrap_or_default();
        let offset = shared.world.offset_ms(shared.clock.now());
        let fault = shared.faults().strike(On::Contacts, contacts::about(&body).as_deref(), offset);
        let answer = contacts::answer(&shared, &parts, &body, &request_id.text, fault.as_ref());
        return request_id.response(answer);
    }
    let call = Call::of(&parts.method, parts.uri.path(), parts.uri.query());
    let now = shared.clock.now();
    shared.count(|ledger| ledger.arrived(call.counted_as(), now));
    let fault = call
        .target()
        .and_then(|(on, union_id)| shared.faults().strike(on, union_id, shared.world.offset_ms(now)));
    if let Some(fault) = &fault {
        shared.count(|ledger| ledger.refused(fault.kind.name()));
        if let Some(answer) = faults::replacement(fault, &request_id.text) {
            return request_id.response(answer);
        }
    }
    let healthy = match &call {
        Call::Lists { union_id } => {
            lists(&shared, &parts, union_id.as_deref(), fault.as_ref(), &request_id.text)
        }
        Call::OrgMeetings | Call::MeetingQuery | Call::MeetingInfo { .. } | Call::MeetingMembers { .. } => {
            let body = to_bytes(body, LARGEST_BODY).await.unwrap_or_default();
            meetings(&shared, &call, &parts, &body, fault.as_ref(), &request_id.text)
        }
        Call::UnknownApi => {
            let code = "InvalidAction.NotFound";
            Answer::refusal(404, code, "there is no such API, check path and method", &request_id.text)
        }
        Call::UnknownUri => Answer::json(200, faults::unknown_uri()),
        token_call => match to_bytes(body, LARGEST_BODY).await {
            Ok(body) => token::answer(&shared, token_call, &parts.headers, &body, &request_id.text),
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

#[cfg(test)]
mod tests {
    use super::*;

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
