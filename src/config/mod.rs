//! The configuration, validated: a [`Config`] that exists can be run.
//!
//! Guards: every key of the file is parsed and checked before anything starts, all problems at once. Deliberately
//! not here: what the settings make happen.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use chrono_tz::Tz;

use crate::ids::{Identity, OrgName, WebhookName};
use crate::message::style::Style;
use crate::message::template::Template;
use crate::policy::cadence::Cron;
use crate::policy::sweep::SweepMode;
use crate::policy::window::{self, OpenTime};
use secrets::SecretSource;

mod address;
mod audience;
pub mod change;
mod characters;
mod check;
mod credentials;
mod dingtalk;
mod file;
pub mod footprint;
mod hooks;
mod housekeeping;
mod keys;
mod people;
mod plain_file;
mod plan;
mod poll;
pub mod problem;
mod public;
mod redact;
pub mod reference;
pub mod secrets;
mod section;
pub mod show;
mod value;

pub use check::NOT_BUILT_YET;
pub use file::{Loaded, NotFound, Refused, load, load_in, locate};
pub use plain_file::read_ca_file;
pub use public::header_shown;
pub use value::time_zone;

/// Everything the operator decided. Built by `config::load` only.
#[derive(Clone, Debug)]
pub struct Config {
    /// The file it came from, canonical.
    pub file: PathBuf,
    /// For `*_local` columns and for printing.
    pub time_zone: Tz,
    /// At least one; the first is named `default` when the file has no `[[org]]`.
    pub orgs: Vec<Org>,
    /// `[poll]`.
    pub poll: Poll,
    /// `[[window]]`.
    pub windows: Vec<Window>,
    /// `[[blackout]]`.
    pub blackouts: Vec<Blackout>,
    /// `[[user]]`, enabled ones only, cadence already resolved (user > last matching group > `[poll]`).
    pub users: Vec<User>,
    /// `[[webhook]]`.
    pub webhooks: Vec<Webhook>,
    /// `[history]`.
    pub history: History,
    /// `[privacy] store_nick`.
    pub store_nick: bool,
    /// `[http]`.
    pub http: Http,
    /// `[log]`.
    pub log: Log,
    /// `[watch] auto_reload`: the daemon reads the config again by itself when it has changed.
    pub auto_reload: bool,
}

impl Config {
    /// When somebody is looked at: the windows for everybody and those of the person's groups, minus blackouts.
    /// A file without any window is always open.
    pub fn open_time(&self, user: &User) -> OpenTime {
        open_time(&self.windows, &self.blackouts, user)
    }

    /// An organisation by its name.
    pub fn org(&self, name: &OrgName) -> Option<&Org> {
        self.orgs.iter().find(|org| org.name == *name)
    }
}

fn open_time(windows: &[Window], blackouts: &[Blackout], user: &User) -> OpenTime {
    let hours =
        || windows.iter().filter(|window| window.is_for(user)).map(|window| window.hours.clone()).collect();
    let days_off = blackouts.iter().flat_map(|blackout| blackout.dates.iter().copied()).collect();
    OpenTime::new((!windows.is_empty()).then(hours), days_off)
}

/// One organisation and the app that asks in its name.
#[derive(Clone, Debug, PartialEq)]
pub struct Org {
    /// `default` when the file has no `[[org]]`.
    pub name: OrgName,
    /// For example `https://api.dingtalk.io`; no slash at the end.
    pub api_base: String,
    /// For example `https://oapi.dingtalk.io`; no slash at the end.
    pub legacy_base: String,
    /// How a token is had.
    pub app: App,
    /// What may be spent in a calendar month; `None`: no limit (0 in the file).
    pub calls_per_month: Option<u64>,
    /// When the month turns.
    pub month_time_zone: Tz,
    /// Calls in any one second.
    pub rate: u32,
    /// Calls in flight.
    pub concurrency: usize,
    /// For a whole call.
    pub timeout: Duration,
    /// For a connection.
    pub connect_timeout: Duration,
    /// A proxy URL.
    pub proxy: Option<String>,
    /// PEM file of extra roots, absolute.
    pub ca_file: Option<PathBuf>,
}

