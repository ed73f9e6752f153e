//! Measures a replay: compares the polls with the trace.
//!
//! Guards: only open time counts. Not here: making the polls (`run`).

use super::types::{Outcome, Policy, ReplayInput, RunResult, seconds};
use crate::policy::pace::open_spans::OpenSpans;
use crate::time::Timestamp;

/// Compares the known state of each user with the visits of the trace.
pub(super) fn measure(
    input: &ReplayInput,
    policy: Policy,
    from: Timestamp,
    to: Timestamp,
    result: &RunResult,
) -> Outcome {
    let open_spans_of = |open| OpenSpans::of(open, from, to);
    let hours: Vec<OpenSpans> = input.settings.open.iter().map(open_spans_of).collect();
    let mut visits: Vec<Vec<(i64, i64)>> = vec![Vec::new(); input.users.len()];
    for visit in &input.visits {
        let left = visit.left.map_or(to.as_ms(), Timestamp::as_ms);
        visits[visit.user as usize].push((visit.joined.as_ms(), left));
    }
    let (mut joins, mut leaves) = (Vec::new(), Vec::new());
    let (mut wrong_ms, mut counted, mut missed) = (0, 0, 0);
    for (index, user) in input.users.iter().enumerate() {
        let (hours, polls) = (&hours[user.open], &result.polls[index]);
        visits[index].sort_unstable();
        wrong_ms += wrong(hours, &visits[index], polls, from.as_ms(), to.as_ms());
        for (joined, left) in &visits[index] {
            let joined = (*joined).max(from.as_ms());
            if hours.open_ms(joined, *left) == 0 {
                continue;
            }
            counted += 1;
            let first = polls.partition_point(|(poll, _)| *poll < joined);
            let during = polls[first..].iter().take_while(|(poll, _)| poll < left);
            let Some((poll, _)) = during.into_iter().find(|(_, inside)| *inside) else {
                missed += 1;
                continue;
            };
            joins.push(hours.open_ms(joined, *poll));
            if let Some((poll, _)) = polls.get(polls.partition_point(|(poll, _)| poll < left)) {
                leaves.push(hours.open_ms(*left, *poll));
            }
        }
    }
    Outcome {
        policy,
        calls: result.calls,
        wrong_s: seconds(wrong_ms),
        visits: counted,
        missed_visits: missed,
        join_ms: joins,
        leave_ms: leaves,
        months: result.months.clone(),
    }
}

/// Open time in ms in which the state known from the last poll is wrong.
fn wrong(hours: &OpenSpans, visits: &[(i64, i64)], polls: &[(i64, bool)], from: i64, to: i64) -> i64 {
    let mut spans: Vec<(i64, i64)> = Vec::new();
    for (joined, left) in visits {
        match spans.last_mut() {
            Some(last) if *joined <= last.1 => last.1 = last.1.max(*left),
            _ => spans.push((*joined, *left)),
        }
    }
    let inside_ms = |a: i64, b: i64| -> i64 {
        let first = spans.partition_point(|(_, left)| *left <= a);
        let touching = spans[first..].iter().take_while(|(joined, _)| *joined < b);
        touching.map(|(joined, left)| hours.open_ms((*joined).max(a), (*left).min(b))).sum()
    };
    let (mut at, mut known_inside, mut wrong) = (from, false, 0);
    for (poll, sees_inside) in polls.iter().copied().chain([(to, false)]) {
        let inside = inside_ms(at, poll);
        wrong += if known_inside { hours.open_ms(at, poll) - inside } else { inside };
        known_inside = sees_inside;
        at = poll;
    }
    wrong
}
