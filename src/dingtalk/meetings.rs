//! The calls about meetings: the organisation's ongoing meetings, who is in them, and how one ended.
//!
//! Guards: as in the list call, time-outs are explicit, redirects are not followed, bodies have a limit, a refused token is
//! replaced once, and each result says what it cost. Paging ends at a limit and at a repeated page token. Not here: bodies
//! (`wire`), what an answer changes (`presence`), whether a call may be made (`policy`).
//!
//! Sources: DingTalk's pages "Query the list of ongoing conferences of an organization", "Batch query video conference
//! information", "Query video conference information", "Query video conference members".

use reqwest::header::{CONTENT_TYPE, HeaderValue};
use reqwest::{Body, Method, Request, Url};

use super::classify::{self, Reply};
use super::client::Client;
use super::encoding::percent_encoded;
use super::error::{CallError, class};
use super::token::Token;
use super::transport::{Exchange, TOKEN_HEADER};
use super::wire::BodyError;
use crate::ids::ConferenceId;

mod pages;
mod types;
mod wire;

pub use pages::{Page, PageToken, Pages};
pub use types::{
    MeetingBatch, MeetingInfo, MeetingMembers, MeetingState, MeetingUser, MeetingUsers, Member,
    OngoingMeeting, OngoingMeetings,
};

/// The most ids in one batch call; more ids need several calls. The documents name no limit.
pub const MEETINGS_A_BATCH: usize = 20;
/// The requested length of a page of ongoing meetings. The documents name no limit.
pub const MEETINGS_A_PAGE: usize = 20;
/// The largest body, decoded, in bytes: twenty meetings of some hundred people each.
pub const MAX_MEETINGS_BYTES: usize = 4 * 1024 * 1024;

impl Client {
    /// `GET /v1.0/conference/orgConferences`: the organisation's ongoing meetings, in at most `most_pages` calls.
    ///
    /// If one page fails, the whole result is an error, which includes the cost of the earlier pages.
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

    /// One page of [`Client::ongoing_meetings`]: the first, or the one at `after`.
    pub async fn ongoing_meetings_page(
        &self,
        after: Option<&PageToken>,
    ) -> Result<Page<OngoingMeeting>, CallError> {
        let mut url = self.below("orgConferences");
        url.set_query(Some(&page_query(Some(MEETINGS_A_PAGE), after)));
        let read = |reply: &Reply<'_>| wire::ongoing(reply.body);
        let (mut page, calls) = self.meeting_call(|| Request::new(Method::GET, url.clone()), read).await?;
        page.calls = calls;
        Ok(page)
    }

    /// `POST /v1.0/conference/videoConferences/query`: those of `ids` that are ongoing, with their users. Makes one call per
    /// [`MEETINGS_A_BATCH`] ids.
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
        // Ids are texts, so writing them as JSON cannot fail.
        let body = serde_json::json!({ "conferenceIdList": ids }).to_string();
        let request = || {
            let mut request = Request::new(Method::POST, url.clone());
            request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            *request.body_mut() = Some(Body::from(body.clone()));
            request
        };
        self.meeting_call(request, |reply| wire::batch(reply.body, ids)).await
    }

    /// `GET /v1.0/conference/videoConferences/{conferenceId}`: the state of a meeting. One call.
    pub async fn meeting(&self, conference_id: &ConferenceId) -> Result<MeetingInfo, CallError> {
        let url = self.below(&format!("videoConferences/{}", percent_encoded(conference_id.as_str())));
        let read = |reply: &Reply<'_>| wire::info(reply.body, conference_id, reply.now);
        let (mut info, calls) = self.meeting_call(|| Request::new(Method::GET, url.clone()), read).await?;
        info.calls = calls;
        Ok(info)
    }

    /// `GET /v1.0/conference/videoConferences/{conferenceId}/members`: the users who were invited, are in it or have left, in
    /// at most `most_pages` calls.
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

    /// One page of [`Client::meeting_members`]: the first, or the one at `after`.
    pub async fn meeting_members_page(
        &self,
        conference_id: &ConferenceId,
        after: Option<&PageToken>,
    ) -> Result<Page<Member>, CallError> {
        let mut url =
            self.below(&format!("videoConferences/{}/members", percent_encoded(conference_id.as_str())));
        // Without `maxResults` the server sends its longest page.
        let query = page_query(None, after);
        url.set_query(Some(&query).filter(|query| !query.is_empty()).map(String::as_str));
        let read = |reply: &Reply<'_>| wire::members(reply.body, conference_id);
        let (mut page, calls) = self.meeting_call(|| Request::new(Method::GET, url.clone()), read).await?;
        page.calls = calls;
        Ok(page)
    }

    fn below(&self, path: &str) -> Url {
        let mut url = self.inner.conference.clone();
        url.set_path(&format!("{}{path}", self.inner.conference.path()));
        url
    }

    /// Makes one call about meetings. Returns what `read` makes of a good answer, and how many calls count against the
    /// month.
    async fn meeting_call<T>(
        &self,
        request: impl Fn() -> Request + Send + Sync,
        read: impl Fn(&Reply<'_>) -> Result<T, BodyError> + Send + Sync,
    ) -> Result<(T, u32), CallError> {
        let with_header = |token: &Token| {
            let mut request = request();
            request.headers_mut().insert(TOKEN_HEADER.clone(), token.header());
            Ok(request)
        };
        let clock = &self.inner.clock;
        let parse = |answer: &Exchange| parse_reply(&answer.reply(clock.now()), &read);
        self.with_token(MAX_MEETINGS_BYTES, with_header, parse).await
    }
}

/// Reads a complete answer.
fn parse_reply<T>(
    reply: &Reply<'_>,
    read: impl Fn(&Reply<'_>) -> Result<T, BodyError>,
) -> Result<T, CallError> {
    if reply.status != 200 {
        return Err(classify::meeting_failure(reply));
    }
    read(reply).map_err(|fault| {
        let mut error = classify::meeting_failure(reply);
        if let (BodyError::Malformed(place), class::MALFORMED) = (fault, error.class) {
            error.text = format!("the answer is not understood: {place}");
        }
        error
    })
}

fn page_query(most: Option<usize>, after: Option<&PageToken>) -> String {
    let most = most.map(|most| format!("maxResults={most}"));
    let after = after.map(|PageToken(token)| format!("nextToken={}", percent_encoded(token)));
    most.into_iter().chain(after).collect::<Vec<_>>().join("&")
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
}
