//! Sweeps of the whole organisation: their state, and one sweep from beginning to end.
//!
//! Guards: one sweep at a time for an organisation, each call under the same limits as a poll and charged to the month;
//! a sweep that lacks a page, is unclear or fails on the way is discarded. A refusal by permission ends sweeps for the
//! organisation and is logged once. Not here: when to sweep (`plan`), what a sweep changes (`apply_sweep`), whether
//! sweeps are trusted (`compare_with_poll`), by which ids sweeps name users (`user_id_resolver`), what is stored
//! (`persist`), the calls of a sweep (`sweep_run`, `members`), failed calls (`failures`).

use crate::tasks::poller::roster::UserKey;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::effects::Work;
use super::org::OrgPoller;
use super::settings::earliest;
use crate::dingtalk::error::CallError;
use crate::ids::ConferenceId;
use crate::policy::quota::{Month, Refusal, Ticket};
use crate::policy::sweep::budget_split::BudgetSplit;
use crate::policy::sweep::confidence::SweepConfidence;
use crate::policy::sweep::ids::SweepIds;
use crate::policy::sweep::schedule::SweepSchedule;
use crate::presence::sweep_view::{ListedMeetings, MeetingStatuses, Sweep};
use crate::store::history::visit_history::PastVisit;
use crate::time::Timestamp;

mod apply_sweep;
mod compare_with_poll;
mod failures;
mod members;
mod persist;
mod plan;
pub(super) mod sweep_run;
mod user_id_resolver;

use apply_sweep::HeldSweep;
use failures::{REFUSED_AFTER, is_about_the_question};
use persist::Persistence;
use sweep_run::{Answer, SweepRun};
use user_id_resolver::UserIdResolver;

/// A sweep that takes longer, because calls have to wait, is discarded: it does not show one instant.
const LONGEST: Duration = Duration::from_mins(2);

/// The statuses of a user who is in no meeting.
static NOWHERE: MeetingStatuses = MeetingStatuses::new();

/// The sweeps of one organisation.
#[derive(Debug, Default)]
pub(super) struct OrgSweeps {
    trust: SweepConfidence<UserKey>,
    spending: BudgetSplit,
    ids: SweepIds<UserKey>,
    resolver: UserIdResolver,
    persist: Persistence,
    /// Users and meetings that the newest sweep shows together although a poll right after it does not list them.
    contradictions: BTreeSet<(UserKey, ConferenceId)>,
    /// The newest poll that was compared with a sweep.
    compared: Option<Timestamp>,
    /// The newest whole sweep, also of an earlier process.
    swept: Option<Timestamp>,
    /// Calls that sweeps took in a month.
    spent: Option<(Month, u64)>,
    /// Why DingTalk refuses the calls.
    refusal: Option<String>,
    timetable: SweepSchedule,
    /// Running, or waiting for its next call.
    run: Option<SweepRun>,
    in_call: bool,
    /// When the next sweep is due; `None`: to be planned.
    due: Option<Timestamp>,
    /// Meetings whose members are to be listed now.
    entered: BTreeSet<ConferenceId>,
    /// Meetings that are to be checked again, and when.
    recheck: Option<(Timestamp, BTreeSet<ConferenceId>)>,
    /// Refused member lists in a row.
    members_refused: u32,
    /// Rechecks since the newest whole sweep.
    recheck_count: u32,
    /// The newest whole sweep.
    last: Option<Arc<Sweep>>,
    /// How many of the users it could show were inside before it.
    inside: usize,
    /// Meetings that sweeps showed, and when they last did.
    listed: ListedMeetings,
    /// Users that a sweep has shown in a meeting.
    listed_users: BTreeSet<UserKey>,
    /// Polls that show a user in a meeting in which a sweep has neither of the user's ids.
    unmatched_ids: u32,
    /// Users who were polled because of a sweep, and when.
    scheduled_by_sweep: BTreeMap<UserKey, Timestamp>,
    /// A sweep that waits for a confirming poll.
    held: Option<HeldSweep>,
    /// When a poll last confirmed a mass leave.
    confirmed_mass_leave: Option<Timestamp>,
    /// Failed sweeps in a row.
    failures: u32,
    /// Class of the last logged failure.
    trouble: Option<&'static str>,
}

