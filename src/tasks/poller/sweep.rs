//! Sweeps of whole organisations: what is known of them, and one made from beginning to end.
//!
//! Guards: one at a time for an organisation, each call of it under the same limits as a look and charged to the month;
//! one that lacks a page, is odd or fails on the way is none. A refusal by permission ends them for the organisation and
//! is said once. Deliberately not here: when (`plan`), what one changes (`heed`), whether they are believed (`weigh`),
//! whose ids stand in one (`names`), what is kept of it (`keep`), the calls of one (`pass`, `members`),
//! what follows from one that fails (`failures`).

use crate::tasks::poller::roster::UserKey;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::{Done, Poller, earliest};
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

mod failures;
mod heed;
mod keep;
mod members;
mod names;
mod pass;
mod plan;
mod weigh;

use failures::{REFUSED_AFTER, is_about_the_question};
use heed::Held;
use keep::Keep;
pub(super) use keep::Written;
pub(super) use names::Named;
use names::Names;
use pass::{Answer, Ask, Pass};

/// A sweep that takes longer than this, because calls have to wait, is given up: its picture is of no one instant.
const LONGEST: Duration = Duration::from_mins(2);

/// Nobody's seats.
static NOWHERE: MeetingStatuses = MeetingStatuses::new();

/// The sweeps of all organisations, by their index.
#[derive(Debug, Default)]
pub(super) struct Sweeps(BTreeMap<usize, Sweeping>);

/// The sweeps of one organisation.
#[derive(Debug, Default)]
struct Sweeping {
    trust: SweepConfidence<UserKey>,
    spending: BudgetSplit,
    ids: SweepIds<UserKey>,
    names: Names,
    keep: Keep,
    /// Whom the newest sweep had in meetings of which a look right after it knew nothing.
    suspicions: BTreeSet<(UserKey, ConferenceId)>,
    /// The newest look that said anything about a sweep.
    compared: Option<Timestamp>,
    /// The newest whole sweep, of an earlier process too.
    swept: Option<Timestamp>,
    /// Calls of a month that sweeps took.
    spent: Option<(Month, u64)>,
    /// Why the calls are refused.
    refusal: Option<String>,
    timetable: SweepSchedule,
    /// Under way, or waiting for its next call.
    pass: Option<Pass>,
    in_call: bool,
    /// When the next is due; `None`: to be thought over.
    due: Option<Timestamp>,
    /// The members of these meetings are to be asked for now.
    entered: BTreeSet<ConferenceId>,
    /// These meetings are to be asked for again then.
    again: Option<(Timestamp, BTreeSet<ConferenceId>)>,
    /// Refusals of members in a row.
    members_refused: u32,
    /// So often since the newest whole one.
    agains: u32,
    /// The newest complete one.
    last: Option<Arc<Sweep>>,
    /// Who was believed inside before it, of those it could show.
    inside: usize,
    /// Meetings that sweeps showed, and when they last did.
    listed: ListedMeetings,
    /// Who has stood in one.
    stood: BTreeSet<UserKey>,
    /// Looks that saw somebody in a meeting in which a sweep had neither id of theirs.
    strangers: u32,
    /// Who was looked at on a sweep's word, and when.
    hinted: BTreeMap<UserKey, Timestamp>,
    /// One whose word waits for a look.
    held: Option<Held>,
    /// A look has confirmed that many left at once.
    vouched: Option<Timestamp>,
    /// Failed ones in a row.
    failures: u32,
    /// The class of the trouble that was logged.
    trouble: Option<&'static str>,
}

/// A call that came back.
#[derive(Debug)]
pub(super) struct Swept {
    upstream: usize,
    ticket: Ticket,
    result: Result<Answer, CallError>,
}

impl Sweeps {
    fn of(&mut self, index: usize) -> &mut Sweeping {
        self.0.entry(index).or_default()
    }

    fn get(&self, index: usize) -> Option<&Sweeping> {
        self.0.get(&index)
    }

    /// A user of that organisation is not watched any more.
    pub(super) fn forget(&mut self, index: usize, user: UserKey) {
        if let Some(sweeping) = self.0.get_mut(&index) {
            sweeping.forget(user);
        }
    }

    /// Whether DingTalk answers the calls about meetings, as far as is known.
    pub(super) fn are_permitted(&self, index: usize) -> bool {
        self.get(index).is_none_or(|sweeping| !sweeping.trust.is_refused())
    }

