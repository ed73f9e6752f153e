//! The calls about meetings: which of the organisation go on, who is in them, how one ended.
//!
//! Guards: the same as the list call has: time-outs, no redirects, a capped body, one fresh token at most, and what it
//! cost is told. Pages have a bound, and a page token that comes again ends them. Deliberately not here: bodies
//! (`wire`), what an answer decides (`presence`), whether it may be asked (`policy`).
//!
//! Sources: DingTalk's pages "Query the list of ongoing conferences of an organization", "Batch query video conference
//! information", "Query video conference information", "Query video conference members".

use reqwest::header::{CONTENT_TYPE, HeaderValue};
use reqwest::{Body, Method, Request, Url};

use super::classify::{self, Reply};
use super::client::{Client, percent_encode};
use super::error::{CallError, Verdict, class};
use super::token::Token;
use super::transport::{TOKEN_HEADER, exchange};
use super::wire::Fault;
use crate::ids::{ConferenceId, UnionId};
use crate::presence::attendance::{AttendStatus, Attendance};
use crate::presence::observation::Evidence;
use crate::time::Timestamp;

mod pages;
mod wire;

pub use pages::{Page, PageToken, Pages};

/// The most ids in one batch; more are asked in several. The documents name no limit.
pub const MEETINGS_A_BATCH: usize = 20;
/// The ongoing meetings wanted in one page. The documents name no limit.
pub const MEETINGS_A_PAGE: usize = 20;
/// The most bytes of a body, decoded: twenty meetings of some hundred people each.
pub const MAX_MEETINGS_BYTES: usize = 4 * 1024 * 1024;

/// A meeting of the organisation that goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OngoingMeeting {
    /// Its id.
    pub conference_id: ConferenceId,
    /// When it began, where that is said.
    pub started: Option<Timestamp>,
}

/// The organisation's ongoing meetings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OngoingMeetings {
    /// When the last page had arrived.
    pub observed_at: Timestamp,
    /// Each once, in the order told.
    pub meetings: Vec<OngoingMeeting>,
    /// Every page was read; else there may be more.
    pub complete: bool,
    /// Whether "none" was said, or a list was only missing.
    pub evidence: Evidence,
    /// How many calls count against the month.
    pub calls: u32,
    /// How many things in it were odd and left out: worth a warning, once.
    pub oddities: u32,
}

/// Somebody in a meeting, as the batch call tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeetingUser {
    /// `userId`: by the documents' text a userid, by their example a unionId.
    pub id: String,
    /// `attendStatus`; 0 is [`AttendStatus::Unrecognized`].
    pub status: Option<AttendStatus>,
}

/// An ongoing meeting with its people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeetingUsers {
    /// Its id; one that was asked for.
    pub conference_id: ConferenceId,
    /// Everybody told, leavers too.
    pub users: Vec<MeetingUser>,
}

/// The answer of the batch call. A meeting that was asked for and is not there is over, or not ours to see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeetingBatch {
    /// When it (of several, the last) had arrived.
    pub observed_at: Timestamp,
    /// Those that go on, each once.
    pub meetings: Vec<MeetingUsers>,
    /// How many calls count against the month.
    pub calls: u32,
    /// How many things in it were odd and left out.
    pub oddities: u32,
}

/// How a meeting stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MeetingState {
    /// 0.
    Initialized,
    /// 1.
    Ended,
    /// 2.
    Started,
    /// Any other number, or none.
    Unrecognized,
}

/// One meeting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeetingInfo {
    /// When the answer had arrived.
    pub observed_at: Timestamp,
    /// How it stands.
    pub state: MeetingState,
    /// `startTime`.
    pub started: Option<Timestamp>,
    /// `endTime`, told only after the end.
    pub ended: Option<Timestamp>,
    /// `activeNum`: people in it now.
    pub active: Option<i64>,
    /// How many calls count against the month.
    pub calls: u32,
    /// How many things in it were odd and left out.
    pub oddities: u32,
}

/// Somebody who was invited to a meeting, is in it or was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Who; absent for some of other organisations.
    pub union_id: Option<UnionId>,
    /// Their record.
    pub attendance: Attendance,
}

/// The members of a meeting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeetingMembers {
    /// When the last page had arrived.
    pub observed_at: Timestamp,
    /// In the order told.
    pub members: Vec<Member>,
    /// Every page was read; else somebody who is not here may still be a member.
    pub complete: bool,
    /// How many calls count against the month.
    pub calls: u32,
    /// How many things in it were odd and left out.
    pub oddities: u32,
}

impl MeetingMembers {
    /// What is told about somebody. Of several records (several devices, perhaps) the one that says most for being
    /// inside, then the latest leave.
    pub fn of(&self, union_id: &UnionId) -> Option<&Attendance> {
        let theirs = self.members.iter().filter(|member| member.union_id.as_ref() == Some(union_id));
        theirs
            .map(|member| &member.attendance)
            .max_by_key(|record| (record.status == Some(AttendStatus::Active), record.joined, record.left))
    }
}

