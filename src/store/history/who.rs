//! Finds the user that an operator names (`WHO` in the CLI).
//!
//! Guards: an exact match has priority over a partial match, and a partial match counts only if it is unique; no user
//! is guessed. Deliberately not here: where the users come from (the database, or the config without a daemon).

use std::fmt;

use serde::{Deserialize, Serialize};

/// At most this many candidates are named.
const NAMED: usize = 8;
/// The least similarity of a suggestion (Jaro-Winkler, 0 to 1).
const LIKE_ENOUGH: f64 = 0.8;

/// A user who is or was watched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    /// Id of the row.
    pub person_id: i64,
    pub org: String,
    pub union_id: String,
    pub name: String,
    /// Whether the user is watched.
    pub watched: bool,
}

impl fmt::Display for Person {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}/{})", self.name, self.org, self.union_id)
    }
}

/// Why no user was found.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WhoError {
    /// No user matches.
    #[error("no user is called `{who}`{}", did_you_mean(.like))]
    NotFound {
        /// As the operator wrote it.
        who: String,
        /// Similar users, most similar first.
        like: Vec<Person>,
    },
    /// Several users match.
    #[error("`{who}` fits {}: write more of it, or org/unionId", several(.fits))]
    Several {
        /// As the operator wrote it.
        who: String,
        /// All matches.
        fits: Vec<Person>,
    },
    /// One user matches partially, but the command cannot be undone.
    #[error(
        "`{who}` is only a part of {fits}: write the whole name or unionId, because this cannot be undone"
    )]
    Partial {
        /// As the operator wrote it.
        who: String,
        fits: Person,
    },
}

/// The user that `who` denotes: by `org/unionId`, unionId or name; else by name in any case; else by the only name (or
/// unionId) with this beginning; else by the only name that contains it. A watched user has priority over one who is no
/// longer watched.
pub fn find<'a>(people: &'a [Person], who: &str) -> Result<&'a Person, WhoError> {
    // A table cuts an id at its beginning; its end can be pasted back.
    let (who, is_end) = match who.trim().strip_prefix('\u{2026}') {
        Some(end) => (end, true),
        None => (who.trim(), false),
    };
    let wanted = who.to_lowercase();
    let lower = |text: &str| text.to_lowercase();
    let tests: [&dyn Fn(&Person) -> bool; 7] = [
        &|p| who.split_once('/').is_some_and(|(org, id)| p.org == org && p.union_id == id),
        &|p| p.union_id == who,
        &|p| p.name == who,
        &|p| lower(&p.name) == wanted,
        &|p| lower(&p.name).starts_with(&wanted) || p.union_id.starts_with(who),
        &|p| lower(&p.name).contains(&wanted),
        &|p| is_end && p.union_id.ends_with(who),
    ];
    let tests = if wanted.is_empty() { &tests[..0] } else { &tests[..] };
    for test in tests {
        let fits: Vec<&Person> = people.iter().filter(|p| test(p)).collect();
        let watched: Vec<&Person> = fits.iter().filter(|p| p.watched).copied().collect();
        match (watched.as_slice(), fits.as_slice()) {
            ([one], _) | ([], [one]) => return Ok(one),
            ([], []) => {}
            _ => {
                let fits = fits.into_iter().cloned().collect();
                return Err(WhoError::Several { who: who.to_owned(), fits });
            }
        }
    }
    Err(WhoError::NotFound { who: who.to_owned(), like: alike(people, &wanted) })
}

/// The same for commands that cannot be undone: a part of a name is not enough.
pub fn find_whole<'a>(people: &'a [Person], who: &str) -> Result<&'a Person, WhoError> {
    let found = find(people, who)?;
    let who = who.trim();
    let whole = [format!("{}/{}", found.org, found.union_id), found.union_id.clone(), found.name.clone()];
    if whole.iter().any(|name| name.to_lowercase() == who.to_lowercase()) {
        return Ok(found);
    }
    Err(WhoError::Partial { who: who.to_owned(), fits: found.clone() })
}

