//! What sweeps do, for `status` and `plan`: the running daemon's own word, else what is stored and what the config says.
//!
//! Guards: without the daemon nothing is claimed that only it knows (a refusal). Deliberately not here: what they are
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

/// One organisation's sweeps.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Standing {
    pub(super) org: String,
    /// `off`, `refused`, `learning` or `trusted`.
    pub(super) state: String,
    pub(super) why: Option<String>,
    /// Looks that agreed since the newest contradiction.
    pub(super) agreed: u32,
    /// So many earn trust.
    pub(super) needed: u32,
    /// `union_id` or `userid`, once that is learned.
    pub(super) ids: Option<String>,
    /// This month's calls that sweeps took.
    pub(super) calls: u64,
    /// Calls that one is thought to take, where any were made.
    pub(super) calls_each: Option<f64>,
    pub(super) last_ms: Option<i64>,
}

/// The same with what is left of the month's calls for looks.
#[derive(Debug, Serialize)]
pub(super) struct Spending {
    #[serde(flatten)]
    standing: Standing,
    /// This month's other calls, those reserved for the next minutes included.
    look_calls: Option<u64>,
}

impl Spending {
    /// `used`: this month's calls, where that is known.
    pub(super) fn new(standing: Standing, used: Option<u64>) -> Self {
        Self { look_calls: used.map(|used| used.saturating_sub(standing.calls)), standing }
    }

    /// For a person. `since`: how long ago an instant was.
    pub(super) fn line(&self, since: impl Fn(i64) -> String) -> String {
        let Self { standing, look_calls } = self;
        let mut text = format!("{}: {}", standing.org, standing.words());
        if standing.calls > 0 {
            text = format!("{text}; {} calls this month", standing.calls);
            if let Some(looks) = look_calls {
                text = format!("{text}, {looks} for looks");
            }
        }
        match standing.last_ms {
            Some(ms) => format!("{text}; newest {}", since(ms)),
            None => text,
        }
    }
}

/// Every organisation that watches somebody. `reports`: the daemon's, if it runs.
pub(super) fn standings(
    config: &Config,
    reports: &[SweepReport],
    stored: &[SweepRow],
    now: Timestamp,
) -> Vec<Standing> {
    let watched = |org: &&Org| config.users.iter().any(|user| user.identity.org == org.name);
    let standing = |org: &Org| {
        let row = stored.iter().find(|row| row.org == org.name);
        let calls_each = row.map(|row| (row.cost * 10.0).round() / 10.0);
        match reports.iter().find(|report| report.org == org.name.as_str()) {
            Some(report) => {
                let SweepReport { org, state, why, agreed, needed, ids, calls, last_ms } = report.clone();
                Standing { org, state, why, agreed, needed, ids, calls, calls_each, last_ms }
            }
            None => from_stored(config, org, row, calls_each, now),
        }
    };
    config.orgs.iter().filter(watched).map(standing).collect()
}

fn from_stored(
    config: &Config,
    org: &Org,
    row: Option<&SweepRow>,
    calls_each: Option<f64>,
    now: Timestamp,
) -> Standing {
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
    Standing {
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

impl Standing {
    /// State and reason in words.
    pub(super) fn words(&self) -> String {
        let mut text = self.state.clone();
        if self.state == SweepState::Learning.name() {
            text = format!("{text}, {} of {} looks agreed", self.agreed, self.needed);
        }
        if let Some(why) = &self.why {
            text = format!("{text}: {why}");
        }
        text
    }
}
