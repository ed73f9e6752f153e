//! What polls were worth, against the truth.
//!
//! Guards: only open time counts. Deliberately not here: deciding (`run`).

use super::run::RunResult;
use super::{Outcome, Policy, ReplayInput, seconds};
use crate::policy::pace::open_spans::OpenSpans;
use crate::time::Timestamp;

/// Compares what was believed with what was so.
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
            let first = polls.partition_point(|(look, _)| *look < joined);
            let during = polls[first..].iter().take_while(|(look, _)| look < left);
            let Some((look, _)) = during.into_iter().find(|(_, inside)| *inside) else {
                missed += 1;
                continue;
            };
            joins.push(hours.open_ms(joined, *look));
            if let Some((look, _)) = polls.get(polls.partition_point(|(look, _)| look < left)) {
                leaves.push(hours.open_ms(*left, *look));
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

/// Open ms in which the last look's answer is not the truth.
fn wrong(hours: &OpenSpans, visits: &[(i64, i64)], polls: &[(i64, bool)], from: i64, to: i64) -> i64 {
    let mut stretches: Vec<(i64, i64)> = Vec::new();
    for (joined, left) in visits {
        match stretches.last_mut() {
            Some(last) if *joined <= last.1 => last.1 = last.1.max(*left),
            _ => stretches.push((*joined, *left)),
        }
    }
    let inside_ms = |a: i64, b: i64| -> i64 {
        let first = stretches.partition_point(|(_, left)| *left <= a);
        let touching = stretches[first..].iter().take_while(|(joined, _)| *joined < b);
        touching.map(|(joined, left)| hours.open_ms((*joined).max(a), (*left).min(b))).sum()
    };
    let (mut at, mut believed, mut wrong) = (from, false, 0);
    for (look, sees_inside) in polls.iter().copied().chain([(to, false)]) {
        let inside = inside_ms(at, look);
        wrong += if believed { hours.open_ms(at, look) - inside } else { inside };
        believed = sees_inside;
        at = look;
    }
    wrong
}
