//! Whether a vanished entry is worth asking the meeting about.
//!
//! Guards: each absence is asked about once; the calls that looks need are not spent on it. Pure. Deliberately not here:
//! what the meeting's word means (`presence::confirm`).

use std::collections::BTreeMap;
use std::time::Duration;

use crate::ids::VisitId;
use crate::time::Timestamp;

/// The calls of one question: the meeting, and its members.
pub const CALLS: usize = 2;
/// An absence older than this is not asked about any more: the meeting may be long gone, and nobody waits.
pub const FRESH: Duration = Duration::from_mins(10);
/// After the meeting calls were forbidden they are left alone for so long.
pub const FORBIDDEN_FOR: Duration = Duration::from_hours(24);

/// Whether `left` calls (`None`: no limit) permit one question where `people` are watched: a look at each of them comes
/// first.
pub fn permits(left: Option<u64>, people: usize) -> bool {
    left.is_none_or(|left| left >= (people + CALLS) as u64)
}

/// What was asked about lately.
#[derive(Clone, Debug, Default)]
pub struct Asked(BTreeMap<VisitId, Timestamp>);

impl Asked {
    /// Whether this absence, first seen `since`, is to be asked about: it is fresh, and was not before. Notes it.
    pub fn is_new(&mut self, visit: &VisitId, since: Timestamp, now: Timestamp) -> bool {
        if !is_fresh(since, now) || self.0.get(visit) == Some(&since) {
            return false;
        }
        self.0.retain(|_, since| is_fresh(*since, now));
        self.0.insert(visit.clone(), since);
        true
    }
}

/// Whether an absence is still worth a question.
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
    fn an_absence_is_asked_about_once_and_another_of_the_same_stay_anew() {
        let visit = VisitId::parse("vis_1").unwrap();
        let mut asked = Asked::default();
        assert!(asked.is_new(&visit, at(0), at(0)));
        assert!(!asked.is_new(&visit, at(0), at(30)));
        assert!(asked.is_new(&visit, at(60), at(60)));
        assert!(!asked.is_new(&VisitId::parse("vis_2").unwrap(), at(0), at(601)), "too late");
    }

    #[test]
    fn what_was_asked_is_forgotten_in_time() {
        let mut asked = Asked::default();
        for n in 0..100 {
            let visit = VisitId::parse(&format!("vis_{n}")).unwrap();
            assert!(asked.is_new(&visit, at(n * 60), at(n * 60)));
        }
        assert!(asked.0.len() <= 11, "{}", asked.0.len());
    }

    #[test]
    fn looks_come_first() {
        assert!(permits(None, 300));
        assert!(permits(Some(302), 300));
        assert!(!permits(Some(301), 300));
        assert!(!permits(Some(0), 0));
    }
}
