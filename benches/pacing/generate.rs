//! Made-up calendars: who met whom when, the same for the same seed.
//!
//! Guards: nothing of the pacing code is used here, and nothing here was chosen to suit it. Deliberately not here:
//! replaying (`main`).
#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "counts, minutes and milliseconds here are far below 2^52"
)]

/// What kind of life people lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Teams with stand-ups and weekly or fortnightly meetings, some calls in between.
    Recurring,
    /// Calls when something comes up, and meetings made on the day.
    AdHoc,
    /// Three rotating shifts around the clock with hand-overs.
    Shifts,
    /// A third of each.
    Mixed,
    /// Weekly meetings of groups, most of them on two weekdays: half of the members come, late, and some rejoin.
    Crowded,
    /// Work rooms: people sit in them for hours, their lines drop, they take breaks.
    Rooms,
}

/// One line of a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Visit {
    /// Who.
    pub user: u32,
    /// In which conference.
    pub conference: String,
    /// From, UTC.
    pub joined_ms: i64,
    /// To, UTC.
    pub left_ms: i64,
}

const DAY: i64 = 86_400_000;
const MINUTE: f64 = 60_000.0;

/// A small generator of numbers (splitmix64).
pub(crate) struct Dice(u64);

/// A meeting that comes again: weekdays, minute, length, lateness, and who comes how surely.
type Series = (Vec<i64>, i64, f64, f64, Vec<(u32, f64)>);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    fn share(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
    fn chance(&mut self, p: f64) -> bool {
        self.share() < p
    }
    fn between(&mut self, low: f64, high: f64) -> f64 {
        low + self.share() * (high - low)
    }
    fn below(&mut self, n: usize) -> usize {
        (self.share() * n as f64) as usize
    }
    fn bell(&mut self) -> f64 {
        (-2.0 * self.share().max(1e-12).ln()).sqrt() * (std::f64::consts::TAU * self.share()).cos()
    }
    fn wait(&mut self, mean: f64) -> f64 {
        -mean * self.share().max(1e-12).ln()
    }
}

/// How people behave; drawn anew for each seed, so that a rule cannot fit one file.
struct Manners {
    attends: (f64, f64),
    cancelled: f64,
    late: f64,
    overrun: f64,
    weekly: usize,
    calls_a_day: f64,
}

struct World {
    dice: Dice,
    visits: Vec<Visit>,
    meetings: u64,
    /// Local midnight of day 0 in UTC.
    start: i64,
}

/// `weeks` weeks of `people` from the local midnight `start_ms`, a Monday.
pub(crate) fn generate(kind: Kind, people: u32, weeks: i64, start_ms: i64, seed: u64) -> Vec<Visit> {
    let mut world =
        World { dice: Dice(seed.wrapping_mul(7919) + 13), visits: Vec::new(), meetings: 0, start: start_ms };
    let all: Vec<u32> = (0..people).collect();
    match kind {
        Kind::Recurring => world.recurring(&all, weeks, 1.0),
        Kind::AdHoc => world.ad_hoc(&all, weeks, 1.0),
        Kind::Shifts => world.shifts(&all, weeks),
        Kind::Mixed => {
            let third = all.len() / 3;
            world.recurring(&all[..third], weeks, 1.0);
            world.ad_hoc(&all[third..2 * third], weeks, 1.0);
            world.shifts(&all[2 * third..], weeks);
        }
        Kind::Crowded => world.crowded(&all, weeks),
        Kind::Rooms => world.rooms(&all, weeks),
    }
    world.tidy()
}

impl World {
    fn manners(&mut self) -> Manners {
        let low = self.dice.between(0.6, 0.85);
        Manners {
            attends: (low, self.dice.between(0.88, 0.98)),
            cancelled: self.dice.between(0.02, 0.12),
            late: self.dice.between(0.8, 2.5),
            overrun: self.dice.between(0.05, 0.25),
            weekly: 3 + self.dice.below(5),
            calls_a_day: self.dice.between(0.2, 0.8),
        }
    }

    /// A meeting at minute `at` of `day`, for these people with these chances to come.
    fn hold(&mut self, day: i64, at: f64, minutes: f64, who: &[(u32, f64)], late: f64, overrun: f64) {
        self.meetings += 1;
        let conference = format!("c{:06}", self.meetings);
        let ends =
            at + minutes + if self.dice.chance(overrun) { self.dice.wait(6.0) } else { self.dice.bell() };
        for (user, chance) in who {
            if !self.dice.chance(*chance) {
                continue;
            }
            let joined = at - 0.5
                + self.dice.bell() * late
                + if self.dice.chance(0.06) { self.dice.wait(6.0) } else { 0.0 };
            let early = if self.dice.chance(0.07) { self.dice.share() * 0.6 * minutes } else { 0.0 };
            let left = ends - early + self.dice.bell().abs() * 0.4;
            self.visit(*user, &conference, day, joined, left);
        }
    }

