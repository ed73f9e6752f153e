//! Noticing that nobody looked: people without a good look for too long; and looks that the operator asks for.
//!
//! Guards: presence becomes unknown instead of staying wrong. Deliberately not here: what an event about it says
//! (`presence`).

use std::time::Duration;

use super::Poller;
use super::ask::Call;
use super::report::LookNow;
use crate::policy::quota::{Refusal, Ticket};
use crate::presence::upkeep;
use crate::time::Timestamp;

/// How often staleness is looked for; a small part of the shortest automatic bound.
const CHECK_EVERY: Duration = Duration::from_secs(30);
/// The shortest automatic bound.
const AT_LEAST: Duration = Duration::from_mins(5);

impl Poller {
    /// After how long without a good look somebody's presence is unknown.
    pub(super) fn stale_after(&self, person: u32, now: Timestamp) -> Duration {
        self.settings.stale_after.unwrap_or_else(|| (self.interval(person, now) * 3).max(AT_LEAST))
    }

    /// Declares unknown who has not been seen well for too long; returns when to check again.
    pub(super) fn check_stale(&mut self, now: Timestamp) -> Timestamp {
        if now < self.next_stale_check {
            return self.next_stale_check;
        }
        let every = self
            .settings
            .stale_after
            .map_or(CHECK_EVERY, |bound| (bound / 4).clamp(super::TICK, CHECK_EVERY));
        self.next_stale_check = now.plus(every);
        for person in 0..u32::try_from(self.people.len()).unwrap_or(u32::MAX) {
            let watched = &self.people[person as usize];
            let Some(last_ok) = watched.last_ok.filter(|_| !watched.busy && !watched.stale) else { continue };
            if !self.may_look(person) {
                continue; // only open time counts
            }
            let bound = self.stale_after(person, now);
            if now.since(last_ok) <= bound || self.silent_for(person, last_ok, now) <= bound {
                continue;
            }
            let watched = &mut self.people[person as usize];
            watched.stale = true;
            let due = watched.due;
            let outcome = upkeep::stale(&watched.belief, now, &watched.card, self.tools.store.source());
            self.upstreams[watched.upstream].due.remove(due, person);
            self.record_outcome(person, outcome, due);
        }
        self.next_stale_check
    }

    /// A look that the operator asked for: at once, outside the queue, but under the month's calls.
    pub(super) fn look_now(&mut self, request: LookNow) {
        match self.startable(&request.who) {
            Ok((person, ticket)) => {
                let now = self.tools.clock.now();
                let watched = &self.people[person as usize];
                let (due, suspect) = (watched.due, watched.failures > 0);
                self.upstreams[watched.upstream].due.remove(due, person);
                self.ask(Call { person, suspect, ticket, manual: Some(request) }, now);
            }
            // Nobody listening any more means nobody to tell.
            Err(reason) => drop(request.reply.send(Err(reason))),
        }
    }

    fn startable(&mut self, who: &str) -> Result<(u32, Ticket), String> {
        let now = self.tools.clock.now();
        let matches = |w: &super::Watched| w.card.identity.union_id.as_str() == who || w.card.name == who;
        let mut found = self.people.iter().enumerate().filter(|(_, watched)| matches(watched));
        let Some((index, watched)) = found.next() else {
            return Err(format!("nobody on the watch list has the unionId or name `{who}`"));
        };
        if found.next().is_some() {
            return Err(format!("several people on the watch list match `{who}`: use the unionId"));
        }
        if watched.busy {
            return Err(format!("`{who}` is being looked at right now: ask again in a moment"));
        }
        let upstream = &mut self.upstreams[watched.upstream];
        if let Some(until) = upstream.paused(now) {
            return Err(format!(
                "`{}` is paused until {until}: {}",
                upstream.name,
                upstream.trouble.unwrap_or("waiting")
            ));
        }
        let ticket = upstream.budget.try_take(now).map_err(|refusal| match refusal {
            Refusal::SpentUntil(until) => {
                format!("the month's calls are spent; there are new ones from {until} on")
            }
            Refusal::ReserveFirst => "the next calls are being reserved: ask again in a moment".to_owned(),
        })?;
        Ok((u32::try_from(index).unwrap_or(u32::MAX), ticket))
    }
}
