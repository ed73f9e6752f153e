//! What sweeps are worth: fifty and three hundred people at the calls of the standard edition, some meetings foreign.
//!
//! Deliberately not here: asserting anything.

use std::collections::BTreeSet;

use presenced::policy::pace::conference_key;
use presenced::policy::replay::{Policy, ReplayInput, SweepMode};

use super::generate::Kind;
use super::{count, scene};

/// People, and calls a month.
const SIZES: [(u32, u64); 2] = [(50, 5_000), (300, 5_000)];
const KINDS: [(Kind, &str); 3] =
    [(Kind::Recurring, "recurring"), (Kind::AdHoc, "adhoc"), (Kind::Mixed, "mixed")];

/// Prints them.
pub(crate) fn rows(seeds: u64) {
    println!(
        "{:<10} {:>6} {:>6} {:>8} | {:>9} {:>12} {:>12} {:>8} {:>8}",
        "kind", "people", "calls", "foreign", "even, h", "sweeps/even", "looks/even", "missed", "calls"
    );
    for (kind, name) in KINDS {
        for (people, calls) in SIZES {
            for foreign in [0, 10, 50, 100] {
                let mut sum = [0.0; 5];
                for seed in 1..=seeds {
                    let mut swept = scene(kind, people, calls, seed * 100 + u64::from(people));
                    swept.foreign = foreigners(&swept, foreign);
                    swept.sweep = SweepMode::Auto;
                    let alone = ReplayInput { sweep: SweepMode::Off, ..swept.clone() };
                    let outcomes =
                        (swept.run(Policy::Even), swept.run(Policy::Auto), alone.run(Policy::Auto));
                    let (Some(even), Some(auto), Some(looks)) = outcomes else { continue };
                    let figures = [
                        even.wrong_s / 3600.0,
                        auto.wrong_s / even.wrong_s,
                        looks.wrong_s / even.wrong_s,
                        count(auto.missed_visits) / count(even.missed_visits.max(1)),
                        auto.calls as f64 / even.calls as f64,
                    ];
                    for (total, figure) in sum.iter_mut().zip(figures) {
                        *total += figure / seeds as f64;
                    }
                }
                let [even_h, swept, looks, missed, spent] = sum;
                println!(
                    "{name:<10} {people:>6} {calls:>6} {foreign:>6} % | {even_h:>9.0} {swept:>12.2} {looks:>12.2} {missed:>8.2} {spent:>8.3}"
                );
            }
        }
    }
}

/// So many in a hundred of the meetings, by a hash.
fn foreigners(scene: &ReplayInput, percent: u64) -> BTreeSet<u64> {
    let chosen = |conference: &u64| conference_key(&conference.to_string()) % 100 < percent;
    scene.visits.iter().map(|visit| visit.conference).filter(chosen).collect()
}