    fn visit(&mut self, user: u32, conference: &str, day: i64, joined: f64, left: f64) {
        if left < joined + 0.5 {
            return;
        }
        let at = |minute: f64| self.start + day * DAY + (minute * MINUTE) as i64;
        let (joined_ms, left_ms) = (at(joined), at(left));
        self.visits.push(Visit { user, conference: conference.to_owned(), joined_ms, left_ms });
    }

    fn recurring(&mut self, people: &[u32], weeks: i64, calls: f64) {
        let manners = self.manners();
        let mut at = 0;
        let mut series: Vec<Series> = Vec::new();
        while at < people.len() {
            let team = &people[at..people.len().min(at + 4 + self.dice.below(5))];
            at += team.len();
            let with = |dice: &mut Dice| -> Vec<(u32, f64)> {
                team.iter().map(|user| (*user, dice.between(manners.attends.0, manners.attends.1))).collect()
            };
            if self.dice.chance(0.8) {
                let start = 9.0 * 60.0 + 15.0 * self.dice.below(6) as f64;
                series.push(((0..5).collect(), 1, start, 15.0, with(&mut self.dice)));
            }
            for _ in 0..manners.weekly {
                let start = 9.5 * 60.0 + 30.0 * self.dice.below(16) as f64;
                let minutes = [30.0, 30.0, 60.0, 60.0, 45.0, 90.0][self.dice.below(6)];
                let every = if self.dice.chance(0.25) { 2 } else { 1 };
                let mut who = with(&mut self.dice);
                if self.dice.chance(0.4) {
                    who.retain(|_| self.dice.chance(0.6));
                }
                if self.dice.chance(0.3) {
                    who.push((people[self.dice.below(people.len())], 0.8));
                }
                series.push((vec![self.dice.below(5) as i64], every, start, minutes, who));
            }
        }
        for day in 0..weeks * 7 {
            for (days, every, start, minutes, who) in &series {
                let off = (*start as i64 / 30) % *every;
                if days.contains(&(day % 7))
                    && (day / 7) % every == off
                    && !self.dice.chance(manners.cancelled)
                {
                    self.hold(day, *start, *minutes, who, manners.late, manners.overrun);
                }
            }
        }
        self.calls(people, weeks, manners.calls_a_day * calls, false);
    }

    /// Calls that come up: a few people, a length with a long tail.
    fn calls(&mut self, people: &[u32], weeks: i64, a_day: f64, nights: bool) {
        let busy: Vec<f64> = people.iter().map(|_| (self.dice.bell() * 0.6).exp()).collect();
        for day in 0..weeks * 7 {
            if !nights && day % 7 >= 5 {
                continue;
            }
            for (index, user) in people.iter().enumerate() {
                let (from, to) = if nights { (0.0, 1440.0) } else { (540.0, 1110.0) };
                let mut at = from + self.dice.wait((to - from) / (a_day * busy[index]));
                while at < to {
                    let lunch = !nights && (720.0..780.0).contains(&at) && self.dice.chance(0.7);
                    if !lunch {
                        let minutes = (self.dice.bell() * 0.8 + 2.5).exp().clamp(1.0, 150.0);
                        let mut who = vec![(*user, 1.0)];
                        for _ in 0..=self.dice.below(2) {
                            // People call the same few people.
                            let near = index
                                + 1
                                + (self.dice.share() * self.dice.share() * people.len() as f64) as usize;
                            who.push((people[near % people.len()], 0.9));
                        }
                        self.hold(day, at, minutes, &who, 0.3, 0.0);
                    }
                    at += self.dice.wait((to - from) / (a_day * busy[index]));
                }
            }
        }
    }

    fn ad_hoc(&mut self, people: &[u32], weeks: i64, scale: f64) {
        let a_day = self.dice.between(0.6, 1.8) * scale;
        self.calls(people, weeks, a_day, false);
        // Meetings made on the day, at the full or half hour.
        for day in (0..weeks * 7).filter(|day| day % 7 < 5) {
            for _ in 0..=(people.len() / 5) {
                if self.dice.chance(0.6) {
                    let start = 540.0 + 30.0 * self.dice.below(18) as f64;
                    let minutes = [30.0, 30.0, 60.0][self.dice.below(3)];
                    let first = self.dice.below(people.len());
                    let size = 2 + self.dice.below(4);
                    let who: Vec<(u32, f64)> =
                        (first..first + size).map(|n| (people[n % people.len()], 0.9)).collect();
                    self.hold(day, start, minutes, &who, 1.5, 0.15);
                }
            }
        }
    }

    fn shifts(&mut self, people: &[u32], weeks: i64) {
        let manners = self.manners();
        let starts = [6.0 * 60.0, 14.0 * 60.0, 22.0 * 60.0];
        let mid = 60.0 + 30.0 * self.dice.below(10) as f64;
        for day in 0..weeks * 7 {
            for (shift, start) in starts.iter().enumerate() {
                // Crews rotate weekly; everybody has two days off, which also rotate.
                let on: Vec<u32> = people
                    .iter()
                    .enumerate()
                    .filter(|(n, _)| (n % 3 + (day / 7) as usize) % 3 == shift && (day as usize + n) % 7 < 5)
                    .map(|(_, user)| *user)
                    .collect();
                let who: Vec<(u32, f64)> = on.iter().map(|user| (*user, 0.93)).collect();
                self.hold(day, start - 10.0, 20.0, &who, manners.late, manners.overrun);
                self.hold(day, start + mid, 30.0, &who, manners.late, manners.overrun);
            }
        }
        self.calls(people, weeks, 0.4, true);
    }

