//! Words of the history, in the language of the page.
//!
//! Guards: a word that is not known here is shown as it is, never left out. Not here: texts of single pages.

use super::view::Lang;

/// Why users were not polled.
pub(super) fn gap(lang: Lang, why: &str) -> String {
    match why {
        "window closed" => lang.of("outside hours", "非工作时间"),
        "blackout" => lang.of("day off", "休息日"),
        "restart" => lang.of("the daemon was down", "服务未运行"),
        "disk full" => lang.of("disk full", "磁盘已满"),
        "budget" => lang.of("calls used up", "调用额度已用完"),
        "throttled" => lang.of("rate limited", "被限流"),
        "banned" => lang.of("address banned", "地址被封禁"),
        "auth" => lang.of("refused by DingTalk", "被钉钉拒绝"),
        "upstream" => lang.of("DingTalk does not answer", "钉钉无响应"),
        "failed" => lang.of("polls fail", "轮询失败"),
        "late" => lang.of("polls are late", "轮询延迟"),
        "not watched yet" => lang.of("not watched yet", "尚未关注"),
        "not watched any more" => lang.of("not watched any more", "不再关注"),
        "not polled since" => lang.of("not polled since", "此后未轮询"),
        "joined between two polls" => lang.of("joined between two polls", "在两次轮询之间加入"),
        "left between two polls" => lang.of("left between two polls", "在两次轮询之间离开"),
        other => return other.to_owned(),
    }
    .to_owned()
}

/// Why a visit ended.
pub(super) fn left(lang: Lang, reason: &str) -> String {
    match reason {
        "left" => lang.of("left", "离开"),
        "removed" => lang.of("removed", "被移出"),
        "meeting_ended" => lang.of("meeting ended", "会议结束"),
        "vanished" => lang.of("no longer listed", "不再列出"),
        "rejoined" => lang.of("joined again", "重新加入"),
        "unobserved" => lang.of("not observed", "未观察到"),
        "unwatched" => lang.of("no longer watched", "不再关注"),
        other => return other.to_owned(),
    }
    .to_owned()
}

/// How an instant is known.
pub(super) fn basis(lang: Lang, basis: &str) -> String {
    match basis {
        "reported" => lang.of("reported", "钉钉报告"),
        "observed" => lang.of("observed", "轮询观察"),
        "inferred" => lang.of("inferred", "推断"),
        other => return other.to_owned(),
    }
    .to_owned()
}

/// The role in a meeting.
pub(super) fn role(lang: Lang, role: &str) -> String {
    match role {
        "host" => lang.of("host", "主持人"),
        "co_host" => lang.of("co-host", "联席主持"),
        "attendee" => lang.of("attendee", "参会者"),
        other => return other.to_owned(),
    }
    .to_owned()
}

/// The state of a webhook or of a delivery.
pub(super) fn state(lang: Lang, state: &str) -> String {
    match state {
        "up" => lang.of("up", "正常"),
        "down" => lang.of("down", "中断"),
        "paused" => lang.of("paused", "已暂停"),
        "disabled" => lang.of("disabled", "已停用"),
        "refusing" => lang.of("refusing", "拒收"),
        "retrying" => lang.of("retrying", "重试中"),
        "pending" => lang.of("pending", "等待中"),
        "delivered" => lang.of("delivered", "已送达"),
        "dead" => lang.of("dead letter", "已放弃"),
        "expired" => lang.of("expired", "已过期"),
        other => return other.to_owned(),
    }
    .to_owned()
}
