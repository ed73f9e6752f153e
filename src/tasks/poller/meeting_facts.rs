//! What answers say of meetings beside who is in them: title, creator, start and end.
//!
//! Guards: facts are stored only for meetings of watched users; a title that may not be kept is dropped on arrival; a
//! meeting is forgotten after a day. Not here: which titles may be kept (`policy::titles`), the statements (`store`).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::effects::Work;
use super::org::OrgPoller;
use crate::dingtalk::meetings::{MeetingInfo, OngoingMeeting, Page};
use crate::ids::ConferenceId;
use crate::presence::visit::Visit;
use crate::store::{MeetingFacts, MeetingSource};
use crate::time::Timestamp;

/// A meeting that no answer has mentioned for this long is forgotten.
const REMEMBERED: Duration = Duration::from_hours(24);

/// What recent answers say of meetings.
#[derive(Debug, Default)]
pub(super) struct KnownMeetings(BTreeMap<ConferenceId, MeetingFacts>);

impl KnownMeetings {
    /// Takes what an answer says; returns it if something of it is new.
    fn learn(&mut self, facts: MeetingFacts) -> Option<MeetingFacts> {
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

    fn forget_old(&mut self, now: Timestamp) {
        self.0.retain(|_, facts| now.since(facts.at) < REMEMBERED);
    }
}

impl OrgPoller {
    /// Learns from a page of ongoing meetings.
    pub(super) fn learn_from_page(&mut self, page: &Page<OngoingMeeting>, now: Timestamp) {
        self.meetings.forget_old(now);
        let facts = |meeting: &OngoingMeeting| MeetingFacts {
            conference_id: meeting.conference_id.clone(),
            title: meeting.title.clone(),
            creator: meeting.creator.clone(),
            started: meeting.started,
            ended: None,
            source: MeetingSource::Sweep,
            at: now,
        };
        self.learn(page.items.iter().map(facts).collect());
    }

    /// Learns from the answer about one meeting.
    pub(super) fn learn_from_info(
        &mut self,
        conference_id: ConferenceId,
        info: MeetingInfo,
        source: MeetingSource,
    ) {
        let MeetingInfo { title, creator, started, ended, observed_at: at, .. } = info;
        self.learn(vec![MeetingFacts { conference_id, title, creator, started, ended, source, at }]);
    }

    /// Stores what is new about meetings of watched users; of other meetings it is kept in memory until a user joins.
    fn learn(&mut self, facts: Vec<MeetingFacts>) {
        let mut fresh = Vec::new();
        for facts in facts {
            let title = self.settings.titles.apply(facts.title);
            fresh.extend(self.meetings.learn(MeetingFacts { title, ..facts }));
        }
        let visited: BTreeSet<&ConferenceId> =
            self.users.values().flat_map(|watched| watched.state.visited()).collect();
        fresh.retain(|facts| visited.contains(&facts.conference_id));
        if fresh.is_empty() {
            return;
        }
        let org = self.upstream.name.clone();
        self.start_work(Work::RecordMeetings { org, facts: fresh });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::presence::title::Title;

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
