//! The answers about meetings: the ongoing ones, a batch with users, one meeting, its members.
//!
//! Guards: names, types and error codes are those of DingTalk's pages "Query the list of ongoing conferences of an
//! organization", "Batch query video conference information", "Query video conference information" and "Query video
//! conference members". Not here: refusals (`gateway`), the truth (`meetings`).

use super::faults::{Fault, FaultKind};
use super::hash::stable_hash;
use super::json::{Object, array, quote};
use super::meetings::MeetingView;
use super::options::{
    AnswerOptions, AttendStatus, BatchUser, EndedInBatch, EndedMembers, ForeignMeetings, LastPage, Leavers,
};
use super::record::{self, Among, number};
use super::types::{Participation, Person, Role};
use super::world::World;
use crate::time::{Timestamp, duration_ms};

/// The longest and the default page of ongoing meetings. The documents name none.
const MEETINGS_A_PAGE: usize = 20;
/// The longest page of members, which the documents name as the default.
const MEMBERS_A_PAGE: usize = 128;
/// The most ids in one batch. The documents name none.
const MEETINGS_A_BATCH: usize = 20;
/// The page token of the first page, a number like the documented one; `0` means the same.
const FIRST_TOKEN: usize = 50_742_000_000;
const ENDED: i64 = 1;
const STARTED: i64 = 2;

/// The requested page: `nextToken` and `maxResults`, unparsed.
#[derive(Clone, Debug, Default)]
pub(super) struct PageQuery {
    pub(super) next_token: Option<String>,
    pub(super) max_results: Option<String>,
}

/// Builds the answers from the truth and the options.
#[derive(Clone, Copy, Debug)]
pub(super) struct MeetingAnswers<'a> {
    pub(super) world: &'a World,
    pub(super) now: Timestamp,
    pub(super) options: &'a AnswerOptions,
    /// A fault of the content; the form of the answer stays valid.
    pub(super) content_fault: Option<&'a Fault>,
}

