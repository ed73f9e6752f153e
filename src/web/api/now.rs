//! `/api/v1/now` and `/api/v1/users`.
//!
//! Guards: what is not known is `unknown` with its reason, never `outside`. Not here: who may see which user (`people`).

use super::operation::{Answer, Context, written};
use super::schema::{At, records};
use crate::config::{Scope, Show};
use crate::store::history::HealthRow;
use crate::web::people::{Filter, People, Present, Standing, present};

records! {
    /// The watched users now.
    NowAnswer {
        /// The time of the answer.
        at: At,
        /// How many users there are; with `org`, `user` or `group` of those.
        counts: Counts,
        /// The users; one in two meetings is there twice. Empty for a token that shows only counts.
        now: Vec<NowRow>,
        /// `after` of the next page; null on the last one.
        next_after: Option<i64>,
    }
    /// How many users are where.
    Counts {
        /// In a meeting.
        inside: i64,
        /// In no meeting.
        outside: i64,
        /// Not known.
        unknown: i64,
        /// Not polled at this time of day.
        closed: i64,
        /// Meetings with a watched user in them.
        meetings: i64,
    }
    /// A user now.
    NowRow {
        /// The name, or initials.
        who: String,
        /// The organisation.
        org: String,
        /// The unionId; null for a token without names.
        union_id: Option<String>,
        /// The groups of the config.
        groups: Vec<String>,
        /// `inside`, `outside`, `unknown`, or `closed` (not polled at this time of day).
        presence: &'static str,
        /// Why the user is not polled at this moment; null: the user is.
        why: Option<String>,
        /// DingTalk's id of the meeting; unless the user is inside, of the one where they were last seen.
        meeting: Option<String>,
        /// Its title; null: not known, or not shown.
        title: Option<String>,
        /// When the user joined.
        joined_at: Option<At>,
        /// Minutes since then.
        minutes: Option<i64>,
        /// `attendee`, `co_host` or `host`.
        role: Option<String>,
        /// The newest device that DingTalk named.
        device: Option<String>,
        /// Whether the user is of another organisation.
        external: Option<bool>,
        /// Whether the user is in by telephone.
        by_phone: Option<bool>,
        /// The newest good poll.
        checked_at: Option<At>,
        /// Seconds since then.
        checked_s_ago: Option<i64>,
        /// When the next poll is due.
        next_poll_at: Option<At>,
    }
    /// The users.
    UserPage {
        /// The users.
        users: Vec<UserRow>,
        /// `after` of the next page; null on the last one.
        next_after: Option<i64>,
    }
    /// A user.
    UserRow {
        /// The name, or initials.
        who: String,
        /// The organisation.
        org: String,
        /// The unionId; null for a token without names.
        union_id: Option<String>,
        /// The groups of the config.
        groups: Vec<String>,
        /// Whether the user is watched; one who is not any more has a history.
        watched: bool,
        /// `inside`, `outside` or `unknown`; null: not watched.
        presence: Option<String>,
        /// The newest poll.
        last_poll_at: Option<At>,
        /// The newest good poll.
        last_ok_at: Option<At>,
        /// When the next poll is due.
        next_poll_at: Option<At>,
        /// Failed polls in the last 24 hours, to the hour.
        errors_24h: Option<i64>,
        /// The newest error; null for tokens that are not the operator's.
        last_error: Option<String>,
    }
}

/// The answer of `/api/v1/now`.
pub(super) async fn now(context: Context) -> Answer {
    let Context { state, visitor, query, .. } = context;
    let mut all = present(&state, &visitor.grant).await?;
    let called = |row: &Present, user: &str| {
        let of_org = user.strip_prefix(&*row.seen.org).and_then(|rest| rest.strip_prefix('/'));
        let union_id = row.seen.union_id.as_deref();
        row.seen.who == user || union_id == Some(user) || (union_id.is_some() && union_id == of_org)
    };
    all.retain(|row| {
        query.org.as_ref().is_none_or(|org| row.seen.org == *org)
            && query.group.as_ref().is_none_or(|group| row.seen.groups.contains(group))
            && query.user.as_ref().is_none_or(|user| called(row, user))
    });
    all.sort_by_key(|row| row.seen.person_id);
    let counts = counts(&all);
    let at = state.0.clock.now();
    let after = query.after.unwrap_or(-1);
    let is_named = visitor.grant.show != Show::Counts;
    let mut rows = all.iter().filter(|row| is_named && row.seen.person_id > after).peekable();
    let (mut page, mut last) = (Vec::new(), after);
    // A user in two meetings is not torn apart.
    while let Some(row) = rows.next_if(|row| page.len() < query.places() || row.seen.person_id == last) {
        last = row.seen.person_id;
        page.push(now_row(row, at));
    }
    let next_after = rows.peek().map(|_| last);
    written(&NowAnswer { at: At(at), counts, now: page, next_after })
}

