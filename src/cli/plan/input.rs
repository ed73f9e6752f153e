//! The input of the pacing rule, from config and database: paced users, their visits, the budget of the month.
//!
//! Guards: each organisation has its own calls; with this input the rule decides what a daemon that starts now decides. Not
//! here: decisions (`policy::pace`).

use std::collections::HashMap;
use std::time::Duration;

use crate::cli::daemon::{ask_daemon, ask_running};
use crate::cli::open_readonly::block_on;
use crate::cli::sweep_status::{SweepStatus, sweep_status};
use crate::config::{Cadence, Config, Org, User};
use crate::control::{Request, Response};
use crate::ids::Identity;
use crate::policy::pace::group::{Bounds, Budget, HISTORY_REACH, MAX_HISTORY_VISITS, Member, PacingGroup};
use crate::policy::pace::pacer::Rule;
use crate::policy::pace::{PacedUser, Phase, PollDecision, Seen, Settings, Visit, Why, conference_key};
use crate::policy::poll_time;
use crate::policy::quota::{Month, MonthBudget};
use crate::policy::window::OpenTime;
use crate::store::Store;
use crate::store::history::visit_history::PastVisit;
use crate::store::history::{Filter, MAX_ROWS};
use crate::time::Timestamp;

/// The input for one organisation.
#[derive(Clone)]
pub(super) struct PlanInput<'a> {
    /// The organisation.
    pub(super) org: &'a Org,
    /// All users; a paced user has a number in the group.
    pub(super) users: Vec<(&'a User, Option<u32>)>,
    /// The open times of all users, without duplicates.
    pub(super) hours: Vec<OpenTime>,
    /// State of the rule. `None`: there is no limit, or no user is paced.
    pub(super) group: Option<PacingGroup>,
    /// Calls of this month; without a limit only the interval is used.
    pub(super) budget: Budget,
    /// Interval of even spreading in a full month: the next one.
    pub(super) even_full_month: Duration,
    /// The daemon's own next polls, if it runs.
    pub(super) due: HashMap<Identity, Timestamp>,
    /// Number of visits in the history.
    pub(super) learned: usize,
    /// Phase and open time of paced users, by number.
    paced: Vec<(Phase, OpenTime)>,
}

impl PlanInput<'_> {
    /// The next decision about a paced user.
    pub(super) fn next(&mut self, number: u32, now: Timestamp) -> PollDecision {
        let budget = self.budget;
        if let Some(group) = &mut self.group {
            return group.next(number, now, &budget);
        }
        let why = Why { rule: Rule::Plenty, ..Why::default() };
        let (phase, open) = &self.paced[number as usize];
        match poll_time::paced(now, budget.even, *phase, open) {
            Some(at) => PollDecision::Poll(at, why),
            None => {
                PollDecision::Replan(now.plus(Duration::from_hours(24)), Why { rule: Rule::Closed, ..why })
            }
        }
    }
}

/// The users of one organisation, as a replay needs them.
pub(super) fn people<'a>(config: &'a Config, org: &Org) -> (Vec<&'a User>, Vec<PacedUser>, Settings) {
    let users: Vec<&User> = config.users.iter().filter(|user| user.identity.org == org.name).collect();
    let mut open: Vec<OpenTime> = Vec::new();
    let mut people = Vec::new();
    for user in &users {
        let mine = config.open_time(user);
        let index = open.iter().position(|known| *known == mine).unwrap_or_else(|| {
            open.push(mine);
            open.len() - 1
        });
        people.push(PacedUser { key: Phase::of(&user.identity).key(), open: index });
    }
    let settings = Settings {
        time_zone: config.time_zone,
        min_interval: config.poll.min_interval,
        max_interval: config.poll.max_interval,
        open,
    };
    (users, people, settings)
}

/// The input for every organisation with a watched user. Without a database the history is empty.
pub(super) fn plans(config: &Config, now: Timestamp) -> anyhow::Result<Vec<PlanInput<'_>>> {
    let known = block_on(history(config, now))?;
    let watched = |org: &&Org| config.users.iter().any(|user| user.identity.org == org.name);
    Ok(config.orgs.iter().filter(watched).map(|org| plan(config, org, &known, now)).collect())
}