    /// Whether sweeps have shown this meeting of late, and show this person where they sit.
    pub(super) fn show(&self, index: usize, person: UserKey, meeting: &ConferenceId) -> bool {
        self.get(index)
            .is_some_and(|sweeping| sweeping.listed.contains_key(meeting) && sweeping.shows(person))
    }
}

impl Poller {
    /// Begins and carries on sweeps; returns when to be called again.
    pub(super) fn keep_sweeps(&mut self, now: Timestamp) -> Option<Timestamp> {
        let wake = (0..self.upstreams.len()).fold(None, |wake, index| {
            let names = self.wish(index).and_then(|_| self.keep_names(index, now));
            earliest(earliest(wake, names), self.keep_sweep(index, now))
        });
        earliest(wake, self.keep_trust(now))
    }

    fn keep_sweep(&mut self, index: usize, now: Timestamp) -> Option<Timestamp> {
        let wish = self.wish(index)?;
        self.turn_spending(index, now);
        self.believe_held(index, now);
        let sweeping = self.sweeps.of(index);
        if sweeping.in_call {
            return None;
        }
        if sweeping.pass.is_none() {
            if !sweeping.entered.is_empty() {
                sweeping.pass = Some(Pass::of_members(std::mem::take(&mut sweeping.entered), now));
            } else if let Some((_, meetings)) = sweeping.again.take_if(|(at, _)| *at <= now) {
                sweeping.pass = Some(Pass::again(meetings, now));
            } else {
                let again = sweeping.again.as_ref().map(|(at, _)| *at);
                let due = sweeping.due.unwrap_or_else(|| self.plan_sweep(index, wish, now));
                let sweeping = self.sweeps.of(index);
                sweeping.due = Some(due);
                if due > now {
                    return earliest(again, Some(due));
                }
                sweeping.pass = Some(Pass::whole(now));
            }
        }
        self.carry_on(index, now)
    }

    /// The next call of the sweep under way, if it may be made.
    fn carry_on(&mut self, index: usize, now: Timestamp) -> Option<Timestamp> {
        let sweeping = self.sweeps.of(index);
        let pass = sweeping.pass.as_ref()?;
        let upstream = &self.upstreams[index];
        if upstream.standing.open.is_some() {
            self.probe_for_sweeps(index, now);
            return Some(self.give_up(index, now));
        }
        if self.tools.store.health().is_disk_full() || now.since(pass.asked_at()) > LONGEST {
            return Some(self.give_up(index, now));
        }
        if upstream.in_flight >= upstream.places() || upstream.reserving || upstream.gap_untold {
            return None;
        }
        let free = upstream.limiter.next_free(now);
        if let Some(until) = upstream.paused(now).or(Some(free).filter(|free| *free > now)) {
            return Some(until);
        }
        let upstream = &mut self.upstreams[index];
        let ticket = match upstream.budget.try_take(now) {
            Ok(ticket) => ticket,
            Err(Refusal::ReserveFirst) => {
                self.reserve(index, now);
                return None;
            }
            Err(Refusal::SpentUntil(_)) => return Some(self.give_up(index, now)),
        };
        let Some(ask) = pass.wanted() else {
            upstream.budget.settle(ticket, 0);
            return None;
        };
        upstream.limiter.begin();
        upstream.in_flight += 1;
        let client = upstream.client.clone();
        sweeping.in_call = true;
        self.running.start(async move {
            let result = match ask {
                Ask::Page(after) => client.ongoing_meetings_page(after.as_ref()).await.map(Answer::Page),
                Ask::Members(meeting, after) => {
                    client.meeting_members_page(&meeting, after.as_ref()).await.map(Answer::Members)
                }
                Ask::Batch(ids) => client.meetings_with_users(&ids).await.map(Answer::Batch),
            };
            Done::Swept(Box::new(Swept { upstream: index, ticket, result }))
        });
        None
    }

    /// A shut circuit closes by a good look. Where sweeps see everybody the next look may be far away: it is moved here.
    fn probe_for_sweeps(&mut self, index: usize, now: Timestamp) {
        if self.upstreams[index].standing.open.is_some_and(|shut| now < shut.until) {
            return;
        }
        let mine = self.users.iter().filter(|(_, watched)| watched.upstream == index);
        let mut mine: Vec<(Timestamp, UserKey)> =
            mine.map(|(person, watched)| (watched.due, person)).collect();
        mine.sort_unstable();
        for (_, person) in mine {
            if self.look_soon(person, now) {
                return;
            }
        }
    }