impl OrgSweeps {
    /// Whether DingTalk answers the calls about meetings, as far as is known.
    pub(super) fn are_permitted(&self) -> bool {
        !self.trust.is_refused()
    }

    /// Discards all plans, after a change of config or windows.
    fn discard_plan(&mut self) {
        self.due = None;
        self.timetable.discard_plan();
    }

    /// Whether sweeps showed this meeting recently, and show this user where the user is.
    pub(super) fn show(&self, user: UserKey, meeting: &ConferenceId) -> bool {
        self.listed.contains_key(meeting) && self.shows(user)
    }
}

impl OrgPoller {
    /// Starts and continues sweeps; returns when to call it again.
    pub(super) fn run_sweeps(&mut self, now: Timestamp) -> Option<Timestamp> {
        let resolver = self.wish().and_then(|_| self.resolve_user_ids(now));
        let wake = earliest(resolver, self.advance_sweep(now));
        earliest(wake, self.persist_sweeps(now))
    }

    fn advance_sweep(&mut self, now: Timestamp) -> Option<Timestamp> {
        let wish = self.wish()?;
        self.start_budget_day(now);
        self.accept_held(now);
        let sweeping = &mut self.sweeps;
        if sweeping.in_call {
            return None;
        }
        if sweeping.run.is_none() {
            if !sweeping.entered.is_empty() {
                sweeping.run = Some(SweepRun::of_members(std::mem::take(&mut sweeping.entered), now));
            } else if let Some((_, meetings)) = sweeping.recheck.take_if(|(at, _)| *at <= now) {
                sweeping.run = Some(SweepRun::recheck(meetings, now));
            } else {
                let again = sweeping.recheck.as_ref().map(|(at, _)| *at);
                let due = sweeping.due.unwrap_or_else(|| self.plan_sweep(wish, now));
                let sweeping = &mut self.sweeps;
                sweeping.due = Some(due);
                if due > now {
                    return earliest(again, Some(due));
                }
                sweeping.run = Some(SweepRun::whole(now));
            }
        }
        self.next_sweep_call(now)
    }

    /// Starts the next call of the running sweep, if it may be made.
    fn next_sweep_call(&mut self, now: Timestamp) -> Option<Timestamp> {
        let sweeping = &mut self.sweeps;
        let run = sweeping.run.as_ref()?;
        let upstream = &self.upstream;
        if upstream.standing.open.is_some() {
            self.schedule_probe(now);
            return Some(self.give_up(now));
        }
        if self.disk_full_since.is_some() || now.since(run.asked_at()) > LONGEST {
            return Some(self.give_up(now));
        }
        if upstream.in_flight >= upstream.places() || upstream.reserving || upstream.gap_pending {
            return None;
        }
        let free = upstream.limiter.next_free(now);
        if let Some(until) = upstream.paused(now).or(Some(free).filter(|free| *free > now)) {
            return Some(until);
        }
        let upstream = &mut self.upstream;
        let ticket = match upstream.budget.try_take(now) {
            Ok(ticket) => ticket,
            Err(Refusal::ReserveFirst) => {
                self.reserve(now);
                return None;
            }
            Err(Refusal::SpentUntil(_)) => return Some(self.give_up(now)),
        };
        let Some(ask) = run.wanted() else {
            upstream.budget.settle(ticket, 0);
            return None;
        };
        upstream.limiter.begin();
        upstream.in_flight += 1;
        sweeping.in_call = true;
        self.start_work(Work::Sweep { ask, ticket });
        None
    }

    /// Only a good poll closes an open circuit. Where sweeps show all users the next poll may be far away, so it is
    /// moved here.
    fn schedule_probe(&mut self, now: Timestamp) {
        if self.upstream.standing.open.is_some_and(|shut| now < shut.until) {
            return;
        }
        let mut all: Vec<(Timestamp, UserKey)> =
            self.users.iter().map(|(user, watched)| (watched.due, user)).collect();
        all.sort_unstable();
        for (_, user) in all {
            if self.poll_soon(user, now) {
                return;
            }
        }
    }

    /// Discards the running sweep and delays the next.
    fn give_up(&mut self, now: Timestamp) -> Timestamp {
        let later = now.plus(LONGEST);
        let sweeping = &mut self.sweeps;
        sweeping.drop_pending();
        sweeping.run = None;
        sweeping.due = Some(later);
        later
    }

