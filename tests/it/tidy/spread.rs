//! How far one type is spread: the methods of a type stand in few files.
//!
//! Guards: a type that is implemented in many files has become a room without walls. Types that were spread when this
//! check was written are listed with their number of files; the number only goes down. Not here: how long a file is.

use std::collections::{BTreeMap, BTreeSet};

use super::tokens::Token::{Mark, Word};
use super::tokens::tokens;
use super::{read, relative, rust_files};

/// A type may have its own methods in so many files.
const MOST_FILES: usize = 3;

/// The types that still have more.
const KNOWN: &[(&str, usize)] = &[];

#[test]
fn the_methods_of_a_type_stand_in_few_files() {
    let mut files: BTreeMap<(String, String), BTreeSet<String>> = BTreeMap::new();
    for path in rust_files(&["src"]) {
        let name = relative(&path);
        let room = name.split('/').nth(1).unwrap_or_default().to_owned();
        for implemented in implemented(&read(&path)) {
            files.entry((room.clone(), implemented)).or_default().insert(name.clone());
        }
    }
    let known = |of: &str| KNOWN.iter().find(|(name, _)| *name == of).map_or(MOST_FILES, |(_, files)| *files);
    let spread: Vec<_> = files
        .iter()
        .map(|((room, name), files)| (format!("{room}::{name}"), files.len()))
        .filter(|(name, files)| *files > MOST_FILES || known(name) > MOST_FILES)
        .collect();
    let grown: Vec<_> = spread.iter().filter(|(name, files)| *files > known(name)).collect();
    assert!(grown.is_empty(), "spread over too many files: {grown:?}");
    let shrunk: Vec<_> = spread.iter().filter(|(name, files)| *files < known(name)).collect();
    assert!(shrunk.is_empty(), "in fewer files than is known; lower the number: {shrunk:?}");
}

#[test]
fn only_a_types_own_methods_count() {
    assert_eq!(implemented("impl A { fn f() {} }"), ["A".to_owned()].into());
    assert_eq!(implemented("impl<'a, K: Ord> super::b::A<K> where K: Copy {}"), ["A".to_owned()].into());
    assert_eq!(implemented("impl From<A> for B {}"), BTreeSet::new());
    assert_eq!(implemented("fn f() -> impl Iterator<Item = A> { g() }"), BTreeSet::new());
    assert_eq!(implemented("#[cfg(test)]\nmod tests {\n impl A {}\n}").len(), 1);
    assert_eq!(implemented("fn g() {}\n#[cfg(test)]\nmod tests {\n impl A {}\n}"), BTreeSet::new());
}

/// The types that a text gives methods of their own to.
fn implemented(text: &str) -> BTreeSet<String> {
    let text = text.split_once("\n#[cfg(test)]\nmod tests {").map_or(text, |(code, _)| code);
    let tokens: Vec<_> = tokens(text).into_iter().map(|(token, _)| token).collect();
    let mut found = BTreeSet::new();
    for (at, token) in tokens.iter().enumerate() {
        // At the beginning of an item, not in a type.
        let begins = at == 0 || matches!(tokens[at - 1], Mark('}' | ';' | ']' | '{'));
        if *token != Word("impl".to_owned()) || !begins {
            continue;
        }
        let head: Vec<_> = tokens[at + 1..].iter().take_while(|token| **token != Mark('{')).collect();
        let (mut deep, mut name, mut of_a_trait) = (0_usize, None, false);
        for token in head {
            match token {
                Mark('<') => deep += 1,
                Mark('>') => deep = deep.saturating_sub(1),
                Word(word) if deep == 0 && word == "where" => break,
                Word(word) if deep == 0 && word == "for" => of_a_trait = true,
                Word(word) if deep == 0 => name = Some(word.clone()),
                _ => {}
            }
        }
        if !of_a_trait {
            found.extend(name);
        }
    }
    found
}
