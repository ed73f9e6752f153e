//! What is known of an organisation's sweeps, and what is planned.
//!
//! Not here: running a sweep (`run`), what it changes (`apply_sweep`), comparing it with polls (`compare_with_poll`).

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use super::sweep_run::SweepRun;
use crate::ids::ConferenceId;
use crate::policy::quota::Month;
use crate::policy::sweep::budget_split::BudgetSplit;
use crate::policy::sweep::confidence::SweepConfidence;
use crate::policy::sweep::ids::SweepIds;
use crate::policy::sweep::recheck::Recheck;
use crate::policy::sweep::schedule::SweepSchedule;
use crate::presence::sweep_view::{ListedMeetings, MeetingStatuses, Sweep, SweepView};
use crate::tasks::poller::roster::UserKey;
use crate::time::Timestamp;

/// Number of polls without a matching id in the sweep after which that is logged.
pub(super) const MAX_UNMATCHED: u32 = 3;

/// Rechecks in a row; the next whole sweep continues from there.
const MAX_RECHECKS: u32 = 4;
/// This many refusals in a row are not caused by a meeting that just ended or a gateway that restarts.
pub(super) const REFUSED_AFTER: u32 = 3;

/// The statuses of a user who is in no meeting.
static NOWHERE: MeetingStatuses = MeetingStatuses::new();

/// The sweeps of one organisation.
#[derive(Debug, Default)]
pub(in crate::tasks::poller) struct SweepEngine {
    pub(super) trust: SweepConfidence<UserKey>,
    pub(super) ids: SweepIds<UserKey>,
    pub(super) resolver: UserIdResolver,
    pub(super) persist: Persistence,
    /// Polls that show a user in a meeting in which a sweep has neither of the user's ids.
    pub(super) unmatched_ids: u32,
    pub(super) plan: SweepPlan,
    pub(super) newest: NewestSweep,
    pub(super) calls: SweepCalls,
}

/// What is swept next, and how often.
#[derive(Debug, Default)]
pub(super) struct SweepPlan {
    pub(super) timetable: SweepSchedule,
    pub(super) spending: BudgetSplit,
    /// When the next sweep is due; `None`: to be planned.
    pub(super) due: Option<Timestamp>,
    /// Meetings whose members are to be listed now.
    pub(super) entered: BTreeSet<ConferenceId>,
    /// Meetings that are to be checked again, and when.
    pub(super) recheck: Option<(Timestamp, BTreeSet<ConferenceId>)>,
    /// Rechecks since the newest whole sweep.
    pub(super) recheck_count: u32,
}

/// What the newest sweeps showed, and what waits for a poll because of them.
#[derive(Debug, Default)]
pub(super) struct NewestSweep {
    /// The newest whole sweep.
    pub(super) last: Option<Arc<Sweep>>,
    /// How many of the users it could show were inside before it.
    pub(super) inside: usize,
    /// Meetings that sweeps showed, and when they last did.
    pub(super) listed: ListedMeetings,
    /// Users that a sweep has shown in a meeting.
    pub(super) listed_users: BTreeSet<UserKey>,
    /// Users who were polled because of a sweep, and when.
    pub(super) scheduled_by_sweep: BTreeMap<UserKey, Timestamp>,
    /// A sweep that waits for a confirming poll.
    pub(super) held: Option<HeldSweep>,
    /// When a poll last confirmed a mass leave.
    pub(super) confirmed_mass_leave: Option<Timestamp>,
    /// Users and meetings that the newest sweep shows together although a poll right after it does not list them.
    pub(super) contradictions: BTreeSet<(UserKey, ConferenceId)>,
}

/// The running sweep, and how its calls went.
#[derive(Debug, Default)]
pub(super) struct SweepCalls {
    /// Running, or waiting for its next call.
    pub(super) run: Option<SweepRun>,
    pub(super) in_call: bool,
    /// Failed sweeps in a row.
    pub(super) failures: u32,
    /// Class of the last logged failure.
    pub(super) trouble: Option<&'static str>,
    /// Refused member lists in a row.
    pub(super) members_refused: u32,
    /// Why DingTalk refuses the calls.
    pub(super) refusal: Option<String>,
    /// Calls that sweeps took in a month.
    pub(super) spent: Option<(Month, u64)>,
    /// The newest whole sweep, also of an earlier process.
    pub(super) swept: Option<Timestamp>,
    /// The newest poll that was compared with a sweep.
    pub(super) compared: Option<Timestamp>,
}

/// A sweep that waits for a poll of one of many users who seem to have left.
#[derive(Debug)]
pub(super) struct HeldSweep {
    pub(super) sweep: Arc<Sweep>,
    pub(super) user: UserKey,
    /// The meetings that this user seems to have left.
    pub(super) left: Vec<ConferenceId>,
    pub(super) until: Timestamp,
    /// The poll confirmed it.
    pub(super) confirmed: bool,
}

/// What is to be written.
#[derive(Debug, Default)]
pub(super) struct Persistence {
    /// Something changed that is reported.
    pub(super) touched: bool,
    /// Something changed that is stored.
    pub(super) dirty: bool,
    pub(super) urgent: bool,
    pub(super) writing: bool,
    /// No write before this time.
    pub(super) after: Timestamp,
    pub(super) people: BTreeSet<UserKey>,
}

impl Persistence {
    /// Marks a change, also of this user's counts.
    pub(super) fn note(&mut self, user: Option<UserKey>) {
        (self.touched, self.dirty) = (true, true);
        self.people.extend(user);
    }

