//! The floors: which room may name which.
//!
//! Guards: the table of floors, which the compiler does not know. It reads the text of every source file, drops
//! comments and literals, and follows every path that starts at the root, in groups and through `super` too.
//! Deliberately not here: paths that a macro of another crate would make; nobody writes those.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::tokens::Token::{self, Mark, Word};
use super::tokens::{is_path_separator, is_word, tokens};
use super::{read, relative, root, rust_files};

/// The table of floors: a room names only rooms of lower floors, and itself.
const FLOORS: &[(u8, &[&str])] = &[
    (0, &["time", "ids", "secret", "invisible", "testing"]),
    (1, &["confidential", "presence", "policy", "signature", "message"]),
    (2, &["clock", "config", "net"]),
    (3, &["store", "dingtalk", "stream", "webhook", "telemetry", "simulator", "server"]),
    (4, &["tasks", "web", "control"]),
    (5, &["app"]),
    (6, &["cli"]),
];

#[test]
fn a_room_names_only_lower_floors() {
    let problems: Vec<String> =
        rust_files(&["src"]).iter().flat_map(|path| layer_problems(&relative(path), &read(path))).collect();
    assert!(problems.is_empty(), "\n{}\n", problems.join("\n"));
}

#[test]
fn the_table_of_floors_and_the_map_of_the_crate_name_the_same_rooms() {
    let declared: BTreeSet<String> = tokens(&read(&root().join("src/lib.rs")))
        .windows(2)
        .filter_map(|pair| match pair {
            [(Word(keyword), _), (Word(name), _)] if keyword == "mod" => Some(name.clone()),
            _ => None,
        })
        .collect();
    let table: BTreeSet<String> =
        FLOORS.iter().flat_map(|(_, rooms)| rooms.iter().map(ToString::to_string)).collect();
    assert_eq!(declared, table);
}

#[test]
fn the_layer_check_finds_every_way_up() {
    for (path, text) in [
        ("src/time.rs", "use crate::store::Store;"),
        ("src/time.rs", "use crate::{ids::UnionId};"),
        ("src/presence/diff.rs", "use crate::{time::{self, Timestamp}, clock};"),
        ("src/presence/diff.rs", "fn now() -> i64 { crate::clock::now() }"),
        ("src/store/mod.rs", "use crate::dingtalk::client::Client;"),
        ("src/webhook/send.rs", "use crate :: telemetry;"),
        ("src/tasks/poller.rs", "use crate::web;"),
        ("src/tasks/poller.rs", "use super::super::app;"),
        ("src/clock.rs", "use super::config;"),
        ("src/clock.rs", "mod tests { use super::super::app; }"),
        ("src/config/mod.rs", "macro_rules! m { () => { $crate::store::open() } }"),
        ("src/store/mod.rs", "use crate::*;"),
        ("src/store/mod.rs", "use crate as house;"),
        ("src/store/mod.rs", "use crate::Nowhere;"),
        ("src/main.rs", "fn main() { presenced::app::run() }"),
        ("src/attic.rs", "use crate::time::Timestamp;"),
    ] {
        assert!(!layer_problems(path, text).is_empty(), "went unnoticed in {path}: {text}");
    }
}

#[test]
fn the_layer_check_lets_good_code_pass() {
    for (path, text) in [
        (
            "src/presence/diff.rs",
            "use crate::time::Timestamp; use super::belief; use crate::presence::visit;",
        ),
        ("src/presence/diff.rs", "//! See `crate::store`.\n/* crate::cli /* nested */ crate::app */"),
        ("src/ids.rs", "const A: &str = \"crate::store\"; const B: &str = r#\"use \"crate::cli\"\"#;"),
        (
            "src/ids.rs",
            "fn f<'a>(c: char) -> &'a str { if c == '\"' || c == '\\'' { \"crate::app\" } else { \"\" } }",
        ),
        ("src/clock.rs", "mod tests { use super::*; mod deeper { use super::super::Clock; } }"),
        ("src/clock.rs", "pub(crate) fn f() {} pub(in crate::clock) fn g() {}"),
        ("src/app.rs", "use crate::{store, tasks::poller, web::{self, api}, config::Config};"),
        ("src/cli/run.rs", "use super::{Exit, Globals}; use crate::app;"),
        ("src/main.rs", "fn main() { presenced::cli::main() }"),
    ] {
        assert_eq!(layer_problems(path, text), Vec::<String>::new(), "in {path}: {text}");
    }
}

