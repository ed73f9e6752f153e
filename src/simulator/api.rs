//! The simulator's server, and the handle of a running simulator.
//!
//! Guards: requests share nothing but `Shared`. The server ends when it is asked to, also during an answer. Not here:
//! refusals and answers (`gateway`), the control API (`control`).

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::Response;
use axum::http::request::Parts;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::calls::Call;
use super::counters::Counts;
use super::faults::{self, Answer, Fault, FaultKind, FaultTarget};
use super::gateway::{lists, meetings, token};
use super::http::RequestId;
use super::options::AnswerOptions;
use super::push::options::PushOptions;
use super::receiver::Inbox;
use super::scenario::Scenario;
use super::state::Shared;
use super::wire::{FaultHandle, Listener, ResponseFault};
use super::world::World;
use super::{contacts, control, push};
use crate::clock::SharedClock;

pub use super::calls::{
    ACCESS_TOKEN, CONTACTS, CORP_ACCESS_TOKEN, LISTS, MEETING_INFO, MEETING_MEMBERS, MEETING_QUERY,
    ORG_MEETINGS, OTHER, PUSH_OPEN, UNIFIED_TOKEN,
};

/// Where a simulator receives callbacks, if it does.
pub const CALLBACKS: &str = "/callbacks";
/// The largest body of a request, in bytes; real ones have a few hundred.
const LARGEST_BODY: usize = 64 * 1024;

/// Starts simulators.
#[derive(Clone, Copy, Debug)]
pub struct Simulator;

impl Simulator {
    /// Starts a simulator on `listen` (port 0 takes any free port). The scenario starts now, by `clock`. The simulator ends with
    /// `stop`, with [`Running::stop`], or when the returned handle is dropped.
    pub async fn start(
        listen: SocketAddr,
        scenario: Scenario,
        clock: SharedClock,
        stop: CancellationToken,
    ) -> io::Result<Running> {
        Self::start_with(listen, scenario, clock, stop, None).await
    }

    /// The same, with a receiver of callbacks at [`CALLBACKS`].
    pub async fn start_with(
        listen: SocketAddr,
        scenario: Scenario,
        clock: SharedClock,
        stop: CancellationToken,
        callbacks: Option<&Inbox>,
    ) -> io::Result<Running> {
        let stop = stop.child_token();
        let world = scenario.world(clock.now()).map_err(io::Error::other)?;
        let (sockets, accepted) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared::new(world, scenario, sockets, clock.clone(), stop.clone()));
        let listener = Listener::bind(listen, clock, stop.clone()).await?;
        let address = listener.address()?;
        let mut app = Router::new().fallback(serve_one).with_state(Arc::clone(&shared));
        if let Some(inbox) = callbacks {
            app = app.nest(CALLBACKS, inbox.routes());
        }
        let mut tasks = JoinSet::new();
        let stopped = stop.clone().cancelled_owned();
        tasks.spawn(async move {
            axum::serve(listener, app.into_make_service_with_connect_info::<FaultHandle>())
                .with_graceful_shutdown(stopped)
                .await
        });
        let driver = push::server::run(Arc::clone(&shared), accepted);
        tasks.spawn(async move {
            driver.await;
            Ok(())
        });
        Ok(Running { address, base_url: format!("http://{address}"), shared, stop, tasks })
    }
}

/// A running simulator.
#[derive(Debug)]
pub struct Running {
    address: SocketAddr,
    base_url: String,
    shared: Arc<Shared>,
    stop: CancellationToken,
    tasks: JoinSet<io::Result<()>>,
}

impl Running {
    /// The `api_base` for a client, such as `http://127.0.0.1:41234`.
    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    /// The address that it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The truth that its answers represent.
    pub fn world(&self) -> &World {
        &self.shared.world
    }

    /// The counts so far.
    pub fn counts(&self) -> Counts {
        self.shared.counters().counts.clone()
    }

    /// Waits until the counts satisfy `enough`, without a time-out of its own.
    pub async fn until(&self, mut enough: impl FnMut(&Counts) -> bool) {
        // The sender lives as long as `self`, so this cannot fail.
        let _ = self.shared.counted().wait_for(|()| enough(&self.shared.counters().counts)).await;
    }

    pub fn add_fault(&self, fault: Fault) {
        self.shared.faults().add(fault);
    }

    /// Removes all faults, including those of the scenario.
    pub fn clear_faults(&self) {
        self.shared.faults().clear();
    }

    /// Replaces the answer options.
    pub fn set_options(&self, options: AnswerOptions) {
        self.shared.set_options(options);
    }

    /// Replaces the settings of the push gateway.
    pub fn set_push(&self, options: PushOptions) {
        push::server::with_queue(&self.shared, |queue| queue.set_options(options));
    }

    /// Ends all push connections: after a disconnect frame, or without a word.
    pub fn end_push_connections(&self, is_abort: bool) {
        push::server::end_all(&self.shared, is_abort);
    }