    /// Marks a change that is written at once.
    pub(super) fn mark_urgent(&mut self) {
        self.note(None);
        self.urgent = true;
    }
}

/// The requests of one organisation.
#[derive(Debug, Default)]
pub(super) struct UserIdResolver {
    /// Users seen in a listed meeting: resolved before all others.
    pub(super) first: VecDeque<UserKey>,
    /// Users who were not considered yet; `None`: none was.
    pub(super) rest: Option<Vec<UserKey>>,
    pub(super) asking: bool,
    /// No request before this time.
    pub(super) next: Timestamp,
    /// Failed requests in a row.
    pub(super) failures: u32,
    /// Class of the last logged failure.
    pub(super) trouble: Option<&'static str>,
    /// It is logged that the contacts lack a user.
    pub(super) lacking: bool,
}

impl UserIdResolver {
    /// The watch list may have changed: every user is considered again.
    pub(super) fn restart(&mut self) {
        self.rest = None;
    }
}

impl SweepEngine {
    /// Whether DingTalk answers the calls about meetings, as far as is known.
    pub(in crate::tasks::poller) fn are_permitted(&self) -> bool {
        !self.trust.is_refused()
    }

    /// Discards all plans, after a change of config or windows.
    pub(super) fn discard_plan(&mut self) {
        self.plan.due = None;
        self.plan.timetable.discard_plan();
    }

    /// Whether polls show this user mostly in meetings that no sweep lists.
    pub(in crate::tasks::poller) fn meet_elsewhere(&self, user: UserKey) -> bool {
        self.trust.coverage(user) < 0.5
    }

    /// Whether sweeps showed this meeting recently, and show this user where the user is.
    pub(in crate::tasks::poller) fn show(&self, user: UserKey, meeting: &ConferenceId) -> bool {
        self.newest.listed.contains_key(meeting) && self.shows(user)
    }

    /// Removes a user who left the list.
    pub(in crate::tasks::poller) fn forget(&mut self, user: UserKey) {
        self.trust.remove(user);
        self.ids.remove(user);
        self.newest.contradictions.retain(|(suspect, _)| *suspect != user);
        self.newest.listed_users.remove(&user);
        self.newest.scheduled_by_sweep.remove(&user);
        self.newest.held.take_if(|held| held.user == user);
    }

    /// Clears planned rechecks and the held sweep.
    pub(super) fn drop_pending(&mut self) {
        self.plan.entered.clear();
        (self.plan.recheck, self.newest.held) = (None, None);
    }

    /// A user's statuses in a sweep, possibly in no meeting; `None`: the user's id in sweeps is unknown.
    pub(super) fn seats<'a>(
        &self,
        user: UserKey,
        union_id: &str,
        sweep: &'a Sweep,
    ) -> Option<&'a MeetingStatuses> {
        let id = self.ids.id_of(user, union_id)?;
        Some(sweep.participants.get(id).unwrap_or(&NOWHERE))
    }

    /// A sweep as it concerns a user; `None`: the user's id in sweeps is unknown.
    pub(super) fn glance<'a>(
        &'a self,
        user: UserKey,
        union_id: &str,
        sweep: &'a Sweep,
    ) -> Option<SweepView<'a>> {
        let glance = sweep.view(Some(self.seats(user, union_id, sweep)?));
        Some(if self.shows(user) { glance.listed_in(&self.newest.listed) } else { glance })
    }

    /// Plans rechecks of changed meetings: at once by member lists where possible, else at `then`.
    pub(super) fn schedule_recheck(&mut self, again: Recheck<ConferenceId>, then: Timestamp) {
        if again.is_empty() || self.plan.recheck_count == MAX_RECHECKS {
            return;
        }
        self.plan.recheck_count += 1;
        let by_members = again.by_members() && self.calls.members_refused < REFUSED_AFTER;
        let Recheck { entered, mut others } = again;
        if by_members {
            self.plan.entered = entered;
        } else {
            others.extend(entered);
        }
        if others.is_empty() {
            return;
        }
        // Earlier meetings that wait for a recheck stay.
        match &mut self.plan.recheck {
            Some((_, waiting)) => waiting.extend(others),
            None => self.plan.recheck = Some((then, others)),
        }
    }

    /// Whether sweeps are known to show this user.
    pub(super) fn shows(&self, user: UserKey) -> bool {
        self.newest.listed_users.contains(&user) || self.trust.has_listed(user)
    }

    /// Counts calls that sweeps took in a month.
    pub(super) fn spend(&mut self, month: Month, calls: u32) {
        let spent = self.calls.spent.filter(|(of, _)| *of == month).map_or(0, |(_, calls)| calls);
        self.calls.spent = Some((month, spent.saturating_add(u64::from(calls))));
        self.plan.spending.record_sweep(u64::from(calls));
        self.persist.note(None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_members_change_does_not_push_aside_what_waits() {
        let meeting = |id: &str| ConferenceId::parse(id).unwrap();
        let (then, later) = (Timestamp::from_ms(30_000), Timestamp::from_ms(31_000));
        let mut sweeping = SweepEngine::default();
        sweeping.schedule_recheck(Recheck::of([(meeting("came"), true), (meeting("left"), false)]), then);
        assert_eq!(sweeping.plan.entered, [meeting("came")].into());
        sweeping.schedule_recheck(Recheck::of([(meeting("came"), false)]), later);
        assert_eq!(sweeping.plan.recheck, Some((then, [meeting("came"), meeting("left")].into())));
    }
}
