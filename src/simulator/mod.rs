//! A DingTalk of our own: what the demo, the tests and anybody's experiments poll instead of the real one.
//!
//! Guards: it answers as the documents and the recorded answers of the real hosts say, also when it refuses; it
//! writes its JSON by hand and shares no type with `dingtalk`, so a mistake about the wire cannot cancel out; the
//! same scenario at the same instant gives the same answer. Deliberately not here: anything that reads such answers.
//!
//! ```text
//! facts             people, meetings, and what can be true of them            pure
//! script, world     what steps do to that; what is true at an instant         pure
//! knobs             how an answer tells that truth, where the documents are silent
//! record, json      the answer as text
//! scenario, reader  all of it, and faults, from a TOML file
//! tokens, ledger, faults   what the gateway remembers
//! held, meetings    the meetings themselves, for the calls that are about them
//! gateway, http     who is refused, who is answered, with which headers
//! wire              a listener that can cut, drip and drop
//! contacts          people by userid, number and department, on the legacy host
//! api, control      the server, and the way to steer one that runs
//! receiver          the other end of the demo: a webhook receiver that verifies
//! ```

pub mod api;
mod contacts;
mod control;
pub mod facts;
pub mod faults;
mod gateway;
mod held;
mod http;
mod json;
pub mod knobs;
pub mod ledger;
mod meetings;
mod reader;
pub mod receiver;
mod record;
pub mod scenario;
pub mod script;
mod tokens;
mod wire;
pub mod world;

pub use api::{Running, Simulator};
pub use facts::{Change, TrueChange};
pub use faults::{Fault, FaultKind};
pub use knobs::Knobs;
pub use ledger::{Counts, Limits};
pub use scenario::{Scenario, ScenarioError};
pub use world::World;

/// A 64-bit hash with a good spread, the same on every machine and in every release: ids, tokens and everything
/// else that looks random here is made of it. FNV-1a with `SplitMix64`'s last steps; no secret depends on it.
pub(crate) fn spread(parts: &[&[u8]]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for part in parts {
        for byte in part.iter().chain(&[0xff]) {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}
