//! What recent answers say of meetings: title, creator, start and end.
//!
//! Guards: a later answer without a fact does not remove it; a meeting is forgotten after a day. Not here: what is learned
//! and stored (`meeting_facts`).

use std::collections::BTreeMap;
use std::time::Duration;

use crate::ids::ConferenceId;
use crate::presence::visit::Visit;
use crate::store::MeetingFacts;
use crate::time::Timestamp;

/// A meeting that no answer has mentioned for this long is forgotten.
const REMEMBERED: Duration = Duration::from_hours(24);

/// What recent answers say of meetings.
#[derive(Debug, Default)]
pub(super) struct KnownMeetings(BTreeMap<ConferenceId, MeetingFacts>);

impl KnownMeetings {
    /// Takes what an answer says; returns it if something of it is new.
    pub(super) fn learn(&mut self, facts: MeetingFacts) -> Option<MeetingFacts> {
        let key = facts.conference_id.clone();
        let before = self.0.get(&key);
        let merged = MeetingFacts {
            title: facts.title.or_else(|| before?.title.clone()),
            creator: facts.creator.or_else(|| before?.creator.clone()),
            started: facts.started.or_else(|| before?.started),
            ended: facts.ended.or_else(|| before?.ended),
            ..facts
        };
        let what =
            |facts: &MeetingFacts| (facts.title.clone(), facts.creator.clone(), facts.started, facts.ended);
        let is_new = before.is_none_or(|before| what(before) != what(&merged));
        self.0.insert(key, merged.clone());
        is_new.then_some(merged)
    }

    /// What is known of the meetings of visits.
    pub(super) fn of_visits(&self, visits: &[Visit]) -> Vec<MeetingFacts> {
        let known = |visit: &Visit| self.0.get(&visit.conference_id).cloned();
        let mut facts: Vec<MeetingFacts> = visits.iter().filter_map(known).collect();
        facts.dedup_by(|a, b| a.conference_id == b.conference_id);
        facts
    }

    pub(super) fn forget_old(&mut self, now: Timestamp) {
        self.0.retain(|_, facts| now.since(facts.at) < REMEMBERED);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::presence::title::Title;
    use crate::store::MeetingSource;

    fn facts(title: Option<&str>, at: i64) -> MeetingFacts {
        MeetingFacts {
            conference_id: ConferenceId::parse("c").unwrap(),
            title: title.and_then(Title::parse),
            creator: None,
            started: None,
            ended: None,
            source: MeetingSource::Sweep,
            at: Timestamp::from_ms(at),
        }
    }

    #[test]
    fn nothing_replaces_what_is_known_and_the_same_is_not_new() {
        let mut known = KnownMeetings::default();
        assert!(known.learn(facts(Some("Planning"), 1)).is_some());
        assert!(known.learn(facts(None, 2)).is_none());
        assert!(known.learn(facts(Some("Planning"), 3)).is_none());
        let merged = known.learn(MeetingFacts { ended: Some(Timestamp::from_ms(4)), ..facts(None, 4) });
        assert_eq!(merged.unwrap().title, Title::parse("Planning"));
        known.forget_old(Timestamp::from_ms(4).plus(REMEMBERED));
        assert!(known.0.is_empty());
    }
}
