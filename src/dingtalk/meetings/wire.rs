//! Reads the bodies of good answers about meetings, leniently: JSON bytes in, plain values out.
//!
//! Guards: no answer causes a panic. A foreign body is never "no meetings". A record of another meeting makes the whole
//! answer invalid. No error quotes the body. Not here: the HTTP status and what an error means (`classify`).

use std::collections::BTreeSet;
use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};

use super::pages::{Page, PageToken};
use super::types::{MeetingInfo, MeetingState, MeetingUser, MeetingUsers, Member, OngoingMeeting};
use crate::dingtalk::lenient::{DisplayText, Flag, Id, MaybeText, Number};
use crate::dingtalk::wire::{BodyError, FOREIGN_KEYS, Record, in_range, malformed};
use crate::ids::{ConferenceId, UnionId};
use crate::presence::observation::Evidence;
use crate::presence::title::Title;
use crate::time::Timestamp;

/// The most entries on one page or in one batch; more can only be a mistake.
const MAX_ITEMS: usize = 10_000;

/// Reads `orgConferences`. The caller fills in `calls`.
pub(super) fn ongoing(body: &[u8]) -> Result<Page<OngoingMeeting>, BodyError> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    #[derive(Default)]
    struct Top<'a> {
        #[serde(borrow)]
        on_going_conf_list: Option<Vec<Option<Shaped<Meeting<'a>>>>>,
        next_token: Option<Token>,
        has_more: Option<Flag>,
        total_count: Number,
    }
    let keys = ["onGoingConfList", "nextToken", "hasMore", "totalCount"];
    let Shaped(top) = read::<Top<'_>>(body, &keys)?;
    let mut oddities = 0;
    let list = list_of(top.on_going_conf_list, &mut oddities)?;
    let mut items = Vec::with_capacity(list.items.len());
    for meeting in list.items {
        match meeting.conference_id.as_ref().and_then(|id| ConferenceId::parse(&id.0).ok()) {
            Some(conference_id) => items.push(OngoingMeeting {
                conference_id,
                started: instant(meeting.start_time, &mut oddities),
                title: title(meeting.title),
                creator: creator(meeting.creator_id),
            }),
            None => oddities += 1,
        }
    }
    Ok(Page {
        items,
        next: next(top.next_token),
        has_more: top.has_more.map(|flag| flag.0),
        total: count(top.total_count, &mut oddities),
        evidence: list.evidence,
        calls: 0,
        oddities,
    })
}

#[derive(Default, serde::Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Meeting<'a> {
    #[serde(borrow)]
    conference_id: Option<Id<'a>>,
    #[serde(borrow)]
    title: Option<DisplayText<'a>>,
    #[serde(borrow)]
    creator_id: Option<MaybeText<'a>>,
    start_time: Number,
}

/// Reads `videoConferences/query` about `asked`: the meetings, and how many entries were invalid.
pub(super) fn batch(body: &[u8], asked: &[ConferenceId]) -> Result<(Vec<MeetingUsers>, u32), BodyError> {
    #[derive(Default, serde::Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    struct Top<'a> {
        #[serde(borrow)]
        infos: Option<Vec<Option<Shaped<Info<'a>>>>>,
    }
    #[derive(Default, serde::Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    struct Info<'a> {
        #[serde(borrow)]
        conference_id: Option<Id<'a>>,
        status: Number,
        #[serde(borrow)]
        user_list: Option<Vec<Option<Shaped<User<'a>>>>>,
    }
    let Shaped(top) = read::<Top<'_>>(body, &["infos"])?;
    let mut oddities = 0;
    let asked: BTreeSet<&str> = asked.iter().map(ConferenceId::as_str).collect();
    let mut meetings: Vec<MeetingUsers> = Vec::new();
    for info in list_of(top.infos, &mut oddities)?.items {
        let id = info.conference_id.as_ref().map_or("", |id| &id.0);
        let Some(conference_id) = asked.contains(id).then(|| ConferenceId::parse(id).ok()).flatten() else {
            return Err(BodyError::Malformed("infos: a meeting that was not asked for".into()));
        };
        // Status 1: the meeting has ended, even if it still lists users.
        if info.status == Number::Value(1) {
            continue;
        }
        let users = batch_users(info.user_list, &mut oddities)?;
        if meetings.iter().any(|known| known.conference_id == conference_id) {
            return Err(BodyError::Malformed("infos: a meeting appears twice".into()));
        }
        meetings.push(MeetingUsers { conference_id, users });
    }
    Ok((meetings, oddities))
}

