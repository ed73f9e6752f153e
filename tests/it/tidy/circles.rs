//! Circles between files: a file uses only files that do not use it back, directly or through others.
//!
//! Guards: what the floors guard between rooms, inside them. Rooms that had circles when this check was written are
//! listed with the number of files in their circles; the number only goes down. Not here: the floors (`floors`).

use std::collections::{BTreeMap, BTreeSet};

use super::tokens::Token::{self, Mark, Word};
use super::tokens::{is_path_separator, is_word, tokens};
use super::{read, relative, rust_files};

/// The files of each room that are still part of a circle.
const KNOWN: &[(&str, usize)] = &[];

type Module = Vec<String>;

#[test]
fn no_file_uses_a_file_that_uses_it() {
    let files: BTreeMap<Module, String> =
        rust_files(&["src"]).iter().map(|path| (module(&relative(path)), read(path))).collect();
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for file in in_circles(&files) {
        found.entry(file[0].clone()).or_default().push(file.join("/"));
    }
    let known = |room: &str| KNOWN.iter().find(|(name, _)| *name == room).map_or(0, |(_, files)| *files);
    let grown: Vec<_> = found.iter().filter(|(room, files)| files.len() > known(room)).collect();
    assert!(grown.is_empty(), "files that use each other: {grown:#?}");
    let shrunk: Vec<_> = KNOWN
        .iter()
        .map(|(room, files)| (room, *files, found.get(*room).map_or(0, Vec::len)))
        .filter(|(_, known, now)| now < known)
        .collect();
    assert!(shrunk.is_empty(), "fewer than is known (room, known, now); lower the number: {shrunk:?}");
}

#[test]
fn the_check_finds_circles_and_lets_other_code_pass() {
    let found = |files: &[(&str, &str)]| {
        let files = files.iter().map(|(path, text)| (module(path), (*text).to_owned())).collect();
        in_circles(&files).iter().map(|file| file.join("/")).collect::<Vec<_>>()
    };
    let none: [&str; 0] = [];
    let up = ("src/a/b.rs", "use super::Shared;");
    assert_eq!(found(&[("src/a/mod.rs", "mod b; use b::f;"), up]), ["a", "a/b"]);
    assert_eq!(found(&[("src/a/mod.rs", "mod b; fn g() { b::f() }"), up]), ["a", "a/b"]);
    assert_eq!(found(&[("src/a/mod.rs", "pub mod b;"), up]), none, "a declaration is no use");
    let side = ("src/a/c.rs", "use crate::a::b::f; use super::b::g;");
    assert_eq!(found(&[("src/a/mod.rs", "mod b; mod c;"), ("src/a/b.rs", ""), side]), none);
    let back = ("src/a/b.rs", "use crate::a::{c, d::E};");
    assert_eq!(found(&[("src/a/mod.rs", "mod b; mod c;"), back, side]), ["a/b", "a/c"]);
    let tests = ("src/a/b.rs", "fn f() {}\n#[cfg(test)]\nmod tests {\n    use crate::a::c;\n}\n");
    assert_eq!(found(&[("src/a/mod.rs", "mod b; mod c;"), tests, side]), none, "tests may use anything");
    let again = ("src/a/mod.rs", "mod b; mod c; pub use b::F;");
    let through = ("src/a/c.rs", "use super::F;");
    assert_eq!(found(&[again, ("src/a/b.rs", "pub struct F;"), through]), none, "`F` is of `b`");
}

/// `src/a/b.rs` and `src/a/b/mod.rs` are both `a/b`.
fn module(path: &str) -> Module {
    let inside = path.trim_start_matches("src/").trim_end_matches(".rs").trim_end_matches("/mod");
    inside.split('/').filter(|part| *part != "lib").map(str::to_owned).collect()
}

/// The files that use themselves through others.
fn in_circles(files: &BTreeMap<Module, String>) -> Vec<Module> {
    let uses = uses(files);
    files.keys().filter(|file| !file.is_empty() && reaches(&uses, file)).cloned().collect()
}

fn reaches(uses: &BTreeMap<Module, BTreeSet<Module>>, file: &Module) -> bool {
    let (mut seen, mut waiting) = (BTreeSet::new(), vec![file]);
    while let Some(next) = waiting.pop() {
        for used in uses.get(next).into_iter().flatten() {
            if used == file {
                return true;
            }
            if seen.insert(used) {
                waiting.push(used);
            }
        }
    }
    false
}

