//! Resumes from the stored state: matches the watch list, unwatches removed users, emits the gap of the down time, and
//! restores next polls.
//!
//! Guards: a restart makes no burst, loses no state and hides no gap. Not here: running (`poller`).

use crate::tasks::poller::roster::UserKey;
use std::collections::{HashMap, HashSet};
use std::time::Duration;

use tokio::sync::mpsc;

use super::answers::outgoing;
use super::pacing::NO_NUMBER;
use super::reload::Reloads;
use super::report::Request;
use super::roster::WindowKey;
use super::roster::{PollSchedule, WatchedUser};
use super::running::Running;
use super::upstream::Upstream;
use super::{Poller, PollerError, Settings, Tools, Totals};
use crate::ids::OrgName;
use crate::policy::pace::group::{HISTORY_REACH, MAX_HISTORY_VISITS};
use crate::policy::pace::{self, Phase};
use crate::policy::window::OpenTime;
use crate::presence::event::{EventType, UserInfo};
use crate::presence::system::GapCause;
use crate::presence::{lifecycle, system};
use crate::store::gaps::Why;
use crate::store::history::visit_history::PastVisit;
use crate::store::sweep_state::{SweepRow, SweptPerson};
use crate::store::{Enrolled, Enrolment, Recording};
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
        Enrolment { identity: self.card.identity.clone(), name: self.card.name.clone() }
    }
}

impl Poller {
    /// Matches the watch list with the database. `upstreams`: one for each organisation in `list`.
    pub async fn start(
        tools: Tools,
        settings: Settings,
        upstreams: Vec<Upstream>,
        list: Vec<Assignment>,
        requests: mpsc::Receiver<Request>,
    ) -> Result<Self, PollerError> {
        let now = tools.clock.now();
        let enrolments = list.iter().map(Assignment::enrolment).collect();
        let (mut enrolled, departed) = tools.store.watch_list().enroll(enrolments).await?;
        for user in departed {
            end_watch(&tools, user, now).await?;
        }
        let gaps = emit_gaps(&tools, &list, &mut enrolled, now).await?;
        let alert_state = AlertState::load(&tools.store).await?;
        let mut poller = Self {
            tools,
            settings,
            upstreams,
            users: super::roster::Users::with_capacity_and_key(list.len()),
            requests,
            heartbeat: super::Heartbeat::default(),
            waiting_polls: Vec::new(),
            reloads: Reloads::default(),
            running: Running::default(),
            pending: super::pending_writes::PendingWrites::default(),
            next_stale_check: now,
            windows: slotmap::SlotMap::default(),
            followed: Vec::new(),
            absences: std::collections::BTreeMap::new(),
            questions: super::confirm::Questions::default(),
            sweeps: super::sweep::Sweeps::default(),
            alerts: super::alert_queue::AlertQueue::new(alert_state, now),
            reasons: super::reasons::Reasons::default(),
            next_start: now,
            stopping: false,
            totals: Totals::default(),
        };
        let past_visits = load_past_visits(&poller.tools, needs_history(&poller.upstreams, &list), now).await;
        let swept = poller.tools.store.sweep_state().load().await?;
        poller.fill(list, enrolled, &past_visits, swept, now);
        poller.cover_downtime(&gaps, now);
        Ok(poller)
    }

    fn fill(
        &mut self,
        list: Vec<Assignment>,
        enrolled: Vec<Enrolled>,
        past_visits: &[PastVisit],
        swept: (Vec<SweepRow>, Vec<SweptPerson>),
        now: Timestamp,
    ) {
        let by_name: HashMap<OrgName, usize> =
            self.upstreams.iter().enumerate().map(|(i, upstream)| (upstream.name.clone(), i)).collect();
        for (assignment, stored) in list.into_iter().zip(enrolled) {
            // The config guarantees that every user's organisation exists.
            let Some(&upstream) = by_name.get(&assignment.card.identity.org) else { continue };
            let window = self.window_key(&assignment.open, now);
            self.users.insert(new_user(assignment, stored, upstream, window));
        }
        self.restore_sweeps(swept.0, swept.1, now);
        self.recount(now);
        self.form_groups(past_visits, now);
        self.load_sweep_history(past_visits, now);
        let mut members = vec![0_usize; self.upstreams.len()];
        self.users.values().for_each(|watched| members[watched.upstream] += 1);
        for user in self.user_keys() {
            let index = self.users[user].upstream;
            let due = self.first_due(user, members[index], now);
            let late = due.plus(self.stale_after(user, now));
            self.upstreams[index].health.expect_look(late);
            self.requeue(user, due);
        }
        self.restore_overtime(now);
    }

    /// The stored time if it is within an interval; otherwise soon, spread over the time that all calls take.
    pub(super) fn first_due(&mut self, user: UserKey, members: usize, now: Timestamp) -> Timestamp {
        let watched = &self.users[user];
        let interval = self.interval(user, now);
        let stored = watched.due;
        if matches!(watched.schedule, PollSchedule::At(_)) {
            return self.next_regular(user, now);
        }
        // A plan may begin with the next window.
        let opens = self.windows[watched.window].open.opens_at(now).filter(|_| watched.number != NO_NUMBER);
        let latest = opens.unwrap_or(now).plus(interval.saturating_mul(2).max(Duration::from_hours(26)));
        if stored > now && stored <= latest {
            return stored;
        }
        if watched.number != NO_NUMBER {
            // It may be hours ahead: the next start has to find it.
            self.pending.add_replanned(user);
        }
        let watched = &self.users[user];
        let rate = self.upstreams[watched.upstream].limiter.effective_rate(now);
        pace::first_poll_at(now, interval, watched.phase, members, rate)
    }
}

/// Whether any user is paced by history.
pub(super) fn needs_history(upstreams: &[Upstream], list: &[Assignment]) -> bool {
    let limited: HashSet<&OrgName> = upstreams
        .iter()
        .filter(|upstream| upstream.budget.limit().is_some())
        .map(|upstream| &upstream.name)
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
pub(super) fn new_user(
    assignment: Assignment,
    stored: Enrolled,
    upstream: usize,
    window: WindowKey,
) -> WatchedUser {
    WatchedUser {
        person_id: stored.person_id,
        phase: Phase::of(&assignment.card.identity),
        info: assignment.card.into(),
        upstream,
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
pub(super) async fn end_watch(tools: &Tools, user: Enrolled, now: Timestamp) -> Result<(), PollerError> {
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
        events,
        watched: false,
        polled_at: None,
        next_poll: None,
    };
    Ok(tools.store.recorder().record(recording).await?)
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
