//! The list call, with its token.
//!
//! Guards: explicit time-outs, no redirects, a capped body. Deliberately not here: classification (`error`), parsing.

use super::error::{CallError, Verdict};
use crate::clock::SharedClock;
use crate::config::Org;
use crate::ids::UnionId;
use crate::presence::observation::Observation;
use crate::secret::Secret;

/// What a good call gave.
#[derive(Clone, Debug)]
pub enum Answer {
    /// Byte for byte the answer of last time (the caller's `same_as`); nothing was parsed.
    Same,
    /// Another answer.
    Seen {
        /// What it says.
        observation: Observation,
        /// The digest of its bytes, to be handed in as `same_as` next time.
        bytes_digest: u64,
    },
}

/// Where the app's secrets stand once they are resolved.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// `app_secret`, or the ready-made `access_token`.
    pub secret: Secret,
    /// `suite_ticket`.
    pub suite_ticket: Option<Secret>,
}

/// A client for one organisation. Cloning shares its connections and its token.
#[derive(Clone, Debug)]
pub struct Client {}

impl Client {
    /// Makes one; no network yet.
    pub fn new(
        _org: &Org,
        _credentials: Credentials,
        _clock: SharedClock,
    ) -> Result<Self, crate::net::ClientError> {
        Ok(Self {})
    }

    /// `GET /v1.0/conference/users/lists?unionId=`. `same_as`: the `bytes_digest` of the last answer, if an identical
    /// one needs no parsing.
    pub async fn ongoing(&self, _union_id: &UnionId, _same_as: Option<u64>) -> Result<Answer, CallError> {
        Err(CallError {
            class: "unbuilt",
            text: String::new(),
            code: None,
            request_id: None,
            status: None,
            retry_after: None,
            charged: false,
            verdict: Verdict::Outage,
        })
    }
}
