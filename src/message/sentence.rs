//! Renders an event as one sentence, in English or Chinese.
//!
//! Guards: each type of event has its own sentence; a value that the event does not have is left out; the sentence is
//! plain text without markup, invisible or direction-changing characters. Deliberately not here: escaping for a
//! receiver (`text`), layout (`robot`, templates).

use std::fmt::Write as _;

use serde::Deserialize;

use super::style::{Language, Style};
use super::text::one_line;

/// The members of a stored event that messages use. Missing members have defaults.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct StoredEvent {
    #[serde(rename = "type")]
    pub(super) event_type: String,
    /// `org/unionId`.
    pub(super) subject: String,
    pub(super) time: String,
    /// Time of the commit.
    pub(super) recordedtime: String,
    pub(super) data: Data,
}

/// The members of `data` that messages use.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Data {
    pub(super) org: Option<String>,
    pub(super) user: Option<User>,
    pub(super) meeting: Option<Meeting>,
    pub(super) visit: Option<Visit>,
    pub(super) presence: Option<Presence>,
    /// When the change was observed.
    pub(super) timing: Timing,
    /// The cause of a gap.
    pub(super) cause: Option<String>,
    /// The interval that was not observed.
    pub(super) gap: Option<Gap>,
    pub(super) alert: Option<Alert>,
    pub(super) changes: Changes,
}

/// `data.user`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct User {
    pub(super) name: String,
}

/// `data.meeting`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Meeting {
    pub(super) conference_id: String,
    /// If known, and if events may tell it.
    pub(super) title: Option<String>,
}

/// `data.visit`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Visit {
    rejoin: bool,
    left_reason: Option<String>,
    duration_ms: Option<i64>,
}

/// `data.presence`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Presence {
    in_meeting: Option<bool>,
}

/// `data.timing`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Timing {
    pub(super) observed_at: String,
    /// The daemon learned of the change only some time after it happened.
    pub(super) late: bool,
}

/// `data.gap`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Gap {
    from: String,
    to: String,
}

/// `data.alert`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Alert {
    name: String,
    state: String,
    summary: String,
}

/// `data.changes`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Changes {
    role: Option<Changed>,
    joined_at: Option<Changed>,
    left_at: Option<Changed>,
    left_reason: Option<Changed>,
}

/// A member of `data.changes`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Changed {
    from: Option<String>,
    to: Option<String>,
}

/// A stored event as one sentence.
pub fn sentence_of(body: &[u8], style: Style) -> String {
    StoredEvent::read(body).sentence(style)
}

impl StoredEvent {
    /// Parses a stored body. A body that does not parse gives an empty event.
    pub(super) fn read(body: &[u8]) -> Self {
        serde_json::from_slice(body).unwrap_or_default()
    }

    /// The sentence on one line.
    pub(super) fn sentence(&self, style: Style) -> String {
        one_line(&match style.language {
            Language::En => self.english(style),
            Language::Zh => self.chinese(style),
        })
    }