#[derive(Default, serde::Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct User<'a> {
    #[serde(borrow)]
    user_id: Option<Id<'a>>,
    attend_status: Number,
}

fn batch_users(
    list: Option<Vec<Option<Shaped<User<'_>>>>>,
    oddities: &mut u32,
) -> Result<Vec<MeetingUser>, BodyError> {
    let mut users = Vec::new();
    for user in list_of(list, oddities)?.items {
        match user.user_id.filter(|id| !id.0.is_empty()) {
            Some(id) => {
                users.push(MeetingUser { id: id.0.into_owned(), status: status(user.attend_status) });
            }
            None => *oddities += 1,
        }
    }
    Ok(users)
}

/// Reads `videoConferences/{conferenceId}` about `asked`. The caller fills in `calls`.
pub(super) fn info(
    body: &[u8],
    asked: &ConferenceId,
    observed_at: Timestamp,
) -> Result<MeetingInfo, BodyError> {
    #[derive(Default, serde::Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    struct Top<'a> {
        #[serde(borrow)]
        conf_info: Option<Shaped<Info<'a>>>,
    }
    #[derive(Default, serde::Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    struct Info<'a> {
        #[serde(borrow)]
        conference_id: Option<Id<'a>>,
        #[serde(borrow)]
        title: Option<DisplayText<'a>>,
        #[serde(borrow)]
        creator_id: Option<MaybeText<'a>>,
        status: Number,
        start_time: Number,
        end_time: Number,
        active_num: Number,
    }
    let Shaped(top) = read::<Top<'_>>(body, &["confInfo"])?;
    let Some(Shaped(info)) = top.conf_info else {
        return Err(BodyError::Malformed("confInfo is not there".into()));
    };
    check_meeting(info.conference_id.as_ref(), asked, "confInfo")?;
    let mut oddities = 0;
    let state = match info.status {
        Number::Value(0) => MeetingState::Initialized,
        Number::Value(1) => MeetingState::Ended,
        Number::Value(2) => MeetingState::Started,
        Number::Value(_) | Number::Odd => {
            oddities += 1;
            MeetingState::Unrecognized
        }
        Number::Absent => MeetingState::Unrecognized,
    };
    Ok(MeetingInfo {
        observed_at,
        state,
        started: instant(info.start_time, &mut oddities),
        ended: instant(info.end_time, &mut oddities),
        active: in_range(info.active_num, &mut oddities),
        title: title(info.title),
        creator: creator(info.creator_id),
        calls: 0,
        oddities,
    })
}

/// Reads `videoConferences/{conferenceId}/members` about `asked`. The caller fills in `calls`.
pub(super) fn members(body: &[u8], asked: &ConferenceId) -> Result<Page<Member>, BodyError> {
    #[derive(Default, serde::Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    struct Top<'a> {
        #[serde(borrow)]
        member_models: Option<Vec<Option<Record<'a>>>>,
        next_token: Option<Token>,
        has_more: Option<Flag>,
        total_count: Number,
    }
    let Shaped(top) = read::<Top<'_>>(body, &["memberModels", "nextToken", "hasMore", "totalCount"])?;
    let mut oddities = 0;
    let evidence = evidence_of(top.member_models.as_ref());
    let records = top.member_models.unwrap_or_default();
    if records.len() > MAX_ITEMS {
        return Err(BodyError::Malformed("memberModels is too long".into()));
    }
    let mut items = Vec::with_capacity(records.len());
    for record in records {
        let Some(record) = record else {
            oddities += 1;
            continue;
        };
        check_meeting(record.conference_id.as_ref(), asked, "memberModels")?;
        // An invalid value does not make the record invalid, so it is not counted for the page.
        let mut odd = 0;
        let union_id = record.union_id.as_ref().and_then(|id| UnionId::parse(&id.0).ok());
        items.push(Member { union_id, attendance: record.into_attendance(asked.clone(), &mut odd) });
    }
    Ok(Page {
        items,
        next: next(top.next_token),
        has_more: top.has_more.map(|flag| flag.0),
        total: count(top.total_count, &mut oddities),
        evidence,
        calls: 0,
        oddities,
    })
}

