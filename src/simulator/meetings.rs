//! The answers about meetings: the organisation's ongoing ones, a batch of them with their users, one, its members.
//!
//! Guards: names, types and error codes of DingTalk's pages "Query the list of ongoing conferences of an
//! organization", "Batch query video conference information", "Query video conference information" and "Query video
//! conference members". Deliberately not here: who may ask (`gateway`), what is true (`held`).

use super::facts::{Person, Role, Seat};
use super::faults::{Fault, FaultKind};
use super::held::Held;
use super::json::{Object, array, quote};
use super::knobs::{
    AttendStatus, BatchUser, EndedInBatch, EndedMembers, ForeignMeetings, Knobs, LastPage, Leavers,
};
use super::record::{self, Among, number};
use super::spread;
use super::world::World;
use crate::time::{Timestamp, duration_ms};

/// The longest page of ongoing meetings, and the one without a wish; the documents are silent.
const MEETINGS_A_PAGE: usize = 20;
/// The same of members, which the documents give as the default.
const MEMBERS_A_PAGE: usize = 128;
/// The most ids in one batch; the documents are silent.
const MEETINGS_A_BATCH: usize = 20;
/// Page tokens are numbers as the documented one is; this is that of the first page, and `0` is as good.
const FIRST_TOKEN: usize = 50_742_000_000;
const ENDED: i64 = 1;
const STARTED: i64 = 2;

/// Which part of many is asked for: `nextToken` and `maxResults` as they stand in the query.
#[derive(Clone, Debug, Default)]
pub(super) struct Wish {
    pub(super) next_token: Option<String>,
    pub(super) max_results: Option<String>,
}

/// What an answer is made from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Teller<'a> {
    pub(super) world: &'a World,
    pub(super) now: Timestamp,
    pub(super) knobs: &'a Knobs,
    /// What is wrong with it, if it is healthy in shape.
    pub(super) lie: Option<&'a Fault>,
}

