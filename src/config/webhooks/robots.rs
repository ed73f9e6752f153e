//! Recognises chat robots by their URL.
//!
//! Guards: a robot that would refuse every event because of the format is an error, with the lines to add; with a template,
//! its answer is judged by its own code. Not here: sending (`webhook::format`).
//!
//! Sources: documentation of the robots: DingTalk `/robot/send` (`errcode`), Feishu and Lark `/open-apis/bot/v2/hook/`
//! (`code`), WeCom `/cgi-bin/webhook/send` (`errcode`), Slack `/services/` (plain `ok`, errors by status), Discord
//! `/api/webhooks/`, Telegram `/bot.../sendMessage`, Google Chat `/v1/spaces/`, ntfy.sh (errors by status).

use super::super::credentials::Context;
use super::super::section::Section;
use super::super::{Format, Text};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Robot {
    DingTalk,
    Feishu,
    WeCom,
    Slack,
    Discord,
    Telegram,
    GoogleChat,
    Ntfy,
}

impl Robot {
    fn name(self) -> &'static str {
        match self {
            Self::DingTalk => "DingTalk",
            Self::Feishu => "Feishu",
            Self::WeCom => "WeCom",
            Self::Slack => "Slack",
            Self::Discord => "Discord",
            Self::Telegram => "Telegram",
            Self::GoogleChat => "Google Chat",
            Self::Ntfy => "ntfy",
        }
    }

    fn lines(self) -> &'static str {
        match self {
            Self::DingTalk => "add `format = \"dingtalk_robot\"`",
            Self::Feishu => "add `format = \"template\"` and `template = \"feishu\"`",
            Self::WeCom => "add `format = \"template\"` and `template = \"wecom\"`",
            Self::Slack => "add `format = \"template\"` and `template = \"slack\"`",
            Self::Discord => "add `format = \"template\"` and `template = \"discord\"`",
            Self::Telegram => "add `format = \"template\"` and `template = \"telegram\"`",
            Self::GoogleChat => "add `format = \"template\"` and `template = \"google_chat\"`",
            Self::Ntfy => "add `format = \"template\"` and `template = \"ntfy\"`",
        }
    }

    /// What its answer holds when it took a message.
    pub(super) fn success(self) -> Option<(String, serde_json::Value)> {
        match self {
            Self::DingTalk | Self::WeCom => Some(("/errcode".to_owned(), 0.into())),
            Self::Feishu => Some(("/code".to_owned(), 0.into())),
            Self::Slack | Self::Discord | Self::Telegram | Self::GoogleChat | Self::Ntfy => None,
        }
    }
}

/// The robot behind a URL. One that is a secret is not known.
pub(super) fn known(url: &Text) -> Option<Robot> {
    let Text::Plain(text) = url else { return None };
    let rest = text.trim().split_once("://")?.1;
    let (host, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let host = host.split(':').next().unwrap_or(host).trim_end_matches('.').to_ascii_lowercase();
    match host.as_str() {
        "oapi.dingtalk.com" | "oapi.dingtalk.io" if path.starts_with("/robot/send") => Some(Robot::DingTalk),
        "open.feishu.cn" | "open.larksuite.com" if path.starts_with("/open-apis/bot/") => Some(Robot::Feishu),
        "qyapi.weixin.qq.com" if path.starts_with("/cgi-bin/webhook/send") => Some(Robot::WeCom),
        "hooks.slack.com" => Some(Robot::Slack),
        "discord.com" | "discordapp.com" if path.starts_with("/api/webhooks/") => Some(Robot::Discord),
        "api.telegram.org" => Some(Robot::Telegram),
        "chat.googleapis.com" if path.starts_with("/v1/spaces/") => Some(Robot::GoogleChat),
        "ntfy.sh" => Some(Robot::Ntfy),
        _ => None,
    }
}

/// Refuses formats that a robot does not understand.
pub(super) fn check(robot: Option<Robot>, format: Format, section: &Section<'_>, context: Context<'_>) {
    let Some(robot) = robot else { return };
    let fits = format == Format::Template || (format == Format::DingtalkRobot && robot == Robot::DingTalk);
    if !fits {
        // Not at the URL, whose line may hold the robot's token.
        let message = format!("`url` is a robot of {}, which refuses events in this format", robot.name());
        context.report.error("robot-format", &section.place, message, robot.lines());
    }
}