    pub(super) fn sweep_call_finished(&mut self, ticket: Ticket, result: Result<Answer, CallError>) {
        let now = self.now;
        let upstream = &mut self.upstream;
        let cost = match &result {
            Ok(answer) => answer.calls(),
            Err(error) => error.calls,
        };
        upstream.in_flight -= 1;
        upstream.limiter.done(now);
        upstream.budget.settle(ticket, cost);
        self.tools.metrics.calls_made(&upstream.name, cost);
        let month = self.upstream.budget.month(now);
        let sweeping = &mut self.sweeps;
        sweeping.in_call = false;
        sweeping.spend(month, cost);
        if let Ok(Answer::Page(page)) = &result {
            self.learn_from_page(page, now);
        }
        let sweeping = &mut self.sweeps;
        // Discarded during the call: the organisation is no longer swept.
        let Some(run) = sweeping.run.as_mut() else { return };
        match result {
            Ok(answer) => {
                if matches!(answer, Answer::Members(_)) {
                    sweeping.members_refused = 0;
                }
                if run.take(answer) {
                    self.sweep_finished(now);
                }
            }
            // The meeting has just ended, or its members are not readable: a batch contains less, and is answered.
            Err(error) if is_about_the_question(&error) && run.members_refused() => {
                tracing::debug!(org = %self.upstream.name, class = error.class, text = error.text, "the members of a meeting are not readable; using a batch call");
                sweeping.members_refused = sweeping.members_refused.saturating_add(1);
            }
            Err(error) => self.sweep_failed(&error, now),
        }
    }

    /// Handles a sweep whose calls are all answered.
    fn sweep_finished(&mut self, now: Timestamp) {
        let sweeping = &mut self.sweeps;
        let Some(mut run) = sweeping.run.take() else { return };
        let calls = run.calls();
        let members = run.members();
        let Some(mut sweep) = run.sweep(now) else {
            sweeping.failures = sweeping.failures.saturating_add(1);
            sweeping.due = None;
            sweeping.drop_pending();
            return tracing::debug!(org = %self.upstream.name, "a sweep was incomplete; discarded");
        };
        if std::mem::take(&mut sweeping.trouble).is_some() {
            tracing::info!(org = %self.upstream.name, "sweeps succeed again");
        }
        sweeping.failures = 0;
        sweeping.due = None;
        if members.is_empty() {
            return self.apply_sweep(Arc::new(sweep), calls, now);
        }
        self.add_members(members, &mut sweep);
        self.apply_members(Arc::new(sweep), calls, now);
    }

    /// Loads past visits into the schedule.
    pub(super) fn load_sweep_history(&mut self, past_visits: &[PastVisit], now: Timestamp) {
        let members: BTreeSet<i64> = self.users.values().map(|watched| watched.person_id).collect();
        let ours = past_visits.iter().filter(|visit| members.contains(&visit.person_id));
        let turns = ours.flat_map(|visit| [Some(visit.joined), visit.left]).flatten();
        let mut timetable = SweepSchedule::default();
        timetable.learn(turns, now, self.settings.time_zone);
        self.sweeps.timetable = timetable;
        self.sweeps.resolver.restart();
        self.sweeps.persist.touched = true;
        self.sweeps.discard_plan();
    }
}

impl OrgSweeps {
    /// Removes a user who left the list.
    pub(super) fn forget(&mut self, user: UserKey) {
        self.trust.remove(user);
        self.ids.remove(user);
        self.contradictions.retain(|(suspect, _)| *suspect != user);
        self.listed_users.remove(&user);
        self.scheduled_by_sweep.remove(&user);
        self.held.take_if(|held| held.user == user);
    }

    /// Clears planned rechecks and the held sweep.
    fn drop_pending(&mut self) {
        self.entered.clear();
        (self.recheck, self.held) = (None, None);
    }

    /// A user's statuses in a sweep, possibly in no meeting; `None`: the user's id in sweeps is unknown.
    fn seats<'a>(&self, user: UserKey, union_id: &str, sweep: &'a Sweep) -> Option<&'a MeetingStatuses> {
        let id = self.ids.id_of(user, union_id)?;
        Some(sweep.participants.get(id).unwrap_or(&NOWHERE))
    }
}