/// How a token is had.
#[derive(Clone, Debug, PartialEq)]
pub enum App {
    /// An internal app; with `corp_id` by the unified token call.
    Internal {
        /// `app_key`.
        key: String,
        /// `app_secret`.
        secret: SecretSource,
        /// `corp_id`.
        corp_id: Option<String>,
    },
    /// A third-party enterprise app; with `suite_ticket` by `corpAccessToken`, else by the unified call.
    ThirdParty {
        /// `app_key`: the suite's.
        key: String,
        /// `app_secret`: the suite's.
        secret: SecretSource,
        /// `corp_id`: the organisation that authorised it.
        corp_id: String,
        /// `suite_ticket`.
        suite_ticket: Option<SecretSource>,
    },
    /// Somebody else keeps a token fresh.
    Token {
        /// `access_token`.
        access_token: SecretSource,
    },
}

/// How often somebody is looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cadence {
    /// Paced by the calls that are left.
    Auto,
    /// At this interval.
    Every(Duration),
    /// At these instants, on the wall clock of the file's `time_zone`.
    Cron(Cron),
}

/// `[poll]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Poll {
    /// `interval` or `cron`.
    pub cadence: Cadence,
    /// Bounds of `auto`.
    pub min_interval: Duration,
    /// Bounds of `auto`.
    pub max_interval: Duration,
    /// `first_poll = "silent"`: who is already inside at the first look is noted without an event.
    pub first_poll_silent: bool,
    /// Observations in a row that must miss a vanished entry.
    pub leave_after_misses: u32,
    /// How long who is inside is followed past the end of a window.
    pub overtime: Duration,
    /// `sweep`: `None` = off.
    pub sweep: Option<Cadence>,
    /// `confirm_calls`.
    pub confirm_calls: bool,
    /// `None`: auto, three intervals and at least five minutes.
    pub stale_after: Option<Duration>,
    /// `[poll.backoff]`.
    pub backoff: Backoff,
}

impl Poll {
    /// `sweep` as the poller and a replay take it.
    pub fn sweeping(&self) -> SweepMode {
        match &self.sweep {
            None | Some(Cadence::Cron(_)) => SweepMode::Off,
            Some(Cadence::Auto) => SweepMode::Auto,
            Some(Cadence::Every(interval)) => SweepMode::Every(*interval),
        }
    }
}

/// Growing waits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Backoff {
    /// The first wait.
    pub initial: Duration,
    /// The longest.
    pub max: Duration,
    /// Each is the last one times this.
    pub factor: f64,
}

/// `[[window]]`: polling only while one is open.
#[derive(Clone, Debug, PartialEq)]
pub struct Window {
    /// For messages.
    pub name: String,
    /// When it is open.
    pub hours: window::Window,
    /// Whom it is for; empty = everybody.
    pub groups: Vec<String>,
}

impl Window {
    /// Whether it is one of this user's.
    pub fn is_for(&self, user: &User) -> bool {
        self.groups.is_empty() || self.groups.iter().any(|group| user.groups.contains(group))
    }
}

/// `[[blackout]]`: no polls on these days.
#[derive(Clone, Debug, PartialEq)]
pub struct Blackout {
    /// For messages.
    pub name: String,
    /// In the file's time zone.
    pub dates: Vec<window::Blackout>,
}

/// Somebody on the watch list.
#[derive(Clone, Debug, PartialEq)]
pub struct User {
    /// Who.
    pub identity: Identity,
    /// Default: the unionId.
    pub name: String,
    /// In the file's order.
    pub groups: Vec<String>,
    /// Free pairs for the receivers.
    pub tags: BTreeMap<String, String>,
    /// Resolved.
    pub cadence: Cadence,
}

