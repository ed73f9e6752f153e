//! An event as one sentence, in English or Chinese.
//!
//! Guards: every type of the catalogue has words of its own; what the event does not know is not said; plain text
//! without markup, in which nothing is invisible or turns the reading direction. Deliberately not here: escaping for a certain receiver (`text`), layout (`robot`, templates).

use std::fmt::Write as _;

use serde::Deserialize;

use super::style::{Language, Style};
use super::text::one_line;

/// What of a stored event is told to people. Whatever is missing is passed over.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Told {
    /// The type's name.
    #[serde(rename = "type")]
    pub event_type: String,
    /// `org/unionId`.
    pub subject: String,
    /// When it happened.
    pub time: String,
    /// When it was written down.
    pub recordedtime: String,
    /// The rest.
    pub data: Data,
}

/// What is used of `data`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Data {
    /// The organisation.
    pub org: Option<String>,
    /// Whom it is about.
    pub user: Option<User>,
    /// Where.
    pub meeting: Option<Meeting>,
    /// Since when, until when.
    pub visit: Option<Visit>,
    /// What it leads to.
    pub presence: Option<Presence>,
    /// How well the time is known.
    pub timing: Timing,
    /// Why nobody looked.
    pub cause: Option<String>,
    /// When nobody looked.
    pub gap: Option<Gap>,
    /// The daemon's own trouble.
    pub alert: Option<Alert>,
    /// What differs.
    pub changes: Changes,
}

/// `data.user`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct User {
    /// By the config.
    pub name: String,
}

/// `data.meeting`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Meeting {
    /// Which.
    pub conference_id: String,
}

/// `data.visit`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Visit {
    rejoin: bool,
    left_reason: Option<String>,
    duration_ms: Option<i64>,
}

/// `data.presence`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Presence {
    in_meeting: Option<bool>,
}

/// `data.timing`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Timing {
    /// When it was noticed.
    pub observed_at: String,
    /// Only after a while.
    pub late: bool,
}

/// `data.gap`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Gap {
    from: String,
    to: String,
}

/// `data.alert`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Alert {
    name: String,
    state: String,
    summary: String,
}

/// `data.changes`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Changes {
    role: Option<Changed>,
    joined_at: Option<Changed>,
    left_at: Option<Changed>,
    left_reason: Option<Changed>,
}

/// A member of `data.changes`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Changed {
    from: Option<String>,
    to: Option<String>,
}

impl Told {
    /// Reads a stored body. One that does not parse is told by what it lacks: nothing is known about it.
    pub fn read(body: &[u8]) -> Self {
        serde_json::from_slice(body).unwrap_or_default()
    }

    /// The sentence, on one line.
    pub fn sentence(&self, style: Style) -> String {
        one_line(&match style.language {
            Language::En => self.english(style),
            Language::Zh => self.chinese(style),
        })
    }

    fn who(&self) -> &str {
        match &self.data.user {
            Some(user) if !user.name.is_empty() => &user.name,
            _ => self.subject.rsplit('/').next().unwrap_or_default(),
        }
    }

    fn clock(&self, style: Style, instant: &str) -> String {
        style.clock(instant, &self.recordedtime)
    }

    fn left_reason(&self) -> &str {
        self.data.visit.as_ref().and_then(|visit| visit.left_reason.as_deref()).unwrap_or_default()
    }

    fn is_rejoin(&self) -> bool {
        self.data.visit.as_ref().is_some_and(|visit| visit.rejoin)
    }

    fn stayed(&self, style: Style) -> Option<String> {
        Some(style.length(self.data.visit.as_ref()?.duration_ms?))
    }

    fn in_meeting(&self) -> Option<bool> {
        self.data.presence.as_ref().and_then(|presence| presence.in_meeting)
    }

    fn between(&self, style: Style) -> (String, String) {
        let gap = self.data.gap.clone().unwrap_or_default();
        (self.clock(style, &gap.from), self.clock(style, &gap.to))
    }