/// The state of sweeps: from the running daemon, else from the database.
pub(super) fn sweeps(config: &Config, now: Timestamp) -> anyhow::Result<Vec<SweepStatus>> {
    block_on(async {
        let reports = match ask_running(std::slice::from_ref(&config.file), &Request::Status).await {
            Ok(Response::Status(status)) => status.sweeps,
            Ok(_) | Err(_) => Vec::new(),
        };
        let mut stored = Vec::new();
        if let Ok(store) = Store::open_readonly(&config.history.path).await {
            stored = store.history().sweep_states().await.unwrap_or_default();
            store.close().await;
        }
        Ok(sweep_status(config, &reports, &stored, now))
    })?
}

fn plan<'a>(config: &'a Config, org: &'a Org, known: &Known, now: Timestamp) -> PlanInput<'a> {
    let month = Month::of(now, org.month_time_zone);
    let until = month.next().begins_at(org.month_time_zone);
    let used = known.spent.get(&(org.name.to_string(), month.to_string())).copied().unwrap_or(0);
    let mut roll = Roll::default();
    for user in config.users.iter().filter(|user| user.identity.org == org.name) {
        roll.enter(user, config, known, (now, until));
    }
    let Roll { users, hours, members, numbers, paced_open, fixed } = roll;
    let visits = visits(&known.lessons, &numbers);
    let needed_by_others = Duration::try_from_secs_f64(fixed).map_or(u64::MAX, |calls| calls.as_secs());
    let budget = MonthBudget::new(org.month_time_zone, org.calls_per_month, now, used);
    let even = budget.even_open_interval(paced_open, needed_by_others, now).unwrap_or_default();
    let even = even.max(config.poll.min_interval);
    let even_full_month = even_next_month(config, org, month).max(config.poll.min_interval);
    let budget = Budget {
        limit: org.calls_per_month.unwrap_or(u64::MAX),
        used,
        needed_by_others,
        until,
        even,
        beside_sweeps: None,
    };
    let bounds = Bounds::new(
        config.time_zone,
        (config.poll.min_interval, config.poll.max_interval),
        config.poll.stale_after,
        even,
    );
    let limited = org.calls_per_month.is_some() && !members.is_empty();
    let group = limited.then(|| PacingGroup::new(bounds, &members, &visits, budget, now));
    let paced = members.into_iter().map(|member| (member.phase, member.open)).collect();
    let due = known.due.clone();
    PlanInput { org, users, hours, group, budget, even_full_month, due, learned: visits.len(), paced }
}

/// Collects the users of one organisation.
#[derive(Default)]
struct Roll<'a> {
    users: Vec<(&'a User, Option<u32>)>,
    hours: Vec<OpenTime>,
    members: Vec<Member>,
    /// Numbers of paced users, by their id in the database.
    numbers: HashMap<i64, u32>,
    /// Open time of paced users until the month ends.
    paced_open: Duration,
    /// Calls that users with a fixed cadence need until then.
    fixed: f64,
}

impl<'a> Roll<'a> {
    fn enter(
        &mut self,
        user: &'a User,
        config: &Config,
        known: &Known,
        (now, until): (Timestamp, Timestamp),
    ) {
        let open = config.open_time(user);
        let (paced_open, fixed) = needs(user, config, &open, (now, until));
        self.paced_open += paced_open;
        self.fixed += fixed;
        let number = match &user.cadence {
            Cadence::Auto => {
                let identity = (user.identity.org.to_string(), user.identity.union_id.to_string());
                let stands = known.standing.get(&identity).cloned().unwrap_or_default();
                let number = u32::try_from(self.members.len()).unwrap_or(u32::MAX);
                self.numbers.insert(stands.person_id, number);
                self.members.push(Member {
                    phase: Phase::of(&user.identity),
                    open: open.clone(),
                    last_poll: stands.last_look,
                    inside: stands.inside,
                });
                Some(number)
            }
            Cadence::Every(_) | Cadence::Cron(_) => None,
        };
        if !self.hours.contains(&open) {
            self.hours.push(open);
        }
        self.users.push((user, number));
    }
}

