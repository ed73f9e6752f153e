//! Resumes from the stored state: matches the watch list, unwatches removed users, emits the gap of the down time, and
//! restores next polls.
//!
//! Guards: a restart makes no burst, loses no state and hides no gap. Not here: running (`poller`).

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use super::pacer::NO_NUMBER;
use super::pacing::groups;
use super::record::outgoing;
use super::roster::{PollSchedule, UserKey, WatchedUser, WindowKey};
use super::settings::{PollerError, Tools};
use super::state::OrgState;
use super::sweep::{persist, run};
use super::upstream::Upstream;
use super::{open_windows, queue, schedule, share};
use crate::ids::OrgName;
use crate::policy::pace;
use crate::policy::pace::Phase;
use crate::policy::pace::group::{HISTORY_REACH, MAX_HISTORY_VISITS};
use crate::policy::window::OpenTime;
use crate::presence::event::{EventType, UserInfo};
use crate::presence::system::GapCause;
use crate::presence::{lifecycle, system};
use crate::store::gaps::Why;
use crate::store::history::visit_history::PastVisit;
use crate::store::sweep_state::{SweepRow, SweptPerson};
use crate::store::{Enrolled, Enrolment, Recording, StoreError};
use crate::tasks::alerts::AlertState;
use crate::time::Timestamp;
use crate::webhook::routing::recipients;

/// A user to watch, as configured.
#[derive(Clone, Debug)]
pub struct Assignment {
    /// The user as events describe them.
    pub card: UserInfo,
    /// How often the user is polled.
    pub schedule: PollSchedule,
    /// The windows in which the user is polled.
    pub open: OpenTime,
}

impl Assignment {
    /// What the database stores of it.
    pub(super) fn enrolment(&self) -> Enrolment {
        Enrolment {
            identity: self.card.identity.clone(),
            name: self.card.name.clone(),
            groups: self.card.groups.clone(),
        }
    }
}

/// What polling starts from.
pub(super) struct Beginning {
    pub(super) alert_state: AlertState,
    /// Users and their stored state, by organisation.
    pub(super) lists: HashMap<OrgName, Vec<(Assignment, Enrolled)>>,
    pub(super) past_visits: Vec<PastVisit>,
    pub(super) swept: (Vec<SweepRow>, Vec<SweptPerson>),
    /// Since when each organisation was not polled.
    pub(super) gaps: HashMap<OrgName, Timestamp>,
}

impl Beginning {
    /// Matches the watch list with the database. `upstreams`: one for each organisation in `list`.
    pub(super) async fn load(
        tools: &Tools,
        upstreams: &[Upstream],
        list: Vec<Assignment>,
        now: Timestamp,
    ) -> Result<Self, PollerError> {
        let enrolments = list.iter().map(Assignment::enrolment).collect();
        let (mut enrolled, departed) = tools.store.watch_list().enroll(enrolments).await?;
        for user in departed {
            end_watch(tools, user, now).await?;
        }
        let gaps = emit_gaps(tools, &list, &mut enrolled, now).await?;
        let alert_state = AlertState::load(&tools.store).await?;
        let past_visits = load_past_visits(tools, needs_history(upstreams, &list), now).await;
        let swept = tools.store.sweep_state().load().await?;
        let lists = by_organisation(list, enrolled);
        Ok(Self { alert_state, lists, past_visits, swept, gaps: gaps.into_iter().collect() })
    }
}

/// The users with their stored state, by organisation.
pub(super) fn by_organisation(
    list: Vec<Assignment>,
    enrolled: Vec<Enrolled>,
) -> HashMap<OrgName, Vec<(Assignment, Enrolled)>> {
    let mut lists: HashMap<OrgName, Vec<(Assignment, Enrolled)>> = HashMap::new();
    for (assignment, stored) in list.into_iter().zip(enrolled) {
        lists.entry(assignment.card.identity.org.clone()).or_default().push((assignment, stored));
    }
    lists
}

/// Whether any user is paced by history.
pub(super) fn needs_history(upstreams: &[Upstream], list: &[Assignment]) -> bool {
    let limited: HashSet<&OrgName> = upstreams
        .iter()
        .filter(|upstream| upstream.set_up.limits.budget().limit().is_some())
        .map(|upstream| &upstream.set_up.name)
        .collect();
    list.iter().any(|one| one.schedule == PollSchedule::Auto && limited.contains(&one.card.identity.org))
}

/// Reads the history for pacing. Without it calls are spread evenly.
pub(super) async fn load_past_visits(tools: &Tools, needed: bool, now: Timestamp) -> Vec<PastVisit> {
    if !needed {
        return Vec::new();
    }
    let read = tools.store.history().recent_visits(now.minus(HISTORY_REACH), MAX_HISTORY_VISITS).await;
    read.unwrap_or_else(|error| {
        tracing::warn!(%error, "the history cannot be read; calls are spread evenly until the next start or reload");
        Vec::new()
    })
}

/// A user with the stored state.
pub(super) fn new_user(assignment: Assignment, stored: Enrolled, window: WindowKey) -> WatchedUser {
    WatchedUser {
        person_id: stored.person_id,
        phase: Phase::of(&assignment.card.identity),
        info: assignment.card.into(),
        number: NO_NUMBER,
        schedule: assignment.schedule,
        window,
        overtime_until: None,
        state: stored.belief,
        digest: stored.digest,
        bytes_digest: None,
        last_ok: stored.last_ok,
        // A user whose last poll failed is polled soon: the reason may be gone.
        due: stored.next_poll.filter(|_| stored.last_poll <= stored.last_ok).unwrap_or_default(),
        failures: 0,
        refusals: 0,
        error: None,
        paused_by_org: false,
        unchanged_polls: 0,
        stale: false,
        busy: false,
        gone: false,
        pending_snapshot: None,
    }
}