    /// The times that moved, with the words for a join, for a leave, and for what they are not.
    fn corrections(&self, style: Style, [joined, left, not]: [&str; 3]) -> String {
        let changes = &self.data.changes;
        let mut text = String::new();
        for (what, changed) in [(joined, &changes.joined_at), (left, &changes.left_at)] {
            if let Some(Changed { to: Some(to), from }) = changed {
                // Writing to a String cannot fail.
                let _ = write!(text, "{what} {}", self.clock(style, to));
                if let Some(from) = from {
                    let _ = write!(text, "{not} {}", self.clock(style, from));
                }
            }
        }
        text
    }

    fn english(&self, style: Style) -> String {
        let (who, at) = (self.who(), self.clock(style, &self.time));
        match self.event_type.as_str() {
            "meeting.participant_joined" if self.is_rejoin() => {
                format!("{who} came back into a meeting at {at}")
            }
            "meeting.participant_joined" => format!("{who} joined a meeting at {at}"),
            "meeting.participant_left" => {
                let after = self.stayed(style).map_or_else(String::new, |stayed| format!(" after {stayed}"));
                let why = match self.left_reason() {
                    "removed" => ", removed by the host",
                    "meeting_ended" => ", the meeting ended",
                    "vanished" => ", as DingTalk lists it no more",
                    "rejoined" => ", and came in anew",
                    "unobserved" => ", while nobody looked",
                    "unwatched" => ", or not yet: nobody watches any more",
                    _ => "",
                };
                format!("{who} left a meeting at {at}{after}{why}")
            }
            "meeting.participant_join_failed" => format!("{who} did not take a call into a meeting at {at}"),
            "meeting.participant_invited" => format!("{who} was invited to a meeting at {at}"),
            "meeting.participant_role_changed" => match &self.data.changes.role {
                Some(Changed { from: Some(from), to: Some(to) }) => {
                    format!(
                        "{who} is {} of a meeting now ({at}), was {}",
                        english_role(to),
                        english_role(from)
                    )
                }
                _ => format!("{who} has another role in a meeting now ({at})"),
            },
            "meeting.participant_corrected" => {
                let words = [": joined at", ": left at", ", not"];
                format!("Correction about {who}{}", self.corrections(style, words))
            }
            "user.presence_changed" | "user.presence_snapshot" => match self.in_meeting() {
                Some(true) => format!("{who} is in a meeting ({at})"),
                Some(false) => format!("{who} is not in a meeting ({at})"),
                None => format!("It is not known whether {who} is in a meeting ({at})"),
            },
            "watch.stale" => {
                format!("{who} could not be looked at for too long; presence is not known ({at})")
            }
            "watch.recovered" => {
                let (from, to) = self.between(style);
                format!("{who} can be looked at again; not so from {from} to {to}")
            }
            "watch.rejected" => format!("DingTalk knows no {who} ({at})"),
            "system.gap" => {
                let (from, to) = self.between(style);
                let why = match self.data.cause.as_deref() {
                    Some("restart") => " (restart)",
                    Some("upstream") => " (DingTalk did not answer)",
                    Some("throttled") => " (DingTalk wanted fewer calls)",
                    _ => "",
                };
                format!("Nobody was looked at from {from} to {to}{why}")
            }
            "system.alert" => {
                let alert = self.data.alert.clone().unwrap_or_default();
                let state = if alert.state == "resolved" { "over" } else { "ALERT" };
                format!("{state}: {} ({})", alert.summary, alert.name)
            }
            "webhook.test" => format!("A test message of presenced, made at {at}"),
            other => format!("{other} ({at})"),
        }
    }