fn alike(people: &[Person], wanted: &str) -> Vec<Person> {
    let likeness = |p: &Person| {
        let by_name = strsim::jaro_winkler(&p.name.to_lowercase(), wanted);
        by_name.max(strsim::jaro_winkler(&p.union_id.to_lowercase(), wanted))
    };
    let mut near: Vec<(f64, &Person)> =
        people.iter().map(|p| (likeness(p), p)).filter(|(likeness, _)| *likeness >= LIKE_ENOUGH).collect();
    near.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    // The same name is suggested once.
    near.dedup_by(|(_, a), (_, b)| a.name == b.name);
    near.into_iter().take(3).map(|(_, p)| p.clone()).collect()
}

fn did_you_mean(like: &[Person]) -> String {
    if like.is_empty() {
        return String::new();
    }
    let names: Vec<String> = like.iter().map(|p| format!("`{}`", p.name)).collect();
    format!("; did you mean {}?", names.join(" or "))
}

fn several(fits: &[Person]) -> String {
    let mut names: Vec<String> = fits.iter().take(NAMED).map(ToString::to_string).collect();
    if fits.len() > NAMED {
        names.push(format!("{} more", fits.len() - NAMED));
    }
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn people() -> Vec<Person> {
        let person = |person_id, org: &str, union_id: &str, name: &str, watched| Person {
            person_id,
            org: org.into(),
            union_id: union_id.into(),
            name: name.into(),
            watched,
        };
        vec![
            person(1, "acme", "uLiWei", "Li Wei", true),
            person(2, "acme", "uLiWeimin", "Li Weimin", true),
            person(3, "acme", "uWang", "王小明", true),
            person(4, "beta", "uWang", "Wang Xiaoming", true),
            person(5, "acme", "uOld", "Anna Schmidt", false),
            person(6, "acme", "uNew", "Anna Schmidt", true),
        ]
    }

    fn found(who: &str) -> i64 {
        find(&people(), who).map_or(0, |p| p.person_id)
    }

    #[test]
    fn exact_matches_have_priority() {
        assert_eq!(found("Li Wei"), 1, "though it begins another name too");
        assert_eq!(found("li wei"), 1);
        assert_eq!(found("uLiWei"), 1);
        assert_eq!(found("beta/uWang"), 4);
    }

    #[test]
    fn enough_of_a_name_is_enough() {
        assert_eq!(found("wang"), 4);
        assert_eq!(found("weimin"), 2);
        assert_eq!(found("小明"), 3);
        assert_eq!(found(" uLiWeim "), 2);
        assert_eq!(found("…Weimin"), 2, "the end of an id, as a table shows it");
        assert_eq!(found("…iWeim"), 0);
    }

    #[test]
    fn what_cannot_be_undone_needs_a_whole_name() {
        let people = people();
        for whole in ["Li Wei", "li wei", " uLiWei ", "acme/uLiWei"] {
            assert_eq!(find_whole(&people, whole).unwrap().person_id, 1);
        }
        let error = find_whole(&people, "小明").unwrap_err().to_string();
        assert_eq!(
            error,
            "`小明` is only a part of 王小明 (acme/uWang): write the whole name or unionId, because this cannot be undone"
        );
        assert!(matches!(find_whole(&people, "li"), Err(WhoError::Several { .. })));
        assert!(matches!(find_whole(&people, "nothing like it"), Err(WhoError::NotFound { .. })));
    }

    #[test]
    fn watched_users_have_priority() {
        assert_eq!(found("Anna Schmidt"), 6);
        assert_eq!(found("uOld"), 5);
    }

    #[test]
    fn several_are_listed_and_not_guessed() {
        let error = find(&people(), "li").unwrap_err().to_string();
        assert_eq!(
            error,
            "`li` fits Li Wei (acme/uLiWei), Li Weimin (acme/uLiWeimin): write more of it, or org/unionId"
        );
        assert!(matches!(find(&people(), "uWang"), Err(WhoError::Several { fits, .. }) if fits.len() == 2));
    }

    #[test]
    fn similar_users_are_suggested() {
        let error = find(&people(), "Anna Schmitt").unwrap_err().to_string();
        assert_eq!(error, "no user is called `Anna Schmitt`; did you mean `Anna Schmidt`?");
        assert_eq!(find(&people(), "xyzzy").unwrap_err().to_string(), "no user is called `xyzzy`");
        assert!(matches!(find(&people(), " "), Err(WhoError::NotFound { .. })));
    }
}
