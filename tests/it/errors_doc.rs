//! `docs/errors.md` explains every code that `check` gives, and no other.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::tidy::walk;

/// The first argument of every `error(` and `warning(` in a source, where it is a literal.
fn codes(source: &str) -> BTreeSet<String> {
    let source = source.split("#[cfg(test)]").next().unwrap_or_default();
    ["error(", "warning("]
        .iter()
        .flat_map(|call| source.split(call).skip(1))
        .filter_map(|after| {
            after.trim_start().strip_prefix('"')?.split_once('"').map(|(code, _)| code.to_owned())
        })
        .filter(|code| code.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'))
        .collect()
}

#[test]
fn every_code_is_explained_and_no_other() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut given = BTreeSet::new();
    let rooms = ["src/config", "src/cli/check"].map(|room| walk(&root.join(room)));
    for path in rooms.into_iter().flatten() {
        if path.extension().is_some_and(|extension| extension == "rs") {
            given.extend(codes(&fs::read_to_string(path).expect("a source")));
        }
    }
    assert!(given.len() > 20, "the codes were found: {given:?}");
    let page = fs::read_to_string(root.join("docs/errors.md")).expect("the page");
    let explained: BTreeSet<String> = page
        .lines()
        .filter_map(|line| line.strip_prefix("### `")?.strip_suffix('`').map(str::to_owned))
        .collect();
    let missing: Vec<_> = given.difference(&explained).collect();
    let stale: Vec<_> = explained.difference(&given).collect();
    assert!(missing.is_empty() && stale.is_empty(), "not explained: {missing:?}; given by nobody: {stale:?}");
}
