//! Why somebody's next look is when it is, as told to who asked.
//!
//! Guards: the factors are those of the decision, not a retelling. Deliberately not here: deciding (`policy::pace`),
//! printing (`cli`).

use serde::{Deserialize, Serialize};

use crate::policy::pace::Why;
use crate::policy::pace::pacer::Rule;
use crate::time::Timestamp;

/// What is planned for somebody, and what speaks for it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExplainReport {
    /// By the config.
    pub who: String,
    /// Their organisation.
    pub org: String,
    /// When they are looked at, or the rule is asked again.
    pub due: Timestamp,
    /// They are looked at then.
    pub is_look: bool,
    /// Something other than the rule gave that time: what. The factors are what the rule would say now.
    pub instead: Option<String>,
    /// When it was decided.
    pub decided: Timestamp,
    /// What spoke for it.
    pub factors: Factors,
}

/// The factors of one decision; [`Why`] says what they are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names are those of `Why`")]
pub struct Factors {
    pub rule: String,
    pub inside: bool,
    pub price_wrong_s: f64,
    pub wrong_now: f64,
    pub wrong_then: f64,
    pub expected_wrong_s: f64,
    pub peak_chance_a_minute: f64,
    pub weeks_before: Vec<u32>,
    pub other_days: u8,
    pub days_ahead_of_budget: f64,
}

impl From<Why> for Factors {
    fn from(why: Why) -> Self {
        Self {
            rule: name(why.rule).to_owned(),
            inside: why.inside,
            price_wrong_s: tenth(why.price * 60.0),
            wrong_now: why.wrong_now,
            wrong_then: why.wrong_then,
            expected_wrong_s: tenth(why.cost * 60.0),
            peak_chance_a_minute: why.peak,
            weeks_before: (0..4).filter(|bit| why.pattern >> bit & 1 == 1).map(|bit| bit + 1).collect(),
            other_days: why.pattern >> 4,
            days_ahead_of_budget: why.lead,
        }
    }
}

fn name(rule: Rule) -> &'static str {
    match rule {
        Rule::Even => "even",
        Rule::Plenty => "plenty",
        Rule::Worth => "worth",
        Rule::NotWorth => "not_worth",
        Rule::Closed => "closed",
        Rule::Longest => "longest",
        Rule::Spent => "spent",
        Rule::InTurn => "in_turn",
    }
}

fn tenth(number: f64) -> f64 {
    (number * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pattern_is_taken_apart_into_weeks_and_days() {
        let why = Why { pattern: 0b0011_0101, price: 2.0, rule: Rule::Worth, ..Why::default() };
        let factors = Factors::from(why);
        assert_eq!((factors.weeks_before, factors.other_days), (vec![1, 3], 3));
        assert!((factors.price_wrong_s - 120.0).abs() < 1e-9);
        assert_eq!(factors.rule, "worth");
    }
}