/// Open time of a paced user, and calls of a user with a fixed cadence, in this period.
fn needs(
    user: &User,
    config: &Config,
    open: &OpenTime,
    (from, until): (Timestamp, Timestamp),
) -> (Duration, f64) {
    let open_time = open.open_between(from, until);
    let seconds = open_time.as_secs_f64();
    match &user.cadence {
        Cadence::Auto => (open_time, 0.0),
        Cadence::Every(interval) => (Duration::ZERO, seconds / interval.as_secs_f64().max(0.001)),
        Cadence::Cron(cron) => {
            let a_second = poll_time::instants_a_second(cron, config.time_zone, open, from);
            (Duration::ZERO, seconds * a_second)
        }
    }
}

/// The interval of even spreading over the month after this one, with all its calls.
fn even_next_month(config: &Config, org: &Org, month: Month) -> Duration {
    let zone = org.month_time_zone;
    let period = (month.next().begins_at(zone), month.next().next().begins_at(zone));
    let users = config.users.iter().filter(|user| user.identity.org == org.name);
    let (open, fixed) = users.fold((Duration::ZERO, 0.0), |sum, user| {
        let (open, fixed) = needs(user, config, &config.open_time(user), period);
        (sum.0 + open, sum.1 + fixed)
    });
    let fixed = Duration::try_from_secs_f64(fixed).map_or(u64::MAX, |calls| calls.as_secs());
    let budget = MonthBudget::new(zone, org.calls_per_month, period.0, 0);
    budget.even_open_interval(open, fixed, period.0).unwrap_or_default()
}

/// The visits of paced users, in order.
fn visits(lessons: &[PastVisit], numbers: &HashMap<i64, u32>) -> Vec<Visit> {
    let visit = |lesson: &PastVisit| {
        let &person = numbers.get(&lesson.person_id)?;
        let &PastVisit { conference, joined, left, .. } = lesson;
        Some(Visit { user: person, conference, joined, left })
    };
    let mut visits: Vec<Visit> = lessons.iter().filter_map(visit).collect();
    visits.sort_by_key(|visit| (visit.joined, visit.user, visit.conference));
    visits
}

/// What the database holds.
#[derive(Default)]
struct Known {
    lessons: Vec<PastVisit>,
    /// By organisation and unionId.
    standing: HashMap<(String, String), Stands>,
    /// The daemon's own next polls, if it runs.
    due: HashMap<Identity, Timestamp>,
    /// Calls by organisation and month.
    spent: HashMap<(String, String), u64>,
}

/// The stored state of a user.
#[derive(Clone)]
struct Stands {
    person_id: i64,
    last_look: Option<Timestamp>,
    inside: Vec<Seen>,
}

impl Default for Stands {
    /// A user who was never polled; no row has this id.
    fn default() -> Self {
        Self { person_id: -1, last_look: None, inside: Vec::new() }
    }
}

/// When the running daemon polls each paced user next; without one it is empty.
async fn due_by_daemon(config: &Config) -> HashMap<Identity, Timestamp> {
    let mut due = HashMap::new();
    for user in config.users.iter().filter(|user| user.cadence == Cadence::Auto) {
        let Identity { org, union_id } = user.identity.clone();
        match ask_daemon(&config.file, &Request::Explain { org, union_id }).await {
            Ok(Some(Response::Explained(report))) => {
                due.insert(user.identity.clone(), report.due);
            }
            // A user that the daemon does not know yet.
            Ok(Some(_)) | Err(_) => {}
            Ok(None) => break,
        }
    }
    due
}

/// Reads the history; without a database it is empty.
async fn history(config: &Config, now: Timestamp) -> Known {
    let mut known = Known { due: due_by_daemon(config).await, ..Known::default() };
    let Ok(store) = Store::open_readonly(&config.history.path).await else { return known };
    let history = store.history();
    known.lessons =
        history.recent_visits(now.minus(HISTORY_REACH), MAX_HISTORY_VISITS).await.unwrap_or_default();
    for row in history.now(&Filter::default(), true, MAX_ROWS).await.unwrap_or_default() {
        let stands = known.standing.entry((row.org, row.union_id)).or_default();
        (stands.person_id, stands.last_look) = (row.person_id, row.last_ok);
        stands.inside.extend(row.meeting.map(|meeting| Seen {
            conference: conference_key(&meeting.conference_id),
            joined: meeting.joined,
            left: None,
        }));
    }
    for row in history.budget(1_000).await.unwrap_or_default() {
        known.spent.insert((row.org, row.month), u64::try_from(row.used).unwrap_or(0));
    }
    store.close().await;
    known
}