proptest! {
    #![proptest_config(crate::testing::cases())]

    #[test]
    fn no_text_stops_the_layer_check(text in "([a-z:{}\"'/*#\\\\ \n]|crate::|super::|r#\"|//|/\\*)*") {
        layer_problems("src/presence/diff.rs", &text);
    }

    #[test]
    fn what_is_quoted_is_never_taken_for_a_path(text in "([ -~\n]|crate::store|\"|/\\*|//)*") {
        let source = format!("const A: &str = {text:?}; use crate::time; const B: char = '\"';");
        prop_assert_eq!(layer_problems("src/presence/diff.rs", &source), Vec::<String>::new());
    }

    #[test]
    fn what_follows_a_literal_is_not_overlooked(text in "([ -~\n]|\"|/\\*|//)*") {
        let source = format!("const A: &str = {text:?}; use crate::store;");
        prop_assert_eq!(layer_problems("src/presence/diff.rs", &source).len(), 1);
    }
}

/// What a source text does against the floors, a line each. `path` is relative to the root, with `/`.
fn layer_problems(path: &str, text: &str) -> Vec<String> {
    let inside = path.trim_start_matches("src/").trim_end_matches(".rs").trim_end_matches("/mod");
    let module: Vec<&str> = inside.split('/').collect();
    let room = match module[0] {
        "lib" => return Vec::new(),
        room => room,
    };
    let floors = floors();
    let mine = match (room, floors.get(room)) {
        ("main", _) => u8::MAX,
        (_, Some(floor)) => *floor,
        (_, None) => return vec![format!("{path}: `{room}` has no floor")],
    };
    let mut problems = Vec::new();
    for (named, line) in rooms_named(&tokens(text), module.len()) {
        let why = match floors.get(named.as_str()) {
            _ if room == "main" && named != "cli" => "the binary is a shim to `cli`",
            _ if named == room => continue,
            Some(floor) if *floor < mine => continue,
            Some(floor) if *floor == mine => "that is on the same floor",
            Some(_) => "that is on a higher floor",
            None => "that is not a room; name the room itself",
        };
        problems.push(format!("{path}:{line}: `{room}` names `{named}`: {why}"));
    }
    problems
}

fn floors() -> BTreeMap<&'static str, u8> {
    FLOORS.iter().flat_map(|(floor, rooms)| rooms.iter().map(move |room| (*room, *floor))).collect()
}

/// Every room a text names by a path from the root: after `crate::` (or `presenced::`), in groups too, and after as
/// many `super::` as lead out of a module that lies `depth` below the root. With its line.
fn rooms_named(tokens: &[(Token, usize)], depth: usize) -> Vec<(String, usize)> {
    let mut named = Vec::new();
    // For each open brace: whether it belongs to an inline module, which puts one more `super` between it and the root.
    let mut braces: Vec<bool> = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        match &tokens[at].0 {
            Mark('{') => {
                let module = at >= 2 && is_word(tokens, at - 2, "mod") && matches!(tokens[at - 1].0, Word(_));
                braces.push(module);
            }
            Mark('}') => {
                braces.pop();
            }
            Word(word) if word == "crate" || word == "presenced" => {
                if is_word(tokens, at + 1, "as") {
                    named.push((format!("{word} as"), tokens[at].1));
                } else if is_path_separator(tokens, at + 1) {
                    first_names(tokens, at + 3, &mut named);
                }
            }
            Word(word) if word == "super" => {
                let nested = braces.iter().filter(|module| **module).count();
                let mut supers = 1;
                while is_path_separator(tokens, at + 1) && is_word(tokens, at + 3, "super") {
                    supers += 1;
                    at += 3;
                }
                if supers >= depth + nested && is_path_separator(tokens, at + 1) {
                    first_names(tokens, at + 3, &mut named);
                }
            }
            _ => {}
        }
        at += 1;
    }
    named
}

/// The names that stand first in the path, or in each path of the group, that begins at `at`.
fn first_names(tokens: &[(Token, usize)], at: usize, named: &mut Vec<(String, usize)>) {
    match tokens.get(at) {
        Some((Word(name), line)) => named.push((name.clone(), *line)),
        Some((Mark('*'), line)) => named.push(("*".to_owned(), *line)),
        Some((Mark('{'), _)) => {
            let (mut deep, mut first) = (0_usize, true);
            for (token, line) in &tokens[at..] {
                match token {
                    Mark('{') => deep += 1,
                    Mark('}') if deep == 1 => return,
                    Mark('}') => deep -= 1,
                    Mark(',') if deep == 1 => first = true,
                    Word(name) if deep == 1 && first => {
                        named.push((name.clone(), *line));
                        first = false;
                    }
                    Mark('*') if deep == 1 && first => named.push(("*".to_owned(), *line)),
                    _ => {}
                }
            }
        }
        _ => {}
    }
}
