//! Keeps the documents honest: what they show is run, what they point to is there.
//!
//! The convention, by the words after the three backticks:
//! - `console`: a transcript. Lines after `$ ` are run by `sh`, in the page's own folder, with the built binary on the
//!   `PATH`; each must succeed. Lines below a command are its output: compared word by word, figures, ids and column
//!   widths aside, and a line `...` stands for any lines. No lines shown: only success counts.
//! - `sh (not run: REASON)` and `sh (run by: FILE, ...)`: commands that cannot be run here, and who runs them instead.
//!   A bare `sh` is refused. Their subcommands and options are held against `--help` all the same.
//! - `LANGUAGE FILE`: the block is written to that file of the page's folder before any of its commands is run.
//!
//! A page's folder holds `presence.db`, the history of a short demo. `sh`, `sqlite3`, `python3` and `openssl` are
//! expected to be there; `tests/run` installs them.
//!
//! Guards: no example rots unseen. Deliberately not here: what the commands should do (their own tests).

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use presenced::presence::event::EventType;

use crate::tidy::{read, relative, root, walk};

mod transcript;

/// Fills a folder with what a short demo leaves behind; its database must be the only `*.db` below the folder.
const DEMO: &[&str] = &["demo", "--seconds", "5", "--keep"];

#[test]
fn every_shown_command_is_run_or_says_why_not() {
    let problems: Vec<String> = pages()
        .iter()
        .flat_map(|page| match blocks(&read(page)) {
            Ok(blocks) => blocks.iter().filter_map(Block::problem).collect(),
            Err(problem) => vec![problem],
        })
        .collect();
    assert!(problems.is_empty(), "\n{}\n", problems.join("\n"));
}

#[test]
fn the_transcripts_in_the_docs_are_true() {
    let demo = tempfile::tempdir().expect("a temporary folder can be made");
    let database = demo_database(demo.path());
    let mut problems = Vec::new();
    for page in pages() {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let blocks = blocks(&read(&page)).unwrap_or_default();
        for block in &blocks {
            if let Some(name) = &block.file {
                fs::write(folder.path().join(name), &block.text).expect("the page's folder can be written");
            }
        }
        fs::copy(&database, folder.path().join("presence.db")).expect("the demo's database can be copied");
        for block in blocks.iter().filter(|block| block.is_transcript()) {
            let place = format!("{}:{}", relative(&page), block.line);
            problems.extend(
                transcript::problems(folder.path(), &block.text).iter().map(|p| format!("{place}: {p}")),
            );
        }
    }
    assert!(problems.is_empty(), "\n{}\n", problems.join("\n\n"));
}

#[test]
fn commands_that_are_not_run_exist_at_least() {
    let mut problems = BTreeSet::new();
    for page in pages() {
        let blocks = blocks(&read(&page)).unwrap_or_default();
        for line in blocks.iter().filter(|block| block.note.is_some()).flat_map(|block| block.text.lines()) {
            if let Some(problem) = invocation(line).and_then(|words| unknown(&words)) {
                problems.insert(format!("{}: `{line}`: {problem}", relative(&page)));
            }
        }
    }
    assert!(problems.is_empty(), "\n{}\n", problems.into_iter().collect::<Vec<_>>().join("\n"));
}

#[test]
fn every_shown_json_and_toml_can_be_read() {
    let mut problems = Vec::new();
    for page in pages() {
        for block in blocks(&read(&page)).unwrap_or_default() {
            let refused = match block.language.as_str() {
                "json" => serde_json::from_str::<serde_json::Value>(&block.text).err().map(|e| e.to_string()),
                "toml" => toml::from_str::<toml::Table>(&block.text).err().map(|e| e.to_string()),
                _ => None,
            };
            problems.extend(refused.map(|why| format!("{}:{}: {why}", relative(&page), block.line)));
        }
    }
    assert!(problems.is_empty(), "\n{}\n", problems.join("\n"));
}

