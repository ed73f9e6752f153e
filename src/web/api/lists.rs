//! `/api/v1/visits`, `/api/v1/meetings` and `/api/v1/meetings/{id}`.
//!
//! Guards: a leave that is known only roughly has its bounds beside it; time without polls is part of a meeting's answer.
//! Not here: who may see which user (`people`).

use std::collections::BTreeSet;
use std::time::Duration;

use super::operation::{Answer, Context, written};
use super::schema::{At, records};
use crate::store::StoreError;
use crate::store::history::Filter;
use crate::store::history::VisitRow;
use crate::store::history::lists::Lists;
use crate::store::history::lists::PlaceQuery;
use crate::store::history::meetings::Attendance;
use crate::store::history::meetings::MeetingRow;
use crate::time::Timestamp;
use crate::web::State;
use crate::web::people::{self, People};
use crate::web::response::not_found;

records! {
    /// A page of visits.
    VisitPage {
        /// The visits.
        visits: Vec<Visit>,
        /// `after` of the next page; null on the last one.
        next_after: Option<i64>,
    }
    /// A continuous stay of a user in a meeting.
    Visit {
        /// Its id, as in events.
        id: String,
        /// The name, or initials.
        who: String,
        /// The organisation.
        org: String,
        /// The unionId; null for a token without names.
        union_id: Option<String>,
        /// DingTalk's id of the meeting.
        meeting: String,
        /// Its title; null: not known, or not shown.
        title: Option<String>,
        /// The n-th visit of the user to the meeting.
        ordinal: i64,
        /// When the user joined, as far as known.
        joined_at: At,
        /// How that is known: `reported`, `observed` or `inferred`.
        join_basis: String,
        /// When the user left; null: is still in, as far as known.
        left_at: Option<At>,
        /// Why the visit ended.
        left_reason: Option<String>,
        /// How the leave is known: `reported`, `observed` or `inferred`.
        leave_basis: Option<String>,
        /// The leave is not before this.
        leave_earliest_at: Option<At>,
        /// The leave is not after this.
        leave_latest_at: Option<At>,
        /// Minutes from joining to leaving, or until now.
        minutes: f64,
        /// `attendee`, `co_host` or `host`: the newest.
        role: String,
        /// Whether the user is of another organisation.
        external: bool,
        /// Whether the user is in by telephone.
        by_phone: bool,
        /// The newest device that DingTalk named.
        device: Option<String>,
        /// The newest nickname; null for a token without names, or if none is stored.
        nick: Option<String>,
    }
    /// A page of meetings.
    MeetingPage {
        /// The meetings.
        meetings: Vec<MeetingSummary>,
        /// `after` of the next page; null on the last one.
        next_after: Option<i64>,
    }
    /// A meeting, as far as watched users were in it.
    MeetingSummary {
        /// DingTalk's id.
        meeting: String,
        /// The organisation.
        org: String,
        /// The title; null: not known, or not shown.
        title: Option<String>,
        /// Who created it, if that user is watched.
        creator: Option<String>,
        /// When it began, as DingTalk reports it.
        started_at: Option<At>,
        /// When it ended, as DingTalk reports it.
        ended_at: Option<At>,
        /// When a watched user first joined.
        first_join_at: At,
        /// When the last of them left; null: one is still in.
        last_leave_at: Option<At>,
        /// How many watched users were in it.
        watched_people: i64,
        /// How many of them are in it.
        still_in: i64,
        /// The longest visit, in minutes.
        longest_minutes: f64,
    }
    /// A meeting with its visits.
    MeetingDetails {
        /// The meeting.
        meeting: MeetingSummary,
        /// The visits in it.
        visits: Vec<Visit>,
        /// When the users in it, or all of the organisation, were not polled: what happened then is not known.
        gaps: Vec<Gap>,
    }
    /// Time without polls.
    Gap {
        /// The user; null: all users of the organisation.
        who: Option<String>,
        /// The last poll before it.
        from_at: At,
        /// The first poll after it.
        to_at: At,
        /// Why there were none.
        why: String,
    }
}

fn visit(visit: VisitRow, people: &People, now: Timestamp) -> Option<Visit> {
    let seen = people.get(visit.person_id)?;
    Some(Visit {
        id: visit.visit_id,
        who: seen.who.clone(),
        org: visit.org,
        union_id: seen.union_id.clone(),
        meeting: visit.conference_id,
        title: visit.title.filter(|_| seen.union_id.is_some()),
        ordinal: visit.ordinal,
        minutes: minutes(visit.left.unwrap_or(now).since(visit.joined).as_secs_f64()),
        joined_at: At(visit.joined),
        join_basis: visit.join_basis,
        left_at: visit.left.map(At),
        left_reason: visit.left_reason,
        leave_basis: visit.leave_basis,
        leave_earliest_at: visit.leave_earliest.map(At),
        leave_latest_at: visit.leave_latest.map(At),
        role: visit.role,
        external: visit.external,
        by_phone: visit.by_phone,
        device: visit.device,
        nick: visit.nick.filter(|_| seen.union_id.is_some()),
    })
}

/// With one digit after the point.
fn minutes(seconds: f64) -> f64 {
    (seconds / 6.0).round() / 10.0
}

