//! The state of sweeps for `status` and `plan`: from the running daemon, else from the database and the config.
//!
//! Guards: a refusal by DingTalk, which only the daemon knows, is not reported without it. Not here: what sweeps are
//! (`policy::sweep`), how they are printed.

use serde::Serialize;

use crate::config::{Cadence, Config, Org};
use crate::control::SweepReport;
use crate::policy::quota::Month;
use crate::policy::sweep::confidence::{AGREEMENTS_NEEDED, STALE_AFTER};
use crate::policy::sweep::why_off;
use crate::store::sweep_state::SweepRow;
use crate::telemetry::health::SweepState;
use crate::time::Timestamp;

/// The sweeps of one organisation.
#[derive(Clone, Debug, Serialize)]
pub(super) struct SweepStatus {
    pub(super) org: String,
    /// `off`, `refused`, `learning` or `trusted`.
    pub(super) state: String,
    pub(super) why: Option<String>,
    /// Polls that agreed with sweeps since the last contradiction.
    pub(super) agreed: u32,
    /// Agreements after which sweeps are trusted.
    pub(super) needed: u32,
    /// `union_id` or `userid`, once it is known which of them sweeps report.
    pub(super) ids: Option<String>,
    /// Calls of this month that sweeps made.
    pub(super) calls: u64,
    /// Expected calls of one sweep, after the first sweep.
    pub(super) calls_each: Option<f64>,
    pub(super) last_ms: Option<i64>,
}

/// The state of sweeps, and the calls of the month that were left for polls.
#[derive(Debug, Serialize)]
pub(super) struct SweepCalls {
    #[serde(flatten)]
    status: SweepStatus,
    /// This month's other calls, including those reserved for the next minutes.
    #[serde(rename = "look_calls")]
    poll_calls: Option<u64>,
}

impl SweepCalls {
    /// `used`: calls of this month, if known.
    pub(super) fn new(status: SweepStatus, used: Option<u64>) -> Self {
        Self { poll_calls: used.map(|used| used.saturating_sub(status.calls)), status }
    }

    /// One line of the screen. `since` says how long ago a time was.
    pub(super) fn line(&self, since: impl Fn(i64) -> String) -> String {
        let Self { status, poll_calls } = self;
        let mut text = format!("{}: {}", status.org, status.words());
        if status.calls > 0 {
            text = format!("{text}; {} calls this month", status.calls);
            if let Some(polls) = poll_calls {
                text = format!("{text}, {polls} for polls");
            }
        }
        match status.last_ms {
            Some(ms) => format!("{text}; newest {}", since(ms)),
            None => text,
        }
    }
}

/// Every organisation with a watched user. `reports` are those of the daemon, if it runs.
pub(super) fn sweep_status(
    config: &Config,
    reports: &[SweepReport],
    stored: &[SweepRow],
    now: Timestamp,
) -> Vec<SweepStatus> {
    let watched = |org: &&Org| config.users.iter().any(|user| user.identity.org == org.name);
    let status = |org: &Org| {
        let row = stored.iter().find(|row| row.org == org.name);
        let calls_each = row.map(|row| (row.cost * 10.0).round() / 10.0);
        match reports.iter().find(|report| report.org == org.name.as_str()) {
            Some(report) => {
                let SweepReport { org, state, why, agreed, needed, ids, calls, last_ms } = report.clone();
                SweepStatus { org, state, why, agreed, needed, ids, calls, calls_each, last_ms }
            }
            None => from_stored(config, org, row, calls_each, now),
        }
    };
    config.orgs.iter().filter(watched).map(status).collect()
}

fn from_stored(
    config: &Config,
    org: &Org,
    row: Option<&SweepRow>,
    calls_each: Option<f64>,
    now: Timestamp,
) -> SweepStatus {
    let paced = config
        .users
        .iter()
        .filter(|user| user.identity.org == org.name && matches!(user.cadence, Cadence::Auto))
        .count();
    let paced = u32::try_from(paced).unwrap_or(u32::MAX);
    let why = why_off(config.poll.sweeping(), org.calls_per_month.is_some(), paced);
    let fresh = row
        .is_some_and(|row| row.ids.is_some() && row.compared.is_some_and(|at| now.since(at) <= STALE_AFTER));
    let needed = row.map_or(AGREEMENTS_NEEDED, |row| row.needed);
    let agreed = row.filter(|_| fresh).map_or(0, |row| row.agreed.min(needed));
    let state = match why {
        Some(_) => SweepState::Off,
        None if agreed >= needed => SweepState::Trusted,
        None => SweepState::Learning,
    };
    let month = Month::of(now, org.month_time_zone).to_string();
    SweepStatus {
        org: org.name.to_string(),
        state: state.name().to_owned(),
        why: why.map(str::to_owned),
        agreed,
        needed,
        ids: row.and_then(|row| row.ids).map(|kind| kind.name().to_owned()),
        calls: row.filter(|row| row.month == month).map_or(0, |row| row.calls),
        calls_each,
        last_ms: row.and_then(|row| row.swept).map(Timestamp::as_ms),
    }
}

impl SweepStatus {
    /// The state and its reason.
    pub(super) fn words(&self) -> String {
        let mut text = self.state.clone();
        if self.state == SweepState::Learning.name() {
            text = format!("{text}, {} of {} polls agreed", self.agreed, self.needed);
        }
        if let Some(why) = &self.why {
            text = format!("{text}: {why}");
        }
        text
    }
}