    fn chinese(&self, style: Style) -> String {
        let (who, at) = (self.who(), self.clock(style, &self.time));
        match self.event_type.as_str() {
            "meeting.participant_joined" if self.is_rejoin() => format!("{who} 于 {at} 重新加入会议"),
            "meeting.participant_joined" => format!("{who} 于 {at} 加入会议"),
            "meeting.participant_left" => {
                let stayed = self.stayed(style).map_or_else(String::new, |stayed| format!(",在会 {stayed}"));
                let why = match self.left_reason() {
                    "removed" => "(被移出)",
                    "meeting_ended" => "(会议结束)",
                    "vanished" => "(已不在会议列表中)",
                    "rejoined" => "(随后重新加入)",
                    "unobserved" => "(发生在无人查看期间)",
                    "unwatched" => "(已不再关注此人)",
                    _ => "",
                };
                format!("{who} 于 {at} 离开会议{stayed}{why}")
            }
            "meeting.participant_join_failed" => format!("{who} 于 {at} 未接听入会邀请"),
            "meeting.participant_invited" => format!("{who} 于 {at} 被邀请入会"),
            "meeting.participant_role_changed" => match &self.data.changes.role {
                Some(Changed { from: Some(from), to: Some(to) }) => {
                    format!("{who} 于 {at} 由{}变为{}", chinese_role(from), chinese_role(to))
                }
                _ => format!("{who} 于 {at} 会议角色有变"),
            },
            "meeting.participant_corrected" => {
                let words = [" 加入时间为", " 离开时间为", ",而非"];
                format!("更正:{who}{}", self.corrections(style, words))
            }
            "user.presence_changed" | "user.presence_snapshot" => match self.in_meeting() {
                Some(true) => format!("{who} 正在会议中({at})"),
                Some(false) => format!("{who} 不在会议中({at})"),
                None => format!("{who} 是否在会议中未知({at})"),
            },
            "watch.stale" => format!("{who} 的状态过久未能更新,目前未知({at})"),
            "watch.recovered" => {
                let (from, to) = self.between(style);
                format!("{who} 的状态已恢复更新,{from} 至 {to} 期间未知")
            }
            "watch.rejected" => format!("钉钉中没有 {who}({at})"),
            "system.gap" => {
                let (from, to) = self.between(style);
                let why = match self.data.cause.as_deref() {
                    Some("restart") => "(重新启动)",
                    Some("upstream") => "(钉钉无响应)",
                    Some("throttled") => "(钉钉限流)",
                    _ => "",
                };
                format!("{from} 至 {to} 期间未查看任何人{why}")
            }
            "system.alert" => {
                let alert = self.data.alert.clone().unwrap_or_default();
                let state = if alert.state == "resolved" { "恢复" } else { "告警" };
                format!("{state}:{}({})", alert.summary, alert.name)
            }
            "webhook.test" => format!("presenced 测试消息,{at}"),
            other => format!("{other}({at})"),
        }
    }
}

fn english_role(role: &str) -> &str {
    match role {
        "host" => "the host",
        "co_host" => "a co-host",
        "attendee" => "an attendee",
        other => other,
    }
}

fn chinese_role(role: &str) -> &str {
    match role {
        "host" => "主持人",
        "co_host" => "联席主持人",
        "attendee" => "参会者",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use chrono_tz::Tz;

    use super::*;
    use crate::message::sample;

    const STYLES: [Style; 2] = [
        Style { language: Language::En, zone: Tz::Europe__Berlin },
        Style { language: Language::Zh, zone: Tz::Asia__Shanghai },
    ];

    #[test]
    fn every_type_in_both_languages() {
        let mut lines = Vec::new();
        for body in sample::bodies() {
            let told = Told::read(body.as_bytes());
            lines.push(format!("# {}", told.event_type));
            lines.extend(STYLES.map(|style| told.sentence(style)));
        }
        insta::assert_snapshot!(lines.join("\n"));
    }

    #[test]
    fn every_reason_to_leave_in_both_languages() {
        let body = sample::body("meeting.participant_left").unwrap();
        let reasons = ["left", "removed", "meeting_ended", "vanished", "rejoined", "unobserved", "unwatched"];
        let lines: Vec<_> = reasons
            .iter()
            .map(|reason| Told::read(body.replace("\"vanished\"", &format!("\"{reason}\"")).as_bytes()))
            .flat_map(|told| STYLES.map(|style| told.sentence(style)))
            .collect();
        insta::assert_snapshot!(lines.join("\n"));
    }

    #[test]
    fn what_is_missing_or_strange_is_passed_over() {
        assert_eq!(Told::read(b"no json").sentence(STYLES[0]), " ()");
        let told = Told::read(br#"{"type":"meeting.participant_left","subject":"default/u1","data":{"visit":{"left_reason":"odd"}}}"#);
        assert_eq!(told.sentence(STYLES[0]), "u1 left a meeting at ");
        let told = Told::read(br#"{"type":"later.added","time":"2023-11-07T08:50:40.000Z","recordedtime":"2023-11-07T08:50:45.000Z"}"#);
        assert_eq!(told.sentence(STYLES[1]), "later.added(16:50:40)");
    }
}
