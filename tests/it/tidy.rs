//! Keeps the house in order: who may name whom (`floors`), what every file looks like, what is written nowhere.
//!
//! Guards: the floors of `ARCHITECTURE.md`, which the compiler does not know, and the manners that no lint covers.
//! Each check is a pure function over text, and each is shown a bad text too, so that none can pass by being blind.
//! Deliberately not here: what rustfmt, clippy and rustc check already.

use std::fs;
use std::path::{Path, PathBuf};

mod circles;
mod floors;
mod spread;
mod tokens;
mod words;

/// The longest a file may be without the tests at its end: one thought fits in that.
const MAX_LINES: usize = 400;
/// The longest a file of nothing but tests may be: a table of cases is one thought.
const MAX_TEST_LINES: usize = 700;

#[test]
fn every_file_keeps_the_manners() {
    let mut problems = Vec::new();
    for path in rust_files(&["src", "tests", "benches"]) {
        problems.extend(manner_problems(&relative(&path), &read(&path)));
    }
    assert!(problems.is_empty(), "\n{}\n", problems.join("\n"));
}

#[test]
fn the_manners_check_finds_what_it_looks_for() {
    let good = "//! What it is.\nfn f() {}\n";
    assert_eq!(manner_problems("src/a.rs", good), Vec::<String>::new());
    let long = format!("//! Long.\n{}", "\n".repeat(MAX_LINES));
    for bad in [
        "fn f() {}\n".to_owned(),
        long,
        format!("{good}#[{}(dead_code)]\n", "allow"),
        format!("{good}#![{}(dead_code)]\n", "allow"),
        format!("{good}fn g() {{ {}!() }}\n", "todo"),
        format!("{good}fn g() {{ {}!() }}\n", "unimplemented"),
        format!("{good}// {}: later\n", ["TO", "DO"].concat()),
        format!("{good}// {}: later\n", ["FIX", "ME"].concat()),
    ] {
        assert_eq!(manner_problems("src/a.rs", &bad).len(), 1, "{bad}");
    }
}

#[test]
fn no_room_is_empty() {
    let empty: Vec<String> = rust_files(&["src"])
        .iter()
        .filter(|path| read(path).lines().next().is_some_and(|head| head.ends_with("being built.")))
        .map(|path| relative(path))
        .collect();
    assert!(empty.is_empty(), "laid out and never built: {empty:?}");
}

#[test]
fn every_migration_is_part_of_the_binary() {
    let sources: String = rust_files(&["src/store"]).iter().map(|path| read(path)).collect();
    let mut missing = Vec::new();
    for path in walk(&root().join("migrations")) {
        let included = format!("migrations/{}\"", file_name(&path));
        if !sources.contains(&included) {
            missing.push(relative(&path));
        }
    }
    assert!(missing.is_empty(), "not included by src/store: {missing:?}");
}

#[test]
fn the_project_stands_alone() {
    // In pieces, so that this file does not hold them.
    let words = [["/wo", "rk/"].concat(), ["../sha", "red"].concat(), [".libr", "ary"].concat()];
    let mut found = Vec::new();
    for path in walk(&root()) {
        let bytes = fs::read(&path).expect("a file that was just listed can be read");
        let text = String::from_utf8_lossy(&bytes);
        for (number, line) in text.lines().enumerate() {
            for word in words.iter().filter(|word| line.contains(word.as_str())) {
                found.push(format!("{}:{}: {word}", relative(&path), number + 1));
            }
        }
    }
    assert!(found.is_empty(), "names of places that only one machine has:\n{}\n", found.join("\n"));
}

