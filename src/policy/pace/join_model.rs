//! Join model: the probability that a user joins a meeting in each minute of a day.
//!
//! In a quarter of an hour in which the user joined on comparable days (one to four weeks ago, other days) the probability
//! is how often such evidence came true, for all users together; elsewhere it is a rate by user and hour, shaped by the
//! minute of the hour. Guards: every probability lies strictly between 0 and 1. Not here: leaving (`duration_model`).
#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "counts, minutes and milliseconds here are far below 2^52"
)]

use super::visit_history::{ComparableDays, PATTERNS, SLOT_MINUTES, SLOTS, VisitHistory, slot_of};

/// Prior of the join rate: one join in four open hours.
const FIRST_GUESS: f64 = 1.0 / 240.0;
/// Lowest probability of a join in a minute: about once a week everyone does something unusual.
const UNUSUAL: f64 = 3e-4;
/// Weight of older days, applied once a day.
const FADE: f64 = 0.985;

/// Counts that fade.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    hits: f64,
    of: f64,
}

impl Tally {
    fn add(&mut self, hits: f64, of: f64) {
        self.hits += hits;
        self.of += of;
    }
    fn fade(&mut self) {
        self.hits *= FADE;
        self.of *= FADE;
    }
    /// The rate, pulled toward `guess` as if `weight` hits of it had been seen.
    fn rate(&self, guess: f64, weight: f64) -> f64 {
        (self.hits + weight) / (self.of + weight / guess.max(1e-9))
    }
    /// The share, pulled toward `guess` as if `weight` trials of it had been seen.
    fn share(&self, guess: f64, weight: f64) -> f64 {
        (self.hits + weight * guess) / (self.of + weight)
    }
}

/// Learned join rates of one user.
#[derive(Clone, Debug, Default)]
pub struct UserJoinRates {
    all: Tally,
    hours: [Tally; 24],
    /// Joins in quarters with evidence, against the predicted number.
    kept: Tally,
}

/// Learned join rates of all users.
#[derive(Clone, Debug)]
pub struct JoinModel {
    all: Tally,
    hours: [Tally; 24],
    patterns: [Tally; PATTERNS],
    /// By (weeks of four, other days): for rare patterns.
    coarse: [Tally; 20],
    /// Joins without evidence by minute of the hour.
    minutes: [f64; 60],
    /// Joins with evidence by minute within the quarter.
    offsets: [f64; SLOT_MINUTES],
    seen: f64,
}

impl Default for JoinModel {
    fn default() -> Self {
        let mut offsets = [0.1; SLOT_MINUTES];
        for (minute, weight) in (4..=11).zip([0.3, 0.6, 1.0, 1.5, 1.5, 1.0, 0.6, 0.3]) {
            offsets[minute] += weight;
        }
        Self {
            all: Tally::default(),
            hours: [Tally::default(); 24],
            patterns: [Tally::default(); PATTERNS],
            coarse: [Tally::default(); 20],
            minutes: [1.0; 60],
            offsets,
            seen: 0.0,
        }
    }
}

fn coarse_of(pattern: usize) -> usize {
    (pattern & 15).count_ones() as usize + 5 * (pattern >> 4)
}

/// Probability of joining in each minute of a day, given that the user is outside, and the evidence for it.
#[derive(Clone, Debug)]
pub struct Joins {
    /// By minute of the day.
    pub chance: Vec<f64>,
    /// The evidence for each quarter; 0: none.
    pub patterns: [u8; SLOTS],
}

impl JoinModel {
    /// Number of joins learned from, faded.
    pub fn seen(&self) -> f64 {
        self.seen
    }

    /// Joins a minute of open time without evidence, all users.
    fn overall(&self) -> f64 {
        self.all.rate(FIRST_GUESS, 2.0)
    }

    /// Ages all counts by one day.
    pub fn fade(&mut self) {
        self.all.fade();
        self.hours.iter_mut().chain(&mut self.patterns).chain(&mut self.coarse).for_each(Tally::fade);
        self.minutes.iter_mut().chain(&mut self.offsets).for_each(|n| *n *= FADE);
        self.seen *= FADE;
    }

