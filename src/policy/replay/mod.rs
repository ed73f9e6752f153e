//! Replays a trace of visits with the real pacing code in virtual time, to compare policies.
//!
//! The trace begins at the local midnight before its first join and ends at the one after its last leave; the warm-up
//! is its beginning, known in full like a history. The first and the last month have a share of the calls by open
//! time; the other policies get as many calls as `even` spends. Each answer is the truth at that time: the meetings
//! that the user is in; the end of a visit that was seen before; and a missed visit, while its conference is ongoing.
//! Wrong time is open time in which the state known from the last poll is wrong; before the first poll every user
//! counts as outside. A visit counts if it overlaps counted open time, and is missed if no poll finds the user inside.
//! Delays are open time from a join to the first poll that finds it, and from a leave to the first poll after it, of
//! visits not missed.
//!
//! Guards: a policy learns only from its own polls and the warm-up; `hindsight` never learns from the week it decides.
//! Not here: reading traces and printing (`cli`).

mod histogram;
mod measure;
mod references;
mod run;
mod state;
mod sweeper;
mod sweeps;
#[cfg(test)]
mod tests;
mod types;

pub use super::sweep::SweepMode;

pub use self::types::{Delays, Outcome, Policy, ReplayInput, SweepChoice};

impl ReplayInput {
    /// Whether `auto` sweeps in this replay, and why.
    pub fn choice(&self) -> SweepChoice {
        let Some((from, _)) = self.counted().filter(|_| self.sweep != SweepMode::Off) else {
            return SweepChoice::Off;
        };
        let confidence = sweeper::confidence_after_warmup(self, from);
        if !confidence.is_trusted() {
            return SweepChoice::NotTrusted { missing: confidence.missing() };
        }
        SweepChoice::Sweeps { unseen: 1.0 - confidence.coverage_of_all() }
    }

    /// Replays one policy; `None`: the counted period is empty.
    pub fn run(&self, policy: Policy) -> Option<Outcome> {
        let (from, to) = self.counted()?;
        let result = run::run(self, policy, from, to);
        Some(measure::measure(self, policy, from, to, &result))
    }
}
