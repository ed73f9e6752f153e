//! Transcripts: running the commands of one and holding what they print against what is shown.
//!
//! Guards: a lie is found, a new figure, id or column width is not one. Deliberately not here: which blocks of which
//! page are transcripts.

use std::path::Path;

use super::in_folder;

/// Stands between the outputs of two commands of a transcript, followed by the exit code of the first.
const MARK: char = '\u{1e}';

/// A command of a transcript and the lines shown below it.
struct Exchange {
    command: String,
    shown: Vec<String>,
}

fn exchanges(text: &str) -> Vec<Exchange> {
    let mut exchanges: Vec<Exchange> = Vec::new();
    for line in text.lines() {
        if let Some(command) = line.strip_prefix("$ ") {
            exchanges.push(Exchange { command: command.to_owned(), shown: Vec::new() });
        } else if let Some(last) = exchanges.last_mut() {
            match line.strip_prefix("> ") {
                Some(more) if last.shown.is_empty() && last.command.ends_with('\\') => {
                    last.command.extend(["\n", more]);
                }
                _ => last.shown.push(line.to_owned()),
            }
        }
    }
    exchanges
}

/// Runs a transcript, in one shell, and tells where it is not true.
pub(super) fn problems(folder: &Path, text: &str) -> Vec<String> {
    let exchanges = exchanges(text);
    let mut script = String::from("exec 2>&1\n");
    for exchange in &exchanges {
        script.push_str(&exchange.command);
        script.push_str("\nprintf '\\036%s\\036' \"$?\"\n");
    }
    let output = in_folder("timeout", folder)
        .args(["120", "sh", "-c", &script])
        .output()
        .expect("`timeout` and `sh` are part of every Debian");
    let printed = String::from_utf8_lossy(&output.stdout).replace(&*folder.to_string_lossy(), "~");
    let mut parts = printed.split(MARK);
    let mut problems = Vec::new();
    for exchange in &exchanges {
        let (said, code) = (parts.next().unwrap_or_default(), parts.next());
        if code != Some("0") {
            let code =
                code.map_or("it ended the shell, or hung".to_owned(), |code| format!("exit code {code}"));
            problems.push(format!("`{}`: {code}\n{said}", exchange.command));
        } else if !exchange.shown.is_empty() {
            let (shown, said) = (shapes(exchange.shown.iter().map(String::as_str)), shapes(said.lines()));
            if !agrees(&shown, &said) {
                let (shown, said) = (shown.join("\n"), said.join("\n"));
                problems.push(format!("`{}` says\n{said}\nbut shown is\n{shown}", exchange.command));
            }
        }
    }
    problems
}

/// Whether `said` is what `shown` promises, `...` standing for any lines.
fn agrees(shown: &[String], said: &[String]) -> bool {
    match shown {
        [] => said.is_empty(),
        [dots, rest @ ..] if dots == "..." => (0..=said.len()).any(|skip| agrees(rest, &said[skip..])),
        [line, rest @ ..] => said.first() == Some(line) && agrees(rest, &said[1..]),
    }
}

/// Lines without what differs from run to run: figures, ids, column widths, rules; without empty lines at the end.
fn shapes<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut shapes: Vec<String> = lines.map(shape).collect();
    while shapes.last().is_some_and(String::is_empty) {
        shapes.pop();
    }
    shapes
}

fn shape(line: &str) -> String {
    let mut shape = String::new();
    for word in line.split_whitespace() {
        let word = match word.find("evt_").or_else(|| word.find("vis_")) {
            Some(at) => {
                let end =
                    word[at + 4..].find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(word.len() - at - 4);
                format!("{}0{}", &word[..at + 4], &word[at + 4 + end..])
            }
            None => word.to_owned(),
        };
        shape.push(' ');
        for c in word.chars() {
            let c = if c.is_ascii_digit() { '0' } else { c };
            let repeats = matches!(c, '0' | '-' | '─' | '═' | '┄') && shape.ends_with(c);
            if !repeats {
                shape.push(c);
            }
        }
    }
    shape.trim().to_owned()
}

#[test]
fn a_transcript_that_lies_is_found_out() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    for lie in
        ["$ false", "$ echo yes\nno", "$ echo yes\nyes\nmore", "$ printf 'a\\nb\\n'\na", "$ echo x; exit 3"]
    {
        assert!(!problems(folder.path(), lie).is_empty(), "{lie}");
    }
    for truth in [
        "$ true",
        "$ echo unshown",
        "$ echo 2026-11-23 evt_4q7m2x\n2023-11-07 evt_9z",
        "$ printf 'a\\nb\\nc\\n'\na\n...",
        "$ printf 'a\\nb\\nc\\n'\n...\nc",
        "$ export A=kept\n$ echo $A\nkept",
        "$ echo one \\\n>   two\none two",
    ] {
        assert_eq!(problems(folder.path(), truth), Vec::<String>::new(), "{truth}");
    }
}
