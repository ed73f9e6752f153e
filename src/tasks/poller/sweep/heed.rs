//! What follows from a sweep: its word is taken, or waits for a look, or is only a hint whom to look at.
//!
//! Guards: without trust a sweep changes nobody's presence; when it loses more than half of those inside, nobody leaves
//! before a look has seen one of them gone; whoever is being looked at or recorded is left out. Deliberately not here:
//! the verdict (`policy::sweep`), what it makes of a belief (`presence::sweep`).

use crate::tasks::poller::roster::UserKey;
use std::sync::Arc;
use std::time::Duration;

use super::names::STRANGERS;
use super::{REFUSED_AFTER, Sweeping};
use crate::ids::ConferenceId;
use crate::policy::sweep::decision::{self, PresenceChange};
use crate::policy::sweep::recheck::Recheck;
use crate::presence::sweep;
use crate::presence::sweep_view::{self, POLL_PRECEDENCE, Sweep, SweepChange, SweepView};
use crate::tasks::poller::Poller;
use crate::time::Timestamp;

/// What a sweep found is asked again after so long.
const AGAIN_AFTER: Duration = Duration::from_secs(30);
/// So often in a row; the next whole sweep goes on from there.
const MOST_AGAIN: u32 = 4;
/// A look confirms that many left at once within this time, or it never does.
const HELD_FOR: Duration = Duration::from_mins(3);
/// So many people are looked at because of one sweep that is not trusted,
const MOST_HINTS: usize = 8;
/// or so many of those it rightly seems to see inside, to learn whether it does.
const VERIFIED: usize = 4;
/// or so many of those inside a listed meeting in which it does not show them, to learn by which ids it names people.
const TAUGHT_BY: usize = 2;
/// A meeting that no sweep showed for so long is forgotten.
const REMEMBERED: Duration = Duration::from_hours(24);

/// A sweep that waits for a look at one of many who seem to have left.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) sweep: Arc<Sweep>,
    pub(super) person: UserKey,
    /// Those they seem to have left.
    pub(super) left: Vec<ConferenceId>,
    pub(super) until: Timestamp,
    /// The look has seen it.
    pub(super) granted: bool,
}

/// What a sweep says of an organisation's people.
#[derive(Debug, Default)]
struct Heard {
    inside: usize,
    changes: Vec<(UserKey, PresenceChange)>,
    /// Who changed in which meeting, and whether by coming.
    turns: Vec<(UserKey, ConferenceId, bool)>,
    /// Who is inside, as believed.
    sitting: Vec<UserKey>,
    /// Looks at them could teach by which ids it names people.
    teachers: Vec<UserKey>,
    /// Who stands in it.
    stood: Vec<UserKey>,
}

impl Heard {
    /// Who is newly inside which.
    fn came(&self) -> impl Iterator<Item = (&ConferenceId, UserKey)> {
        self.turns.iter().filter(|(.., came)| *came).map(|(person, meeting, _)| (meeting, *person))
    }

    /// What is asked for again if these are looked at.
    fn again(&self, looks: &[UserKey]) -> Recheck<&ConferenceId> {
        let others = self.turns.iter().filter(|(person, ..)| !looks.contains(person));
        Recheck::of(others.map(|(_, meeting, came)| (meeting, *came)))
    }
}

impl Sweeping {
    /// What a sweep says about somebody; `None`: it cannot be told whom it names.
    fn glance<'a>(&'a self, person: UserKey, union_id: &str, sweep: &'a Sweep) -> Option<SweepView<'a>> {
        let glance = sweep.view(Some(self.seats(person, union_id, sweep)?));
        Some(if self.shows(person) { glance.listed_in(&self.listed) } else { glance })
    }

    /// What a sweep changes is asked for again: now if members are, else then.
    fn ask_again(&mut self, again: Recheck<ConferenceId>, then: Timestamp) {
        if again.is_empty() || self.agains == MOST_AGAIN {
            return;
        }
        self.agains += 1;
        let by_members = again.by_members() && self.members_refused < REFUSED_AFTER;
        let Recheck { entered, mut others } = again;
        if by_members {
            self.entered = entered;
        } else {
            others.extend(entered);
        }
        if others.is_empty() {
            return;
        }
        // Those of the sweep before are still to be asked for.
        match &mut self.again {
            Some((_, waiting)) => waiting.extend(others),
            None => self.again = Some((then, others)),
        }
    }

    /// Whether sweeps are known to show this person where they sit.
    pub(super) fn shows(&self, person: UserKey) -> bool {
        self.stood.contains(&person) || self.trust.has_listed(person)
    }
}