impl Client {
    /// `GET /v1.0/conference/orgConferences`: the organisation's ongoing meetings, in at most `most_pages` calls.
    ///
    /// A page that fails fails the whole; what the pages before it cost is in the error.
    pub async fn ongoing_meetings(&self, most_pages: u32) -> Result<OngoingMeetings, CallError> {
        let mut pages = Pages::new(most_pages);
        let mut meetings: Vec<OngoingMeeting> = Vec::new();
        while let Some(after) = pages.wanted() {
            let page = self.ongoing_meetings_page(after).await.map_err(|error| pages.with_earlier(error))?;
            for meeting in pages.take(page) {
                if meetings.iter().all(|known| known.conference_id != meeting.conference_id) {
                    meetings.push(meeting);
                }
            }
        }
        Ok(OngoingMeetings {
            observed_at: self.inner.clock.now(),
            meetings,
            complete: pages.is_complete(),
            evidence: pages.evidence(),
            calls: pages.calls(),
            oddities: pages.oddities(),
        })
    }

    /// One page of [`Client::ongoing_meetings`]: the first, or the one after another.
    pub async fn ongoing_meetings_page(
        &self,
        after: Option<&PageToken>,
    ) -> Result<Page<OngoingMeeting>, CallError> {
        let mut url = self.below("orgConferences");
        url.set_query(Some(&page_query(Some(MEETINGS_A_PAGE), after)));
        let read = |reply: &Reply<'_>| wire::ongoing(reply.body);
        let (mut page, calls) = self.authorised(&|| Request::new(Method::GET, url.clone()), read).await?;
        page.calls = calls;
        Ok(page)
    }

    /// `POST /v1.0/conference/videoConferences/query`: those of `ids` that go on, with their people; one call for every
    /// [`MEETINGS_A_BATCH`] of them, none for none.
    pub async fn meetings_with_users(&self, ids: &[ConferenceId]) -> Result<MeetingBatch, CallError> {
        let mut whole =
            MeetingBatch { observed_at: self.inner.clock.now(), meetings: Vec::new(), calls: 0, oddities: 0 };
        for some in ids.chunks(MEETINGS_A_BATCH) {
            let (batch, calls) = self.batch(some).await.map_err(|mut error| {
                error.calls += whole.calls;
                error
            })?;
            whole.calls += calls;
            whole.oddities += batch.1;
            whole.meetings.extend(batch.0);
        }
        whole.observed_at = self.inner.clock.now();
        Ok(whole)
    }

    async fn batch(&self, ids: &[ConferenceId]) -> Result<((Vec<MeetingUsers>, u32), u32), CallError> {
        let url = self.below("videoConferences/query");
        // Ids are texts; writing them as JSON cannot fail.
        let body = serde_json::json!({ "conferenceIdList": ids }).to_string();
        let request = || {
            let mut request = Request::new(Method::POST, url.clone());
            request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            *request.body_mut() = Some(Body::from(body.clone()));
            request
        };
        self.authorised(&request, |reply| wire::batch(reply.body, ids)).await
    }

    /// `GET /v1.0/conference/videoConferences/{conferenceId}`: how a meeting stands. One call.
    pub async fn meeting(&self, conference_id: &ConferenceId) -> Result<MeetingInfo, CallError> {
        let url = self.below(&format!("videoConferences/{}", encoded(conference_id)));
        let read = |reply: &Reply<'_>| wire::info(reply.body, conference_id, reply.now);
        let (mut info, calls) = self.authorised(&|| Request::new(Method::GET, url.clone()), read).await?;
        info.calls = calls;
        Ok(info)
    }

    /// `GET /v1.0/conference/videoConferences/{conferenceId}/members`: who is, was or is called to be in it, in at most
    /// `most_pages` calls.
    pub async fn meeting_members(
        &self,
        conference_id: &ConferenceId,
        most_pages: u32,
    ) -> Result<MeetingMembers, CallError> {
        let mut pages = Pages::new(most_pages);
        let mut members = Vec::new();
        while let Some(after) = pages.wanted() {
            let page = self
                .meeting_members_page(conference_id, after)
                .await
                .map_err(|error| pages.with_earlier(error))?;
            members.extend(pages.take(page));
        }
        Ok(MeetingMembers {
            observed_at: self.inner.clock.now(),
            members,
            complete: pages.is_complete(),
            calls: pages.calls(),
            oddities: pages.oddities(),
        })
    }

