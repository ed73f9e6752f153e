//! `/api/v1/visits`, `/api/v1/meetings` and `/api/v1/meetings/{id}`.
//!
//! Guards: a leave that is known only roughly has its bounds beside it; time without polls is part of a meeting's answer.
//! Not here: who may see whom (`people`).

use super::schema::{At, records};
use super::{Answer, Context, written};
use crate::store::history::lists::{MeetingRow, PersonVisit, VisitQuery};
use crate::time::Timestamp;
use crate::web::people::{Filter, People};
use crate::web::response::not_found;

records! {
    /// A page of visits.
    Visits {
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
    Meetings {
        /// The meetings.
        meetings: Vec<Meeting>,
        /// `after` of the next page; null on the last one.
        next_after: Option<i64>,
    }
    /// A meeting, as far as watched users were in it.
    Meeting {
        /// DingTalk's id.
        meeting: String,
        /// The organisation.
        org: String,
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
        meeting: Meeting,
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

fn visit(row: PersonVisit, people: &People, now: Timestamp) -> Option<Visit> {
    let seen = people.get(row.person_id)?;
    let visit = row.visit;
    Some(Visit {
        id: visit.visit_id,
        who: seen.who.clone(),
        org: row.org,
        union_id: seen.union_id.clone(),
        meeting: visit.conference_id,
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

fn meeting_of(row: MeetingRow) -> Meeting {
    Meeting {
        meeting: row.conference_id,
        org: row.org,
        first_join_at: At(row.first),
        last_leave_at: row.last.map(At),
        watched_people: row.people,
        still_in: row.still_in,
        longest_minutes: minutes(row.longest_ms.max(0) as f64 / 1000.0),
    }
}

fn filter(context: &Context) -> Filter<'_> {
    let query = &context.query;
    Filter { org: query.org.as_deref(), user: query.user.as_deref(), group: query.group.as_deref() }
}

fn visit_query(context: &Context, people: &People) -> VisitQuery {
    let query = &context.query;
    VisitQuery {
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
    let mut rows = context.state.0.history.visits_of(&visit_query(&context, &people)).await?;
    let next_after = next_after(&mut rows, &context, |row| row.place);
    let now = context.state.0.clock.now();
    let visits = rows.into_iter().filter_map(|row| visit(row, &people, now)).collect();
    written(&Visits { visits, next_after })
}

/// The answer of `/api/v1/meetings`.
pub(super) async fn meetings(context: Context) -> Answer {
    let people = People::read(&context.state, &context.visitor.grant, filter(&context)).await?;
    let now = context.state.0.clock.now();
    let mut rows = context.state.0.history.meetings(&visit_query(&context, &people), now).await?;
    let next_after = next_after(&mut rows, &context, |row| row.place);
    written(&Meetings { meetings: rows.into_iter().map(meeting_of).collect(), next_after })
}

/// Takes off the row that only shows that another page follows.
fn next_after<T>(rows: &mut Vec<T>, context: &Context, place: fn(&T) -> i64) -> Option<i64> {
    let more = rows.len() > context.query.places();
    rows.truncate(context.query.places());
    rows.last().map(place).filter(|_| more)
}

/// The answer of `/api/v1/meetings/{id}`.
pub(super) async fn meeting(context: Context) -> Answer {
    let (history, now) = (&context.state.0.history, context.state.0.clock.now());
    let people = People::read(&context.state, &context.visitor.grant, filter(&context)).await?;
    let limit = crate::store::history::MAX_ROWS;
    let query = VisitQuery {
        people: people.ids(),
        meeting: Some(context.id.clone()),
        limit,
        ..VisitQuery::default()
    };
    let rows = history.visits_of(&query).await?;
    let Some(first) = rows.first() else {
        return Err(not_found("no watched user was in a meeting with this id"));
    };
    let org = first.org.clone();
    let rows: Vec<PersonVisit> = rows.into_iter().filter(|row| row.org == org).collect();
    let summary = summary(&rows, now);
    let (from, to) = (summary.first, summary.last.unwrap_or(now));
    let in_it: Vec<i64> = rows.iter().map(|row| row.person_id).collect();
    let gaps = history.report().gaps(from, to).await?;
    let gaps = gaps
        .into_iter()
        .filter(|gap| gap.org == org && gap.person_id.is_none_or(|person| in_it.contains(&person)))
        .map(|gap| Gap {
            who: gap.person_id.and_then(|person| people.get(person)).map(|seen| seen.who.clone()),
            from_at: At(gap.from),
            to_at: At(gap.to),
            why: gap.why,
        })
        .collect();
    let visits = rows.into_iter().filter_map(|row| visit(row, &people, now)).collect();
    written(&MeetingDetails { meeting: meeting_of(summary), visits, gaps })
}

/// The meeting that these visits are of; there is at least one.
pub(in crate::web) fn summary(rows: &[PersonVisit], now: Timestamp) -> MeetingRow {
    let people: std::collections::HashSet<i64> = rows.iter().map(|row| row.person_id).collect();
    let inside: std::collections::HashSet<i64> =
        rows.iter().filter(|row| row.visit.left.is_none()).map(|row| row.person_id).collect();
    let first = rows.iter().map(|row| row.visit.joined).min().unwrap_or(now);
    let last = rows.iter().map(|row| row.visit.left).collect::<Option<Vec<_>>>();
    let longest =
        rows.iter().map(|row| row.visit.left.unwrap_or(now).as_ms() - row.visit.joined.as_ms()).max();
    MeetingRow {
        place: rows.first().map_or(0, |row| row.place),
        org: rows.first().map(|row| row.org.clone()).unwrap_or_default(),
        conference_id: rows.first().map(|row| row.visit.conference_id.clone()).unwrap_or_default(),
        first,
        last: last.and_then(|all| all.into_iter().max()),
        people: i64::try_from(people.len()).unwrap_or(i64::MAX),
        still_in: i64::try_from(inside.len()).unwrap_or(i64::MAX),
        longest_ms: longest.unwrap_or(0),
    }
}