    /// A stay of one person that 18 in 100 times is interrupted: 15 % of all leaves are followed by a rejoin, most of them
    /// within two minutes.
    fn stay(&mut self, user: u32, conference: &str, day: i64, (joined, left): (f64, f64)) {
        if left - joined < 3.0 || !self.dice.chance(0.18) {
            return self.visit(user, conference, day, joined, left);
        }
        let drops = self.dice.between(joined + 1.0, left - 1.0);
        let gap = if self.dice.chance(0.7) { self.dice.between(0.2, 2.0) } else { 2.0 + self.dice.wait(8.0) };
        self.visit(user, conference, day, joined, drops);
        self.visit(user, conference, day, drops + gap, left);
    }

    /// Attendance 47 to 66 %; lateness with a median of five minutes, 22 for one in twenty.
    fn crowded(&mut self, people: &[u32], weeks: i64) {
        let attends = self.dice.between(0.47, 0.66);
        let cancelled = self.dice.between(0.04, 0.15);
        let crowded = [self.dice.below(5) as i64, self.dice.below(5) as i64];
        for _ in 0..people.len().div_ceil(6).max(2) {
            let weekday =
                if self.dice.chance(0.8) { crowded[self.dice.below(2)] } else { self.dice.below(5) as i64 };
            let start = 10.0 * 60.0 + 30.0 * self.dice.below(15) as f64;
            let minutes = [60.0, 60.0, 60.0, 90.0, 30.0][self.dice.below(5)];
            let size = (6 + self.dice.below(15)).min(people.len());
            let first = self.dice.below(people.len());
            let who: Vec<(u32, f64)> = (first..first + size)
                .map(|n| (people[n % people.len()], (attends + self.dice.bell() * 0.15).clamp(0.1, 0.95)))
                .collect();
            for day in (0..weeks).map(|week| week * 7 + weekday) {
                if self.dice.chance(cancelled) {
                    continue;
                }
                self.meetings += 1;
                let conference = format!("c{:06}", self.meetings);
                let ends = start + minutes + self.dice.bell() * 4.0;
                for (user, chance) in &who {
                    if self.dice.chance(*chance) {
                        let late = (5.0_f64.ln() + 0.9 * self.dice.bell()).exp() - 0.5;
                        let early =
                            if self.dice.chance(0.12) { self.dice.share() * 0.5 * minutes } else { 0.0 };
                        let left = ends - early + self.dice.bell();
                        self.stay(*user, &conference, day, (start + late, left));
                    }
                }
            }
        }
        self.calls(people, weeks, 0.1, false);
    }

    /// A third of the leaves is followed by a rejoin within half an hour.
    fn rooms(&mut self, people: &[u32], weeks: i64) {
        let habits: Vec<(f64, f64, f64)> = people
            .iter()
            .map(|_| {
                let comes = self.dice.between(500.0, 720.0);
                (self.dice.between(0.5, 0.95), comes, comes + self.dice.between(180.0, 520.0))
            })
            .collect();
        let (sits, drops) = (self.dice.between(60.0, 180.0), self.dice.between(0.4, 0.7));
        for day in (0..weeks * 7).filter(|day| day % 7 < 5) {
            self.meetings += 1;
            let conference = format!("c{:06}", self.meetings);
            for (user, (comes, from, to)) in people.iter().zip(&habits) {
                if !self.dice.chance(*comes) {
                    continue;
                }
                let mut at = from + self.dice.bell() * 25.0;
                let ends = to + self.dice.bell() * 40.0;
                while at < ends {
                    let left = (at + self.dice.wait(sits)).min(ends);
                    self.visit(*user, &conference, day, at, left);
                    let short = self.dice.chance(drops);
                    at = left + if short { 0.2 + self.dice.wait(4.0) } else { 10.0 + self.dice.wait(50.0) };
                }
            }
        }
    }

    /// One person is in one place: of visits that overlap the later waits for the earlier to end.
    fn tidy(mut self) -> Vec<Visit> {
        self.visits.sort_by_key(|visit| (visit.user, visit.joined_ms));
        let mut tidy: Vec<Visit> = Vec::new();
        for mut visit in self.visits {
            if let Some(last) = tidy.last().filter(|last| last.user == visit.user) {
                visit.joined_ms = visit.joined_ms.max(last.left_ms + 20_000);
            }
            if visit.left_ms > visit.joined_ms + 30_000 {
                tidy.push(visit);
            }
        }
        tidy.sort_by_key(|visit| (visit.joined_ms, visit.user));
        tidy
    }
}
