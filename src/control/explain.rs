//! The explanation of the time of the next poll, as sent over the control socket.
//!
//! Guards: the factors are those of the decision. Not here: deciding (`policy::pace`), printing (`cli`).

use serde::{Deserialize, Serialize};

use crate::policy::pace::Why;
use crate::policy::pace::pacer::Rule;
use crate::time::Timestamp;

/// The next poll of a user, and the factors of the decision.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExplainReport {
    pub who: String,
    /// The organisation of the user.
    pub org: String,
    /// Time of the poll or of the re-plan.
    pub due: Timestamp,
    /// Whether `due` is a poll; else the rule only re-plans then.
    #[serde(rename = "is_look")]
    pub is_poll: bool,
    /// What set the time, if it was not the rule. The factors are then those of a decision now.
    pub instead: Option<String>,
    /// Time of the decision.
    pub decided: Timestamp,
    pub factors: Factors,
}

/// The factors of one decision, as in [`Why`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
