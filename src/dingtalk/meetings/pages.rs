//! Pages: one after another, so many at most.
//!
//! Guards: reading ends by itself whatever the answers say: at a bound, at a page token that came before, at a page
//! without anything. Pure. Deliberately not here: the calls.

use crate::dingtalk::error::CallError;
use crate::presence::observation::Evidence;

/// Where the next page begins; nobody's business but DingTalk's.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PageToken(pub(super) String);

#[cfg(test)]
impl PageToken {
    pub(crate) fn of(token: &str) -> Self {
        Self(token.to_owned())
    }
}

/// One page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// What is on it.
    pub items: Vec<T>,
    /// `nextToken`, unless empty.
    pub next: Option<PageToken>,
    /// `hasMore`, where it is said.
    pub has_more: Option<bool>,
    /// `totalCount`, where it is said.
    pub total: Option<u64>,
    /// Whether the list was there, or only missing.
    pub evidence: Evidence,
    /// How many calls count against the month: 2 when a token was refused on the way.
    pub calls: u32,
    /// How many things on it were odd and left out.
    pub oddities: u32,
}

/// The reading of pages.
#[derive(Clone, Debug)]
pub struct Pages {
    left: u32,
    gathered: u64,
    /// The tokens that led anywhere so far; the last one leads to the page that is wanted.
    tokens: Vec<PageToken>,
    state: State,
    evidence: Evidence,
    calls: u32,
    oddities: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    More,
    Complete,
    /// Nothing more can be read, but there is more.
    Cut,
}

impl Pages {
    /// At most so many; at least one.
    pub fn new(most: u32) -> Self {
        Self {
            left: most.max(1),
            gathered: 0,
            tokens: Vec::new(),
            state: State::More,
            evidence: Evidence::Explicit,
            calls: 0,
            oddities: 0,
        }
    }

    /// The page to be read next: `Some(None)` is the first. `None`: there is none, or it would be one too many.
    pub fn wanted(&self) -> Option<Option<&PageToken>> {
        (self.state == State::More && self.left > 0).then(|| self.tokens.last())
    }

    /// That page; what is on it.
    pub fn take<T>(&mut self, page: Page<T>) -> Vec<T> {
        self.left = self.left.saturating_sub(1);
        self.calls += page.calls;
        self.oddities += page.oddities;
        if page.evidence == Evidence::Weak {
            self.evidence = Evidence::Weak;
        }
        let here = page.items.len() as u64 + u64::from(page.oddities);
        self.gathered += here;
        let missing = page.total.is_some_and(|total| self.gathered < total);
        let over = match page.has_more {
            Some(more) => !more,
            // A token on the last page leads to an empty one, unless the total says that this is the last.
            None => page.next.is_none() || here == 0 || (page.total.is_some() && !missing),
        };
        self.state = match page.next {
            _ if over => {
                if missing {
                    State::Cut
                } else {
                    State::Complete
                }
            }
            Some(token) if here > 0 && !self.tokens.contains(&token) => {
                self.tokens.push(token);
                State::More
            }
            Some(_) | None => State::Cut,
        };
        page.items
    }

    /// An error after pages that cost something.
    pub fn with_earlier(&self, mut error: CallError) -> CallError {
        error.calls += self.calls;
        error
    }

    /// Everything was read.
    pub fn is_complete(&self) -> bool {
        self.state == State::Complete
    }

    /// Whether every page had its list.
    pub fn evidence(&self) -> Evidence {
        self.evidence
    }

    /// What all pages cost.
    pub fn calls(&self) -> u32 {
        self.calls
    }

    /// What was odd on them.
    pub fn oddities(&self) -> u32 {
        self.oddities
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn page(items: usize, next: Option<&str>, has_more: Option<bool>, total: Option<u64>) -> Page<()> {
        Page {
            items: vec![(); items],
            next: next.map(|token| PageToken(token.into())),
            has_more,
            total,
            evidence: Evidence::Explicit,
            calls: 1,
            oddities: 0,
        }
    }

    /// How many pages are read, and whether that is all.
    fn read(most: u32, answers: &[Page<()>]) -> (usize, bool) {
        let mut pages = Pages::new(most);
        let mut answers = answers.iter();
        let mut read = 0;
        while pages.wanted().is_some() {
            pages.take(answers.next().expect("no more pages than there are").clone());
            read += 1;
        }
        (read, pages.is_complete())
    }

    #[test]
    fn one_page_is_all() {
        assert_eq!(read(9, &[page(3, None, Some(false), Some(3))]), (1, true));
        assert_eq!(read(9, &[page(3, Some("7"), Some(false), Some(3))]), (1, true));
        assert_eq!(read(9, &[page(3, Some("7"), None, Some(3))]), (1, true));
        assert_eq!(read(9, &[page(0, None, None, None)]), (1, true));
    }

    #[test]
    fn several_pages_follow_their_tokens() {
        let pages = [page(2, Some("a"), Some(true), Some(5)), page(2, Some("b"), Some(true), Some(5))];
        let last = [page(1, None, Some(false), Some(5))];
        assert_eq!(read(9, &[&pages[..], &last].concat()), (3, true));
        assert_eq!(read(2, &pages), (2, false));
        // Without a total a token on the last page costs one call for an empty page.
        assert_eq!(read(9, &[page(2, Some("a"), None, None), page(0, Some("a"), None, None)]), (2, true));
    }

    #[test]
    fn what_leads_nowhere_ends_without_being_all() {
        assert_eq!(read(9, &[page(2, None, Some(true), None)]), (1, false));
        assert_eq!(read(9, &[page(0, Some("a"), Some(true), None)]), (1, false));
        assert_eq!(read(9, &[page(2, None, Some(false), Some(5))]), (1, false));
        let around = [page(2, Some("a"), Some(true), None), page(2, Some("a"), Some(true), None)];
        assert_eq!(read(9, &around), (2, false));
    }

    proptest! {
        #![proptest_config(crate::testing::cases())]

        #[test]
        fn reading_always_ends(
            answers in prop::collection::vec(
                (0_usize..3, prop::option::of("[ab]?"), any::<Option<bool>>(), prop::option::of(0_u64..9)), 1..9),
            most in 0_u32..6,
        ) {
            let mut pages = Pages::new(most);
            let mut read = 0_u32;
            for (items, next, has_more, total) in answers.iter().cycle() {
                if pages.wanted().is_none() {
                    break;
                }
                pages.take(page(*items, next.as_deref(), *has_more, *total));
                read += 1;
                prop_assert!(read <= most.max(1));
            }
            prop_assert_eq!(pages.calls(), read);
        }
    }
}