    fn name(&self) -> &str {
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

    fn duration(&self, style: Style) -> Option<String> {
        Some(style.length(self.data.visit.as_ref()?.duration_ms?))
    }

    fn in_meeting(&self) -> Option<bool> {
        self.data.presence.as_ref().and_then(|presence| presence.in_meeting)
    }

    /// `a meeting`, or its title.
    fn meeting(&self) -> String {
        self.title().map_or_else(|| "a meeting".to_owned(), |title| format!("\u{201c}{title}\u{201d}"))
    }

    /// 会议, or its title.
    fn chinese_meeting(&self) -> String {
        self.title().map_or_else(|| "会议".to_owned(), |title| format!("“{title}”"))
    }

    fn title(&self) -> Option<&str> {
        self.data.meeting.as_ref()?.title.as_deref().filter(|title| !title.is_empty())
    }

    fn gap(&self, style: Style) -> (String, String) {
        let gap = self.data.gap.clone().unwrap_or_default();
        (self.clock(style, &gap.from), self.clock(style, &gap.to))
    }

    /// The corrected times. `[joined, left, not]`: the words for a join, for a leave, and before the old time.
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
        let (name, at, meeting) = (self.name(), self.clock(style, &self.time), self.meeting());
        match self.event_type.as_str() {
            "meeting.participant_joined" if self.is_rejoin() => {
                format!("{name} rejoined {meeting} at {at}")
            }
            "meeting.participant_joined" => format!("{name} joined {meeting} at {at}"),
            "meeting.participant_left" => {
                let after =
                    self.duration(style).map_or_else(String::new, |duration| format!(" after {duration}"));
                let why = match self.left_reason() {
                    "removed" => ", removed by the host",
                    "meeting_ended" => ", the meeting ended",
                    "vanished" => ", no longer listed by DingTalk",
                    "rejoined" => ", then rejoined",
                    "unobserved" => ", during a gap in polling",
                    "unwatched" => ", or is still in it: no longer watched",
                    _ => "",
                };
                format!("{name} left {meeting} at {at}{after}{why}")
            }
            "meeting.participant_join_failed" => {
                format!("{name} did not answer the call to {meeting} at {at}")
            }
            "meeting.participant_invited" => format!("{name} was invited to {meeting} at {at}"),
            "meeting.participant_role_changed" => match &self.data.changes.role {
                Some(Changed { from: Some(from), to: Some(to) }) => {
                    format!(
                        "{name} is now {} of {meeting} ({at}), previously {}",
                        english_role(to),
                        english_role(from)
                    )
                }
                _ => format!("{name} has a new role in {meeting} ({at})"),
            },
            "meeting.participant_corrected" => {
                let words = [": joined at", ": left at", ", not"];
                format!("Correction for {name}{}", self.corrections(style, words))
            }
            "user.presence_changed" | "user.presence_snapshot" => match self.in_meeting() {
                Some(true) => format!("{name} is in a meeting ({at})"),
                Some(false) => format!("{name} is not in a meeting ({at})"),
                None => format!("Presence of {name} is unknown ({at})"),
            },
            "watch.stale" => {
                format!("No successful poll of {name} for too long; presence is unknown ({at})")
            }
            "watch.recovered" => {
                let (from, to) = self.gap(style);
                format!("Polling {name} works again; presence was not observed from {from} to {to}")
            }
            "watch.rejected" => format!("DingTalk has no user {name} ({at})"),
            "system.gap" => {
                let (from, to) = self.gap(style);
                let why = match self.data.cause.as_deref() {
                    Some("restart") => " (restart)",
                    Some("upstream") => " (DingTalk did not answer)",
                    Some("throttled") => " (calls were limited)",
                    _ => "",
                };
                format!("No user was polled from {from} to {to}{why}")
            }
            "system.alert" => {
                let alert = self.data.alert.clone().unwrap_or_default();
                let state = if alert.state == "resolved" { "RESOLVED" } else { "ALERT" };
                format!("{state}: {} ({})", alert.summary, alert.name)
            }
            "webhook.test" => format!("Test message from presenced at {at}"),
            other => format!("{other} ({at})"),
        }
    }