/// A business refusal: HTTP status and `code`.
pub(super) type Refusal = (u16, &'static str);

impl MeetingAnswers<'_> {
    /// `GET /v1.0/conference/orgConferences`.
    pub(super) fn ongoing(&self, page_query: &PageQuery) -> Result<String, Refusal> {
        let mut meetings = self.world.ongoing(self.seen_at());
        meetings.retain(|view| self.is_visible(view) && !self.has_fault(FaultKind::NoMeetings));
        let Some(page) = Page::of(page_query, meetings.len(), MEETINGS_A_PAGE) else {
            return Err((400, "paramError"));
        };
        let listed = meetings[page.from..page.to].iter().map(|view| self.listed(view));
        let answer = Object::new().raw("onGoingConfList", &array(listed));
        let answer =
            record::boolean(page.next_token(answer, self.options), "hasMore", page.has_more(), self.options);
        Ok(number(answer, "totalCount", whole(meetings.len()), self.options).end())
    }

    /// `POST /v1.0/conference/videoConferences/query`.
    pub(super) fn batch(&self, body: &[u8]) -> Result<String, Refusal> {
        let sent: Option<serde_json::Value> = serde_json::from_slice(body).ok();
        let ids: Option<Vec<&str>> = sent
            .as_ref()
            .and_then(|sent| sent.get("conferenceIdList")?.as_array())
            .and_then(|ids| ids.iter().map(serde_json::Value::as_str).collect());
        let Some(ids) = ids.filter(|ids| (1..=MEETINGS_A_BATCH).contains(&ids.len())) else {
            return Err((400, "paramsError"));
        };
        let mut infos = Vec::new();
        for id in ids {
            let view = self.world.meeting(id, self.seen_at()).filter(|view| self.is_visible(view));
            let Some(view) = view.filter(|_| !self.has_fault(FaultKind::NoMeetings)) else { continue };
            match (view.ended, self.options.ended_in_batch) {
                (None, _) => infos.push(self.with_users(&view, infos.is_empty())),
                (Some(_), EndedInBatch::LeftOut) => {}
                (Some(_), EndedInBatch::Refused) => return Err((400, "resourceClose")),
            }
        }
        Ok(Object::new().raw("infos", &array(infos)).end())
    }

    /// `GET /v1.0/conference/videoConferences/{conferenceId}`.
    pub(super) fn info(&self, conference_id: &str) -> Result<String, Refusal> {
        let view = self.found(conference_id)?;
        Ok(Object::new().raw("confInfo", &self.whole_info(&view)).end())
    }

    /// `GET /v1.0/conference/videoConferences/{conferenceId}/members`.
    pub(super) fn members(&self, conference_id: &str, page_query: &PageQuery) -> Result<String, Refusal> {
        let view = self.found(conference_id)?;
        if view.ended.is_some() && self.options.ended_members == EndedMembers::Refused {
            return Err((400, "confClosed"));
        }
        let members = if self.has_fault(FaultKind::NobodyInside) { &[][..] } else { &view.members };
        let Some(page) = Page::of(page_query, members.len(), MEMBERS_A_PAGE) else {
            return Err((400, "paramError"));
        };
        let models = members[page.from..page.to].iter().map(|(_, person, participation)| {
            record::record(person, participation, Among::Members, self.now, self.options)
        });
        let answer = page.next_token(Object::new().raw("memberModels", &array(models)), self.options);
        Ok(number(answer, "totalCount", whole(members.len()), self.options).end())
    }

    /// The instant whose truth the answer shows.
    fn seen_at(&self) -> Timestamp {
        self.now.minus(self.options.meetings_lag.0)
    }

    fn has_fault(&self, kind: FaultKind) -> bool {
        self.content_fault.is_some_and(|fault| fault.kind == kind)
    }

    fn is_visible(&self, view: &MeetingView<'_>) -> bool {
        !view.foreign || self.options.foreign_meetings == ForeignMeetings::Listed
    }

    fn found(&self, conference_id: &str) -> Result<MeetingView<'_>, Refusal> {
        let Some(view) = self.world.meeting(conference_id, self.seen_at()) else {
            return Err((404, "roomNotFound"));
        };
        if !self.is_visible(&view) {
            return Err((403, "noPermission"));
        }
        let another =
            self.world.ongoing(self.seen_at()).into_iter().find(|other| other.conference_id != conference_id);
        Ok(another.filter(|_| self.has_fault(FaultKind::OtherPerson)).unwrap_or(view))
    }

    fn listed(&self, view: &MeetingView<'_>) -> String {
        let object = Object::new().text("conferenceId", &view.conference_id).text("title", view.title);
        let object = number(object.text("roomCode", &room_code(view)), "status", STARTED, self.options);
        let object = number(object, "startTime", view.opened.as_ms(), self.options);
        creator(object, view).text("bizType", "0").end()
    }

    fn whole_info(&self, view: &MeetingView<'_>) -> String {
        self.model(view, if view.ended.is_some() { ENDED } else { STARTED })
    }

    /// A meeting with its numbers, and with this status.
    pub(super) fn model(&self, view: &MeetingView<'_>, status: i64) -> String {
        let count = |wanted: fn(&Participation) -> bool| {
            whole(view.members.iter().filter(|(_, _, participation)| wanted(participation)).count())
        };
        let object = Object::new().text("conferenceId", &view.conference_id).text("title", view.title);
        let mut object = creator(object, view).text("roomCode", &room_code(view)).text("bizType", "0");
        for (name, value) in [
            ("status", status),
            ("startTime", view.opened.as_ms()),
            ("activeNum", count(Participation::is_inside)),
            ("attendNum", count(|participation| participation.joined.is_some())),
            ("invitedNum", count(|_| true)),
        ] {
            object = number(object, name, value, self.options);
        }
        if let Some(ended) = view.ended {
            object = number(object, "endTime", ended.as_ms(), self.options);
            object = number(object, "confDuration", duration_ms(ended.since(view.opened)), self.options);
        }
        object.end()
    }

    fn with_users(&self, view: &MeetingView<'_>, first: bool) -> String {
        let mut users: Vec<String> = Vec::new();
        let wrongly = self.content_fault.filter(|fault| first && fault.kind == FaultKind::WronglyInside);
        for (index, person, participation) in &view.members {
            let left = participation.left.is_some() && self.options.leavers == Leavers::Dropped;
            let hidden = self.has_fault(FaultKind::NobodyInside);
            let invented = wrongly.is_some_and(|fault| fault.who.contains(&person.union_id));
            if !left && !hidden && !invented {
                users.push(self.user(*index, person, participation.status));
            }
        }
        let invented = |(_, person): &(usize, &Person)| {
            wrongly.is_some_and(|fault| fault.who.contains(&person.union_id))
        };
        users.extend(
            self.world
                .people()
                .iter()
                .enumerate()
                .filter(invented)
                .map(|(index, person)| self.user(index, person, super::types::INSIDE)),
        );
        let object = Object::new().text("conferenceId", &view.conference_id).text("title", view.title);
        let object = number(object, "startTime", view.opened.as_ms(), self.options);
        let object = number(number(object, "status", STARTED, self.options), "mediaStatus", 0, self.options);
        object.raw("userList", &array(users)).end()
    }

    fn user(&self, index: usize, person: &Person, status: i64) -> String {
        let id = match self.options.batch_user {
            BatchUser::UnionId => person.union_id.clone(),
            BatchUser::UserId => format!("user{index}"),
        };
        let user = Object::new().text("userId", &id).text("nick", &person.nick);
        let user = match self.options.attend_status {
            AttendStatus::On => number(user, "attendStatus", status, self.options),
            AttendStatus::Zero => number(user, "attendStatus", 0, self.options),
            AttendStatus::NinetyNine => number(user, "attendStatus", 99, self.options),
            AttendStatus::Off => user,
        };
        number(number(user, "cameraStatus", 1, self.options), "micStatus", 2, self.options).end()
    }
}

