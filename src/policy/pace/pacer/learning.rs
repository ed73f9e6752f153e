//! Learns from visits, one finished day at a time.
//!
//! Guards: a day is learned once, and only after it has ended. Not here: the models (`join_model`, `duration_model`,
//! `co_meetings`).
#![expect(clippy::cast_possible_wrap, reason = "counts, minutes and milliseconds here are far below 2^52")]

use std::collections::BTreeMap;

use super::super::co_meetings::{CoMeetingGraph, CoMeetings};
use super::super::duration_model::DurationModel;
use super::super::join_model::{JoinModel, UserJoinRates};
use super::super::open_spans::OpenSpans;
use super::super::visit_history::{ComparableDays, LocalVisit, SLOTS, VisitHistory, split};
use super::state::Pacer;
use super::types::Visit;
use super::user::DAY_MS;
use crate::policy::civil;
use crate::time::Timestamp;

impl Pacer {
    /// Replaces everything learned by these visits, up to `now`; the price and the known states are kept.
    pub fn learn_from(&mut self, visits: &[Visit], now: Timestamp) {
        let users = self.users.len();
        self.histories = vec![VisitHistory::default(); users];
        self.co_meetings = vec![CoMeetings::default(); users];
        (self.joins, self.durations, self.co_meeting_graph) =
            (JoinModel::default(), DurationModel::default(), CoMeetingGraph::default());
        for watched in &mut self.users {
            watched.join_rates = UserJoinRates::default();
            (watched.day_forecast, watched.made) = (None, None);
            if let Some(inside) = &mut watched.inside {
                inside.visit_forecast = None;
            }
        }
        let mut days: BTreeMap<i32, Vec<(u32, LocalVisit)>> = BTreeMap::new();
        for visit in visits {
            let (day, local) = self.on_the_wall(visit.conference, visit.joined, visit.left);
            days.entry(day).or_default().push((visit.user, local));
        }
        let today = split(self.local(now.as_ms())).0;
        self.learned = days.keys().next().map(|first| first - 1);
        for (day, visits) in days {
            self.learn_until(day.min(today) - 1);
            for (user, visit) in visits {
                self.histories[user as usize].note(day, visit);
            }
        }
        self.learn_until(today - 1);
    }

    /// Advances to `now`: learns the days that have ended.
    pub(super) fn advance_to(&mut self, now: Timestamp) {
        let at = now.as_ms();
        if at < self.computed.0 + DAY_MS || at > self.computed.1 - 40 * DAY_MS {
            self.compute_open_spans(at);
        }
        let today = split(self.local(at)).0;
        if self.learned.is_none() {
            self.learned = Some(today - 1);
        }
        if self.learned < Some(today - 1) {
            self.learn_until(today - 1);
            if let Some(price) = &mut self.price {
                price.day_over();
            }
            self.members.retain(|_, members| {
                members.retain(|who| self.users[*who as usize].inside.is_some());
                !members.is_empty()
            });
        }
    }

    pub(super) fn learn_until(&mut self, last: i32) {
        while let Some(day) = self.learned.map(|learned| learned + 1).filter(|day| *day <= last) {
            self.learned = Some(day);
            self.open_slots.retain(|(_, known), _| *known > day - 40);
            self.joins.fade();
            self.durations.fade();
            let mut befores = Vec::new();
            for class in 0..self.settings.open.len() {
                befores.push(self.before(class, day));
            }
            for index in 0..self.users.len() {
                let class = self.users[index].open;
                let open = self.open_on(class, day);
                let before = &befores[class];
                self.joins.learn(
                    &mut self.users[index].join_rates,
                    &self.histories[index],
                    before,
                    day,
                    open,
                );
                self.durations.learn(&self.histories[index], before, day);
            }
            let histories: Vec<&VisitHistory> = self.histories.iter().collect();
            let of = |index: usize| befores[self.users[index].open].clone();
            self.co_meeting_graph.learn(day, of, &histories, &mut self.co_meetings);
        }
    }

    pub(super) fn before(&mut self, class: usize, day: i32) -> ComparableDays {
        let open: Vec<bool> = (0..=21).map(|back| self.open_on(class, day - back) != 0).collect();
        ComparableDays::of(day, |other| usize::try_from(day - other).is_ok_and(|back| open[back]))
    }

    pub(super) fn before_known(&self, class: usize, day: i32) -> ComparableDays {
        ComparableDays::of(day, |other| self.open_slots.get(&(class, other)).is_none_or(|bits| *bits != 0))
    }

    /// The quarters of a local day that are open.
    pub(super) fn open_on(&mut self, class: usize, day: i32) -> u128 {
        if let Some(bits) = self.open_slots.get(&(class, day)) {
            return *bits;
        }
        let noon = i64::from(day) * DAY_MS + DAY_MS / 2;
        let offset = self.local(noon) - noon;
        let midnight = i64::from(day) * DAY_MS - offset;
        let open = &self.settings.open[class];
        let hours = OpenSpans::of(open, Timestamp::from_ms(midnight), Timestamp::from_ms(midnight + DAY_MS));
        let mut bits = 0;
        for slot in 0..SLOTS {
            if hours.span_at(midnight + slot as i64 * 900_000).is_some() {
                bits |= 1_u128 << slot;
            }
        }
        self.open_slots.insert((class, day), bits);
        bits
    }

    /// Computes the open spans around `at`.
    pub(super) fn compute_open_spans(&mut self, at: i64) {
        self.computed = (at - 3 * DAY_MS, at + 75 * DAY_MS);
        let (from, to) = (Timestamp::from_ms(self.computed.0), Timestamp::from_ms(self.computed.1));
        self.hours = self.settings.open.iter().map(|open| OpenSpans::of(open, from, to)).collect();
    }

    pub(super) fn on_the_wall(
        &self,
        conference: u64,
        joined: Timestamp,
        left: Option<Timestamp>,
    ) -> (i32, LocalVisit) {
        let (day, joined_ms) = split(self.local(joined.as_ms()));
        let lasted = |left: Timestamp| joined_ms + (left.as_ms() - joined.as_ms()).max(0);
        (day, LocalVisit { joined_ms, left_ms: left.map(lasted), conference })
    }

    pub(super) fn local(&self, at: i64) -> i64 {
        at + civil::offset_ms(Timestamp::from_ms(at), self.settings.time_zone)
    }
}
