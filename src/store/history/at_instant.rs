//! Who was in a meeting at an instant: inside, outside or unknown.
//!
//! Guards: what was not observed is unknown, never outside; only a visit that covers the instant for certain is inside.
//! Deliberately not here: the present state, which the poller writes (`History::now`).

use std::time::Duration;

use super::query::{Filter, MAX_ROWS, VisitQuery};
use super::report::{Gap, KnownUser, Report};
use super::rows::VisitRow;
use super::visits;
use crate::store::StoreError;
use crate::time::Timestamp;

/// A join that was only observed may have happened this long before: no poll interval is longer.
const LONGEST_INTERVAL: Duration = Duration::from_hours(12);

/// The state of a user at an instant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateAt {
    /// The user.
    pub user: KnownUser,
    /// In a meeting?
    pub state: State,
    /// Why it is unknown: a reason of a gap, or a few words.
    pub why: Option<String>,
    /// Inside: the visit; of several the one that began last.
    pub visit: Option<VisitRow>,
}

/// In a meeting?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// In a meeting.
    Inside,
    /// In no meeting.
    Outside,
    /// Not observed at that time.
    Unknown,
}

impl State {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Inside => "inside",
            Self::Outside => "outside",
            Self::Unknown => "unknown",
        }
    }
}

impl Report<'_> {
    /// The state of each user at `at`, which is not after `now`, by name.
    pub async fn at(
        self,
        at: Timestamp,
        filter: &Filter,
        now: Timestamp,
    ) -> Result<Vec<StateAt>, StoreError> {
        let query = VisitQuery {
            filter: filter.clone(),
            since: Some(at),
            until: Some(at.plus(LONGEST_INTERVAL)),
            limit: MAX_ROWS,
            ..VisitQuery::default()
        };
        let visits = visits::read(self.readers, &query).await?;
        let mut gaps = self.gaps(at, at.plus(Duration::from_millis(1))).await?;
        gaps.extend(self.open_gaps(at, now).await?);
        let users = self.users(filter).await?;
        let state = |user: KnownUser| {
            let mine: Vec<&VisitRow> =
                visits.iter().filter(|visit| visit.person_id == user.person_id).collect();
            let (state, why, visit) = state_at(at, &user, &mine, &gaps, now);
            StateAt { user, state, why, visit: visit.cloned() }
        };
        Ok(users.into_iter().map(state).collect())
    }
}

fn state_at<'a>(
    at: Timestamp,
    user: &KnownUser,
    visits: &[&'a VisitRow],
    gaps: &[Gap],
    now: Timestamp,
) -> (State, Option<String>, Option<&'a VisitRow>) {
    let known_until = user.known_until(now);
    let unknown = |why: &str| (State::Unknown, Some(why.to_owned()), None);
    let covers = |visit: &&&VisitRow| visit.joined <= at && at < visit.left.or(known_until).unwrap_or(at);
    // The user may have left after the last poll that saw them, up to the first that did not.
    let certain = |visit: &&&VisitRow| visit.leave_earliest.is_none_or(|earliest| at <= earliest);
    if let Some(visit) = visits.iter().filter(covers).rev().find(certain) {
        return (State::Inside, None, Some(visit));
    }
    if visits.iter().any(|visit| covers(&visit)) {
        return unknown("left between two polls");
    }
    if user.first.is_none_or(|first| at < first) {
        return unknown("not watched yet");
    }
    if let Some(gap) = gaps.iter().find(|gap| gap.concerns(user) && gap.from < at && at < gap.to) {
        return unknown(&gap.why);
    }
    if known_until.is_none_or(|until| at > until) {
        return unknown(if user.watched { "not polled since" } else { "not watched any more" });
    }
    let joins_about_then =
        |visit: &&VisitRow| at < visit.joined && visit.join_earliest.is_none_or(|earliest| earliest < at);
    if visits.iter().any(joins_about_then) {
        return unknown("joined between two polls");
    }
    (State::Outside, None, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(at: i64) -> Timestamp {
        Timestamp::from_ms(at)
    }

    fn user(last_ok: i64, next_poll: i64) -> KnownUser {
        KnownUser {
            person_id: 1,
            org: "default".into(),
            union_id: "u1".into(),
            name: "Li".into(),
            watched: true,
            last_ok: Some(ms(last_ok)),
            next_poll: Some(ms(next_poll)),
            failing: false,
            first: Some(ms(1_000)),
            groups: Vec::new(),
        }
    }

    fn visit(joined: (i64, Option<i64>), left: Option<(i64, i64)>) -> VisitRow {
        VisitRow {
            person_id: 1,
            org: "default".into(),
            union_id: "u1".into(),
            name: "Li".into(),
            visit_id: format!("vis_{}", joined.0),
            conference_id: "c".into(),
            title: None,
            ordinal: 1,
            joined: ms(joined.0),
            join_basis: "observed".into(),
            join_earliest: joined.1.map(ms),
            left: left.map(|(_, latest)| ms(latest)),
            left_reason: None,
            leave_basis: None,
            leave_earliest: left.map(|(earliest, _)| ms(earliest)),
            leave_latest: left.map(|(_, latest)| ms(latest)),
            role: "host".into(),
            external: false,
            by_phone: false,
            device: None,
            nick: None,
        }
    }

    #[test]
    fn what_was_not_observed_is_unknown_and_never_outside() {
        let hour = 3_600_000;
        let known = user(20 * hour, 21 * hour);
        let visits = [
            visit((10 * hour, Some(9 * hour)), Some((11 * hour, 12 * hour))),
            visit((18 * hour, Some(18 * hour)), None),
        ];
        let gap = Gap {
            org: "default".into(),
            person_id: None,
            from: ms(14 * hour),
            to: ms(15 * hour),
            why: "restart".into(),
        };
        let at = |at: i64| {
            let visits: Vec<&VisitRow> = visits.iter().collect();
            let (state, why, visit) =
                state_at(ms(at), &known, &visits, std::slice::from_ref(&gap), ms(20 * hour));
            (state.name(), why.unwrap_or_default(), visit.map(|visit| visit.joined.as_ms() / hour))
        };
        assert_eq!(at(0), ("unknown", "not watched yet".into(), None));
        assert_eq!(at(8 * hour), ("outside", String::new(), None));
        assert_eq!(at(9 * hour + 1), ("unknown", "joined between two polls".into(), None));
        assert_eq!(at(10 * hour), ("inside", String::new(), Some(10)));
        assert_eq!(at(11 * hour + 1), ("unknown", "left between two polls".into(), None));
        assert_eq!(at(12 * hour), ("outside", String::new(), None));
        assert_eq!(at(14 * hour + 1), ("unknown", "restart".into(), None));
        assert_eq!(at(15 * hour), ("outside", String::new(), None));
        assert_eq!(at(19 * hour), ("inside", String::new(), Some(18)));
        let late: Vec<&VisitRow> = visits.iter().collect();
        let (state, why, _) = state_at(ms(22 * hour), &known, &late, &[], ms(30 * hour));
        assert_eq!((state, why.as_deref()), (State::Unknown, Some("not polled since")));
    }
}
