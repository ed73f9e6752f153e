//! What a policy is compared with: no polls, and the best polls with knowledge of the trace.
//!
//! `clairvoyant` polls only right after a change, and leaves out changes whose correction is not worth a call: per user
//! the least wrong time plus price times calls, worked out backward over the changes, with one price for all users at
//! which the calls suffice. No single polls with as many calls are wrong for a shorter time. Guards: no more calls
//! than `even` spends. Not here: policies that know only the past (`run`).
#![expect(clippy::cast_precision_loss, reason = "counts, minutes and milliseconds here are far below 2^52")]

use super::types::{Polls, ReplayInput, RunResult};
use crate::policy::pace::open_spans::OpenSpans;
use crate::time::Timestamp;

/// Number of halvings of the price.
const HALVINGS: u32 = 40;

/// A time without a change of one user's presence.
struct Constant {
    /// The first open instant of it.
    polled_at: Option<i64>,
    inside: bool,
    open_ms: f64,
}

/// No user is polled.
pub(super) fn never(input: &ReplayInput) -> RunResult {
    RunResult { polls: vec![Polls::new(); input.users.len()], months: Vec::new(), calls: 0 }
}

/// The best single polls in `[from, to)`, with at most as many calls as `months` spent together.
pub(super) fn clairvoyant(
    input: &ReplayInput,
    from: Timestamp,
    to: Timestamp,
    months: Vec<(u64, u64)>,
) -> RunResult {
    let calls: u64 = months.iter().map(|(spent, _)| spent).sum();
    let users: Vec<Vec<Constant>> =
        (0..input.users.len()).map(|user| constants(input, user, from, to)).collect();
    let at_price = |price: f64| -> Vec<Polls> { users.iter().map(|user| best(user, price)).collect() };
    let count = |polls: &[Polls]| polls.iter().map(|polls| polls.len() as u64).sum::<u64>();
    let (mut low, mut high) = (1.0_f64, 1e9_f64);
    let mut polls = at_price(low);
    if count(&polls) > calls {
        for _ in 0..HALVINGS {
            let price = (low * high).sqrt();
            if count(&at_price(price)) > calls {
                low = price;
            } else {
                high = price;
            }
        }
        polls = at_price(high);
    }
    let calls = count(&polls);
    RunResult { polls, months, calls }
}

fn constants(input: &ReplayInput, user: usize, from: Timestamp, to: Timestamp) -> Vec<Constant> {
    let hours = OpenSpans::of(&input.settings.open[input.users[user].open], from, to);
    let (from, to) = (from.as_ms(), to.as_ms());
    let mine = input.visits.iter().filter(|visit| visit.user as usize == user);
    let mut visits: Vec<(i64, i64)> = mine
        .map(|visit| (visit.joined.as_ms().max(from), visit.left.map_or(to, Timestamp::as_ms).min(to)))
        .filter(|(joined, left)| joined < left)
        .collect();
    visits.sort_unstable();
    let (mut at, mut constants) = (from, Vec::new());
    let mut add = |begins: i64, ends: i64, inside: bool| {
        let open_ms = hours.open_ms(begins, ends) as f64;
        let polled_at = hours.open_from(begins).filter(|open| *open < ends);
        constants.push(Constant { polled_at, inside, open_ms });
    };
    for (joined, left) in visits {
        if joined > at {
            add(at, joined, false);
        }
        if left > at {
            add(joined.max(at), left, true);
            at = left;
        }
    }
    add(at, to, false);
    constants
}

/// The polls with the least wrong time plus price (both in ms).
fn best(constants: &[Constant], price: f64) -> Polls {
    // By what is known at the beginning of each: the least cost from there on, and whether to poll.
    let mut cost = [0.0; 2];
    let mut choices = vec![[false; 2]; constants.len()];
    for (constant, choice) in constants.iter().zip(&mut choices).rev() {
        let after = cost;
        for known in 0..2 {
            let wrong = if (known == 1) == constant.inside { 0.0 } else { constant.open_ms };
            let left_alone = wrong + after[known];
            let polled = price + after[usize::from(constant.inside)];
            choice[known] = constant.polled_at.is_some() && polled < left_alone;
            cost[known] = if choice[known] { polled } else { left_alone };
        }
    }
    let (mut known, mut polls) = (0, Polls::new());
    for (constant, choice) in constants.iter().zip(choices) {
        if let Some(at) = constant.polled_at.filter(|_| choice[known]) {
            polls.push((at, constant.inside));
            known = usize::from(constant.inside);
        }
    }
    polls
}
