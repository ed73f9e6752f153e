//! The users that a visitor may see, with the names that are shown.
//!
//! Guards: every list of the page and the API takes its users from here, so what a token may not see is in none of them.
//! Not here: the lists.

use std::collections::HashMap;

use super::rights::Grant;
use super::state::{Settings, State};
use crate::store::StoreError;
use crate::store::history::report::Gap;
use crate::store::history::{self, OpenVisit, Person, UserPresence};
use crate::time::Timestamp;

/// A user as a visitor sees them.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) person_id: i64,
    pub(super) org: String,
    /// As it is shown.
    pub(super) who: String,
    /// `None`: not shown.
    pub(super) union_id: Option<String>,
    pub(super) groups: Vec<String>,
    pub(super) watched: bool,
}

/// The users that a visitor may see, by `person_id`.
#[derive(Debug)]
pub(super) struct People {
    pub(super) all: Vec<Seen>,
    places: HashMap<i64, usize>,
    is_filtered: bool,
}

/// Selects users by what programs ask for.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Filter<'q> {
    pub(super) org: Option<&'q str>,
    pub(super) user: Option<&'q str>,
    pub(super) group: Option<&'q str>,
}

impl People {
    /// Reads all users, also those who are not watched any more.
    pub(super) async fn read(state: &State, grant: &Grant, filter: Filter<'_>) -> Result<Self, StoreError> {
        let settings = state.settings();
        let people = state.0.history.people().await?;
        let mut all: Vec<Seen> = people
            .into_iter()
            .filter(|person| is_wanted(person, filter))
            .filter_map(|person| seen(person, grant, &settings))
            .filter(|seen| filter.group.is_none_or(|group| seen.groups.iter().any(|own| own == group)))
            .collect();
        all.sort_by_key(|seen| seen.person_id);
        let places = all.iter().enumerate().map(|(at, seen)| (seen.person_id, at)).collect();
        let Filter { org, user, group } = filter;
        let is_filtered = grant.is_restricted() || org.is_some() || user.is_some() || group.is_some();
        Ok(Self { all, places, is_filtered })
    }

    /// A user, if the visitor may see them.
    pub(super) fn get(&self, person_id: i64) -> Option<&Seen> {
        self.places.get(&person_id).and_then(|at| self.all.get(*at))
    }

    /// Their ids; `None`: all there are.
    pub(super) fn ids(&self) -> Option<Vec<i64>> {
        self.is_filtered.then(|| self.all.iter().map(|seen| seen.person_id).collect())
    }
}

fn is_wanted(person: &Person, filter: Filter<'_>) -> bool {
    let Filter { org, user, group: _ } = filter;
    let called = |user: &str| {
        let of_org = user.strip_prefix(&person.org).and_then(|rest| rest.strip_prefix('/'));
        person.union_id == user || person.name == user || of_org == Some(&*person.union_id)
    };
    org.is_none_or(|org| person.org == org) && user.is_none_or(called)
}

fn seen(person: Person, grant: &Grant, settings: &Settings) -> Option<Seen> {
    let Person { person_id, org, union_id, name, watched } = person;
    let groups = settings.groups(&org, &union_id).to_vec();
    let who = grant.shown(&name);
    let union_id_shown = grant.shows_names().then_some(union_id);
    grant.allows(&org, &groups).then_some(Seen {
        person_id,
        org,
        who,
        union_id: union_id_shown,
        groups,
        watched,
    })
}

/// Where a watched user is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Standing {
    Inside,
    Outside,
    Unknown,
    /// Not polled now: outside hours, or a day off.
    Closed,
}

impl Standing {
    /// Its name in the API.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Inside => "inside",
            Self::Outside => "outside",
            Self::Unknown => "unknown",
            Self::Closed => "closed",
        }
    }
}

/// A watched user now. A user in two meetings is there twice.
#[derive(Clone, Debug)]
pub(super) struct Present {
    pub(super) seen: Seen,
    pub(super) standing: Standing,
    /// The word of a gap, while the user is not polled.
    pub(super) why: Option<String>,
    /// The open visit. Unless the user is inside, it is where the user was last seen.
    pub(super) visit: Option<OpenVisit>,
    pub(super) last_ok: Option<Timestamp>,
    pub(super) next_poll: Option<Timestamp>,
    /// Outside hours: when they begin again.
    pub(super) opens: Option<Timestamp>,
}

/// The most users that a page or an answer considers.
const MAX_USERS: u32 = 20_000;

/// All watched users that a visitor may see.
pub(super) async fn present(state: &State, grant: &Grant) -> Result<Vec<Present>, StoreError> {
    let (reader, settings, now) = (&state.0.history, state.settings(), state.0.clock.now());
    let gaps = reader.report().open_gaps(now, now).await?;
    let why = |row: &UserPresence| {
        let of =
            |gap: &&Gap| gap.org == row.org && gap.person_id.is_none_or(|person| person == row.person_id);
        gaps.iter().filter(of).max_by_key(|gap| gap.person_id).map(|gap| gap.why.clone())
    };
    let rows = reader.now(&history::Filter::default(), true, MAX_USERS).await?;
    let mut all = Vec::with_capacity(rows.len());
    for row in rows {
        let member = settings.member(&row.org, &row.union_id);
        let groups = member.map_or(&[][..], |member| &member.groups);
        if !grant.allows(&row.org, groups) {
            continue;
        }
        let is_open = member.is_none_or(|member| member.open.open_at(now));
        let standing = match &*row.presence {
            "inside" if row.meeting.is_some() => Standing::Inside,
            _ if !is_open => Standing::Closed,
            "outside" => Standing::Outside,
            _ => Standing::Unknown,
        };
        let why = if is_open { why(&row) } else { None };
        let seen = Seen {
            person_id: row.person_id,
            who: grant.shown(&row.name),
            org: row.org,
            union_id: grant.shows_names().then_some(row.union_id),
            groups: groups.to_vec(),
            watched: true,
        };
        all.push(Present {
            standing,
            why,
            visit: row.meeting,
            last_ok: row.last_ok,
            next_poll: row.next_poll,
            opens: member.filter(|_| !is_open).and_then(|member| member.open.opens_at(now)),
            seen,
        });
    }
    Ok(all)
}
