//! Taking up where the last run ended: the watch list is matched with what is stored, who left the list is ended, the time
//! nobody looked is told, and every next look is found again.
//!
//! Guards: a restart makes no burst, loses no belief and hides no gap. Deliberately not here: running (`poller`).

use crate::tasks::poller::roster::UserKey;
use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;

use tokio::sync::mpsc;

use super::hours::HoursKey;
use super::pacing::NO_NUMBER;
use super::reload::Reloads;
use super::report::Request;
use super::roster::{Rhythm, Watched};
use super::running::Running;
use super::settle::outgoing;
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
use crate::tasks::alerts::Board;
use crate::time::Timestamp;
use crate::webhook::routing::recipients;

/// Somebody to watch, as the config says.
#[derive(Clone, Debug)]
pub struct Assignment {
    /// Who, and what is told about them.
    pub card: UserInfo,
    /// How often.
    pub rhythm: Rhythm,
    /// When at all.
    pub open: OpenTime,
}

impl Assignment {
    /// What the database keeps of it.
    pub(super) fn enrolment(&self) -> Enrolment {
        Enrolment { identity: self.card.identity.clone(), name: self.card.name.clone() }
    }
}

impl Poller {
    /// Matches the watch list with the database. `upstreams`: one for each organisation named in `list`.
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
        for person in departed {
            end_watch(&tools, person, now).await?;
        }
        let told = tell_gaps(&tools, &list, &mut enrolled, now).await?;
        let board = Board::load(&tools.store).await?;
        let mut poller = Self {
            tools,
            settings,
            upstreams,
            users: super::roster::Users::with_capacity_and_key(list.len()),
            requests,
            pulse: super::Pulse::default(),
            waiting_looks: Vec::new(),
            reloads: Reloads::default(),
            running: Running::default(),
            stretched: Vec::new(),
            unflushed: Vec::new(),
            misses: Vec::new(),
            replanned: Vec::new(),
            flushing: false,
            next_flush: None,
            next_stale_check: now,
            hours: slotmap::SlotMap::default(),
            followed: Vec::new(),
            absences: std::collections::BTreeMap::new(),
            questions: super::confirm::Questions::default(),
            sweeps: super::sweep::Sweeps::default(),
            board,
            notices: VecDeque::new(),
            telling: false,
            tell_after: now,
            next_alarm: now,
            reasons: super::reasons::Reasons::default(),
            next_start: now,
            stopping: false,
            totals: Totals::default(),
        };
        let lessons = lessons(&poller.tools, needs_lessons(&poller.upstreams, &list), now).await;
        let swept = poller.tools.store.sweep_state().load().await?;
        poller.fill(list, enrolled, &lessons, swept, now);
        poller.has_told(&told, now);
        Ok(poller)
    }

    fn fill(
        &mut self,
        list: Vec<Assignment>,
        enrolled: Vec<Enrolled>,
        lessons: &[PastVisit],
        swept: (Vec<SweepRow>, Vec<SweptPerson>),
        now: Timestamp,
    ) {
        let by_name: HashMap<OrgName, usize> =
            self.upstreams.iter().enumerate().map(|(i, upstream)| (upstream.name.clone(), i)).collect();
        for (assignment, stored) in list.into_iter().zip(enrolled) {
            // The config guarantees that every person's organisation exists.
            let Some(&upstream) = by_name.get(&assignment.card.identity.org) else { continue };
            let hours = self.hours_of(&assignment.open, now);
            self.users.insert(newcomer(assignment, stored, upstream, hours));
        }
        self.recall_sweeps(swept.0, swept.1, now);
        self.recount(now);
        self.form_groups(lessons, now);
        self.teach_sweeps(lessons, now);
        let mut members = vec![0_usize; self.upstreams.len()];
        self.users.values().for_each(|watched| members[watched.upstream] += 1);
        for person in self.user_keys() {
            let index = self.users[person].upstream;
            let due = self.first_due(person, members[index], now);
            let late = due.plus(self.stale_after(person, now));
            self.upstreams[index].health.expect_look(late);
            self.requeue(person, due);
        }
        self.catch_up_with_hours(now);
    }

    /// The stored time where it lies ahead within an interval; else soon, spread over the time that all calls take.
    pub(super) fn first_due(&mut self, person: UserKey, members: usize, now: Timestamp) -> Timestamp {
        let watched = &self.users[person];
        let interval = self.interval(person, now);
        let stored = watched.due;
        if matches!(watched.rhythm, Rhythm::At(_)) {
            return self.next_regular(person, now);
        }
        // A plan may well begin when the next window does.
        let opens = self.hours[watched.hours].open.opens_at(now).filter(|_| watched.number != NO_NUMBER);
        let latest = opens.unwrap_or(now).plus(interval.saturating_mul(2).max(Duration::from_hours(26)));
        if stored > now && stored <= latest {
            return stored;
        }
        if watched.number != NO_NUMBER {
            // It may lie hours ahead: the next start is to find it.
            self.replanned.push(person);
        }
        let watched = &self.users[person];
        let rate = self.upstreams[watched.upstream].limiter.effective_rate(now);
        pace::first_poll_at(now, interval, watched.phase, members, rate)
    }
}

