//! Loads a config from a path: finds the file, its includes and syntax errors.
//!
//! Guards: a config is either valid or refused; the text is kept, so that every problem can show its line. Not here: the
//! meaning of keys (`check`).

use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use toml::de::DeTable;

use super::document::{Document, Files};
use super::keys::keys_of;
use super::problem::{Place, Problem, Severity, Source, Sources, render, sort, within};
use super::secrets::Env;
use super::section::{Located, Report, Section};
use super::{Config, check, plain_file};
use crate::invisible;

pub(super) mod encoding;

/// Where the config is if none is named.
pub const DEFAULT_PATHS: [&str; 2] = ["config.toml", "/etc/presenced/config.toml"];
/// No config is larger: a hundred thousand users take a fifth of it.
const MAX_FILE_BYTES: u64 = 64 * 1024 * 1024;

/// A valid config with its warnings.
#[derive(Debug)]
pub struct Loaded {
    /// Ready to run.
    pub config: Config,
    /// In the order of the files.
    pub warnings: Vec<Problem>,
    /// The files it came from.
    pub sources: Sources,
}

/// A config that cannot be run. Prints as every problem with its place.
#[derive(Debug)]
pub struct Refused {
    /// Errors and warnings, in the order of the files.
    pub problems: Vec<Problem>,
    /// The files it came from.
    pub sources: Sources,
    /// What could be read in spite of the errors: enough to find the daemon and the database, not to run.
    pub salvaged: Option<Box<Config>>,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(render(&self.problems, &self.sources).trim_end())
    }
}

impl std::error::Error for Refused {}

/// No config file was named, and none is where one usually is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "no config file: give one with `--config FILE` or PRESENCED_CONFIG, or create ./config.toml or /etc/presenced/config.toml"
)]
pub struct NotFound;

/// The config file: the one that was named, else the first of `./config.toml` and `/etc/presenced/config.toml` that
/// exists. A named one need not exist; reading it will say so.
pub fn locate(named: Option<&Path>) -> Result<PathBuf, NotFound> {
    match named {
        Some(path) => Ok(path.to_owned()),
        None => DEFAULT_PATHS.iter().map(PathBuf::from).find(|path| path.exists()).ok_or(NotFound),
    }
}

/// Reads and checks a config with everything it includes.
pub fn load(path: &Path) -> Result<Loaded, Refused> {
    load_in(path, &Env::Process)
}

/// Same as [`load`] in another environment.
pub fn load_in(path: &Path, around: &Env) -> Result<Loaded, Refused> {
    let mut sources = Sources::default();
    let report = Report::default();
    let config = read_all(path, around, &mut sources, &report);
    let (mut problems, file_set) = report.finish();
    sources.set_file_set(file_set);
    if problems.iter().any(|problem| problem.code == "syntax") {
        // What seems to be missing may be in the part that could not be parsed.
        problems.retain(|problem| {
            !matches!(problem.code, "missing-key" | "plan" | "nobody-watched" | "never-open")
        });
    }
    sort(&mut problems);
    match config {
        Some(config) if problems.iter().all(|problem| problem.severity == Severity::Warning) => {
            Ok(Loaded { config, warnings: problems, sources })
        }
        config => Err(Refused { problems, sources, salvaged: config.map(Box::new) }),
    }
}

/// One file as it was read.
#[derive(Debug)]
struct Text {
    whole: Arc<str>,
    source: usize,
    world_readable: bool,
}

fn read_all(path: &Path, around: &Env, sources: &mut Sources, report: &Report) -> Option<Config> {
    let canonical = canonical(path);
    // Not of the canonical path: where the file is a link into a store, its neighbours are beside the link.
    let folder = std::path::absolute(path).unwrap_or_else(|_| canonical.clone());
    let folder = folder.parent().unwrap_or(Path::new("/")).to_owned();
    report.reads(path);
    let main = match read(path, path.display().to_string(), sources) {
        Ok(text) => text,
        Err(error) => {
            let is_missing = matches!(&error, Unread::Io(error) if error.kind() == ErrorKind::NotFound);
            let problem = error.problem(&path.display().to_string(), None);
            let unseen = invisible::first(&path.to_string_lossy()).map(|(_, c)| invisible::named(c));
            report.push(match unseen {
                Some(name) => problem.help(format!("the path contains {name}")),
                None if is_missing => problem.help("run `presenced init` to create one"),
                None => problem,
            });
            return None;
        }
    };
    Some(of_text(&main, (canonical, folder), around, sources, report))
}