/// Which files each file uses; what a file only passes on (`pub use`) counts as used from where it is defined.
fn uses(files: &BTreeMap<Module, String>) -> BTreeMap<Module, BTreeSet<Module>> {
    let code: BTreeMap<&Module, Vec<Token>> =
        files.iter().map(|(module, text)| (module, code(text))).collect();
    let mut passed_on: BTreeMap<(Module, String), Module> = BTreeMap::new();
    let mut all = BTreeMap::new();
    for (module, tokens) in &code {
        for Path { parts, passes_on } in paths(tokens) {
            let Some((target, Some(item))) = resolve(files, module, &parts) else { continue };
            if passes_on && target != **module {
                passed_on.insert(((*module).clone(), item), target);
            }
        }
    }
    for (module, tokens) in &code {
        let mut used = BTreeSet::new();
        for Path { parts, passes_on } in paths(tokens) {
            let Some((mut target, item)) = resolve(files, module, &parts) else { continue };
            while let Some(origin) = item.clone().and_then(|item| passed_on.get(&(target.clone(), item))) {
                target.clone_from(origin);
            }
            if target != **module && !target.is_empty() && !passes_on {
                used.insert(target);
            }
        }
        all.insert((*module).clone(), used);
    }
    all
}

/// The text without its tests.
fn code(text: &str) -> Vec<Token> {
    let text = text.split_once("\n#[cfg(test)]\nmod tests {").map_or(text, |(code, _)| code);
    tokens(text).into_iter().map(|(token, _)| token).collect()
}

/// The module a path leads to, and what is named in it, if anything. `None`: it leads out of the project.
fn resolve(
    files: &BTreeMap<Module, String>,
    from: &Module,
    parts: &[String],
) -> Option<(Module, Option<String>)> {
    let mut parts = parts.iter().peekable();
    let mut at = match parts.peek()?.as_str() {
        "crate" => Module::new(),
        "self" | "super" => from.clone(),
        child => {
            let below: Module = from.iter().cloned().chain([child.to_owned()]).collect();
            files.contains_key(&below).then(|| from.clone())?
        }
    };
    if parts.peek().is_some_and(|part| matches!(part.as_str(), "crate" | "self")) {
        parts.next();
    }
    while parts.next_if(|part| *part == "super").is_some() {
        at.pop();
    }
    while let Some(part) = parts.peek() {
        at.push((*part).clone());
        if !files.contains_key(&at) {
            at.pop();
            break;
        }
        parts.next();
    }
    Some((at, parts.next().cloned()))
}

struct Path {
    parts: Vec<String>,
    /// It stands in a `pub use`.
    passes_on: bool,
}

/// Every path of at least two names; a group counts as one path for each of its ends.
fn paths(tokens: &[Token]) -> Vec<Path> {
    let lines: Vec<(Token, usize)> = tokens.iter().map(|token| (token.clone(), 0)).collect();
    let (mut found, mut at, mut public) = (Vec::new(), 0, false);
    while at < tokens.len() {
        match &tokens[at] {
            Word(word) if word == "use" => {
                public = at > 0 && (is_word(&lines, at - 1, "pub") || tokens[at - 1] == Mark(')'));
                let mut ends = Vec::new();
                at = group(&lines, at + 1, &mut Vec::new(), &mut ends);
                found.extend(ends.into_iter().map(|parts| Path { parts, passes_on: public }));
                public = false;
            }
            Word(_) if is_path_separator(&lines, at + 1) => {
                let mut ends = Vec::new();
                at = group(&lines, at, &mut Vec::new(), &mut ends);
                found.extend(ends.into_iter().map(|parts| Path { parts, passes_on: public }));
            }
            _ => at += 1,
        }
    }
    found
}

/// Reads a path, or a group of paths, that begins at `at`; gives where it ends.
fn group(
    tokens: &[(Token, usize)],
    mut at: usize,
    before: &mut Vec<String>,
    ends: &mut Vec<Vec<String>>,
) -> usize {
    let depth = before.len();
    loop {
        match tokens.get(at).map(|(token, _)| token) {
            Some(Word(name)) => {
                before.push(name.clone());
                at += 1;
                if is_path_separator(tokens, at) {
                    at += 2;
                    continue;
                }
                ends.push(before.clone());
                if is_word(tokens, at, "as") {
                    at += 2;
                }
            }
            Some(Mark('{')) => {
                at += 1;
                while !matches!(tokens.get(at), Some((Mark('}'), _)) | None) {
                    at = group(tokens, at, before, ends);
                    if matches!(tokens.get(at), Some((Mark(','), _))) {
                        at += 1;
                    }
                }
                at += 1;
            }
            Some(_) => {
                // `*`, or what no `use` holds: the module itself is named.
                if before.len() > depth {
                    ends.push(before.clone());
                }
                at += 1;
            }
            None => {}
        }
        before.truncate(depth);
        return at;
    }
}