#[test]
fn every_event_of_the_catalogue_is_described() {
    let page = read(&root().join("docs/events.md"));
    let described: BTreeSet<&str> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
        .filter(|name| name.contains('.'))
        .collect();
    let sent: BTreeSet<&str> = EventType::ALL.iter().map(|event| event.name()).collect();
    assert!(described.is_superset(&sent), "not described: {:?}", sent.difference(&described));
    let gone: Vec<_> = described.difference(&sent).filter(|name| !name.starts_with("data.")).collect();
    assert!(gone.is_empty(), "described, but not sent: {gone:?}");
}

#[test]
fn every_link_in_the_docs_leads_somewhere() {
    let mut dead = Vec::new();
    for page in pages() {
        let text = read(&page);
        for target in links(&text) {
            let path = target.split('#').next().unwrap_or_default();
            let outside = path.is_empty() || path.contains("://") || path.starts_with("mailto:");
            if !outside && !page.parent().is_some_and(|folder| folder.join(path).exists()) {
                dead.push(format!("{}: {target}", relative(&page)));
            }
        }
    }
    assert!(dead.is_empty(), "\n{}\n", dead.join("\n"));
}

#[test]
fn the_convention_refuses_commands_without_a_runner() {
    for bad in [
        "```sh\nls\n```",
        "```bash\nls\n```",
        "```sh (not run: )\nls\n```",
        "```sh (run by: nobody/here)\n```",
    ] {
        let blocks = blocks(bad).expect("the fence is closed");
        assert!(blocks[0].problem().is_some(), "{bad}");
    }
    for good in [
        "```console\n$ ls\n```",
        "```sh (not run: needs root)\nls\n```",
        "```sh (run by: tests/run)\n```",
        "```\n```",
    ] {
        let blocks = blocks(good).expect("the fence is closed");
        assert_eq!(blocks[0].problem(), None, "{good}");
    }
    assert!(blocks("text\n```console\n$ ls\n").is_err());
    assert!(blocks("```console\nno command\n```").expect("closed")[0].problem().is_some());
}

/// A fenced block of a page.
#[derive(Debug)]
struct Block {
    /// Of the opening fence.
    line: usize,
    /// The first word after the backticks.
    language: String,
    /// Where its text is written before the page's commands are run.
    file: Option<String>,
    /// `not run` or `run by`, with what follows the colon.
    note: Option<(String, String)>,
    /// Without the fences.
    text: String,
}

impl Block {
    fn is_transcript(&self) -> bool {
        self.language == "console" && self.note.is_none()
    }

    /// What is against the convention.
    fn problem(&self) -> Option<String> {
        let shell = matches!(self.language.as_str(), "sh" | "bash" | "shell" | "zsh" | "fish");
        let why = match &self.note {
            Some((kind, reason)) if kind == "not run" => {
                reason.is_empty().then_some("`(not run: …)` wants a reason")
            }
            Some((kind, place)) if kind == "run by" => {
                let file = place.split(',').next().unwrap_or_default();
                (file.is_empty() || !root().join(file).is_file()).then_some("`(run by: …)` names no file")
            }
            Some(_) => Some("the note is neither `(not run: …)` nor `(run by: …)`"),
            None if shell => Some("say `console`, `sh (not run: REASON)` or `sh (run by: FILE)`"),
            None if self.is_transcript() && !self.text.starts_with("$ ") => {
                Some("a transcript begins with `$ `")
            }
            None => None,
        };
        why.map(|why| format!("line {}: {why}", self.line))
    }
}

/// The fenced blocks of a Markdown text.
fn blocks(text: &str) -> Result<Vec<Block>, String> {
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    for (index, line) in text.lines().enumerate() {
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(info)) => open = Some(opened(index + 1, info)),
            (Some(_), Some("")) => blocks.extend(open.take()),
            (Some(block), _) => block.text.extend([line, "\n"]),
            (None, None) => {}
        }
    }
    match open {
        Some(block) => Err(format!("the block of line {} is never closed", block.line)),
        None => Ok(blocks),
    }
}