    /// Pushes a new suite ticket to each third-party app, which voids the old one.
    pub fn renew_suite_tickets(&self) {
        push::server::renew_suite_tickets(&self.shared);
    }

    /// The suite ticket that the app was pushed last.
    pub fn suite_ticket(&self, app: &str) -> Option<String> {
        self.shared.push().suite_ticket(app).map(str::to_owned)
    }

    /// Invalidates all tokens, as after a change of an app's secret.
    pub fn revoke_tokens(&self) {
        self.shared.tokens().revoke_all();
    }

    /// Stops it: refuses new connections, finishes answers under way and drops those that never end.
    pub async fn stop(mut self) {
        self.stop.cancel();
        while let Some(ended) = self.tasks.join_next().await {
            if let Ok(Err(error)) = ended {
                tracing::warn!(%error, "the simulator stopped listening");
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn serve_one(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(connection): ConnectInfo<FaultHandle>,
    request: Request,
) -> Response<Body> {
    let (mut parts, body) = request.into_parts();
    // A body that cannot be read is answered like an empty one.
    let body = to_bytes(body, LARGEST_BODY).await.unwrap_or_default();
    let request_id = RequestId::new(shared.next_request());
    connection.set(ResponseFault::Plain);
    if parts.uri.path() == push::server::CONNECT {
        return match push::server::connect(&shared, &mut parts, &request_id.text) {
            Ok(response) => response,
            Err(refusal) => request_id.response(refusal),
        };
    }
    let path = parts.uri.path();
    let answer = if path.starts_with(control::PREFIX) {
        control::answer(&shared, &parts, &body)
    } else if contacts::is_contacts_path(path) {
        contacts_answer(&shared, &parts, &body, &request_id.text)
    } else {
        api_answer(&shared, &connection, &parts, &body, &request_id.text).await
    };
    request_id.response(answer)
}

fn contacts_answer(shared: &Shared, parts: &Parts, body: &[u8], request_id: &str) -> Answer {
    let now = shared.clock.now();
    shared.count(|counters| counters.arrived(CONTACTS, now));
    let union_id = contacts::about(body);
    let offset_ms = shared.world.offset_ms(now);
    let fault = shared.faults().take_due(FaultTarget::Contacts, union_id.as_deref(), offset_ms);
    contacts::answer(shared, parts, body, request_id, fault.as_ref())
}

/// Answers a call to the new host, and applies the fault that is due.
async fn api_answer(
    shared: &Shared,
    connection: &FaultHandle,
    parts: &Parts,
    body: &[u8],
    request_id: &str,
) -> Answer {
    let call = Call::of(&parts.method, parts.uri.path(), parts.uri.query());
    let now = shared.clock.now();
    shared.count(|counters| counters.arrived(call.counted_as(), now));
    let offset_ms = shared.world.offset_ms(now);
    let fault = call.target().and_then(|(on, union_id)| shared.faults().take_due(on, union_id, offset_ms));
    if let Some(fault) = &fault {
        shared.count(|counters| counters.refused(fault.kind.name()));
        if let Some(answer) = faults::replacement(fault, request_id) {
            return answer;
        }
    }
    let healthy = match &call {
        Call::Lists { union_id } => lists(shared, parts, union_id.as_deref(), fault.as_ref(), request_id),
        Call::OrgMeetings | Call::MeetingQuery | Call::MeetingInfo { .. } | Call::MeetingMembers { .. } => {
            meetings(shared, &call, parts, body, fault.as_ref(), request_id)
        }
        Call::PushOpen => push::server::open(shared, parts, body, request_id),
        Call::UnknownApi => {
            let code = "InvalidAction.NotFound";
            Answer::refusal(404, code, "there is no such API, check path and method", request_id)
        }
        Call::UnknownUri => Answer::json(200, faults::unknown_uri()),
        token_call => token::answer(shared, token_call, &parts.headers, body, request_id),
    };
    if let Some(fault) = fault {
        apply_fault(shared, &fault, connection, &healthy).await;
    }
    healthy
}

/// Applies a fault to the sending of a healthy answer.
async fn apply_fault(shared: &Shared, fault: &Fault, connection: &FaultHandle, healthy: &Answer) {
    match fault.kind {
        FaultKind::Truncated => connection.set(ResponseFault::Cut { body_bytes: healthy.body.len() / 2 }),
        FaultKind::Slow => {
            connection.set(ResponseFault::Drip { pause: fault.pause.unwrap_or(Duration::from_secs(1)) });
        }
        FaultKind::Drop => connection.set(ResponseFault::Drop),
        FaultKind::Late => {
            let until = shared.clock.now().plus(fault.pause.unwrap_or(Duration::from_secs(30)));
            tokio::select! {
                () = shared.clock.sleep_until(until) => {}
                () = shared.stop.cancelled() => connection.set(ResponseFault::Drop),
            }
        }
        FaultKind::Hang => {
            shared.stop.cancelled().await;
            connection.set(ResponseFault::Drop);
        }
        // The other kinds have replaced the answer already.
        _ => {}
    }
}