    fn chinese(&self, style: Style) -> String {
        let (name, at, meeting) = (self.name(), self.clock(style, &self.time), self.chinese_meeting());
        match self.event_type.as_str() {
            "meeting.participant_joined" if self.is_rejoin() => format!("{name} 于 {at} 重新加入{meeting}"),
            "meeting.participant_joined" => format!("{name} 于 {at} 加入{meeting}"),
            "meeting.participant_left" => {
                let duration =
                    self.duration(style).map_or_else(String::new, |duration| format!("，在会 {duration}"));
                let why = match self.left_reason() {
                    "removed" => "（被移出）",
                    "meeting_ended" => "（会议结束）",
                    "vanished" => "（已不在会议列表中）",
                    "rejoined" => "（随后重新加入）",
                    "unobserved" => "（发生在轮询中断期间）",
                    "unwatched" => "（已停止关注，可能仍在会议中）",
                    _ => "",
                };
                format!("{name} 于 {at} 离开{meeting}{duration}{why}")
            }
            "meeting.participant_join_failed" => format!("{name} 于 {at} 未接听入会邀请"),
            "meeting.participant_invited" => format!("{name} 于 {at} 被邀请入会"),
            "meeting.participant_role_changed" => match &self.data.changes.role {
                Some(Changed { from: Some(from), to: Some(to) }) => {
                    format!("{name} 的会议角色于 {at} 由{}变为{}", chinese_role(from), chinese_role(to))
                }
                _ => format!("{name} 的会议角色于 {at} 有变"),
            },
            "meeting.participant_corrected" => {
                let words = [" 加入时间为", " 离开时间为", "，而非"];
                format!("更正：{name}{}", self.corrections(style, words))
            }
            "user.presence_changed" | "user.presence_snapshot" => match self.in_meeting() {
                Some(true) => format!("{name} 正在会议中（{at}）"),
                Some(false) => format!("{name} 不在会议中（{at}）"),
                None => format!("{name} 是否在会议中未知（{at}）"),
            },
            "watch.stale" => format!("{name} 的状态长时间未能更新，目前未知（{at}）"),
            "watch.recovered" => {
                let (from, to) = self.gap(style);
                format!("{name} 的状态已恢复更新，{from} 至 {to} 期间未知")
            }
            "watch.rejected" => format!("钉钉中没有用户 {name}（{at}）"),
            "system.gap" => {
                let (from, to) = self.gap(style);
                let why = match self.data.cause.as_deref() {
                    Some("restart") => "（重新启动）",
                    Some("upstream") => "（钉钉无响应）",
                    Some("throttled") => "（调用受限）",
                    _ => "",
                };
                format!("{from} 至 {to} 期间未轮询任何用户{why}")
            }
            "system.alert" => {
                let alert = self.data.alert.clone().unwrap_or_default();
                let state = if alert.state == "resolved" { "已恢复" } else { "告警" };
                format!("{state}（{}）：{}", chinese_alert(&alert.name), alert.summary)
            }
            "webhook.test" => format!("presenced 测试消息，{at}"),
            other => format!("{other}（{at}）"),
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

fn chinese_alert(name: &str) -> &str {
    match name {
        "budget" => "调用额度",
        "auth" => "凭据或权限",
        "upstream" => "钉钉服务",
        "config" => "配置",
        "webhook" => "回调",
        "database" => "数据库",
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
            let event = StoredEvent::read(body.as_bytes());
            lines.push(format!("# {}", event.event_type));
            lines.extend(STYLES.map(|style| event.sentence(style)));
        }
        insta::assert_snapshot!(lines.join("\n"));
    }

    #[test]
    fn every_reason_to_leave_in_both_languages() {
        let body = sample::body("meeting.participant_left").unwrap();
        let reasons = ["left", "removed", "meeting_ended", "vanished", "rejoined", "unobserved", "unwatched"];
        let lines: Vec<_> = reasons
            .iter()
            .map(|reason| {
                StoredEvent::read(body.replace("\"vanished\"", &format!("\"{reason}\"")).as_bytes())
            })
            .flat_map(|event| STYLES.map(|style| event.sentence(style)))
            .collect();
        insta::assert_snapshot!(lines.join("\n"));
    }

    #[test]
    fn a_title_is_said_instead_of_a_meeting_unless_it_is_removed() {
        let body = sample::body("meeting.participant_joined").unwrap();
        let body = body.replace("\"conference_id\"", "\"title\":\"Planning Q4\",\"conference_id\"");
        let said = |body: &[u8]| STYLES.map(|style| StoredEvent::read(body).sentence(style));
        let [english, chinese] = said(body.as_bytes());
        assert!(english.contains(" joined \u{201c}Planning Q4\u{201d} at "), "{english}");
        assert!(chinese.contains("加入“Planning Q4”"), "{chinese}");
        let mut without = body.into_bytes();
        crate::message::title::remove(&mut without);
        assert!(said(&without)[0].contains(" joined a meeting at "));
        assert!(!String::from_utf8(without).unwrap().contains("Planning"));
    }

    #[test]
    fn missing_and_unknown_values_are_left_out() {
        assert_eq!(StoredEvent::read(b"no json").sentence(STYLES[0]), " ()");
        let event = StoredEvent::read(br#"{"type":"meeting.participant_left","subject":"default/u1","data":{"visit":{"left_reason":"odd"}}}"#);
        assert_eq!(event.sentence(STYLES[0]), "u1 left a meeting at ");
        let event = StoredEvent::read(br#"{"type":"later.added","time":"2023-11-07T08:50:40.000Z","recordedtime":"2023-11-07T08:50:45.000Z"}"#);
        assert_eq!(event.sentence(STYLES[1]), "later.added（16:50:40）");
    }
}