/// Whoever writes a config for a daemon in a test: one host that is not named is the real one.
#[test]
fn who_names_one_of_dingtalks_hosts_names_both() {
    let mut problems = Vec::new();
    for path in ["benches", "src/cli", "tests"].iter().flat_map(|folder| walk(&root().join(folder))) {
        let name = relative(&path);
        // What these show or try is only read.
        if path.extension().is_some_and(|end| end == "snap") || name == "tests/it/config_check.rs" {
            continue;
        }
        let text =
            String::from_utf8_lossy(&fs::read(&path).expect("a file that was just listed")).into_owned();
        problems.extend(lonely_host(&name, &text));
    }
    assert!(problems.is_empty(), "\n{}\n", problems.join("\n"));
    let (api, legacy) = (["api_", "base = \"BASE\"\n"].concat(), ["legacy_", "base = \"BASE\"\n"].concat());
    assert_eq!(lonely_host("a", &format!("{api}{legacy}")), None);
    assert!(lonely_host("a", &api).is_some() && lonely_host("a", &legacy).is_some());
}

fn lonely_host(path: &str, text: &str) -> Option<String> {
    // Not the fields of that name.
    let named = |key: &str| text.matches(key).count() - text.matches(&format!(".{key}")).count();
    let (api, legacy) = (named("api_base = "), named("legacy_base = "));
    (api != legacy).then(|| format!("{path}: `api_base` is given {api} times, `legacy_base` {legacy} times"))
}

/// Lines without the tests at the end.
fn length(text: &str) -> usize {
    let code = text.split_once("\n#[cfg(test)]\nmod tests {").map_or(text, |(code, _)| code);
    code.lines().count()
}

/// The longest this file may be.
fn longest(path: &str) -> usize {
    let tests = path.starts_with("tests/") || path.ends_with("/tests.rs") || path.contains("/tests/");
    if tests { MAX_TEST_LINES } else { MAX_LINES }
}

/// What a source file does against the manners, a line each.
fn manner_problems(path: &str, text: &str) -> Vec<String> {
    let mut problems = Vec::new();
    if !text.starts_with("//!") {
        problems
            .push(format!("{path}: does not open with `//!`: what it is, what it guards, what is not here"));
    }
    let (lines, most) = (length(text), longest(path));
    if lines > most {
        problems.push(format!("{path}: {lines} lines; give its second thought a room (at most {most})"));
    }
    // In pieces, so that this file keeps the manners too.
    let banned = [
        (["#[al", "low"].concat(), "write `#[expect(..., reason = \"...\")]`"),
        (["#![al", "low"].concat(), "write `#![expect(..., reason = \"...\")]`"),
        (["to", "do!"].concat(), "finish it"),
        (["unimple", "mented!"].concat(), "finish it"),
        (["TO", "DO"].concat(), "finish it, or open an issue"),
        (["FIX", "ME"].concat(), "finish it, or open an issue"),
    ];
    for (number, line) in text.lines().enumerate() {
        for (word, instead) in &banned {
            if line.contains(word.as_str()) {
                problems.push(format!("{path}:{}: `{word}`: {instead}", number + 1));
            }
        }
    }
    problems
}

/// The root of the project.
pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every file below `folder` that belongs to the project, sorted; what `.gitignore` names is passed over.
pub(crate) fn walk(folder: &Path) -> Vec<PathBuf> {
    const PASSED_OVER: &[&str] = &["target", ".git", ".venv", "node_modules", "__pycache__"];
    let entries = fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut paths: Vec<PathBuf> =
        entries.map(|entry| entry.expect("a folder can be read to its end").path()).collect();
    paths.sort();
    let mut found = Vec::new();
    for path in paths {
        let name = file_name(&path);
        if PASSED_OVER.contains(&name.as_str()) || name.contains(".db") || name.ends_with(".pending-snap") {
            continue;
        }
        if path.is_dir() { found.extend(walk(&path)) } else { found.push(path) }
    }
    found
}

/// The path from the root, with `/`.
pub(crate) fn relative(path: &Path) -> String {
    let below = path.strip_prefix(root()).expect("every path here is below the root");
    below.iter().map(|part| part.to_string_lossy()).collect::<Vec<_>>().join("/")
}

/// The text of a file.
pub(crate) fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn rust_files(folders: &[&str]) -> Vec<PathBuf> {
    let all = folders.iter().flat_map(|folder| walk(&root().join(folder)));
    all.filter(|path| path.extension().is_some_and(|end| end == "rs")).collect()
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
