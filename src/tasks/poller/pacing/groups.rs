//! Forms the pacing groups of an organisation, and loads their history.
//!
//! Guards: a group and its model stay while its users, windows and limit are the same; the model comes from the
//! history, and next polls do not move. Not here: decisions (`pacing`), reading the history (`store`).

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use super::{NO_NUMBER, Pacing, Plan, Roster, begins, seen};
use crate::ids::ConferenceId;
use crate::policy::pace::Visit as Lived;
use crate::policy::pace::group::{Bounds, Budget, Member, PacingGroup};
use crate::store::history::visit_history::PastVisit;
use crate::tasks::poller::org::OrgPoller;
use crate::tasks::poller::roster::WindowKey;
use crate::tasks::poller::roster::{PollSchedule, UserKey};
use crate::time::Timestamp;

impl OrgPoller {
    /// Forms the groups that differ from the config. Their models come from the history; next polls do not move.
    pub(in crate::tasks::poller) fn form_groups(&mut self, past_visits: &[PastVisit], now: Timestamp) {
        let roster = self.roster(now);
        if self.upstream.pacing.as_ref().map(|pacing| &pacing.roster) == roster.as_ref() {
            return;
        }
        let before = self.upstream.pacing.take();
        let questions: HashMap<UserKey, Timestamp> = before.iter().flat_map(Pacing::questions).collect();
        for watched in self.users.values_mut() {
            watched.number = NO_NUMBER;
        }
        if let Some((roster, budget)) = roster.zip(self.budget(now)) {
            self.upstream.pacing = Some(self.pacing(roster, budget, past_visits, &questions, now));
            self.form_unlisted_group(past_visits, now);
        }
    }

    fn roster(&self, now: Timestamp) -> Option<Roster> {
        let limit = self.upstream.budget.limit()?;
        let mine =
            self.users.iter().filter(|(_, watched)| !watched.gone && watched.schedule == PollSchedule::Auto);
        let people: Vec<(UserKey, WindowKey)> = mine.map(|(user, watched)| (user, watched.window)).collect();
        let settings = &self.settings;
        let within = (settings.min_interval, settings.max_interval);
        let bounds = Bounds::new(settings.time_zone, within, settings.stale_after, self.even(now));
        (!people.is_empty()).then_some(Roster { bounds, limit, people })
    }

    fn pacing(
        &mut self,
        roster: Roster,
        budget: Budget,
        past_visits: &[PastVisit],
        questions: &HashMap<UserKey, Timestamp>,
        now: Timestamp,
    ) -> Pacing {
        let mut plans = Vec::new();
        for (number, &(user, window)) in (0_u32..).zip(&roster.people) {
            self.users[user].number = number;
            let watched = &self.users[user];
            let open = &self.windows[window].open;
            let question = questions.get(&user).copied();
            let question = question.or_else(|| {
                // After a restart: the rule gives such instants only for re-plans.
                let zone = self.settings.time_zone;
                (watched.due > now && begins(watched.due, open, zone)).then_some(watched.due)
            });
            let since = watched.last_ok.unwrap_or(now);
            let gap = if watched.due > now { open.open_between(since, watched.due) } else { Duration::ZERO };
            plans.push(Plan { question, gap, decided: None });
        }
        let (members, visits) = (self.members_of(&roster, |_, _| true), self.visits_of(&roster, past_visits));
        let group = PacingGroup::new(roster.bounds, &members, &visits, budget, now);
        tracing::debug!(org = %self.upstream.name, users = members.len(), visits = visits.len(), "loaded the history of a pacing group");
        Pacing { group, beside: None, roster, plans }
    }

    /// The members of a group with their state, as far as `counts` accepts their meetings.
    fn members_of(&self, roster: &Roster, counts: impl Fn(UserKey, &ConferenceId) -> bool) -> Vec<Member> {
        let member = |&(user, window): &(UserKey, WindowKey)| {
            let watched = &self.users[user];
            Member {
                phase: watched.phase,
                open: self.windows[window].open.clone(),
                last_poll: watched.last_ok,
                inside: seen(&watched.state, &[], |meeting| counts(user, meeting)),
            }
        };
        roster.people.iter().map(member).collect()
    }

    /// Sorted by time: the same history gives the same model.
    fn visits_of(&self, roster: &Roster, past_visits: &[PastVisit]) -> Vec<Lived> {
        let people = (0_u32..).zip(&roster.people);
        let numbers: HashMap<i64, u32> =
            people.map(|(number, &(user, _))| (self.users[user].person_id, number)).collect();
        let lived = |lesson: &PastVisit| {
            let &PastVisit { conference, joined, left, person_id } = lesson;
            Some(Lived { user: *numbers.get(&person_id)?, conference, joined, left })
        };
        let mut visits: Vec<Lived> = past_visits.iter().filter_map(lived).collect();
        visits.sort_by_key(|visit| (visit.joined, visit.user, visit.conference));
        visits
    }

    /// While sweeps are trusted, polls are paced by what sweeps do not list: by visits of users who mostly meet in
    /// unlisted meetings, and by what polls find from now on. Otherwise by everything.
    pub(in crate::tasks::poller) fn form_unlisted_group(
        &mut self,
        past_visits: &[PastVisit],
        now: Timestamp,
    ) {
        self.start_budget_day(now);
        let budget = self.budget(now).filter(|budget| budget.beside_sweeps.is_some());
        let Some(pacing) = &self.upstream.pacing else { return };
        let beside = budget.map(|budget| {
            let members = self.members_of(&pacing.roster, |who, meeting| !self.sweeps.show(who, meeting));
            let elsewhere = pacing.roster.people.iter().map(|(user, _)| *user);
            let elsewhere = elsewhere.filter(|user| self.meets_unlisted(*user));
            let elsewhere: HashSet<i64> = elsewhere.map(|user| self.users[user].person_id).collect();
            let unseen = past_visits.iter().filter(|lesson| elsewhere.contains(&lesson.person_id));
            let visits = self.visits_of(&pacing.roster, &unseen.copied().collect::<Vec<PastVisit>>());
            PacingGroup::new(pacing.roster.bounds, &members, &visits, budget, now)
        });
        if let Some(pacing) = &mut self.upstream.pacing {
            pacing.beside = beside;
        }
    }
}
