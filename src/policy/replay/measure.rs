//! What looks were worth, against the truth.
//!
//! Guards: only open time counts. Deliberately not here: deciding (`drive`).

use super::drive::Driven;
use super::{Outcome, Policy, Scene, seconds};
use crate::policy::pace::hours::Hours;
use crate::time::Timestamp;

/// Compares what was believed with what was so.
pub(super) fn measure(
    scene: &Scene,
    policy: Policy,
    from: Timestamp,
    to: Timestamp,
    driven: &Driven,
) -> Outcome {
    let lay_out = |open| Hours::of(open, from, to);
    let hours: Vec<Hours> = scene.settings.open.iter().map(lay_out).collect();
    let mut visits: Vec<Vec<(i64, i64)>> = vec![Vec::new(); scene.people.len()];
    for visit in &scene.visits {
        let left = visit.left.map_or(to.as_ms(), Timestamp::as_ms);
        visits[visit.person as usize].push((visit.joined.as_ms(), left));
    }
    let (mut joins, mut leaves) = (Vec::new(), Vec::new());
    let (mut wrong_ms, mut counted, mut missed) = (0, 0, 0);
    for (index, person) in scene.people.iter().enumerate() {
        let (hours, looks) = (&hours[person.open], &driven.looks[index]);
        visits[index].sort_unstable();
        wrong_ms += wrong(hours, &visits[index], looks, from.as_ms(), to.as_ms());
        for (joined, left) in &visits[index] {
            let joined = (*joined).max(from.as_ms());
            if hours.open_ms(joined, *left) == 0 {
                continue;
            }
            counted += 1;
            let first = looks.partition_point(|(look, _)| *look < joined);
            let during = looks[first..].iter().take_while(|(look, _)| look < left);
            let Some((look, _)) = during.into_iter().find(|(_, inside)| *inside) else {
                missed += 1;
                continue;
            };
            joins.push(hours.open_ms(joined, *look));
            if let Some((look, _)) = looks.get(looks.partition_point(|(look, _)| look < left)) {
                leaves.push(hours.open_ms(*left, *look));
            }
        }
    }
    Outcome {
        policy,
        calls: driven.calls,
        wrong_s: seconds(wrong_ms),
        visits: counted,
        missed_visits: missed,
        join_ms: joins,
        leave_ms: leaves,
        months: driven.months.clone(),
    }
}

/// Open ms in which the last look's answer is not the truth.
fn wrong(hours: &Hours, visits: &[(i64, i64)], looks: &[(i64, bool)], from: i64, to: i64) -> i64 {
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
    for (look, sees_inside) in looks.iter().copied().chain([(to, false)]) {
        let inside = inside_ms(at, look);
        wrong += if believed { hours.open_ms(at, look) - inside } else { inside };
        believed = sees_inside;
        at = look;
    }
    wrong
}