    /// One page of [`Client::meeting_members`].
    pub async fn meeting_members_page(
        &self,
        conference_id: &ConferenceId,
        after: Option<&PageToken>,
    ) -> Result<Page<Member>, CallError> {
        let mut url = self.below(&format!("videoConferences/{}/members", encoded(conference_id)));
        // Without a wish a page is as long as it gets.
        let query = page_query(None, after);
        url.set_query(Some(&query).filter(|query| !query.is_empty()).map(String::as_str));
        let read = |reply: &Reply<'_>| wire::members(reply.body, conference_id);
        let (mut page, calls) = self.authorised(&|| Request::new(Method::GET, url.clone()), read).await?;
        page.calls = calls;
        Ok(page)
    }

    fn below(&self, path: &str) -> Url {
        let mut url = self.inner.conference.clone();
        url.set_path(&format!("{}{path}", self.inner.conference.path()));
        url
    }

    /// Asks with a token, and once more with a fresh one if that is refused. Returns what `read` made of the good
    /// answer, and the calls it cost.
    async fn authorised<T>(
        &self,
        request: &(impl Fn() -> Request + Sync),
        read: impl Fn(&Reply<'_>) -> Result<T, Fault> + Sync,
    ) -> Result<(T, u32), CallError> {
        let tokens = &self.inner.tokens;
        let token = tokens.current().await?;
        let first = match self.ask_once(&token, request(), &read).await {
            Err(error) if error.verdict == Verdict::Unauthorised => error,
            other => return other.map(|told| (told, 1)),
        };
        let earlier = first.calls;
        let late = |mut error: CallError| {
            error.calls += earlier;
            error
        };
        let token = tokens.instead_of(&token).await.map_err(late)?;
        let told = self.ask_once(&token, request(), &read).await.map_err(late)?;
        Ok((told, earlier + 1))
    }

    async fn ask_once<T>(
        &self,
        token: &Token,
        mut request: Request,
        read: impl Fn(&Reply<'_>) -> Result<T, Fault> + Sync,
    ) -> Result<T, CallError> {
        request.headers_mut().insert(TOKEN_HEADER.clone(), token.header());
        let answer = exchange(&self.inner.http, request, MAX_MEETINGS_BYTES).await?;
        let told = understood(&answer.reply(self.inner.clock.now()), read);
        let behind_the_door = told
            .as_ref()
            .map_or_else(|e| e.verdict.is_refusal() || e.verdict == Verdict::Forbidden, |_| true);
        if behind_the_door {
            token.accept();
        }
        told.map_err(|error| answer.redacted(error))
    }
}

/// What a complete answer means.
fn understood<T>(reply: &Reply<'_>, read: impl Fn(&Reply<'_>) -> Result<T, Fault>) -> Result<T, CallError> {
    if reply.status != 200 {
        return Err(classify::meeting_failure(reply));
    }
    read(reply).map_err(|fault| {
        let mut error = classify::meeting_failure(reply);
        if let (Fault::Malformed(place), class::MALFORMED) = (fault, error.class) {
            error.text = format!("the answer is not understood: {place}");
        }
        error
    })
}

fn encoded(conference_id: &ConferenceId) -> String {
    let mut path = String::with_capacity(conference_id.as_str().len());
    percent_encode(conference_id.as_str(), &mut path);
    path
}

fn page_query(most: Option<usize>, after: Option<&PageToken>) -> String {
    let mut query = most.map(|most| format!("maxResults={most}")).unwrap_or_default();
    if let Some(PageToken(token)) = after {
        query.push_str(if query.is_empty() { "nextToken=" } else { "&nextToken=" });
        percent_encode(token, &mut query);
    }
    query
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_wants_a_page_after_another() {
        let token = PageToken("a+/=".into());
        assert_eq!(page_query(Some(20), None), "maxResults=20");
        assert_eq!(page_query(Some(20), Some(&token)), "maxResults=20&nextToken=a%2B%2F%3D");
        assert_eq!(page_query(None, Some(&token)), "nextToken=a%2B%2F%3D");
        assert_eq!(page_query(None, None), "");
    }

    #[test]
    fn of_several_records_the_one_inside_counts_else_the_latest() {
        let union_id = UnionId::parse("u").unwrap();
        let record = |joined, status: i64| Member {
            union_id: Some(union_id.clone()),
            attendance: Attendance {
                joined: Some(Timestamp::from_ms(joined)),
                status: Some(status.into()),
                ..wire::tests::nobody()
            },
        };
        let of = |members: Vec<Member>| {
            let answer = MeetingMembers {
                observed_at: Timestamp::from_ms(0),
                members,
                complete: true,
                calls: 1,
                oddities: 0,
            };
            answer.of(&union_id).and_then(|record| record.status).map(AttendStatus::code)
        };
        assert_eq!(of(vec![record(1, 3), record(2, 6)]), Some(3));
        assert_eq!(of(vec![record(2, 5), record(1, 6)]), Some(5));
        assert_eq!(of(vec![]), None);
    }
}
