//! What answers say of meetings beside who is in them: title, creator, start and end.
//!
//! Guards: facts are stored only for meetings of watched users; a title that may not be kept is dropped on arrival.
//! Not here: what is remembered (`known_meetings`), which titles may be kept (`presence::title`), the statements
//! (`store`).

use std::collections::BTreeSet;

use super::effects::Work;
use super::state::OrgState;
use crate::dingtalk::meetings::{MeetingInfo, OngoingMeeting, Page};
use crate::ids::ConferenceId;
use crate::store::{MeetingFacts, MeetingSource};
use crate::time::Timestamp;

/// Learns from a page of ongoing meetings.
pub(super) fn learn_from_page(org: &mut OrgState, page: &Page<OngoingMeeting>, now: Timestamp) {
    org.meetings.forget_old(now);
    let facts = |meeting: &OngoingMeeting| MeetingFacts {
        conference_id: meeting.conference_id.clone(),
        title: meeting.title.clone(),
        creator: meeting.creator.clone(),
        started: meeting.started,
        ended: None,
        source: MeetingSource::Sweep,
        at: now,
    };
    learn(org, page.items.iter().map(facts).collect());
}

/// Learns from the answer about one meeting.
pub(super) fn learn_from_info(
    org: &mut OrgState,
    conference_id: ConferenceId,
    info: MeetingInfo,
    source: MeetingSource,
) {
    let MeetingInfo { title, creator, started, ended, observed_at: at, .. } = info;
    learn(org, vec![MeetingFacts { conference_id, title, creator, started, ended, source, at }]);
}

/// Stores what is new about meetings of watched users; of other meetings it is kept in memory until a user joins.
fn learn(org: &mut OrgState, facts: Vec<MeetingFacts>) {
    let mut fresh = Vec::new();
    for facts in facts {
        let title = org.settings.titles.apply(facts.title);
        fresh.extend(org.meetings.learn(MeetingFacts { title, ..facts }));
    }
    let visited: BTreeSet<&ConferenceId> =
        org.users.values().flat_map(|watched| watched.state.visited()).collect();
    fresh.retain(|facts| visited.contains(&facts.conference_id));
    if fresh.is_empty() {
        return;
    }
    org.start_work(Work::RecordMeetings { org: org.name.clone(), facts: fresh });
}
