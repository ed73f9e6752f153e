//! Reads pages one after another, up to a limit.
//!
//! Guards: paging ends whatever the answers say: at the limit, at a repeated page token, or at an empty page. Pure. Not
//! here: the calls (`meetings`).

use crate::dingtalk::error::CallError;
use crate::presence::observation::Evidence;

/// Where the next page begins. Only DingTalk interprets it.
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
    /// The entries of the page.
    pub items: Vec<T>,
    /// `nextToken`; `None` if it is missing or empty.
    pub next: Option<PageToken>,
    /// `hasMore`, if the answer has it.
    pub has_more: Option<bool>,
    /// `totalCount`, if the answer has it.
    pub total: Option<u64>,
    /// Whether the list was present or missing.
    pub evidence: Evidence,
    /// Calls that count against the month: 2 if a token was refused first.
    pub calls: u32,
    /// How many entries were invalid and left out.
    pub oddities: u32,
}

/// The progress of paging.
#[derive(Clone, Debug)]
pub struct Pages {
    left: u32,
    gathered: u64,
    /// The page tokens so far; the last one leads to the next page.
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
    /// There is more, but it cannot be read.
    Truncated,
}

impl Pages {
    /// Paging over at most `most` pages, at least one.
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

    /// The next page: `Some(None)` is the first one. `None` if there is no next page or the limit is reached.
    pub fn wanted(&self) -> Option<Option<&PageToken>> {
        (self.state == State::More && self.left > 0).then(|| self.tokens.last())
    }

    /// Adds a page and returns its entries.
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
            // A token on the last page leads to an empty page, unless the total says that all entries have been read.
            None => page.next.is_none() || here == 0 || (page.total.is_some() && !missing),
        };
        self.state = match page.next {
            _ if over => {
                if missing {
                    State::Truncated
                } else {
                    State::Complete
                }
            }
            Some(token) if here > 0 && !self.tokens.contains(&token) => {
                self.tokens.push(token);
                State::More
            }
            Some(_) | None => State::Truncated,
        };
        page.items
    }

    /// The error, with the cost of the earlier pages added.
    pub fn with_earlier(&self, mut error: CallError) -> CallError {
        error.calls += self.calls;
        error
    }

    /// Whether every page was read.
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

    /// How many entries of all pages were invalid.
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

    /// How many pages are read, and whether paging is complete.
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
        // Without a total, a token on the last page costs one call for an empty page.
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
