//! A simulator of DingTalk for the demo, the tests and experiments.
//!
//! Guards: it answers and refuses as the documents and recorded answers of the real hosts show. It writes its JSON by hand
//! and shares no type with `dingtalk`, so a mistake about the wire format cannot cancel out. The same scenario at the same
//! instant gives the same answer. Not here: any reader of such answers.
//!
//! ```text
//! types              people, meetings, participations                                   pure
//! script, world      what the steps of a script do; what is true at an instant          pure
//! options            how answers represent that truth where the documents say nothing
//! record, json       the answer of the list call as text
//! meetings           the meetings at an instant                                         pure
//! meeting_answers    the answers of the calls about meetings
//! scenario, reader   people, meetings, script, options and faults from a TOML file
//! tokens, counters, faults   what the gateway keeps between calls
//! calls, gateway, http       which call a request is, which calls are refused, headers
//! wire               a listener that can cut, delay and drop an answer
//! contacts           the contacts calls of the legacy host
//! push                       the gateway that pushes events over WebSocket
//! state, api, control        the shared state, the server, its control API
//! receiver           a webhook receiver that verifies signatures, for demo and tests
//! ```

pub mod api;
mod calls;
mod contacts;
mod control;
pub mod counters;
pub mod faults;
mod gateway;
mod hash;
mod http;
mod json;
mod meeting_answers;
mod meetings;
pub mod options;
mod push;
mod reader;
pub mod receiver;
mod record;
pub mod scenario;
pub mod script;
mod state;
mod tokens;
pub mod types;
mod wire;
pub mod world;

pub use api::{Running, Simulator};
pub use counters::{Counts, Limits};
pub use faults::{Fault, FaultKind};
pub use options::AnswerOptions;
pub use push::options::{PushOptions, TickedEvents, TicketUse};
pub use scenario::{Scenario, ScenarioError};
pub use types::{Change, TrueChange};
pub use world::World;