    /// Learns one user's finished day. `open`: quarters in which polling was allowed.
    pub fn learn(
        &mut self,
        join_rates: &mut UserJoinRates,
        history: &VisitHistory,
        before: &ComparableDays,
        day: i32,
        open: u128,
    ) {
        join_rates.all.fade();
        join_rates.hours.iter_mut().for_each(Tally::fade);
        join_rates.kept.fade();
        let evidence = history.evidence(before);
        let known = history.day(day);
        let joins = known.map_or(0, |day| day.joins);
        let inside = known.map_or(0, |day| covered(&day.stays));
        for slot in 0..SLOTS {
            let joined = joins >> slot & 1 == 1;
            if open >> slot & 1 == 0 || (!joined && inside >> slot & 1 == 1) {
                continue;
            }
            let hit = f64::from(u8::from(joined));
            let pattern = evidence.pattern(slot);
            let hour = (slot / 4).min(23);
            if pattern == 0 {
                let minutes = SLOT_MINUTES as f64;
                join_rates.all.add(hit, minutes);
                join_rates.hours[hour].add(hit, minutes);
                self.all.add(hit, minutes);
                self.hours[hour].add(hit, minutes);
            } else {
                join_rates.kept.add(hit, self.promise(pattern));
                self.patterns[pattern].add(hit, 1.0);
                self.coarse[coarse_of(pattern)].add(hit, 1.0);
            }
        }
        for visit in known.map_or(&[][..], |day| &day.stays) {
            let (slot, minute) = slot_of(visit.joined_ms);
            self.seen += 1.0;
            if evidence.pattern(slot.min(SLOTS - 1)) == 0 {
                self.minutes[usize::try_from(visit.joined_ms / 60_000 % 60).unwrap_or(0)] += 1.0;
            } else {
                self.offsets[minute] += 1.0;
            }
        }
    }

    /// How often evidence of this kind comes true.
    fn promise(&self, pattern: usize) -> f64 {
        let (weeks, others) = ((pattern & 15).count_ones(), (pattern >> 4) as u32);
        let guess = 0.05 + 0.18 * f64::from(weeks) + 0.1 * f64::from(others);
        let coarse = self.coarse[coarse_of(pattern)].share(guess.min(0.8), 3.0);
        self.patterns[pattern].share(coarse, 6.0).clamp(0.001, 0.97)
    }

    /// A user's rate without evidence, joins a minute.
    fn rate(&self, join_rates: &UserJoinRates, hour: usize) -> f64 {
        let overall = self.overall();
        let of_hour = self.hours[hour].rate(overall, 4.0);
        let of_user = join_rates.all.rate(overall, 3.0);
        join_rates.hours[hour].rate(of_user * of_hour / overall, 3.0)
    }

    /// Forecast of the day that `before` belongs to.
    pub fn ahead(
        &self,
        join_rates: &UserJoinRates,
        history: &VisitHistory,
        before: &ComparableDays,
    ) -> Joins {
        let evidence = history.evidence(before);
        let mut joins = Joins { chance: vec![0.0; 1440], patterns: [0; SLOTS] };
        let shape_sum: f64 = self.minutes.iter().sum();
        let shape: Vec<f64> = self.minutes.iter().map(|n| n * 60.0 / shape_sum).collect();
        let rates: Vec<f64> = (0..24).map(|hour| self.rate(join_rates, hour)).collect();
        let kept = join_rates.kept.share(1.0, 5.0);
        for slot in 0..SLOTS {
            let pattern = evidence.pattern(slot);
            joins.patterns[slot] = u8::try_from(pattern).unwrap_or(0);
            let first = (slot * SLOT_MINUTES).saturating_sub(7);
            let end = (slot * SLOT_MINUTES + 8).min(1440);
            if pattern == 0 {
                for minute in first..end {
                    joins.chance[minute] = (rates[minute / 60] * shape[minute % 60]).clamp(UNUSUAL, 0.5);
                }
                continue;
            }
            let chance = (self.promise(pattern) * kept).clamp(0.001, 0.97);
            let when = self.when(history, before, slot);
            let mut passed = 0.0;
            for minute in first..end {
                let here = when[minute + 7 - slot * SLOT_MINUTES];
                joins.chance[minute] = (chance * here / (1.0 - chance * passed)).clamp(UNUSUAL, 0.9);
                passed += here;
            }
        }
        joins
    }

    /// Distribution of a join over the minutes of a quarter.
    fn when(&self, history: &VisitHistory, before: &ComparableDays, slot: usize) -> [f64; SLOT_MINUTES] {
        const NEAR: [f64; 5] = [0.1, 0.2, 0.4, 0.2, 0.1];
        let total: f64 = self.offsets.iter().sum();
        let mut when = self.offsets.map(|n| 2.0 * n / total);
        for (_, visit) in history.like(before, slot) {
            let minute = slot_of(visit.joined_ms).1;
            for (step, weight) in NEAR.iter().enumerate() {
                let at = (minute + step).saturating_sub(2).min(SLOT_MINUTES - 1);
                when[at] += weight;
            }
        }
        let total: f64 = when.iter().sum();
        when.map(|n| n / total)
    }
}

/// Quarters that visits cover from one end to the other.
fn covered(visits: &[LocalVisit]) -> u128 {
    let mut bits = 0;
    for visit in visits {
        let Some(left) = visit.left_ms else { continue };
        let (first, last) = (slot_of(visit.joined_ms).0 + 1, slot_of(left).0.min(SLOTS));
        for slot in first..last {
            bits |= 1_u128 << slot;
        }
    }
    bits
}

use super::visit_history::LocalVisit;
