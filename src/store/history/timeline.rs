//! The time of one user: in a meeting, not in one, unobserved, or closed; whole, and day by day.
//!
//! Guards: the four never overlap; a reported visit counts even while the user was not observed. Deliberately not here:
//! the statements (`report`), closed windows whose gap is not written yet (the caller has the config).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::query::Filter;
use super::report::{Gap, KnownUser, Report, VisitSpan};
use super::spans::Spans;
use crate::store::StoreError;
use crate::time::Timestamp;

/// A next poll that is late by more than this means that the user is not observed.
const LATE: Duration = Duration::from_mins(5);

/// Everything known about one user.
#[derive(Debug)]
pub struct Timeline {
    visits: Vec<(String, (i64, i64))>,
    /// In a meeting.
    pub inside: Spans,
    /// Outside the windows.
    pub closed: Spans,
    /// Not observed.
    pub unknown: Spans,
}

/// One day of a user.
#[derive(Debug, PartialEq, Eq)]
pub struct Day {
    /// In a meeting; in two at once counts once.
    pub inside: Spans,
    /// Outside the windows.
    pub closed: Spans,
    /// Not observed.
    pub unknown: Spans,
    /// The meetings.
    pub meetings: BTreeSet<String>,
    /// The longest visit, as far as it is in this day.
    pub longest_ms: i64,
    /// The end of the day, or now.
    end: i64,
}

impl Report<'_> {
    /// The timelines of the users who are watched, or were in a meeting within that time, by name; of one user in every
    /// case. `closed`: the closed windows of a user since the last answered poll, which are in no table yet.
    pub async fn timelines(
        self,
        filter: &Filter,
        (since, until): (Timestamp, Timestamp),
        now: Timestamp,
        closed: impl Fn(&KnownUser) -> Vec<(i64, i64)>,
    ) -> Result<Vec<(KnownUser, Timeline)>, StoreError> {
        let mut visits: BTreeMap<i64, Vec<VisitSpan>> = BTreeMap::new();
        for visit in self.visits(since, until).await? {
            visits.entry(visit.person_id).or_default().push(visit);
        }
        let gaps = self.gaps(since, until).await?;
        let mut users = self.users(filter).await?;
        users.retain(|user| {
            user.watched || filter.person_id.is_some() || visits.contains_key(&user.person_id)
        });
        let with_timeline = |user: KnownUser| {
            let mine = visits.get(&user.person_id).map_or(&[][..], Vec::as_slice);
            let timeline = Timeline::of(&user, mine, &gaps, &closed(&user), now);
            (user, timeline)
        };
        Ok(users.into_iter().map(with_timeline).collect())
    }
}

impl KnownUser {
    /// Until when the state of the user is known: now, or the last answered poll if the next is late or failed. `None`:
    /// never polled.
    pub fn known_until(&self, now: Timestamp) -> Option<Timestamp> {
        let last_ok = self.last_ok?;
        let is_late = self.next_poll.is_none_or(|due| due.plus(LATE) < now);
        let is_failing = self.failing && last_ok.plus(LATE) < now;
        Some(if is_late || is_failing { last_ok } else { now })
    }
}

impl Timeline {
    /// From stored visits and gaps, and closed windows that are not stored yet.
    pub fn of(
        user: &KnownUser,
        visits: &[VisitSpan],
        gaps: &[Gap],
        shut: &[(i64, i64)],
        now: Timestamp,
    ) -> Self {
        let known_until = user.known_until(now).unwrap_or(Timestamp::from_ms(i64::MIN));
        let (mut closed, mut unknown) = (shut.to_vec(), Vec::new());
        for gap in gaps.iter().filter(|gap| gap.concerns(user)) {
            (if gap.is_planned() { &mut closed } else { &mut unknown })
                .push((gap.from.as_ms(), gap.to.as_ms()));
        }
        unknown.push((i64::MIN, user.first.map_or(i64::MAX, Timestamp::as_ms)));
        let tail = Spans::of(vec![(known_until.as_ms(), i64::MAX)]).without(&Spans::of(shut.to_vec()));
        let unknown = Spans::of(unknown).with(tail);
        let visits = visits.iter().map(|visit| {
            let end = visit.left.unwrap_or(known_until.max(visit.joined));
            (visit.conference_id.clone(), (visit.joined.as_ms(), end.as_ms()))
        });
        Self::new(visits.collect(), &Spans::of(closed), &unknown)
    }

    /// From visits with their meetings; `inside` has precedence over `unknown`, and that over `closed`.
    fn new(visits: Vec<(String, (i64, i64))>, closed: &Spans, unknown: &Spans) -> Self {
        let inside = Spans::of(visits.iter().map(|(_, span)| *span).collect());
        let unknown = unknown.without(&inside);
        let closed = closed.without(&inside).without(&unknown);
        Self { visits, inside, closed, unknown }
    }

    /// One day, up to now.
    pub fn day(&self, (from, to): (Timestamp, Timestamp), now: Timestamp) -> Day {
        let (from, to) = (from.as_ms(), to.min(now).as_ms());
        let touching =
            self.visits.iter().filter(|(_, span)| span.0 < to && (span.1 > from || span.0 >= from));
        let (mut meetings, mut longest_ms) = (BTreeSet::new(), 0);
        for (meeting, span) in touching {
            meetings.insert(meeting.clone());
            longest_ms = longest_ms.max(span.1.min(to) - span.0.max(from));
        }
        let within = |spans: &Spans| spans.within(from, to);
        Day {
            inside: within(&self.inside),
            closed: within(&self.closed),
            unknown: within(&self.unknown),
            meetings,
            longest_ms,
            end: to,
        }
    }
}

impl Day {
    /// One character per hour: in a meeting if any part is, else what most of the hour is. A day of 23 or 25 hours has 24
    /// characters too.
    pub fn bar(&self, (from, to): (Timestamp, Timestamp)) -> String {
        const HOURS: i64 = 24;
        let (from, length) = (from.as_ms(), to.as_ms() - from.as_ms());
        (0..HOURS)
            .map(|hour| {
                let (begin, end) = (from + length * hour / HOURS, from + length * (hour + 1) / HOURS);
                let share = |spans: &Spans| spans.within(begin, end).total_ms() * 2;
                if begin >= self.end {
                    ' '
                } else if share(&self.inside) > 0 {
                    '█'
                } else if share(&self.unknown) >= end - begin {
                    '?'
                } else if share(&self.closed) >= end - begin {
                    ' '
                } else {
                    '·'
                }
            })
            .collect()
    }
}