impl Poller {
    /// A sweep is complete and understood.
    pub(super) fn heed(&mut self, index: usize, sweep: Arc<Sweep>, calls: u32, now: Timestamp) {
        self.settle_suspicions(index, &sweep, now);
        let sweeping = self.sweeps.of(index);
        sweeping.listed.extend(sweep.meetings.iter().map(|meeting| (meeting.clone(), now)));
        sweeping.listed.retain(|_, seen| now.since(*seen) < REMEMBERED);
        let heard = self.hear(index, &sweep);
        let sweeping = self.sweeps.of(index);
        sweeping.stood.extend(&heard.stood);
        sweeping.held = None;
        let trusted = sweeping.trust.is_trusted();
        let verdict = if sweep.requested.is_none() {
            sweeping.inside = heard.inside;
            decision::decide(trusted, heard.inside, &heard.changes, &decision::joined_alone(heard.came()))
        } else {
            decision::decide_recheck(trusted, heard.inside.max(sweeping.inside), &heard.changes)
        };
        if sweep.requested.is_none() {
            let more = if trusted { verdict.calls(&heard.again(&verdict.polls)) } else { 0 };
            let more = u32::try_from(more).unwrap_or(u32::MAX);
            sweeping.timetable.record_cost(f64::from(calls.saturating_add(more)));
            let since = sweeping.last.replace(Arc::clone(&sweep)).map(|last| last.observed_at);
            sweeping.swept = Some(now);
            let changes =
                heard.changes.iter().filter(|(_, change)| *change != PresenceChange::Unclear).count();
            sweeping.timetable.record_changes(since, now, changes, self.settings.time_zone);
            sweeping.agains = 0;
        }
        tracing::debug!(
            org = %self.upstreams[index].name, calls, trusted, meetings = sweep.meetings.len(),
            inside = heard.inside, changes = heard.changes.len(), "a sweep"
        );
        if !verdict.trusted {
            if self.hint(index, &verdict.polls, MOST_HINTS, now) == 0
                && self.hint(index, &heard.sitting, VERIFIED, now) == 0
            {
                self.hint(index, &heard.teachers, TAUGHT_BY, now);
            }
            return;
        }
        let vouched = self.sweeps.of(index).vouched.is_some_and(|at| now.since(at) < HELD_FOR);
        match verdict.poll_first.first() {
            Some(&person) if !vouched => self.hold(index, sweep, person, now),
            _ => self.believe(index, &sweep, &verdict.polls, now),
        }
    }

    fn hear(&self, index: usize, sweep: &Sweep) -> Heard {
        let mut heard = Heard::default();
        let Some(sweeping) = self.sweeps.get(index) else { return heard };
        for (person, watched) in &self.users {
            if watched.upstream != index || watched.gone {
                continue;
            }
            let union_id = watched.who.identity.union_id.as_str();
            let Some(seats) = sweeping.seats(person, union_id, sweep).filter(|_| self.is_swept(person))
            else {
                continue;
            };
            if sweeping.strangers < STRANGERS
                && seats.is_empty()
                && sweeping.ids.may_learn(person)
                && watched.belief.inside().any(|inside| sweep.meetings.contains(inside))
            {
                heard.teachers.push(person);
            }
            let Some(glance) = sweeping.glance(person, union_id, sweep) else { continue };
            let says = sweep_view::changes(&watched.belief, &glance);
            heard.stood.extend((!seats.is_empty()).then_some(person));
            let any = |wanted: fn(&SweepChange) -> bool| says.iter().any(|(_, says)| wanted(says));
            let left = any(|says| matches!(says, SweepChange::Left(_)));
            let still = any(|says| *says == SweepChange::StillInside);
            heard.inside += usize::from(left || still);
            let change = if any(|says| *says == SweepChange::NeedsPoll) {
                PresenceChange::Unclear
            } else if left {
                PresenceChange::Leaves
            } else if any(|says| *says == SweepChange::Joined) {
                PresenceChange::Joins
            } else {
                heard.sitting.extend(still.then_some(person));
                continue;
            };
            heard.changes.push((person, change));
            let changed = says.into_iter().filter(|(_, says)| *says != SweepChange::StillInside);
            heard.turns.extend(changed.map(|(meeting, says)| (person, meeting, says == SweepChange::Joined)));
        }
        heard
    }

    /// A sweep of members is complete: two different calls have said who came. Whom the second one does not see is looked
    /// at: one of the two lies.
    pub(super) fn heed_members(&mut self, index: usize, sweep: Arc<Sweep>, calls: u32, now: Timestamp) {
        let doubted: Vec<UserKey> = self
            .users
            .iter()
            .filter(|(person, watched)| watched.upstream == index && self.is_swept(*person))
            .filter(|(person, watched)| {
                let union_id = watched.who.identity.union_id.as_str();
                let sweeping = self.sweeps.get(index);
                let glance = sweeping.and_then(|sweeping| sweeping.glance(*person, union_id, &sweep));
                glance.is_some_and(|glance| sweep_view::retracts_join(&watched.belief, &glance))
            })
            .map(|(person, _)| person)
            .collect();
        self.heed(index, sweep, calls, now);
        self.hint(index, &doubted, MOST_HINTS, now);
    }

    /// Whether a sweep's word about somebody counts now.
    fn is_swept(&self, person: UserKey) -> bool {
        let watched = &self.users[person];
        !watched.gone
            && !watched.busy
            && self.may_look(person)
            && !self.tools.store.erasures().is_erased(watched.person_id)
    }

