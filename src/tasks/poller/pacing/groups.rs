//! Forms the pacing groups of an organisation, and loads their history.
//!
//! Guards: a group and its model stay while its users, windows and limit are the same; the model comes from the
//! history, and next polls do not move. Not here: decisions (`pacing`), reading the history (`store`).

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use crate::ids::ConferenceId;
use crate::policy::pace::Visit as Lived;
use crate::policy::pace::group::{Bounds, Budget, Member, PacingGroup};
use crate::store::history::visit_history::PastVisit;
use crate::tasks::poller::pacer::{NO_NUMBER, Pacing, Plan, Roster, begins, seen};
use crate::tasks::poller::roster::{PollSchedule, UserKey, WindowKey};
use crate::tasks::poller::state::OrgState;
use crate::tasks::poller::sweep::plan;
use crate::tasks::poller::{pacing, schedule};
use crate::time::Timestamp;

/// Forms the groups that differ from the config. Their models come from the history; next polls do not move.
pub(in crate::tasks::poller) fn form_groups(org: &mut OrgState, past_visits: &[PastVisit], now: Timestamp) {
    let roster = roster(org, now);
    if org.pacer.groups.as_ref().map(|pacing| &pacing.roster) == roster.as_ref() {
        return;
    }
    let before = org.pacer.groups.take();
    let questions: HashMap<UserKey, Timestamp> = before.iter().flat_map(Pacing::questions).collect();
    for watched in org.users.values_mut() {
        watched.number = NO_NUMBER;
    }
    if let Some((roster, budget)) = roster.zip(pacing::budget(org, now)) {
        org.pacer.groups = Some(pacing(org, roster, budget, past_visits, &questions, now));
        form_unlisted_group(org, past_visits, now);
    }
}

fn roster(org: &OrgState, now: Timestamp) -> Option<Roster> {
    let limit = org.limits.budget().limit()?;
    let mine =
        org.users.iter().filter(|(_, watched)| !watched.gone && watched.schedule == PollSchedule::Auto);
    let people: Vec<(UserKey, WindowKey)> = mine.map(|(user, watched)| (user, watched.window)).collect();
    let settings = &org.settings;
    let within = (settings.min_interval, settings.max_interval);
    let bounds = Bounds::new(settings.time_zone, within, settings.stale_after, pacing::even(org, now));
    (!people.is_empty()).then_some(Roster { bounds, limit, people })
}

fn pacing(
    org: &mut OrgState,
    roster: Roster,
    budget: Budget,
    past_visits: &[PastVisit],
    questions: &HashMap<UserKey, Timestamp>,
    now: Timestamp,
) -> Pacing {
    let mut plans = Vec::new();
    for (number, &(user, window)) in (0_u32..).zip(&roster.people) {
        org.users[user].number = number;
        let watched = &org.users[user];
        let open = org.windows.times(window);
        let question = questions.get(&user).copied();
        let question = question.or_else(|| {
            // After a restart: the rule gives such instants only for re-plans.
            let zone = org.settings.time_zone;
            (watched.due > now && begins(watched.due, open, zone)).then_some(watched.due)
        });
        let since = watched.last_ok.unwrap_or(now);
        let gap = if watched.due > now { open.open_between(since, watched.due) } else { Duration::ZERO };
        plans.push(Plan { question, gap, decided: None });
    }
    let (members, visits) = (members_of(org, &roster, |_, _| true), visits_of(org, &roster, past_visits));
    let group = PacingGroup::new(roster.bounds, &members, &visits, budget, now);
    tracing::debug!(org = %org.name, users = members.len(), visits = visits.len(), "loaded the history of a pacing group");
    Pacing { group, beside: None, roster, plans }
}

/// The members of a group with their state, as far as `counts` accepts their meetings.
fn members_of(
    org: &OrgState,
    roster: &Roster,
    counts: impl Fn(UserKey, &ConferenceId) -> bool,
) -> Vec<Member> {
    let member = |&(user, window): &(UserKey, WindowKey)| {
        let watched = &org.users[user];
        Member {
            phase: watched.phase,
            open: org.windows.times(window).clone(),
            last_poll: watched.last_ok,
            inside: seen(&watched.state, &[], |meeting| counts(user, meeting)),
        }
    };
    roster.people.iter().map(member).collect()
}

/// Sorted by time: the same history gives the same model.
fn visits_of(org: &OrgState, roster: &Roster, past_visits: &[PastVisit]) -> Vec<Lived> {
    let people = (0_u32..).zip(&roster.people);
    let numbers: HashMap<i64, u32> =
        people.map(|(number, &(user, _))| (org.users[user].person_id, number)).collect();
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
    org: &mut OrgState,
    past_visits: &[PastVisit],
    now: Timestamp,
) {
    plan::start_budget_day(org, now);
    let budget = pacing::budget(org, now).filter(|budget| budget.beside_sweeps.is_some());
    let Some(pacing) = &org.pacer.groups else { return };
    let beside = budget.map(|budget| {
        let members = members_of(org, &pacing.roster, |who, meeting| !org.sweeps.show(who, meeting));
        let elsewhere = pacing.roster.people.iter().map(|(user, _)| *user);
        let elsewhere = elsewhere.filter(|user| schedule::meets_unlisted(org, *user));
        let elsewhere: HashSet<i64> = elsewhere.map(|user| org.users[user].person_id).collect();
        let unseen = past_visits.iter().filter(|lesson| elsewhere.contains(&lesson.person_id));
        let visits = visits_of(org, &pacing.roster, &unseen.copied().collect::<Vec<PastVisit>>());
        PacingGroup::new(pacing.roster.bounds, &members, &visits, budget, now)
    });
    if let Some(pacing) = &mut org.pacer.groups {
        pacing.beside = beside;
    }
}
