//! The groups: who is paced together in one organisation, and what they are taught.
//!
//! Guards: a group stays, with all it has learned, while the people, hours and limit it was made for are the same; what they
//! know comes from the history, and when anybody is looked at next stays as it is. Deliberately not here: asking them
//! (`pacing`), reading the history (`store`).

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use super::{NO_NUMBER, Pacing, Plan, Roster, begins, seen};
use crate::ids::ConferenceId;
use crate::policy::pace::Visit as Lived;
use crate::policy::pace::group::{Bounds, Budget, Member, PacingGroup};
use crate::store::history::visit_history::PastVisit;
use crate::tasks::poller::Poller;
use crate::tasks::poller::hours::HoursKey;
use crate::tasks::poller::roster::{Rhythm, UserKey};
use crate::time::Timestamp;

impl Poller {
    /// Makes the groups that are not as the config wants them. What they know comes from the history; when anybody is
    /// looked at next stays as it is.
    pub(in crate::tasks::poller) fn form_groups(&mut self, lessons: &[PastVisit], now: Timestamp) {
        for index in 0..self.upstreams.len() {
            let roster = self.roster(index, now);
            if self.upstreams[index].pacing.as_ref().map(|pacing| &pacing.roster) == roster.as_ref() {
                continue;
            }
            let before = self.upstreams[index].pacing.take();
            let questions: HashMap<UserKey, Timestamp> = before.iter().flat_map(Pacing::questions).collect();
            for watched in self.users.values_mut().filter(|watched| watched.upstream == index) {
                watched.number = NO_NUMBER;
            }
            if let Some((roster, budget)) = roster.zip(self.budget(index, now)) {
                self.upstreams[index].pacing = Some(self.pacing(roster, budget, lessons, &questions, now));
                self.form_beside(index, lessons, now);
            }
        }
    }

    fn roster(&self, index: usize, now: Timestamp) -> Option<Roster> {
        let limit = self.upstreams[index].budget.limit()?;
        let mine = self.users.iter().filter(|(_, watched)| {
            watched.upstream == index && !watched.gone && watched.rhythm == Rhythm::Auto
        });
        let people: Vec<(UserKey, HoursKey)> =
            mine.map(|(person, watched)| (person, watched.hours)).collect();
        let settings = &self.settings;
        let within = (settings.min_interval, settings.max_interval);
        let bounds = Bounds::new(settings.time_zone, within, settings.stale_after, self.even(index, now));
        (!people.is_empty()).then_some(Roster { bounds, limit, people })
    }

    fn pacing(
        &mut self,
        roster: Roster,
        budget: Budget,
        lessons: &[PastVisit],
        questions: &HashMap<UserKey, Timestamp>,
        now: Timestamp,
    ) -> Pacing {
        let mut plans = Vec::new();
        for (number, &(person, hours)) in (0_u32..).zip(&roster.people) {
            self.users[person].number = number;
            let watched = &self.users[person];
            let open = &self.hours[hours].open;
            let question = questions.get(&person).copied();
            let question = question.or_else(|| {
                // After a restart: the rule gives such instants only to be asked again.
                let zone = self.settings.time_zone;
                (watched.due > now && begins(watched.due, open, zone)).then_some(watched.due)
            });
            let since = watched.last_ok.unwrap_or(now);
            let gap = if watched.due > now { open.open_between(since, watched.due) } else { Duration::ZERO };
            plans.push(Plan { question, gap, decided: None });
        }
        let (members, visits) = (self.members_of(&roster, |_, _| true), self.visits_of(&roster, lessons));
        let group = PacingGroup::new(roster.bounds, &members, &visits, budget, now);
        tracing::debug!(org = %self.upstream_name(&roster), people = members.len(), visits = visits.len(), "learned from the history");
        Pacing { group, beside: None, roster, plans }
    }

    /// The people of a group as they stand, as far as `counts` has what they are in.
    fn members_of(&self, roster: &Roster, counts: impl Fn(UserKey, &ConferenceId) -> bool) -> Vec<Member> {
        let member = |&(person, hours): &(UserKey, HoursKey)| {
            let watched = &self.users[person];
            Member {
                phase: watched.phase,
                open: self.hours[hours].open.clone(),
                last_poll: watched.last_ok,
                inside: seen(&watched.belief, &[], |meeting| counts(person, meeting)),
            }
        };
        roster.people.iter().map(member).collect()
    }

    /// In the order of the clock: the same history gives the same lessons.
    fn visits_of(&self, roster: &Roster, lessons: &[PastVisit]) -> Vec<Lived> {
        let people = (0_u32..).zip(&roster.people);
        let numbers: HashMap<i64, u32> =
            people.map(|(number, &(person, _))| (self.users[person].person_id, number)).collect();
        let lived = |lesson: &PastVisit| {
            let &PastVisit { conference, joined, left, person_id } = lesson;
            Some(Lived { user: *numbers.get(&person_id)?, conference, joined, left })
        };
        let mut visits: Vec<Lived> = lessons.iter().filter_map(lived).collect();
        visits.sort_by_key(|visit| (visit.joined, visit.user, visit.conference));
        visits
    }

    /// Where sweeps are believed, looks are paced by what these do not show: by the visits of those who mostly meet where
    /// no sweep shows it, and by what looks find from now on. Where they no longer are, by everything again.
    pub(in crate::tasks::poller) fn form_beside(
        &mut self,
        index: usize,
        lessons: &[PastVisit],
        now: Timestamp,
    ) {
        self.turn_spending(index, now);
        let budget = self.budget(index, now).filter(|budget| budget.beside_sweeps.is_some());
        let Some(pacing) = &self.upstreams[index].pacing else { return };
        let beside = budget.map(|budget| {
            let members =
                self.members_of(&pacing.roster, |who, meeting| !self.sweeps.show(index, who, meeting));
            let elsewhere = pacing.roster.people.iter().map(|(person, _)| *person);
            let elsewhere = elsewhere.filter(|person| self.meets_elsewhere(*person));
            let elsewhere: HashSet<i64> = elsewhere.map(|person| self.users[person].person_id).collect();
            let unseen = lessons.iter().filter(|lesson| elsewhere.contains(&lesson.person_id));
            let visits = self.visits_of(&pacing.roster, &unseen.copied().collect::<Vec<PastVisit>>());
            PacingGroup::new(pacing.roster.bounds, &members, &visits, budget, now)
        });
        if let Some(pacing) = &mut self.upstreams[index].pacing {
            pacing.beside = beside;
        }
    }

    fn upstream_name(&self, roster: &Roster) -> &str {
        let first = roster.people.first().map(|&(person, _)| self.users[person].upstream);
        first.map_or("", |index| self.upstreams[index].name.as_str())
    }
}