    /// More than half of those inside are gone: one of them is looked at first.
    fn hold(&mut self, index: usize, sweep: Arc<Sweep>, person: UserKey, now: Timestamp) {
        let watched = &self.users[person];
        let union_id = watched.who.identity.union_id.as_str();
        let sweeping = self.sweeps.get(index);
        let Some(glance) = sweeping.and_then(|known| known.glance(person, union_id, &sweep)) else { return };
        let says = sweep_view::changes(&watched.belief, &glance);
        let left = says.into_iter().filter(|(_, says)| matches!(says, SweepChange::Left(_)));
        let left = left.map(|(meeting, _)| meeting).collect();
        if self.look_soon(person, now) {
            let until = now.plus(HELD_FOR);
            self.sweeps.of(index).held = Some(Held { sweep, person, left, until, granted: false });
        }
    }

    /// A sweep that waited, if a look has granted it.
    pub(super) fn believe_held(&mut self, index: usize, now: Timestamp) {
        let sweeping = self.sweeps.of(index);
        let Some(held) = sweeping.held.take_if(|held| held.granted || now > held.until) else { return };
        if held.granted && sweeping.trust.is_trusted() {
            sweeping.vouched = Some(now);
            self.believe(index, &held.sweep, &[], now);
        }
    }

    /// Takes a sweep's word for everybody but those who are to be looked at.
    fn believe(&mut self, index: usize, sweep: &Sweep, looks: &[UserKey], now: Timestamp) {
        let (mut turns, mut changed) = (Vec::new(), Vec::new());
        for person in self.user_keys() {
            if self.users[person].upstream != index || looks.contains(&person) || !self.is_swept(person) {
                continue;
            }
            let watched = &mut self.users[person];
            let union_id = watched.who.identity.union_id.as_str();
            let sweeping = self.sweeps.get(index);
            let Some(glance) = sweeping.and_then(|known| known.glance(person, union_id, sweep)) else {
                continue;
            };
            let (card, source) = (watched.who.card(), self.tools.store.source());
            let outcome = sweep::observe(&watched.belief, &glance, &card, source, &self.settings.rules);
            if outcome.needs_recheck {
                let says = sweep_view::changes(&watched.belief, &glance);
                let turned = says
                    .into_iter()
                    .filter(|(_, says)| matches!(says, SweepChange::Joined | SweepChange::Left(_)));
                turns.extend(turned.map(|(meeting, says)| (meeting, says == SweepChange::Joined)));
            }
            if outcome.events.is_empty() && outcome.visits.is_empty() {
                // Only times and counts moved; as with looks that say nothing new, memory is enough.
                watched.belief = outcome.state;
            } else {
                changed.push((person, outcome));
            }
        }
        for (person, outcome) in changed {
            self.tell_rule(person, now, Some(&outcome.state), &outcome.visits);
            let watched = &mut self.users[person];
            let due = watched.due;
            self.upstreams[index].due.remove(due, person);
            self.record_outcome(person, outcome, due);
        }
        self.sweeps
            .of(index)
            .ask_again(Recheck::of(turns), now.plus(AGAIN_AFTER.max(self.settings.min_interval)));
        self.hint(index, looks, usize::MAX, now);
    }

    /// Looks at some of these now; at nobody a second time while what the look saw is still fresh. Gives back at how many.
    fn hint(&mut self, index: usize, people: &[UserKey], most: usize, now: Timestamp) -> usize {
        self.sweeps.of(index).hinted.retain(|_, at| now.since(*at) < POLL_PRECEDENCE);
        let mut hinted = 0;
        for &person in people {
            if hinted == most {
                break;
            }
            if !self.sweeps.of(index).hinted.contains_key(&person) && self.look_soon(person, now) {
                self.sweeps.of(index).hinted.insert(person, now);
                hinted += 1;
            }
        }
        hinted
    }

    /// Moves somebody's next look to now, or to where `min_interval` allows it; not that of somebody who waits after a
    /// failure. Whether there will be one soon.
    pub(super) fn look_soon(&mut self, person: UserKey, now: Timestamp) -> bool {
        if !self.is_swept(person) {
            return false;
        }
        let watched = &self.users[person];
        if watched.failures > 0 || watched.belief.is_rejected() {
            return false;
        }
        let soon = watched.last_ok.map_or(now, |last| last.plus(self.settings.min_interval).max(now));
        let (due, upstream) = (watched.due, watched.upstream);
        if due > soon || self.is_question(person) {
            self.upstreams[upstream].due.remove(due, person);
            self.forget_question(person);
            self.requeue(person, soon);
            self.replanned.push(person);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_members_change_does_not_push_aside_what_waits() {
        let meeting = |id: &str| ConferenceId::parse(id).unwrap();
        let (then, later) = (Timestamp::from_ms(30_000), Timestamp::from_ms(31_000));
        let mut sweeping = Sweeping::default();
        sweeping.ask_again(Recheck::of([(meeting("came"), true), (meeting("left"), false)]), then);
        assert_eq!(sweeping.entered, [meeting("came")].into());
        sweeping.ask_again(Recheck::of([(meeting("came"), false)]), later);
        assert_eq!(sweeping.again, Some((then, [meeting("came"), meeting("left")].into())));
    }
}