fn opened(line: usize, info: &str) -> Block {
    let (language, rest) = info.trim().split_once(' ').unwrap_or((info.trim(), ""));
    let note = rest.strip_prefix('(').map(|note| {
        let (kind, reason) = note.trim_end_matches(')').split_once(':').unwrap_or((note, ""));
        (kind.trim().to_owned(), reason.trim().to_owned())
    });
    let file = (note.is_none() && !rest.is_empty()).then(|| rest.to_owned());
    Block { line, language: language.to_owned(), file, note, text: String::new() }
}

/// The arguments of a line that starts the program, by name or through cargo.
fn invocation(line: &str) -> Option<Vec<&str>> {
    let ends = |word: &str| word.starts_with(['|', '>', '#', ';', '&']);
    let mut words = line.trim_start_matches("$ ").split_whitespace().take_while(|word| !ends(word));
    match words.next()? {
        "presenced" => Some(words.collect()),
        "cargo" => words.any(|word| word == "--").then(|| words.collect()),
        _ => None,
    }
}

/// Why an invocation is refused; its subcommand and options are looked up in `--help`.
fn unknown(words: &[&str]) -> Option<String> {
    // Some commands are families, with options of their own below.
    let deep = if matches!(words.first(), Some(&("config" | "db" | "user" | "webhook"))) { 2 } else { 1 };
    let subcommand = words.iter().take(deep).take_while(|word| !word.starts_with('-'));
    let mut command = Command::new(env!("CARGO_BIN_EXE_presenced"));
    let output = command.args(subcommand).arg("--help").output().expect("the binary runs");
    if !output.status.success() {
        return Some("no such command".to_owned());
    }
    let help = String::from_utf8_lossy(&output.stdout);
    let options =
        words.iter().filter(|word| word.starts_with("--")).map(|word| word.split('=').next().unwrap_or(word));
    options.into_iter().find(|option| !help.contains(option)).map(|option| format!("no option {option}"))
}

/// Runs a short demo and gives the path of the database it leaves.
fn demo_database(folder: &Path) -> PathBuf {
    let output =
        in_folder(env!("CARGO_BIN_EXE_presenced"), folder).args(DEMO).output().expect("the binary runs");
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "the demo failed:\n{said}");
    let found = databases(folder);
    assert_eq!(found.len(), 1, "the demo left these databases: {found:?}\n{said}");
    found.into_iter().next().unwrap_or_default()
}

fn databases(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("the folder can be read") {
        let path = entry.expect("the folder can be read").path();
        if path.is_dir() {
            found.extend(databases(&path));
        } else if path.extension().is_some_and(|end| end == "db") {
            found.push(path);
        }
    }
    found
}

/// A command in a folder, with the built binary on the `PATH` and nothing of this machine's settings.
fn in_folder(program: &str, folder: &Path) -> Command {
    let built = Path::new(env!("CARGO_BIN_EXE_presenced")).parent().unwrap_or(Path::new("/"));
    let path = format!("{}:{}", built.display(), std::env::var("PATH").unwrap_or_default());
    let mut command = Command::new(program);
    command
        .current_dir(folder)
        .env_clear()
        .envs([
            ("PATH", path.as_str()),
            ("LC_ALL", "C.UTF-8"),
            ("TZ", "UTC"),
            ("NO_COLOR", "1"),
            ("COLUMNS", "110"),
        ])
        .envs([("HOME", folder), ("TMPDIR", folder)]);
    command
}

/// Every Markdown page of the project.
fn pages() -> Vec<PathBuf> {
    walk(&root()).into_iter().filter(|path| path.extension().is_some_and(|end| end == "md")).collect()
}

/// The targets of `[text](target)`, outside of fenced blocks.
fn links(text: &str) -> Vec<&str> {
    let mut fenced = false;
    let mut targets = Vec::new();
    for line in text.lines() {
        fenced ^= line.starts_with("```");
        if !fenced {
            targets.extend(line.split("](").skip(1).filter_map(|rest| rest.split(')').next()));
        }
    }
    targets
}