/// Reads a body with at least one known key and no foreign one. `{}` is valid and says nothing.
fn read<'de, T: Deserialize<'de>>(body: &'de [u8], known: &[&str]) -> Result<Shaped<T>, BodyError> {
    if body.iter().find(|b| !b.is_ascii_whitespace()) != Some(&b'{') {
        return Err(BodyError::Malformed("the answer is not a JSON object".into()));
    }
    let Shaped(Keys(keys)) = serde_json::from_slice(body).map_err(|e| malformed(&e))?;
    if keys.iter().any(|key| FOREIGN_KEYS.contains(&&*key.0)) {
        return Err(BodyError::Foreign);
    }
    if !keys.is_empty() && !keys.iter().any(|key| known.contains(&&*key.0)) {
        return Err(BodyError::Malformed(format!("{} is not there", known[0])));
    }
    serde_json::from_slice(body).map_err(|e| malformed(&e))
}

/// The keys of an object.
struct Keys<'a>(Vec<Id<'a>>);

impl<'de> Deserialize<'de> for Keys<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Objects;
        impl<'de> Visitor<'de> for Objects {
            type Value = Keys<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Keys<'de>, A::Error> {
                let mut keys = Vec::new();
                while let Some((key, IgnoredAny)) = map.next_entry()? {
                    keys.push(key);
                }
                Ok(Keys(keys))
            }
        }
        deserializer.deserialize_map(Objects)
    }
}

/// A JSON object. A derived `Deserialize` alone would also accept an array.
struct Shaped<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Shaped<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Objects<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Objects<T> {
            type Value = Shaped<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Shaped<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Shaped)
            }
        }
        deserializer.deserialize_map(Objects(PhantomData))
    }
}

/// A page token, which is a text but may come as a number.
struct Token(String);

impl<'de> Deserialize<'de> for Token {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Tokens;
        impl Visitor<'_> for Tokens {
            type Value = Token;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }
            fn visit_u64<E>(self, number: u64) -> Result<Token, E> {
                Ok(Token(number.to_string()))
            }
            fn visit_str<E>(self, text: &str) -> Result<Token, E> {
                Ok(Token(text.to_owned()))
            }
        }
        deserializer.deserialize_any(Tokens)
    }
}

struct List<T> {
    items: Vec<T>,
    evidence: Evidence,
}

fn evidence_of<T>(list: Option<&T>) -> Evidence {
    if list.is_some() { Evidence::Explicit } else { Evidence::Weak }
}

/// The entries of a list; nulls are counted as invalid.
fn list_of<T>(list: Option<Vec<Option<Shaped<T>>>>, oddities: &mut u32) -> Result<List<T>, BodyError> {
    let evidence = evidence_of(list.as_ref());
    let list = list.unwrap_or_default();
    if list.len() > MAX_ITEMS {
        return Err(BodyError::Malformed("a list is too long".into()));
    }
    let all = list.len();
    let items: Vec<T> = list.into_iter().flatten().map(|Shaped(item)| item).collect();
    *oddities += u32::try_from(all - items.len()).unwrap_or(u32::MAX);
    Ok(List { items, evidence })
}

fn check_meeting(record_id: Option<&Id<'_>>, asked: &ConferenceId, place: &str) -> Result<(), BodyError> {
    match record_id {
        Some(id) if !id.0.is_empty() && id.0 != asked.as_str() => {
            Err(BodyError::Malformed(format!("{place}: of another meeting")))
        }
        _ => Ok(()),
    }
}

fn next(token: Option<Token>) -> Option<PageToken> {
    token.map(|Token(text)| text).filter(|text| !text.is_empty() && text != "0").map(PageToken)
}

fn status(number: Number) -> Option<crate::presence::attendance::AttendStatus> {
    match number {
        Number::Absent => None,
        Number::Value(code) => Some(code.into()),
        Number::Odd => Some(i64::MIN.into()),
    }
}

fn title(text: Option<DisplayText<'_>>) -> Option<Title> {
    text.and_then(|text| Title::parse(&text.0))
}

/// An id that is no unionId is no oddity: it decides nothing.
fn creator(id: Option<MaybeText<'_>>) -> Option<UnionId> {
    id.and_then(|id| UnionId::parse(&id.0?).ok())
}

fn instant(number: Number, oddities: &mut u32) -> Option<Timestamp> {
    in_range(number, oddities).filter(|&ms| ms != 0).map(Timestamp::from_ms)
}

fn count(number: Number, oddities: &mut u32) -> Option<u64> {
    in_range(number, oddities).and_then(|count| u64::try_from(count).ok())
}

#[cfg(test)]
mod tests;
