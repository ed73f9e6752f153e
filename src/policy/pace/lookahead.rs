//! Finds the best next poll minute by minute: the price of a call against the wrong time it is expected to save.
//!
//! Guards: only additions, products and quotients in a fixed order, so the same input gives the same bits. Not here: the
//! probabilities (`join_model`, `duration_model`), the price of a call (`shadow_price`).

/// Probability that a state known at one minute is wrong at a later one: a two-state Markov chain with a probability to
/// turn wrong and one to turn right in each minute, with prefix sums, so that any interval is answered in constant time.
#[derive(Clone, Debug, Default)]
pub struct Trend {
    /// Probability of being wrong at each minute, if right at minute 0.
    wrong: Vec<f64>,
    /// Factor to which a difference at minute 0 shrinks by each minute.
    fades: Vec<f64>,
    /// Prefix sums of both.
    wrong_sum: Vec<f64>,
    fades_sum: Vec<f64>,
}

impl Trend {
    /// `turns[k]`: probability to turn wrong in minute k; `back[k]`: to turn right again.
    pub fn new(turns: &[f64], back: &[f64]) -> Self {
        let len = turns.len() + 1;
        let mut trend = Self {
            wrong: Vec::with_capacity(len),
            fades: Vec::with_capacity(len),
            wrong_sum: Vec::with_capacity(len),
            fades_sum: Vec::with_capacity(len),
        };
        let (mut wrong, mut fade, mut wrong_sum, mut fades_sum) = (0.0, 1.0, 0.0, 0.0);
        for step in 0..len {
            trend.wrong.push(wrong);
            trend.fades.push(fade);
            trend.wrong_sum.push(wrong_sum);
            trend.fades_sum.push(fades_sum);
            if step < turns.len() {
                let keeps = (1.0 - turns[step] - back[step]).clamp(0.05, 1.0);
                let next = (wrong * keeps + turns[step]).min(1.0);
                let faded = (fade * keeps).max(1e-280);
                wrong_sum += f64::midpoint(wrong, next);
                fades_sum += f64::midpoint(fade, faded);
                (wrong, fade) = (next, faded);
            }
        }
        trend
    }

    /// The last minute.
    pub fn end(&self) -> usize {
        self.wrong.len() - 1
    }

    /// Probability of being wrong at `to`, if it is `start` at `from`.
    pub fn at(&self, from: usize, start: f64, to: usize) -> f64 {
        let more = (start - self.wrong[from]) * (self.fades[to] / self.fades[from]);
        (self.wrong[to] + more).clamp(0.0, 1.0)
    }

    /// Expected wrong minutes from `from` to `to`, if the probability is `start` at `from`.
    pub fn cost(&self, from: usize, start: f64, to: usize) -> f64 {
        let more =
            (start - self.wrong[from]) / self.fades[from] * (self.fades_sum[to] - self.fades_sum[from]);
        (self.wrong_sum[to] - self.wrong_sum[from] + more).max(0.0)
    }

    /// Probability of being wrong without any poll, counted from minute 0.
    pub fn unpolled(&self, at: usize) -> f64 {
        self.wrong[at]
    }
}

/// Expected cost from each minute to the end, if every poll is placed best.
#[derive(Clone, Debug, Default)]
pub struct Outlook {
    /// Wrong minutes plus the price of the calls.
    pub value: Vec<f64>,
    /// Calls.
    pub calls: Vec<f64>,
}

/// Longest visit that is followed, in minutes.
const LONGEST_EPISODE: usize = 720;

/// Minutes ahead at which a poll is considered: every minute at first, coarser later.
fn steps() -> impl Iterator<Item = usize> {
    (1..=16)
        .chain((18..=48).step_by(2))
        .chain((52..=100).step_by(4))
        .chain((110..=300).step_by(10))
        .chain((330..=780).step_by(30))
}

/// Works backward from the end: `other(k)` is the expected cost and calls from minute k on if the poll finds a change.
pub fn outlook(
    trend: &Trend,
    other: impl Fn(usize, &Outlook) -> (f64, f64),
    price: f64,
    last: (f64, f64),
    longest: usize,
) -> Outlook {
    let end = trend.end();
    let mut outlook = Outlook { value: vec![last.0; end + 1], calls: vec![last.1; end + 1] };
    let steps: Vec<usize> = steps().take_while(|step| *step <= longest).collect();
    for from in (0..end).rev() {
        let (wrong_from, fade_from) = (trend.wrong[from], 1.0 / trend.fades[from]);
        let start = -wrong_from * fade_from;
        let mut best = (trend.wrong_sum[end] - trend.wrong_sum[from])
            + start * (trend.fades_sum[end] - trend.fades_sum[from])
            + last.0;
        let mut calls = last.1;
        for step in &steps {
            let to = from + step;
            if to >= end {
                break;
            }
            let wrong = trend.wrong[to] + start * trend.fades[to];
            let cost = trend.wrong_sum[to] - trend.wrong_sum[from]
                + start * (trend.fades_sum[to] - trend.fades_sum[from]);
            let changed = other(to, &outlook);
            let value = price + cost + (1.0 - wrong) * outlook.value[to] + wrong * changed.0;
            if value < best {
                best = value;
                calls = 1.0 + (1.0 - wrong) * outlook.calls[to] + wrong * changed.1;
            }
        }
        outlook.value[from] = best;
        outlook.calls[from] = calls;
    }
    outlook
}

/// Cost of following a user who is inside and leaves with probability `leaves` in each minute: wrong minutes plus the
/// price of the calls, and the number of calls, at the cheapest interval.
pub fn episode(price: f64, leaves: f64) -> (f64, f64) {
    let leaves = leaves.clamp(1e-4, 0.5);
    let (mut visits, mut cost, mut best) = (1.0, 0.0, (f64::MAX, 0.0));
    for _ in 0..LONGEST_EPISODE {
        let next: f64 = visits * (1.0 - leaves);
        cost += 1.0 - f64::midpoint(visits, next);
        visits = next;
        let value = (price + cost) / (1.0 - visits);
        if value >= best.0 {
            break;
        }
        best = (value, 1.0 / (1.0 - visits));
    }
    best
}

/// A chosen poll.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Choice {
    /// At this minute; `None`: not before the end.
    pub minute: Option<usize>,
    /// Probability that the known state is wrong by then.
    pub wrong: f64,
    /// Expected wrong minutes until then.
    pub cost: f64,
}

/// The best poll in `[first, last]`, if the state is wrong with probability `start` at `from`.
pub fn choose(
    trend: &Trend,
    from: usize,
    start: f64,
    range: (usize, usize),
    price: f64,
    value: impl Fn(usize, f64) -> f64,
) -> Choice {
    let end = trend.end();
    let mut best = trend.cost(from, start, end) + value(end, 0.0);
    let mut choice = Choice { minute: None, wrong: trend.at(from, start, end), cost: best };
    for to in range.0.max(from)..=range.1.min(end.saturating_sub(1)) {
        let wrong = trend.at(from, start, to);
        let cost = trend.cost(from, start, to);
        let total = price + cost + value(to, wrong);
        if total < best {
            best = total;
            choice = Choice { minute: Some(to), wrong, cost };
        }
    }
    choice
}