fn room_code(view: &MeetingView<'_>) -> String {
    format!("{:09}", stable_hash(&[view.conference_id.as_bytes(), b"room"]) % 1_000_000_000)
}

/// Writes the host as creator, or else the first member.
fn creator(object: Object, view: &MeetingView<'_>) -> Object {
    let host = view.members.iter().find(|(_, _, participation)| participation.role == Role::Host);
    match host.or(view.members.first()) {
        Some((_, person, _)) => object.text("creatorId", &person.union_id).text("creatorNick", &person.nick),
        None => object,
    }
}

fn whole(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// A part of `all` entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Page {
    from: usize,
    to: usize,
    all: usize,
}

impl Page {
    /// `None` if the query is invalid.
    fn of(page_query: &PageQuery, all: usize, longest: usize) -> Option<Self> {
        let from = match page_query.next_token.as_deref() {
            None | Some("" | "0") => 0,
            Some(token) => token.parse::<usize>().ok()?.checked_sub(FIRST_TOKEN)?,
        };
        let most = match page_query.max_results.as_deref() {
            None | Some("") => longest,
            Some(most) => most.parse::<usize>().ok().filter(|most| *most > 0)?.min(longest),
        };
        let from = from.min(all);
        Some(Self { from, to: from.saturating_add(most).min(all), all })
    }

    fn has_more(self) -> bool {
        self.to < self.all
    }

    fn next_token(self, answer: Object, options: &AnswerOptions) -> Object {
        if self.has_more() || options.last_page == LastPage::Token {
            answer.raw("nextToken", &quote(&(FIRST_TOKEN + self.to).to_string()))
        } else {
            answer
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(token: Option<&str>, most: Option<&str>) -> Option<(usize, usize)> {
        let page_query =
            PageQuery { next_token: token.map(str::to_owned), max_results: most.map(str::to_owned) };
        Page::of(&page_query, 45, 20).map(|page| (page.from, page.to))
    }

    #[test]
    fn pages_follow_each_other_to_the_end() {
        assert_eq!(page(None, None), Some((0, 20)));
        assert_eq!(page(Some("0"), Some("7")), Some((0, 7)));
        assert_eq!(page(Some("50742000020"), Some("500")), Some((20, 40)));
        assert_eq!(page(Some("50742000040"), None), Some((40, 45)));
        assert_eq!(page(Some("50742000045"), None), Some((45, 45)));
    }

    #[test]
    fn what_is_no_page_is_refused() {
        for (token, most) in [(Some("x"), None), (Some("7"), None), (None, Some("0")), (None, Some("-1"))] {
            assert_eq!(page(token, most), None, "{token:?} {most:?}");
        }
    }
}
