//! The settings and the watch list of the poller, from the config.
//!
//! Guards: a start and a reload use the same translation. Not here: polling (`tasks::poller`).

use crate::config::{Cadence, Config, Titles, User};
use crate::presence::diff::DiffRules;
use crate::presence::event::UserInfo;
use crate::presence::title::TitleRules;
use crate::tasks::poller::Settings;
use crate::tasks::poller::roster::PollSchedule;
use crate::tasks::poller::start::Assignment;

pub(in crate::app) fn settings(config: &Config) -> Settings {
    Settings {
        rules: DiffRules {
            leave_after_misses: config.poll.leave_after_misses,
            first_poll_silent: config.poll.first_poll_silent,
        },
        min_interval: config.poll.min_interval,
        max_interval: config.poll.max_interval,
        stale_after: config.poll.stale_after,
        backoff: config.poll.backoff,
        overtime: config.poll.overtime,
        time_zone: config.time_zone,
        confirm_calls: config.poll.confirm_calls,
        sweep: config.poll.sweeping(),
        titles: TitleRules { keep: config.titles != Titles::Off, hide: config.title_hide.clone() },
    }
}

pub(in crate::app) fn assignments(config: &Config) -> Vec<Assignment> {
    config
        .users
        .iter()
        .map(|user| Assignment {
            card: card(user, config.store_nick),
            schedule: schedule(user),
            open: config.open_time(user),
        })
        .collect()
}

fn card(user: &User, store_nick: bool) -> UserInfo {
    UserInfo {
        identity: user.identity.clone(),
        name: user.name.clone(),
        groups: user.groups.clone(),
        tags: user.tags.clone(),
        store_nick,
    }
}

fn schedule(user: &User) -> PollSchedule {
    match &user.cadence {
        Cadence::Auto => PollSchedule::Auto,
        Cadence::Every(interval) => PollSchedule::Every(*interval),
        Cadence::Cron(cron) => PollSchedule::At(cron.clone()),
    }
}