/// Whether anybody is paced by what is known of them.
pub(super) fn needs_lessons(upstreams: &[Upstream], list: &[Assignment]) -> bool {
    let limited: HashSet<&OrgName> = upstreams
        .iter()
        .filter(|upstream| upstream.budget.limit().is_some())
        .map(|upstream| &upstream.name)
        .collect();
    list.iter().any(|one| one.rhythm == Rhythm::Auto && limited.contains(&one.card.identity.org))
}

/// What the rule learns from. Without it nobody is looked at less: calls are spread evenly then.
pub(super) async fn lessons(tools: &Tools, needed: bool, now: Timestamp) -> Vec<PastVisit> {
    if !needed {
        return Vec::new();
    }
    let read = tools.store.history().recent_visits(now.minus(HISTORY_REACH), MAX_HISTORY_VISITS).await;
    read.unwrap_or_else(|error| {
        tracing::warn!(%error, "the history cannot be learned from; calls are spread evenly");
        Vec::new()
    })
}

/// Somebody on the list, as they were when they were last looked at.
pub(super) fn newcomer(
    assignment: Assignment,
    stored: Enrolled,
    upstream: usize,
    hours: HoursKey,
) -> Watched {
    Watched {
        person_id: stored.person_id,
        phase: Phase::of(&assignment.card.identity),
        who: assignment.card.into(),
        upstream,
        number: NO_NUMBER,
        rhythm: assignment.rhythm,
        hours,
        overtime_until: None,
        belief: stored.belief,
        digest: stored.digest,
        bytes_digest: None,
        last_ok: stored.last_ok,
        // A user whose last poll failed is polled soon: the reason may be gone.
        due: stored.next_poll.filter(|_| stored.last_poll <= stored.last_ok).unwrap_or_default(),
        failures: 0,
        refusals: 0,
        error: None,
        held: false,
        polls: 0,
        stale: false,
        busy: false,
        gone: false,
        owed: None,
    }
}

/// Somebody was taken off the list while the daemon was down.
pub(super) async fn end_watch(tools: &Tools, person: Enrolled, now: Timestamp) -> Result<(), PollerError> {
    let card = UserInfo {
        identity: person.identity,
        name: person.name,
        groups: Vec::new(),
        tags: std::collections::BTreeMap::new(),
        store_nick: true,
    };
    let outcome = lifecycle::unwatch(&person.belief, now, &card, tools.store.source());
    let events = outgoing(&tools.subscriptions, outcome.events, &card);
    let recording = Recording {
        person_id: person.person_id,
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

/// One `system.gap` for each organisation that was looked at before, and a mark on each belief that a stay may have ended
/// unseen; gives since when each was not looked at.
async fn tell_gaps(
    tools: &Tools,
    list: &[Assignment],
    enrolled: &mut [Enrolled],
    now: Timestamp,
) -> Result<Vec<(OrgName, Timestamp)>, PollerError> {
    let mut last_looks: HashMap<OrgName, Timestamp> = HashMap::new();
    let mut missed: HashSet<OrgName> = HashSet::new();
    for (person, assignment) in enrolled.iter().zip(list) {
        if let Some(last) = person.last_poll {
            let open = &assignment.open;
            if !missed.contains(&person.identity.org)
                && (open.is_always() || !open.open_between(last, now).is_zero())
            {
                missed.insert(person.identity.org.clone());
            }
            let newest = last_looks.entry(person.identity.org.clone()).or_insert(last);
            *newest = last.max(*newest);
        }
    }
    // While all windows were closed nobody would have looked anyway.
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
        for person in enrolled.iter_mut().filter(|person| person.identity.org == *org) {
            person.belief = lifecycle::mark_unobserved(&person.belief, from, now);
        }
    }
    tools.outbox_wake.notify_one();
    Ok(organisations)
}