/// How many users are where; one in two meetings counts once.
pub(crate) fn counts(all: &[Present]) -> Counts {
    let mut seen = std::collections::HashSet::new();
    let mut meetings = std::collections::HashSet::new();
    let mut counts = Counts { inside: 0, outside: 0, unknown: 0, closed: 0, meetings: 0 };
    for row in all {
        if let (Standing::Inside, Some(visit)) = (row.standing, &row.visit) {
            meetings.insert((&row.seen.org, &visit.conference_id));
        }
        if !seen.insert(row.seen.person_id) {
            continue;
        }
        match row.standing {
            Standing::Inside => counts.inside += 1,
            Standing::Outside => counts.outside += 1,
            Standing::Unknown => counts.unknown += 1,
            Standing::Closed => counts.closed += 1,
        }
    }
    counts.meetings = i64::try_from(meetings.len()).unwrap_or(i64::MAX);
    counts
}

fn now_row(row: &Present, at: crate::time::Timestamp) -> NowRow {
    let Present { seen, standing, why, visit, last_ok, next_poll, opens: _ } = row.clone();
    let seconds =
        |since: crate::time::Timestamp| i64::try_from(at.since(since).as_secs()).unwrap_or(i64::MAX);
    NowRow {
        who: seen.who,
        org: seen.org,
        union_id: seen.union_id.clone(),
        groups: seen.groups,
        presence: standing.name(),
        why,
        meeting: visit.as_ref().map(|visit| visit.conference_id.clone()),
        title: visit.as_ref().and_then(|visit| visit.title.clone()).filter(|_| seen.union_id.is_some()),
        joined_at: visit.as_ref().map(|visit| At(visit.joined)),
        minutes: visit.as_ref().map(|visit| seconds(visit.joined) / 60),
        role: visit.as_ref().map(|visit| visit.role.clone()),
        device: visit.as_ref().and_then(|visit| visit.device.clone()),
        external: visit.as_ref().map(|visit| visit.external),
        by_phone: visit.as_ref().map(|visit| visit.by_phone),
        checked_at: last_ok.map(At),
        checked_s_ago: last_ok.map(seconds),
        next_poll_at: next_poll.map(At),
    }
}

/// The answer of `/api/v1/users`.
pub(super) async fn users(context: Context) -> Answer {
    let Context { state, visitor, query, .. } = context;
    let filter =
        Filter { org: query.org.as_deref(), user: query.user.as_deref(), group: query.group.as_deref() };
    let people = People::read(&state, &visitor.grant, filter).await?;
    let health = state.0.history.health(state.0.clock.now(), u32::MAX).await?;
    let by_id: std::collections::HashMap<(&str, &str), &HealthRow> =
        health.iter().map(|row| ((&*row.org, &*row.union_id), row)).collect();
    // Initials are looked up by the unionId, which is not shown.
    let ids: std::collections::HashMap<i64, (String, String)> = state
        .0
        .history
        .people()
        .await?
        .into_iter()
        .map(|person| (person.person_id, (person.org, person.union_id)))
        .collect();
    let after = query.after.unwrap_or(-1);
    let mut rest = people.all.iter().filter(|seen| seen.person_id > after).peekable();
    let mut page = Vec::new();
    let mut last = after;
    while let Some(seen) = rest.next_if(|_| page.len() < query.places()) {
        last = seen.person_id;
        let key = ids.get(&seen.person_id).map(|(org, union_id)| (&**org, &**union_id));
        let row = key.and_then(|key| by_id.get(&key).copied());
        let is_operator = visitor.grant.scope == Scope::Operator;
        page.push(UserRow {
            who: seen.who.clone(),
            org: seen.org.clone(),
            union_id: seen.union_id.clone(),
            groups: seen.groups.clone(),
            watched: seen.watched,
            presence: row.map(|row| row.presence.clone()),
            last_poll_at: row.and_then(|row| row.last_poll).map(At),
            last_ok_at: row.and_then(|row| row.last_ok).map(At),
            next_poll_at: row.and_then(|row| row.next_poll).map(At),
            errors_24h: row.map(|row| row.errors_24h),
            last_error: row.filter(|_| is_operator).and_then(|row| row.last_error.clone()),
        });
    }
    let next_after = rest.peek().map(|_| last);
    written(&UserPage { users: page, next_after })
}
