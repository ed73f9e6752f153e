//! How much one run of the tests tries: little by default, much in the long run (`PRESENCED_LONG=1`, set by
//! `tests/run --long`).
//!
//! Guards: every property and every long simulation asks here, so that one variable makes all of them long. Only in
//! tests; `tests/it` includes this file as well. Deliberately not here: the number of kills and lives, which have
//! variables of their own (`tests/it/crash.rs`, `tests/it/truth.rs`).

use proptest::test_runner::Config;

const CASES: u32 = 256;
const LONG_CASES: u32 = 10_000;

/// Whether this is the long run.
pub(crate) fn long() -> bool {
    std::env::var_os("PRESENCED_LONG").is_some_and(|value| value == "1")
}

/// The configuration of a property: how many cases it tries.
pub(crate) fn cases() -> Config {
    cases_costing(1)
}

/// The same for a property whose cases are slow: one of them counts as `cost` cases.
pub(crate) fn cases_costing(cost: u32) -> Config {
    let cases = if long() { LONG_CASES } else { CASES };
    Config::with_cases((cases / cost).max(1))
}
