//! The form of a scenario file.
//!
//! Guards: unknown keys are refused. Not here: the meaning of the keys (`reader`).

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

use crate::simulator::counters::Limits;
use crate::simulator::faults::{FaultKind, FaultTarget};
use crate::simulator::options::AnswerOptions;
use crate::simulator::push::options::PushOptions;
use crate::simulator::scenario::App;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub(super) title: Option<String>,
    pub(super) starts: Option<Spanned<String>>,
    pub(super) repeat: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) anchor: Anchor,
    pub(super) time_zone: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) limits: Limits,
    #[serde(default, rename = "knobs")]
    pub(super) options: AnswerOptions,
    #[serde(default)]
    pub(super) push: PushOptions,
    #[serde(default)]
    pub(super) app: Vec<App>,
    pub(super) people: BTreeMap<String, Spanned<PersonText>>,
    #[serde(default)]
    pub(super) meetings: BTreeMap<String, MeetingText>,
    #[serde(default)]
    pub(super) script: Script,
    #[serde(default)]
    pub(super) fault: Vec<Spanned<FaultText>>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Anchor {
    /// The scenario starts with the simulator.
    #[default]
    Now,
    /// The scenario started at the last midnight, and its times are times of day.
    Midnight,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PersonText {
    pub(super) union_id: String,
    pub(super) nick: Option<String>,
    pub(super) device: Option<String>,
    #[serde(default)]
    pub(super) external: bool,
    #[serde(default)]
    pub(super) by_phone: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct MeetingText {
    pub(super) id: Option<String>,
    pub(super) foreign: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Script {
    pub(super) steps: Vec<Spanned<StepText>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StepText {
    pub(super) at: String,
    #[serde(rename = "do")]
    pub(super) what: Action,
    #[serde(default)]
    pub(super) who: Vec<String>,
    pub(super) meeting: String,
    pub(super) device: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Action {
    Invite,
    Call,
    Reject,
    Join,
    Leave,
    Kick,
    Host,
    CoHost,
    Attendee,
    End,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FaultText {
    pub(super) kind: FaultKind,
    pub(super) on: Option<FaultTarget>,
    #[serde(default)]
    pub(super) who: Vec<String>,
    pub(super) from: Option<String>,
    pub(super) until: Option<String>,
    pub(super) times: Option<u64>,
    pub(super) every: Option<u64>,
    pub(super) status: Option<u16>,
    pub(super) code: Option<String>,
    pub(super) retry_after: Option<String>,
    pub(super) pause: Option<String>,
}
