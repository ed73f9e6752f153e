//! Plain words: how often comments, messages and documents use words that a reader has to stop at.
//!
//! Guards: the prose stays as plain as it is. Each word has its alternative below. Not here: what the terms of the field
//! are (`docs/glossary.md`).

use std::path::Path;

use super::{read, relative, root, rust_files, walk};

/// Words to stop at, and what to write instead.
const WORDS: &[(&str, &str)] = &[
    ("anew", "again, or \"from scratch\""),
    ("everybody", "all users, all receivers"),
    ("heed", "apply, accept"),
    ("nobody", "no user, no process"),
    ("seated", "inside"),
    ("sits", "is"),
    ("somebody", "a user, an operator, a caller"),
    ("stood", "was"),
    ("told", "emitted, reported, logged"),
    ("whoever", "the caller, the operator"),
    ("whom", "which user"),
];

/// In 10,000 words.
const MOST: f64 = 2.0;

#[test]
fn comments_messages_and_documents_use_plain_words() {
    let mut texts: Vec<(String, String)> =
        rust_files(&["src"]).iter().map(|path| (relative(path), prose(&read(path)))).collect();
    let is_document = |path: &Path| path.extension().is_some_and(|end| end == "md");
    texts.extend(
        walk(&root().join("docs"))
            .iter()
            .filter(|path| is_document(path))
            .map(|path| (relative(path), read(path))),
    );
    for name in ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"] {
        texts.push((name.to_owned(), read(&root().join(name))));
    }
    let mut counted: Vec<(usize, &str)> = texts
        .iter()
        .map(|(name, text)| (stops(text), name.as_str()))
        .filter(|(count, _)| *count > 0)
        .collect();
    counted.sort_unstable_by(|a, b| b.cmp(a));
    let found: usize = counted.iter().map(|(count, _)| count).sum();
    let words: usize = texts.iter().map(|(_, text)| words(text).count()).sum();
    #[expect(clippy::cast_precision_loss, reason = "a million words are exact")]
    let rate = found as f64 / words as f64 * 10_000.0;
    counted.truncate(20);
    assert!(
        rate <= MOST,
        "{found} of {words} words ({rate:.1} in 10,000; at most {MOST}), most in {counted:#?}\ninstead: {WORDS:#?}"
    );
}

#[test]
fn a_word_is_found_in_comments_and_messages_and_not_in_code() {
    let text = "//! Somebody.\nfn told() { log(\"nobody is \\\"told\\\" here\"); } // Whom?\nlet url = \"http://x\";\n";
    assert_eq!(stops(&prose(text)), 4, "{}", prose(text));
    assert_eq!(stops("Everybody's, anew; retold"), 2);
}

#[test]
fn the_glossary_names_what_there_is() {
    let sources: String = rust_files(&["src"]).iter().map(|path| read(path)).collect();
    let folders = ["migrations", "docs/events"].map(|folder| walk(&root().join(folder)));
    let tables: String = folders.iter().flatten().map(|path| read(path)).collect();
    let everything = sources + &tables + &read(&root().join("docs/configuration.md"));
    let glossary = read(&root().join("docs/glossary.md"));
    let rows = glossary.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| term"));
    let mut names = 0;
    for row in rows {
        let places = row.split('|').nth(3).expect("three columns");
        // Every second piece stands between backticks.
        for name in places.split('`').skip(1).step_by(2).flat_map(|name| name.split(' ')) {
            let name = name.trim_matches(|c| "[]*".contains(c)).trim_end_matches('_');
            let last = name.rsplit([':', '.']).next().unwrap_or_default();
            assert!(everything.contains(last), "the glossary names `{name}`, which is nowhere: {row}");
            names += 1;
        }
    }
    assert!(names > 60, "{names}");
}

#[test]
fn the_paths_in_the_documents_for_developers_are_there() {
    for document in ["ARCHITECTURE.md", "CONTRIBUTING.md"] {
        let text = read(&root().join(document));
        let paths = text.split('`').skip(1).step_by(2).filter(|name| name.starts_with("src/"));
        // `NAME` stands for what is to be made.
        for path in paths.filter(|path| !path.contains("NAME")) {
            assert!(root().join(path).exists(), "{document} names {path}, which is not there");
        }
    }
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphabetic()).filter(|word| !word.is_empty())
}

fn stops(text: &str) -> usize {
    words(text).filter(|word| WORDS.iter().any(|(stop, _)| word.eq_ignore_ascii_case(stop))).count()
}

/// What stands in a source file's comments and string literals.
fn prose(text: &str) -> String {
    let mut prose = String::new();
    for line in text.lines() {
        let (mut literal, mut chars) = (false, line.char_indices());
        while let Some((at, c)) = chars.next() {
            match c {
                '\\' if literal => {
                    chars.next();
                    prose.push(' ');
                }
                '"' => {
                    literal = !literal;
                    prose.push(' ');
                }
                '/' if !literal && line[at..].starts_with("//") => {
                    prose.push_str(&line[at..]);
                    break;
                }
                c if literal => prose.push(c),
                _ => {}
            }
        }
        prose.push('\n');
    }
    prose
}