    /// The sweep under way is dropped; the next is thought over when there is a chance.
    fn give_up(&mut self, index: usize, now: Timestamp) -> Timestamp {
        let later = now.plus(LONGEST);
        let sweeping = self.sweeps.of(index);
        sweeping.forget_questions();
        sweeping.pass = None;
        sweeping.due = Some(later);
        later
    }

    pub(super) fn sweep_told(&mut self, told: Swept) {
        let now = self.tools.clock.now();
        let Swept { upstream: index, ticket, result } = told;
        let upstream = &mut self.upstreams[index];
        let cost = match &result {
            Ok(answer) => answer.calls(),
            Err(error) => error.calls,
        };
        upstream.in_flight -= 1;
        upstream.limiter.done(now);
        upstream.budget.settle(ticket, cost);
        self.tools.metrics.calls_made(&upstream.name, cost);
        let month = self.upstreams[index].budget.month(now);
        let sweeping = self.sweeps.of(index);
        sweeping.in_call = false;
        sweeping.spend(month, cost);
        // Dropped while it was asked: an organisation without sweeps since.
        let Some(pass) = sweeping.pass.as_mut() else { return };
        match result {
            Ok(answer) => {
                if matches!(answer, Answer::Members(_)) {
                    sweeping.members_refused = 0;
                }
                if pass.take(answer) {
                    self.pass_over(index, now);
                }
            }
            // The meeting has just ended, or members are told to nobody: a batch says less, and is answered.
            Err(error) if is_about_the_question(&error) && pass.members_refused() => {
                tracing::debug!(org = %self.upstreams[index].name, class = error.class, text = error.text, "a meeting does not tell its members");
                sweeping.members_refused = sweeping.members_refused.saturating_add(1);
            }
            Err(error) => self.sweep_failed(index, &error, now),
        }
    }

    /// Every call of a sweep was answered.
    fn pass_over(&mut self, index: usize, now: Timestamp) {
        let sweeping = self.sweeps.of(index);
        let Some(mut pass) = sweeping.pass.take() else { return };
        let calls = pass.calls();
        let members = pass.members();
        let Some(mut sweep) = pass.sweep(now) else {
            sweeping.failures = sweeping.failures.saturating_add(1);
            sweeping.due = None;
            sweeping.forget_questions();
            return tracing::debug!(org = %self.upstreams[index].name, "an incomplete sweep is none");
        };
        if std::mem::take(&mut sweeping.trouble).is_some() {
            tracing::info!(org = %self.upstreams[index].name, "meetings can be asked about again");
        }
        sweeping.failures = 0;
        sweeping.due = None;
        if members.is_empty() {
            return self.heed(index, Arc::new(sweep), calls, now);
        }
        self.seat(index, members, &mut sweep);
        self.heed_members(index, Arc::new(sweep), calls, now);
    }

    /// What the history teaches of the organisations' days.
    pub(super) fn teach_sweeps(&mut self, lessons: &[PastVisit], now: Timestamp) {
        let places: BTreeMap<i64, usize> =
            self.users.values().map(|watched| (watched.person_id, watched.upstream)).collect();
        for index in 0..self.upstreams.len() {
            let mine = lessons.iter().filter(|lesson| places.get(&lesson.person_id) == Some(&index));
            let turns = mine.flat_map(|lesson| [Some(lesson.joined), lesson.left]).flatten();
            let mut timetable = SweepSchedule::default();
            timetable.learn(turns, now, self.settings.time_zone);
            let sweeping = self.sweeps.of(index);
            sweeping.timetable = timetable;
            sweeping.names.begin_anew();
            sweeping.keep.touched = true;
        }
        self.sweeps.think_again();
    }
}

impl Sweeping {
    fn forget(&mut self, user: UserKey) {
        self.trust.remove(user);
        self.ids.remove(user);
        self.suspicions.retain(|(suspect, _)| *suspect != user);
        self.stood.remove(&user);
        self.hinted.remove(&user);
        self.held.take_if(|held| held.person == user);
    }

    /// What was to be asked again, and what waits for a look, is forgotten.
    fn forget_questions(&mut self) {
        self.entered.clear();
        (self.again, self.held) = (None, None);
    }

    /// Where a sweep has somebody, perhaps nowhere; `None`: it cannot tell of them.
    fn seats<'a>(&self, person: UserKey, union_id: &str, sweep: &'a Sweep) -> Option<&'a MeetingStatuses> {
        let id = self.ids.id_of(person, union_id)?;
        Some(sweep.participants.get(id).unwrap_or(&NOWHERE))
    }
}