/// The body format of a webhook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// The envelope as it is.
    Standard,
    /// The same with the CloudEvents content type.
    CloudEvents,
    /// A DingTalk group robot.
    DingtalkRobot,
    /// A MiniJinja template.
    Template,
}

/// A text that may be a secret.
#[derive(Clone, Debug, PartialEq)]
pub enum Text {
    /// As written.
    Plain(String),
    /// By reference.
    Secret(SecretSource),
}

/// `[[webhook]]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Webhook {
    /// Its name.
    pub name: WebhookName,
    /// Where to.
    pub url: Text,
    /// The body format.
    pub format: Format,
    /// Newest first; empty = unsigned.
    pub secrets: Vec<SecretSource>,
    /// Patterns: exact names, `meeting.*`, `*`.
    pub events: Vec<String>,
    /// unionIds or names; empty = everybody.
    pub users: Vec<String>,
    /// Empty = everybody.
    pub groups: Vec<String>,
    /// Empty = all.
    pub orgs: Vec<OrgName>,
    /// Only who hosts.
    pub only_hosts: bool,
    /// Not what was noticed late.
    pub skip_late: bool,
    /// A snapshot of everybody at every start.
    pub snapshot_on_start: bool,
    /// Extra headers.
    pub headers: Vec<(String, Text)>,
    /// Requests in flight.
    pub concurrency: usize,
    /// Requests a second.
    pub rate: u32,
    /// For a whole request.
    pub timeout: Duration,
    /// For a connection.
    pub connect_timeout: Duration,
    /// A proxy URL.
    pub proxy: Option<String>,
    /// PEM file of extra roots, absolute.
    pub ca_file: Option<PathBuf>,
    /// Between attempts.
    pub backoff: Backoff,
    /// Attempts before a poison event is a dead letter.
    pub attempts: u32,
    /// Down for so long = disabled.
    pub give_up_after: Duration,
    /// Older events end as expired; `None` = never.
    pub max_age: Option<Duration>,
    /// `network = "public"`: private and loopback addresses are refused too.
    pub public_only: bool,
    /// Link-local and metadata addresses are allowed.
    pub allow_link_local: bool,
    /// The language and the wall clock of a robot's messages; a template has its own.
    pub style: Option<Style>,
    /// What `format = "template"` sends, tried with a sample of every event that is subscribed.
    pub template: Option<Template>,
    /// What the answer must hold: a JSON pointer and the value. A shipped template brings its own.
    pub success: Option<(String, serde_json::Value)>,
    /// Events collected for so long go out as one.
    pub batch: Option<Duration>,
}

/// `[history]`; `None` = for ever.
#[derive(Clone, Debug, PartialEq)]
pub struct History {
    /// The database, absolute.
    pub path: PathBuf,
    /// Retention.
    pub snapshots: Option<Duration>,
    /// Retention.
    pub visits: Option<Duration>,
    /// Retention, with deliveries and dead letters.
    pub events: Option<Duration>,
    /// `None` = no backups.
    pub backup_dir: Option<PathBuf>,
    /// How many backups stay.
    pub backup_keep: u32,
    /// Whether a copy is made before the schema is brought up to date.
    pub before_migration: bool,
}

/// `[http]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Http {
    /// `None` = off.
    pub listen: Option<SocketAddr>,
    /// `None` = made at the first start, beside the database.
    pub token: Option<SecretSource>,
    /// Names that the listener is asked by, beside its address and `localhost`; without ports.
    pub hosts: Vec<String>,
    /// A person as a metric label.
    pub metrics_per_user: bool,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// journald under systemd, else text.
    Auto,
    /// For people.
    Text,
    /// A JSON object a line.
    Json,
    /// With syslog priorities in front, as journald reads them.
    Journald,
}

/// `[log]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Log {
    /// `tracing_subscriber::filter::Targets` text.
    pub level: String,
    /// The shape.
    pub format: LogFormat,
}
