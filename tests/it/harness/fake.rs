//! A DingTalk of the tests' own: it hands out tokens and, for each person, whatever bytes the test says.
//!
//! Guards: the daemon is tried against something that shares no line with its simulator. Deliberately not here: limits and
//! scenarios.

use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use super::Watched;
use super::http::{Reply, Request, response, serve};

const JSON: &str = "application/json;charset=utf-8";

/// An answer made from a person's unionId and the number of the look, from 1.
pub(crate) type Script = dyn Fn(&str, u64) -> Reply + Send + Sync;

/// What the test says and what the daemon asked.
#[derive(Default)]
struct State {
    answers: HashMap<String, Reply>,
    script: Option<Arc<Script>>,
    calls: HashMap<String, u64>,
    all_calls: u64,
    token_calls: u64,
    token: Option<Vec<u8>>,
}

/// The numbers, not the answers.
impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { calls, all_calls, token_calls, .. } = self;
        write!(f, "{all_calls} looks, {token_calls} calls for a token, of each {calls:?}")
    }
}

/// The fake.
#[derive(Clone)]
pub(crate) struct Fake {
    address: SocketAddr,
    state: Arc<Watched<State>>,
}

impl Fake {
    pub(crate) fn start() -> Self {
        let state = Arc::new(Watched::<State>::default());
        let shared = Arc::clone(&state);
        let address = serve(move |request| answer(&shared, &request));
        Self { address, state }
    }

    /// One whose answers follow a script instead of what is said.
    pub(crate) fn scripted(script: impl Fn(&str, u64) -> Reply + Send + Sync + 'static) -> Self {
        let fake = Self::start();
        fake.state.with(|state| state.script = Some(Arc::new(script)));
        fake
    }

    pub(crate) fn base(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on this person's look gets this JSON with status 200.
    pub(crate) fn say(&self, union_id: &str, json: &str) {
        self.say_bytes(union_id, Some(response(200, JSON, json)));
    }

    /// From now on this person's look gets these bytes; `None` drops the connection.
    pub(crate) fn say_bytes(&self, union_id: &str, bytes: Reply) {
        self.state.with(|state| state.answers.insert(union_id.to_owned(), bytes));
    }

    /// From now on whoever asks for a token gets these bytes; `None`: a token.
    pub(crate) fn say_token(&self, bytes: Option<Vec<u8>>) {
        self.state.with(|state| state.token = bytes);
    }

    /// Waits until this person was looked at `more` times from now on.
    #[track_caller]
    pub(crate) fn wait_looks(&self, union_id: &str, more: u64) {
        let before = self.looks(union_id);
        self.state.until(&format!("{more} looks at {union_id}"), |state| {
            (state.calls.get(union_id).copied().unwrap_or(0) >= before + more).then_some(())
        });
    }

    /// Waits until this person was looked at `times` in all.
    #[track_caller]
    pub(crate) fn wait_looked(&self, union_id: &str, times: u64) {
        self.state.until(&format!("look {times} at {union_id}"), |state| {
            (state.calls.get(union_id).copied().unwrap_or(0) >= times).then_some(())
        });
    }

    pub(crate) fn looks(&self, union_id: &str) -> u64 {
        self.state.with(|state| state.calls.get(union_id).copied().unwrap_or(0))
    }

    /// Waits until `more` looks at anybody have come from now on.
    #[track_caller]
    pub(crate) fn wait_any(&self, more: u64) {
        let before = self.state.with(|state| state.all_calls);
        self.state.until(&format!("{more} looks"), |state| (state.all_calls >= before + more).then_some(()));
    }

    /// Looks at anybody so far.
    pub(crate) fn all_looks(&self) -> u64 {
        self.state.with(|state| state.all_calls)
    }

    pub(crate) fn token_calls(&self) -> u64 {
        self.state.with(|state| state.token_calls)
    }
}

fn answer(state: &Watched<State>, request: &Request) -> Reply {
    match request.path.as_str() {
        "/v1.0/oauth2/accessToken" => {
            let said = state.with(|state| {
                state.token_calls += 1;
                state.token.clone()
            });
            said.or_else(|| {
                Some(response(200, JSON, r#"{"expireIn":7200,"accessToken":"token-of-the-fake"}"#))
            })
        }
        "/v1.0/conference/users/lists" => {
            let union_id = request.query.strip_prefix("unionId=").unwrap_or_default().to_owned();
            let (script, call, said) = state.with(|state| {
                state.all_calls += 1;
                let call = state.calls.entry(union_id.clone()).or_default();
                *call += 1;
                (state.script.clone(), *call, state.answers.get(&union_id).cloned())
            });
            // Outside the lock: a script may keep somebody waiting.
            if let Some(script) = script {
                return script(&union_id, call);
            }
            said.unwrap_or_else(|| {
                Some(response(200, JSON, r#"{"onGoingConfIdList":[],"memberModelMap":{}}"#))
            })
        }
        _ => Some(response(404, JSON, r#"{"code":"InvalidAction.NotFound","message":"no such call"}"#)),
    }
}

/// One record in one meeting; `fields` are further members, each with a comma in front.
pub(crate) fn inside(union_id: &str, conference: &str, status: i64, join_ms: i64, fields: &str) -> String {
    format!(
        r#"{{"onGoingConfIdList":["{conference}"],"memberModelMap":{{"{conference}":{{"unionId":"{union_id}","conferenceId":"{conference}","userNick":"Nick","joinTime":{join_ms},"attendStatus":{status},"host":false,"coHost":false,"outerOrgMember":false,"pstnJoin":false,"deviceType":"Mac"{fields}}}}}}}"#
    )
}