/// A config without any key.
pub fn empty(path: &Path) -> Config {
    let nothing = Text { whole: "".into(), source: 0, world_readable: false };
    let folder = path.parent().unwrap_or(Path::new("/")).to_owned();
    of_text(&nothing, (path.to_owned(), folder), &Env::Process, &mut Sources::default(), &Report::default())
}

/// The path without links, also of a file that does not exist any more.
pub fn canonical(path: &Path) -> PathBuf {
    let by_folder = || {
        let path = std::path::absolute(path).ok()?;
        Some(path.parent()?.canonicalize().ok()?.join(path.file_name()?))
    };
    path.canonicalize().ok().or_else(by_folder).unwrap_or_else(|| path.to_owned())
}

fn of_text(
    main: &Text,
    (canonical, folder): (PathBuf, PathBuf),
    around: &Env,
    sources: &mut Sources,
    report: &Report,
) -> Config {
    let main = parse(main, report);
    // The main file may have every key.
    let everything: Vec<&str> = keys_of("").collect();
    let root = Section::root(&main.table, main.source, report, &everything);
    let mut texts = Vec::new();
    let watch = root.table("watch", "watch");
    let auto_reload = watch.get("auto_reload", super::value::flag);
    for (path, name, place) in includes(&watch, &folder) {
        report.reads(&path);
        match read(&path, name.clone(), sources) {
            Ok(text) => texts.push(text),
            Err(error) => report.push(error.problem(&name, Some(place))),
        }
    }
    let included: Vec<Document<'_>> = texts.iter().map(|text| parse(text, report)).collect();
    let files = Files { path: canonical, folder, main: &main, included: &included, root: &root, auto_reload };
    check::config(&files, around, sources, report)
}

/// Why a file could not be read.
#[derive(Debug)]
enum Unread {
    Io(std::io::Error),
    /// Where its first wrong byte is.
    NotUtf8(Place, &'static str),
}

impl From<std::io::Error> for Unread {
    fn from(error: std::io::Error) -> Self {
        Self::Io(error)
    }
}

impl Unread {
    /// `named_at`: the place that names the file, where there is one.
    fn problem(self, name: &str, named_at: Option<Place>) -> Problem {
        match self {
            Self::Io(error) => {
                Problem::error("unreadable", named_at, format!("{name} cannot be read: {error}"))
            }
            Self::NotUtf8(place, encoding) => {
                let message = format!("{name} is not UTF-8; it looks like {encoding}");
                let help = format!(
                    "save it as UTF-8; `iconv -f {encoding} -t UTF-8 {name} > new.toml` writes such a file"
                );
                Problem::error("unreadable", Some(place), message).aside("").help(help)
            }
        }
    }
}

fn read(path: &Path, name: String, sources: &mut Sources) -> Result<Text, Unread> {
    let (bytes, metadata) = plain_file::read(path, MAX_FILE_BYTES)?;
    let text: Arc<str> = match encoding::decoded(bytes) {
        Ok(text) => text.into(),
        Err(encoding::NotUtf8 { before, encoding }) => {
            let at = before.len();
            let source = sources.add(Source::new(name, before));
            return Err(Unread::NotUtf8(Place { source, span: at..at }, encoding));
        }
    };
    let source = sources.add(Source::new(name, Arc::clone(&text)));
    Ok(Text { whole: text, source, world_readable: plain_file::world_readable(&metadata) })
}

fn parse<'t>(file: &'t Text, report: &Report) -> Document<'t> {
    report.keep_text(file.source, &file.whole);
    let (parsed, errors) = DeTable::parse_recoverable(&file.whole);
    for error in errors {
        let place = Place { source: file.source, span: within(error.span(), &file.whole) };
        let problem = Problem::error("syntax", Some(place.clone()), error.message());
        report.push(match syntax_advice(&file.whole, &place.span, error.message()) {
            Some(help) => problem.help(help),
            None => problem,
        });
    }
    Document { table: parsed.into_inner(), source: file.source, world_readable: file.world_readable }
}