/// A business refusal: HTTP status and `code`.
pub(super) type Refusal = (u16, &'static str);

impl Teller<'_> {
    /// `GET /v1.0/conference/orgConferences`.
    pub(super) fn ongoing(&self, wish: &Wish) -> Result<String, Refusal> {
        let mut meetings = self.world.ongoing(self.seen_at());
        meetings.retain(|held| self.tells(held) && !self.lies(FaultKind::NoMeetings));
        let Some(page) = Page::of(wish, meetings.len(), MEETINGS_A_PAGE) else {
            return Err((400, "paramError"));
        };
        let listed = meetings[page.from..page.to].iter().map(|held| self.listed(held));
        let answer = Object::new().raw("onGoingConfList", &array(listed));
        let answer =
            record::boolean(page.next_token(answer, self.knobs), "hasMore", page.has_more(), self.knobs);
        Ok(number(answer, "totalCount", whole(meetings.len()), self.knobs).end())
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
            let held = self.world.meeting(id, self.seen_at()).filter(|held| self.tells(held));
            let Some(held) = held.filter(|_| !self.lies(FaultKind::NoMeetings)) else { continue };
            match (held.ended, self.knobs.ended_in_batch) {
                (None, _) => infos.push(self.with_users(&held, infos.is_empty())),
                (Some(_), EndedInBatch::LeftOut) => {}
                (Some(_), EndedInBatch::Refused) => return Err((400, "resourceClose")),
            }
        }
        Ok(Object::new().raw("infos", &array(infos)).end())
    }

    /// `GET /v1.0/conference/videoConferences/{conferenceId}`.
    pub(super) fn info(&self, conference_id: &str) -> Result<String, Refusal> {
        let held = self.found(conference_id)?;
        Ok(Object::new().raw("confInfo", &self.whole_info(&held)).end())
    }

    /// `GET /v1.0/conference/videoConferences/{conferenceId}/members`.
    pub(super) fn members(&self, conference_id: &str, wish: &Wish) -> Result<String, Refusal> {
        let held = self.found(conference_id)?;
        if held.ended.is_some() && self.knobs.ended_members == EndedMembers::Refused {
            return Err((400, "confClosed"));
        }
        let members = if self.lies(FaultKind::NobodyInside) { &[][..] } else { &held.members };
        let Some(page) = Page::of(wish, members.len(), MEMBERS_A_PAGE) else {
            return Err((400, "paramError"));
        };
        let models = members[page.from..page.to]
            .iter()
            .map(|(_, person, seat)| record::record(person, seat, Among::Members, self.now, self.knobs));
        let answer = page.next_token(Object::new().raw("memberModels", &array(models)), self.knobs);
        Ok(number(answer, "totalCount", whole(members.len()), self.knobs).end())
    }

    /// The instant whose truth is told.
    fn seen_at(&self) -> Timestamp {
        self.now.minus(self.knobs.meetings_lag.0)
    }

    fn lies(&self, kind: FaultKind) -> bool {
        self.lie.is_some_and(|fault| fault.kind == kind)
    }

    fn tells(&self, held: &Held<'_>) -> bool {
        !held.foreign || self.knobs.foreign_meetings == ForeignMeetings::Listed
    }

    fn found(&self, conference_id: &str) -> Result<Held<'_>, Refusal> {
        let Some(held) = self.world.meeting(conference_id, self.seen_at()) else {
            return Err((404, "roomNotFound"));
        };
        if !self.tells(&held) {
            return Err((403, "noPermission"));
        }
        let another =
            self.world.ongoing(self.seen_at()).into_iter().find(|other| other.conference_id != conference_id);
        Ok(another.filter(|_| self.lies(FaultKind::OtherPerson)).unwrap_or(held))
    }

    fn listed(&self, held: &Held<'_>) -> String {
        let object = Object::new().text("conferenceId", &held.conference_id).text("title", held.title);
        let object = number(object.text("roomCode", &room_code(held)), "status", STARTED, self.knobs);
        let object = number(object, "startTime", held.opened.as_ms(), self.knobs);
        creator(object, held).text("bizType", "0").end()
    }

    fn whole_info(&self, held: &Held<'_>) -> String {
        let count = |wanted: fn(&Seat) -> bool| {
            whole(held.members.iter().filter(|(_, _, seat)| wanted(seat)).count())
        };
        let status = if held.ended.is_some() { ENDED } else { STARTED };
        let object = Object::new().text("conferenceId", &held.conference_id).text("title", held.title);
        let mut object = creator(object, held).text("roomCode", &room_code(held)).text("bizType", "0");
        for (name, value) in [
            ("status", status),
            ("startTime", held.opened.as_ms()),
            ("activeNum", count(Seat::is_inside)),
            ("attendNum", count(|seat| seat.joined.is_some())),
            ("invitedNum", count(|_| true)),
        ] {
            object = number(object, name, value, self.knobs);
        }
        if let Some(ended) = held.ended {
            object = number(object, "endTime", ended.as_ms(), self.knobs);
            object = number(object, "confDuration", duration_ms(ended.since(held.opened)), self.knobs);
        }
        object.end()
    }

    fn with_users(&self, held: &Held<'_>, first: bool) -> String {
        let mut users: Vec<String> = Vec::new();
        let wrongly = self.lie.filter(|fault| first && fault.kind == FaultKind::WronglyInside);
        for (index, person, seat) in &held.members {
            let left = seat.left.is_some() && self.knobs.leavers == Leavers::Dropped;
            let hidden = self.lies(FaultKind::NobodyInside);
            let invented = wrongly.is_some_and(|fault| fault.who.contains(&person.union_id));
            if !left && !hidden && !invented {
                users.push(self.user(*index, person, seat.status));
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
                .map(|(index, person)| self.user(index, person, super::facts::INSIDE)),
        );
        let object = Object::new().text("conferenceId", &held.conference_id).text("title", held.title);
        let object = number(object, "startTime", held.opened.as_ms(), self.knobs);
        let object = number(number(object, "status", STARTED, self.knobs), "mediaStatus", 0, self.knobs);
        object.raw("userList", &array(users)).end()
    }

    fn user(&self, index: usize, person: &Person, status: i64) -> String {
        let id = match self.knobs.batch_user {
            BatchUser::UnionId => person.union_id.clone(),
            BatchUser::UserId => format!("user{index}"),
        };
        let user = Object::new().text("userId", &id).text("nick", &person.nick);
        let user = match self.knobs.attend_status {
            AttendStatus::On => number(user, "attendStatus", status, self.knobs),
            AttendStatus::Zero => number(user, "attendStatus", 0, self.knobs),
            AttendStatus::NinetyNine => number(user, "attendStatus", 99, self.knobs),
            AttendStatus::Off => user,
        };
        number(number(user, "cameraStatus", 1, self.knobs), "micStatus", 2, self.knobs).end()
    }
}

fn room_code(held: &Held<'_>) -> String {
    format!("{:09}", spread(&[held.conference_id.as_bytes(), b"room"]) % 1_000_000_000)
}

/// The host, else whoever is first among the members.
fn creator(object: Object, held: &Held<'_>) -> Object {
    let host = held.members.iter().find(|(_, _, seat)| seat.role == Role::Host);
    match host.or(held.members.first()) {
        Some((_, person, _)) => object.text("creatorId", &person.union_id).text("creatorNick", &person.nick),
        None => object,
    }
}

fn whole(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// A stretch of `all` things.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Page {
    from: usize,
    to: usize,
    all: usize,
}

impl Page {
    /// `None`: the wish is no wish.
    fn of(wish: &Wish, all: usize, longest: usize) -> Option<Self> {
        let from = match wish.next_token.as_deref() {
            None | Some("" | "0") => 0,
            Some(token) => token.parse::<usize>().ok()?.checked_sub(FIRST_TOKEN)?,
        };
        let most = match wish.max_results.as_deref() {
            None | Some("") => longest,
            Some(most) => most.parse::<usize>().ok().filter(|most| *most > 0)?.min(longest),
        };
        let from = from.min(all);
        Some(Self { from, to: from.saturating_add(most).min(all), all })
    }

    fn has_more(self) -> bool {
        self.to < self.all
    }

    fn next_token(self, answer: Object, knobs: &Knobs) -> Object {
        if self.has_more() || knobs.last_page == LastPage::Token {
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
        let wish = Wish { next_token: token.map(str::to_owned), max_results: most.map(str::to_owned) };
        Page::of(&wish, 45, 20).map(|page| (page.from, page.to))
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
