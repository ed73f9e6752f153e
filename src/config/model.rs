//! The types of a validated config: what every other room reads.
//!
//! Guards: only `load` builds a [`Config`], so one that exists is valid. Not here: reading and checking the file (`check`
//! and the files that it uses).

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use chrono_tz::Tz;

use super::listener::Http;
use super::secret_source::{SecretSource, Text};
use crate::ids::{Identity, OrgName, WebhookName};
use crate::message::style::{Language, Style};
use crate::message::template::Template;
use crate::policy::cadence::Cron;
use crate::policy::sweep::SweepMode;
use crate::policy::window::{self, OpenTime};

/// A validated config. Only `config::load` builds it.
#[derive(Clone, Debug)]
pub struct Config {
    /// The file it came from, canonical.
    pub file: PathBuf,
    /// For `*_local` columns and for printing.
    pub time_zone: Tz,
    /// Language of messages for people; `None` follows the time zone.
    pub language: Option<Language>,
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
    /// `[privacy] titles`.
    pub titles: Titles,
    /// `[privacy] title_hide`: patterns with `*`.
    pub title_hide: Vec<String>,
    /// `[http]`.
    pub http: Http,
    /// `[log]`.
    pub log: Log,
    /// `[watch] auto_reload`: the daemon reads the config again by itself when it has changed.
    pub auto_reload: bool,
}

impl Config {
    /// When a user is polled: the windows for all users and those of the groups of the user, without blackouts.
    /// A file without any window is always open.
    pub fn open_time(&self, user: &User) -> OpenTime {
        open_time(&self.windows, &self.blackouts, user)
    }

    /// Language and time zone of messages for people.
    pub fn style(&self) -> Style {
        Style::new(self.time_zone, self.language)
    }

    /// An organisation by its name.
    pub fn org(&self, name: &OrgName) -> Option<&Org> {
        self.orgs.iter().find(|org| org.name == *name)
    }
}

pub(super) fn open_time(windows: &[Window], blackouts: &[Blackout], user: &User) -> OpenTime {
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
    /// How tokens are obtained.
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
    pub connect_timeout: Duration,
    /// A proxy URL.
    pub proxy: Option<String>,
    /// PEM file of extra roots, absolute.
    pub ca_file: Option<PathBuf>,
}

/// How tokens are obtained.
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
    /// Another program keeps the token valid.
    Token {
        /// `access_token`.
        access_token: SecretSource,
    },
}

/// How often a user is polled.
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
    /// `first_poll = "silent"`: a user inside a meeting at the first poll is recorded without an event.
    pub first_poll_silent: bool,
    /// Observations in a row that must miss a vanished entry.
    pub leave_after_misses: u32,
    /// How long a user inside a meeting is still polled after a window closes.
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
    /// Groups it applies to; empty = all users.
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

/// A watched user.
#[derive(Clone, Debug, PartialEq)]
pub struct User {
    /// Organisation and unionId.
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

/// `[[webhook]]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Webhook {
    pub name: WebhookName,
    pub url: Text,
    /// The body format.
    pub format: Format,
    /// Newest first; empty = unsigned.
    pub secrets: Vec<SecretSource>,
    /// Patterns: exact names, `meeting.*`, `*`.
    pub events: Vec<String>,
    /// unionIds or names; empty = all users.
    pub users: Vec<String>,
    /// Empty = all users.
    pub groups: Vec<String>,
    /// Empty = all.
    pub orgs: Vec<OrgName>,
    /// Only users who host the meeting.
    pub only_hosts: bool,
    /// No events that were observed late.
    pub skip_late: bool,
    /// Titles of meetings in its messages, with `privacy.titles = "events"`.
    pub titles: bool,
    /// A snapshot of all users at every start.
    pub snapshot_on_start: bool,
    /// Extra headers.
    pub headers: Vec<(String, Text)>,
    /// Requests in flight.
    pub concurrency: usize,
    /// Requests a second.
    pub rate: u32,
    /// For a whole request.
    pub timeout: Duration,
    pub connect_timeout: Duration,
    /// A proxy URL.
    pub proxy: Option<String>,
    /// PEM file of extra roots, absolute.
    pub ca_file: Option<PathBuf>,
    /// Between attempts.
    pub backoff: Backoff,
    /// Attempts before a poison event is a dead letter.
    pub attempts: u32,
    /// A webhook that is down for this long is disabled.
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
    /// Events are collected for this long and sent as one.
    pub batch: Option<Duration>,
}

/// `[privacy] titles`: where titles of meetings are stored and sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Titles {
    /// Dropped on arrival.
    Off,
    /// Stored, and shown by commands and by authorised pages.
    Local,
    /// Also in events, and so in what webhooks get.
    Events,
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

/// Format of log lines.
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
    pub format: LogFormat,
}