/// What to do where the parser's own words do not say it.
fn syntax_advice(text: &str, at: &std::ops::Range<usize>, message: &str) -> Option<String> {
    if let Some(help) = encoding::look_alike(text, at) {
        return Some(help);
    }
    let line = text[..at.start].rfind('\n').map_or(0, |end| end + 1);
    let line = text[line..].lines().next().unwrap_or("");
    let is_said = |word: &str| message.contains(word);
    let lacks_quotes = is_said("must be quoted");
    let help = if text.trim_start().starts_with('{') {
        "this is JSON, but the config is TOML; run `presenced init` to create one"
    } else if is_said("duplicate key") {
        "the key is set above already: remove one of them, or begin a new table"
    } else if is_said("carriage return") && !text.contains('\n') {
        "the lines end with a carriage return alone: save the file with LF or CRLF"
    } else if lacks_quotes && line.contains(['“', '”', '„', '‘', '’', '＂']) {
        "these quotes are typographic: write `\"`"
    } else if lacks_quotes {
        "write it in quotes: `\"...\"`"
    } else if is_said("expected `=`") || line.trim_end().ends_with(':') {
        "TOML has `key = value`, and `[table]` on a line of its own"
    } else {
        return None;
    };
    Some(help.to_owned())
}

/// The included files in the order of their names, each with how the operator would name it.
fn includes(watch: &Section<'_>, folder: &Path) -> Vec<(PathBuf, String, Place)> {
    let mut found: Vec<(PathBuf, String, Place)> = Vec::new();
    for Located { value: pattern, place } in watch.list("include", false, super::value::some_text) {
        let (parent, name) = pattern.rsplit_once('/').unwrap_or(("", &pattern));
        if parent.contains('*') {
            let help = "write `folder/*.toml`, one for each folder";
            watch.report.error("bad-value", &place, "only the last part of an include may hold `*`", help);
            continue;
        }
        if !name.contains('*') {
            found.push((folder.join(&pattern), pattern.clone(), place));
            continue;
        }
        watch.report.reads(&folder.join(parent));
        let Ok(entries) = std::fs::read_dir(folder.join(parent)) else { continue };
        let mut names: Vec<String> =
            entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.retain(|file| !file.starts_with('.') && matches(name, file));
        names.sort();
        for file in names {
            let shown = if parent.is_empty() { file.clone() } else { format!("{parent}/{file}") };
            found.push((folder.join(parent).join(file), shown, place.clone()));
        }
    }
    let mut seen = std::collections::BTreeSet::new();
    found.retain(|(path, _, _)| seen.insert(path.clone()));
    found
}

/// Whether the name of a file matches a pattern with `*`.
fn matches(pattern: &str, name: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut left) = name.strip_prefix(first) else { return false };
    let mut parts = rest.split('*').peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return left.ends_with(part);
        }
        let Some(at) = left.find(part) else { return false };
        left = &left[at + part.len()..];
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_anything() {
        for (pattern, name, expected) in [
            ("*.toml", "ops.toml", true),
            ("*.toml", "ops.toml~", false),
            ("a*b*.toml", "axxbyy.toml", true),
            ("a*b*.toml", "axx.toml", false),
            ("*", "x", true),
            ("ops.toml", "ops.toml", true),
            ("ab*ba", "aba", false),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn a_named_file_is_taken_as_it_is() {
        assert_eq!(locate(Some(Path::new("/x/y.toml"))), Ok(PathBuf::from("/x/y.toml")));
    }
}
