//! Does what a poller asks for: the calls and the writes.
//!
//! Guards: each piece of work ends with one input. Not here: what is asked for and what follows (`org`).

use super::effects::{Input, Work};
use super::limits::CallCount;
use super::settings::Tools;
use super::sweep::sweep_run::{Answer as SweepAnswer, Ask};
use crate::dingtalk::client::Client;
use crate::dingtalk::error::CallError;
use crate::dingtalk::meetings::{MeetingInfo, MeetingState};
use crate::ids::{ConferenceId, OrgName, UnionId};
use crate::presence::confirm::{MeetingAnswer, MeetingEnd};
use crate::store::{Store, StoreError};
use crate::tasks::alerts;

/// Does it.
pub(super) async fn perform(work: Work, client: Client, tools: Tools) -> Input {
    let store = &tools.store;
    match work {
        Work::Poll { poll, union_id, same_as } => {
            let result = client.ongoing(&union_id, same_as).await;
            Input::Polled { poll, result }
        }
        Work::AskMeeting { question, union_id } => {
            let (mut calls, mut info) = (0, None);
            let result = testimony(&client, &question.conference_id, &union_id, &mut calls, &mut info).await;
            Input::MeetingAnswered { question, calls, result: Box::new(result), info: info.map(Box::new) }
        }
        Work::ListOngoing { ticket } => {
            Input::OngoingListed { ticket, result: client.ongoing_meetings(1).await }
        }
        Work::Sweep { ask, ticket } => {
            Input::SweepAnswered { ticket, result: sweep_call(&client, ask).await }
        }
        Work::FindUserId { user, union_id } => {
            Input::UserIdFound { user, result: client.userid_of(&union_id).await }
        }
        Work::Record { recording, change } => {
            Input::Recorded { change, result: store.recorder().record(*recording).await }
        }
        Work::Unwatch { user, recording } => {
            Input::Unwatched { user, result: store.recorder().record(*recording).await }
        }
        Work::Reserve { reservation, org, count } => {
            Input::Reserved { reservation, result: save_calls(store, org, count).await }
        }
        Work::SaveCalls { org, count } => Input::Written(save_calls(store, org, count).await),
        Work::Emit(event) => Input::Emitted(alerts::emit(store, &tools.subscriptions, &event).await),
        Work::NoteUserGap { person_id, from, to, why } => {
            Input::Written(store.gaps().note_of_user(person_id, from, to, why).await)
        }
        Work::NoteClosed(rows) => Input::Written(store.gaps().note_closed(rows).await),
        Work::RecordMeetings { org, facts } => {
            Input::Written(store.recorder().record_meetings(org, facts).await)
        }
        Work::SaveSweeps { row, people, users } => {
            Input::SweepsSaved { users, result: store.sweep_state().save(*row, people).await }
        }
    }
}

/// Stores the calls of a month.
pub(super) async fn save_calls(store: &Store, org: OrgName, count: CallCount) -> Result<(), StoreError> {
    let CallCount { month, usage, limit, projected } = count;
    store.call_usage().set(org, month.to_string(), usage, limit, projected).await
}

async fn sweep_call(client: &Client, ask: Ask) -> Result<SweepAnswer, CallError> {
    Ok(match ask {
        Ask::Page(after) => SweepAnswer::Page(client.ongoing_meetings_page(after.as_ref()).await?),
        Ask::Members(meeting, after) => {
            SweepAnswer::Members(client.meeting_members_page(&meeting, after.as_ref()).await?)
        }
        Ask::Batch(ids) => SweepAnswer::Batch(client.meetings_with_users(&ids).await?),
    })
}

/// Queries the meeting and then its members, which an ended meeting may not list.
async fn testimony(
    client: &Client,
    conference_id: &ConferenceId,
    union_id: &UnionId,
    calls: &mut u32,
    learned: &mut Option<MeetingInfo>,
) -> Result<MeetingAnswer, CallError> {
    let info = client.meeting(conference_id).await.inspect_err(|error| *calls += error.calls)?;
    *calls += info.calls;
    let info = learned.insert(info);
    let over = match info.state {
        MeetingState::Ended => MeetingEnd::Ended(info.ended),
        MeetingState::Initialized | MeetingState::Started | MeetingState::Unrecognized => MeetingEnd::Ongoing,
    };
    let members = client.meeting_members(conference_id, 1).await.inspect_err(|error| *calls += error.calls);
    let (at, record) = match members {
        Ok(members) => {
            *calls += members.calls;
            (members.observed_at, members.of(union_id).cloned())
        }
        // The refusal concerns only this meeting.
        Err(error) if error.verdict.is_refusal() && over != MeetingEnd::Ongoing => (info.observed_at, None),
        Err(error) => return Err(error),
    };
    Ok(MeetingAnswer { at, end: over, record })
}
