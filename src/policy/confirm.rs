//! Decides whether to query the meeting of a user whose record vanished from an answer.
//!
//! Guards: each absence is queried once; the calls that polls need are not spent on queries. Not here: what the answer
//! about the meeting means (`presence::confirm`).

use std::collections::BTreeMap;
use std::time::Duration;

use crate::ids::VisitId;
use crate::time::Timestamp;

/// Calls of one query: the meeting and its members.
pub const CALLS: usize = 2;
/// An older absence is not queried: the meeting may have ended long ago, and no event waits for the answer.
pub const FRESH: Duration = Duration::from_mins(10);
/// How long the meeting calls are not used after DingTalk forbade one.
pub const FORBIDDEN_FOR: Duration = Duration::from_hours(24);

/// Whether `left` calls (`None`: no limit) permit one query where `users` are watched: one poll of each user has
/// precedence.
pub fn permits(left: Option<u64>, users: usize) -> bool {
    left.is_none_or(|left| left >= (users + CALLS) as u64)
}

/// The absences that were queried lately: the visit, and when the record was first missing.
#[derive(Clone, Debug, Default)]
pub struct AskedAbsences(BTreeMap<VisitId, Timestamp>);

impl AskedAbsences {
    /// Whether to query this absence, first seen at `since`: it is fresh and was not queried before. Records it.
    pub fn is_new(&mut self, visit: &VisitId, since: Timestamp, now: Timestamp) -> bool {
        if !is_fresh(since, now) || self.0.get(visit) == Some(&since) {
            return false;
        }
        self.0.retain(|_, since| is_fresh(*since, now));
        self.0.insert(visit.clone(), since);
        true
    }
}

/// Whether an absence is recent enough for a query.
pub fn is_fresh(since: Timestamp, now: Timestamp) -> bool {
    now.since(since) <= FRESH
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_ms(1_700_000_000_000 + seconds * 1000)
    }

    #[test]
    fn an_absence_is_queried_once_and_a_later_one_of_the_same_visit_again() {
        let visit = VisitId::parse("vis_1").unwrap();
        let mut asked = AskedAbsences::default();
        assert!(asked.is_new(&visit, at(0), at(0)));
        assert!(!asked.is_new(&visit, at(0), at(30)));
        assert!(asked.is_new(&visit, at(60), at(60)));
        assert!(!asked.is_new(&VisitId::parse("vis_2").unwrap(), at(0), at(601)), "too late");
    }

    #[test]
    fn old_queries_are_removed() {
        let mut asked = AskedAbsences::default();
        for n in 0..100 {
            let visit = VisitId::parse(&format!("vis_{n}")).unwrap();
            assert!(asked.is_new(&visit, at(n * 60), at(n * 60)));
        }
        assert!(asked.0.len() <= 11, "{}", asked.0.len());
    }

    #[test]
    fn polls_have_precedence() {
        assert!(permits(None, 300));
        assert!(permits(Some(302), 300));
        assert!(!permits(Some(301), 300));
        assert!(!permits(Some(0), 0));
    }
}
