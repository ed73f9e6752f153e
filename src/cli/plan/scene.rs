//! The config and the history as the pacing rule wants them: numbers for people and open time.
//!
//! Guards: organisations stay apart, each has its own calls. Deliberately not here: deciding anything.

use crate::cli::reading::runtime;
use crate::config::{Config, Org, User};
use crate::policy::pace::{Allowance, Pacer, Person, Phase, Settings, Visit, conference_key};
use crate::policy::quota::Month;
use crate::policy::window::OpenTime;
use crate::store::Store;
use crate::time::Timestamp;

/// What the history is asked for of each person: more than the rule remembers.
const VISITS_EACH: u32 = 2_000;

/// One organisation, ready to be asked.
pub(super) struct Plan<'a> {
    /// Whose calls.
    pub(super) org: &'a Org,
    /// In the order of the pacer's numbers.
    pub(super) users: Vec<&'a User>,
    /// What the rule knows of them.
    pub(super) pacer: Pacer,
    /// This month's calls.
    pub(super) allowance: Allowance,
    /// Their open time.
    pub(super) settings: Settings,
    /// Visits learned from.
    pub(super) learned: usize,
}

/// The people of one organisation.
pub(super) fn people<'a>(config: &'a Config, org: &Org) -> (Vec<&'a User>, Vec<Person>, Settings) {
    let users: Vec<&User> = config.users.iter().filter(|user| user.identity.org == org.name).collect();
    let mut open: Vec<OpenTime> = Vec::new();
    let mut people = Vec::new();
    for user in &users {
        let mine = config.open_time(user);
        let index = open.iter().position(|known| *known == mine).unwrap_or_else(|| {
            open.push(mine);
            open.len() - 1
        });
        people.push(Person { key: Phase::of(&user.identity).key(), open: index });
    }
    let settings = Settings {
        time_zone: config.time_zone,
        min_interval: config.poll.min_interval,
        max_interval: config.poll.max_interval,
        open,
    };
    (users, people, settings)
}

/// Every organisation that watches somebody, with what its history teaches. No database: nothing is known yet.
pub(super) fn plans(config: &Config, now: Timestamp) -> anyhow::Result<Vec<Plan<'_>>> {
    let known = runtime()?.block_on(history(config));
    let mut plans = Vec::new();
    for org in &config.orgs {
        let (users, people, settings) = people(config, org);
        if users.is_empty() {
            continue;
        }
        let month = Month::of(now, org.month_time_zone);
        let spent =
            known.spent.iter().find(|(name, of, _)| *name == org.name.as_str() && *of == month.to_string());
        let allowance = Allowance {
            from: month.begins_at(org.month_time_zone),
            until: month.next().begins_at(org.month_time_zone),
            calls: org.calls_per_month,
            used: spent.map_or(0, |(_, _, used)| *used),
        };
        let mut visits = Vec::new();
        for (index, user) in (0_u32..).zip(&users) {
            let identity = (user.identity.org.as_str(), user.identity.union_id.as_str());
            let mine = known.visits.iter().filter(|(org, who, _)| (org.as_str(), who.as_str()) == identity);
            visits.extend(mine.map(|(_, _, visit)| Visit { person: index, ..*visit }));
        }
        let mut pacer = Pacer::new(settings.clone(), &people, now);
        pacer.learn_from(&visits, now);
        plans.push(Plan { org, users, pacer, allowance, settings, learned: visits.len() });
    }
    Ok(plans)
}

/// What the database tells.
#[derive(Default)]
struct Known {
    visits: Vec<(String, String, Visit)>,
    /// (organisation, month, calls).
    spent: Vec<(String, String, u64)>,
}

/// Reads what is there; a database that is not is a history that has not begun.
async fn history(config: &Config) -> Known {
    let mut known = Known::default();
    let Ok(store) = Store::open_readonly(&config.history.path).await else { return known };
    let history = store.history();
    for person in history.people().await.unwrap_or_default().into_iter().filter(|person| person.watched) {
        let rows = history.visits(person.person_id, None, None, VISITS_EACH).await.unwrap_or_default();
        for row in rows {
            let conference = conference_key(&row.conference_id);
            let visit = Visit { person: 0, conference, joined: row.joined, left: row.left };
            known.visits.push((person.org.clone(), person.union_id.clone(), visit));
        }
    }
    for row in history.budget(64).await.unwrap_or_default() {
        known.spent.push((row.org, row.month, u64::try_from(row.used).unwrap_or(0)));
    }
    store.close().await;
    known
}
