//! Why somebody's next look is when it is.
//!
//! Guards: it tells the decision that was made, with the factors of that moment; asking changes nothing. Deliberately not
//! here: deciding (`pacing`, `policy::pace`).

use super::Poller;
use super::report::{ExplainNow, Explanation};
use super::roster::Rhythm;
use crate::policy::pace::PollDecision;

impl Poller {
    pub(super) fn explain(&self, request: ExplainNow) {
        let answer = self.explanation(&request);
        // Who asked and does not listen any more need not know.
        let _ = request.reply.send(answer);
    }

    fn explanation(&self, asked: &ExplainNow) -> Result<Explanation, String> {
        let mut people = self.users.iter();
        let found = people.find(|(_, watched)| !watched.gone && watched.who.identity == asked.who);
        let Some((person, watched)) = found else {
            return Err(format!("the running daemon does not watch {}", asked.who));
        };
        if watched.rhythm != Rhythm::Auto {
            return Err(format!("{} has a cadence of their own in the running daemon", asked.who));
        }
        let now = self.tools.clock.now();
        let decided = self.decided(person).filter(|(_, next)| {
            let (PollDecision::Poll(at, _) | PollDecision::Replan(at, _)) = *next;
            at == watched.due && !watched.busy
        });
        if let Some((at, next)) = decided {
            return Ok(Explanation { decided: at, next, instead: None, due: watched.due });
        }
        let instead = if watched.busy {
            "they are being looked at right now"
        } else if watched.failures > 0 {
            "looks at them fail: the next waits"
        } else if watched.overtime_until.is_some() {
            "they are followed past the end of the window"
        } else if watched.belief.awaits_confirmation() {
            "a meeting vanished: that is confirmed first"
        } else if watched.number == super::pacing::NO_NUMBER {
            "there is no limit of calls: everybody is looked at as often as `min_interval` allows"
        } else {
            "it was decided before the last start or reload"
        };
        Ok(Explanation {
            decided: now,
            next: self.would_decide(person, now),
            instead: Some(instead),
            due: watched.due,
        })
    }
}
