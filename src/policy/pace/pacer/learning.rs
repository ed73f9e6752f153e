//! What the pacer has learned from visits, one finished day at a time.
//!
//! Guards: a day is learned once, and only after it has ended. Not here: the models (`join_model`, `duration_model`,
//! `co_meetings`).

use super::super::co_meetings::{CoMeetingGraph, CoMeetings};
use super::super::duration_model::DurationModel;
use super::super::join_model::{JoinModel, UserJoinRates};
use super::super::rejoin_model::RejoinModel;
use super::super::visit_history::{ComparableDays, VisitHistory};
use super::calendar::Calendar;
use super::user::PacerUser;

/// Histories and models of a group's users.
#[derive(Clone, Debug, Default)]
pub(super) struct Learned {
    pub(super) histories: Vec<VisitHistory>,
    pub(super) join_rates: Vec<UserJoinRates>,
    pub(super) co_meetings: Vec<CoMeetings>,
    pub(super) joins: JoinModel,
    pub(super) durations: DurationModel,
    pub(super) rejoins: RejoinModel,
    pub(super) co_meeting_graph: CoMeetingGraph,
    /// The last local day learned.
    pub(super) last_day: Option<i32>,
}

impl Learned {
    /// Nothing learned yet, for this many users.
    pub(super) fn new(users: usize) -> Self {
        Self {
            histories: vec![VisitHistory::default(); users],
            join_rates: vec![UserJoinRates::default(); users],
            co_meetings: vec![CoMeetings::default(); users],
            ..Self::default()
        }
    }

    /// Learns the days after the last one learned, up to `last`.
    pub(super) fn learn_until(&mut self, last: i32, calendar: &mut Calendar, users: &[PacerUser]) {
        while let Some(day) = self.last_day.map(|learned| learned + 1).filter(|day| *day <= last) {
            self.last_day = Some(day);
            calendar.forget_before(day - 39);
            self.joins.fade();
            self.durations.fade();
            self.rejoins.fade();
            let comparable: Vec<ComparableDays> =
                (0..calendar.classes()).map(|class| calendar.comparable_days(class, day)).collect();
            for (index, user) in users.iter().enumerate() {
                let open = calendar.open_on(user.open, day);
                let (history, days) = (&self.histories[index], &comparable[user.open]);
                self.joins.learn(&mut self.join_rates[index], history, days, day, open);
                self.durations.learn(history, days, day);
                self.rejoins.learn(history, day);
            }
            let histories: Vec<&VisitHistory> = self.histories.iter().collect();
            let of = |index: usize| comparable[users[index].open].clone();
            self.co_meeting_graph.learn(day, of, &histories, &mut self.co_meetings);
        }
    }
}