fn meeting_of(row: MeetingRow, shows_names: bool) -> MeetingSummary {
    MeetingSummary {
        meeting: row.conference_id,
        org: row.org,
        title: row.title.filter(|_| shows_names),
        creator: row.creator.filter(|_| shows_names),
        started_at: row.started.map(At),
        ended_at: row.ended.map(At),
        first_join_at: At(row.first_join),
        last_leave_at: row.last_leave.map(At),
        watched_people: row.people,
        still_in: row.inside,
        longest_minutes: minutes(Duration::from_millis(row.longest_ms.try_into().unwrap_or(0)).as_secs_f64()),
    }
}

fn filter(context: &Context) -> people::Filter<'_> {
    let query = &context.query;
    people::Filter { org: query.org.as_deref(), user: query.user.as_deref(), group: query.group.as_deref() }
}

fn place_query(context: &Context, people: &People) -> PlaceQuery {
    let query = &context.query;
    PlaceQuery {
        after: query.after.unwrap_or(0),
        since: query.since,
        until: query.until,
        people: people.ids(),
        meeting: None,
        // One more shows whether another page follows.
        limit: query.limit() + 1,
    }
}

/// The answer of `/api/v1/visits`.
pub(super) async fn visits(context: Context) -> Answer {
    let people = People::read(&context.state, &context.visitor.grant, filter(&context)).await?;
    let mut rows = Lists::of(&context.state.0.history).placed_visits(&place_query(&context, &people)).await?;
    let next_after = next_after(&mut rows, &context, |row| row.place);
    let now = context.state.0.clock.now();
    let visits = rows.into_iter().filter_map(|placed| visit(placed.row, &people, now)).collect();
    written(&VisitPage { visits, next_after })
}

/// The answer of `/api/v1/meetings`.
pub(super) async fn meetings(context: Context) -> Answer {
    let people = People::read(&context.state, &context.visitor.grant, filter(&context)).await?;
    let now = context.state.0.clock.now();
    let mut rows =
        Lists::of(&context.state.0.history).placed_meetings(&place_query(&context, &people), now).await?;
    let next_after = next_after(&mut rows, &context, |row| row.place);
    let names = context.visitor.grant.shows_names();
    let meetings = rows.into_iter().map(|placed| meeting_of(placed.row, names)).collect();
    written(&MeetingPage { meetings, next_after })
}

/// Takes off the row that only shows that another page follows.
fn next_after<T>(rows: &mut Vec<T>, context: &Context, place: fn(&T) -> i64) -> Option<i64> {
    let more = rows.len() > context.query.places();
    rows.truncate(context.query.places());
    rows.last().map(place).filter(|_| more)
}

/// The answer of `/api/v1/meetings/{id}`.
pub(super) async fn meeting(context: Context) -> Answer {
    let now = context.state.0.clock.now();
    let people = People::read(&context.state, &context.visitor.grant, filter(&context)).await?;
    let Some(attendance) = attendance(&context.state, &context.id, &people).await? else {
        return Err(not_found("no watched user was in a meeting with this id"));
    };
    let Attendance { meeting, visits, gaps } = attendance;
    let gaps = gaps.into_iter().map(|gap| Gap {
        who: gap.person_id.and_then(|person| people.get(person)).map(|seen| seen.who.clone()),
        from_at: At(gap.from),
        to_at: At(gap.to),
        why: gap.why,
    });
    let names = context.visitor.grant.shows_names();
    let details = MeetingDetails {
        meeting: meeting_of(meeting, names),
        gaps: gaps.collect(),
        visits: visits.into_iter().filter_map(|row| visit(row, &people, now)).collect(),
    };
    written(&details)
}

/// A meeting with this id, as far as these users were in it; of several organisations with one, the first.
pub(crate) async fn attendance(
    state: &State,
    id: &str,
    people: &People,
) -> Result<Option<Attendance>, StoreError> {
    let (history, now, all) = (&state.0.history, state.0.clock.now(), Filter::default());
    for meeting in history.meetings().with_id(id, &all, now).await? {
        let mut attendance = history.meetings().attendance(meeting, &all, now).await?;
        attendance.visits.retain(|visit| people.get(visit.person_id).is_some());
        let Some(first) = attendance.visits.iter().map(|visit| visit.joined).min() else { continue };
        // The numbers are those of the users who may be seen.
        let (visits, meeting) = (&attendance.visits, &mut attendance.meeting);
        let ids = |open: bool| visits.iter().filter(move |v| !open || v.left.is_none()).map(|v| v.person_id);
        let count = |open: bool| i64::try_from(ids(open).collect::<BTreeSet<_>>().len()).unwrap_or(i64::MAX);
        (meeting.people, meeting.inside, meeting.first_join) = (count(false), count(true), first);
        let lefts: Option<Vec<Timestamp>> = visits.iter().map(|visit| visit.left).collect();
        meeting.last_leave = lefts.and_then(|lefts| lefts.into_iter().max());
        attendance.gaps.retain(|gap| gap.person_id.is_none_or(|person| people.get(person).is_some()));
        return Ok(Some(attendance));
    }
    Ok(None)
}