/// Unwatches a user who was removed while the daemon was down.
pub(super) async fn end_watch(tools: &Tools, user: Enrolled, now: Timestamp) -> Result<(), StoreError> {
    let card = UserInfo {
        identity: user.identity,
        name: user.name,
        groups: Vec::new(),
        tags: std::collections::BTreeMap::new(),
        store_nick: true,
    };
    let outcome = lifecycle::unwatch(&user.belief, now, &card, tools.store.source());
    let events = outgoing(&tools.subscriptions, outcome.events, &card);
    let recording = Recording {
        person_id: user.person_id,
        org: card.identity.org,
        snapshot: None,
        belief: outcome.state,
        visits: outcome.visits,
        meetings: Vec::new(),
        events,
        watched: false,
        polled_at: None,
        next_poll: None,
    };
    tools.store.recorder().record(recording).await
}

/// Emits one `system.gap` for each organisation that was polled before, and marks in each state that a visit may have
/// ended unobserved; returns since when each was not polled.
async fn emit_gaps(
    tools: &Tools,
    list: &[Assignment],
    enrolled: &mut [Enrolled],
    now: Timestamp,
) -> Result<Vec<(OrgName, Timestamp)>, PollerError> {
    let mut last_looks: HashMap<OrgName, Timestamp> = HashMap::new();
    let mut missed: HashSet<OrgName> = HashSet::new();
    for (user, assignment) in enrolled.iter().zip(list) {
        if let Some(last) = user.last_poll {
            let open = &assignment.open;
            if !missed.contains(&user.identity.org)
                && (open.is_always() || !open.open_between(last, now).is_zero())
            {
                missed.insert(user.identity.org.clone());
            }
            let newest = last_looks.entry(user.identity.org.clone()).or_insert(last);
            *newest = last.max(*newest);
        }
    }
    // While all windows were closed there would have been no polls.
    last_looks.retain(|org, _| missed.contains(org));
    let mut organisations: Vec<(OrgName, Timestamp)> = last_looks.into_iter().collect();
    organisations.sort();
    for (org, from) in &organisations {
        let from = (*from).min(now);
        let counts = tools.store.recorder().system_counts(Some(org.clone())).await?;
        let earlier = counts.get(&EventType::SystemGap).copied().unwrap_or(0);
        let source = tools.store.source();
        let draft = system::system_gap(source, Some(org), (from, now), GapCause::Restart, earlier);
        let webhooks = recipients(&tools.subscriptions, &draft, None, None);
        let event = crate::store::Outgoing { draft, webhooks };
        tools.store.recorder().record_system(Some(org.clone()), vec![event]).await?;
        tools.store.gaps().note(org.clone(), None, from, now, Why::Restart).await?;
        for user in enrolled.iter_mut().filter(|user| user.identity.org == *org) {
            user.belief = lifecycle::mark_unobserved(&user.belief, from, now);
        }
    }
    tools.outbox_wake.notify_one();
    Ok(organisations)
}

/// Resumes with these users.
pub(super) fn fill(
    org: &mut OrgState,
    list: Vec<(Assignment, Enrolled)>,
    past_visits: &[PastVisit],
    swept: &(Vec<SweepRow>, Vec<SweptPerson>),
    now: Timestamp,
) {
    let members = list.len();
    for (assignment, stored) in list {
        let window = org.windows.key(&assignment.open, now);
        org.users.insert(new_user(assignment, stored, window));
    }
    persist::restore_sweeps(org, &swept.0, &swept.1, now);
    share::recount(org, now);
    groups::form_groups(org, past_visits, now);
    run::load_sweep_history(org, past_visits, now);
    for user in org.user_keys() {
        let due = first_due(org, user, members, now);
        let late = due.plus(schedule::stale_after(org, user, now));
        org.health.expect_look(late);
        queue::requeue(org, user, due);
    }
    open_windows::restore_overtime(org, now);
}

/// The stored time if it is within an interval; otherwise soon, spread over the time that all calls take.
pub(super) fn first_due(org: &mut OrgState, user: UserKey, members: usize, now: Timestamp) -> Timestamp {
    let watched = &org.users[user];
    let interval = schedule::interval(org, user, now);
    let stored = watched.due;
    if matches!(watched.schedule, PollSchedule::At(_)) {
        return schedule::next_regular(org, user, now);
    }
    // A plan may begin with the next window.
    let opens = org.windows.times(watched.window).opens_at(now).filter(|_| watched.number != NO_NUMBER);
    let latest = opens.unwrap_or(now).plus(interval.saturating_mul(2).max(Duration::from_hours(26)));
    if stored > now && stored <= latest {
        return stored;
    }
    if watched.number != NO_NUMBER {
        // It may be hours ahead: the next start has to find it.
        org.pending.add_replanned(user);
    }
    let watched = &org.users[user];
    let rate = org.limits.rate().effective_rate(now);
    pace::first_poll_at(now, interval, watched.phase, members, rate)
}
