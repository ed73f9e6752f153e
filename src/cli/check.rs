//! `presenced check`: validates the config and prints every problem with its place and a fix.
//!
//! Guards: needs no network, no root and no daemon; the last line says how many problems there are, or what to do next.
//! Not here: the rules (`config`).

use std::path::Path;

use serde::Serialize;

use super::output::{self, Column, ERROR, Printer, WARNING};
use super::{Exit, Failure, Globals, OutputFormat};
use crate::config::problem::{Problem, Severity, Sources, foremost, render_one, sort};
use crate::config::{Config, Loaded, load, locate};

mod online;
mod setup;
mod summary;

/// Options of `check`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Exit with 3 when there are warnings
    #[arg(long)]
    pub strict: bool,
    /// Also get a token and poll one user of each organisation (one call each)
    #[arg(long)]
    pub online: bool,
}

/// Runs the command.
#[expect(clippy::needless_pass_by_value, reason = "every command takes its options by value")]
pub fn run(globals: &Globals, args: Args) -> anyhow::Result<Exit> {
    let path =
        locate(globals.config.as_deref()).map_err(|error| Failure::new(Exit::Config, error.to_string()))?;
    let Examined { problems, sources, config } = examine(&path);
    match globals.output {
        Some(OutputFormat::Json) => anstream::println!("{}", json(&problems, &sources)?),
        Some(OutputFormat::Jsonl | OutputFormat::Csv) => {
            Printer::new(globals, chrono_tz::UTC).print(COLUMNS, &data_rows(&problems, &sources))?;
        }
        None | Some(OutputFormat::Table) => {
            show(globals.quiet, &problems, &sources);
            if !globals.quiet {
                // A path from the environment or from a usual place is found again without the option.
                let is_named = globals.config.is_some() && std::env::var_os("PRESENCED_CONFIG").is_none();
                let options = if is_named { format!(" -c {}", path.display()) } else { String::new() };
                anstream::print!("{}", last_lines(&path, config.as_ref(), &problems, &options));
            }
        }
    }
    let ended = ending(&problems, args.strict);
    match config.filter(|_| args.online) {
        None => Ok(ended),
        Some(config) => Ok(worse(ended, print_online(globals, &online::ask(&config)?))),
    }
}

/// A config with all its problems; without a config the text has errors.
struct Examined {
    problems: Vec<Problem>,
    sources: Sources,
    config: Option<Config>,
}

fn examine(path: &Path) -> Examined {
    match load(path) {
        Ok(Loaded { config, mut warnings, sources }) => {
            warnings.extend(setup::problems(&config, &sources));
            sort(&mut warnings);
            Examined { problems: warnings, sources, config: Some(config) }
        }
        Err(refused) => Examined { problems: refused.problems, sources: refused.sources, config: None },
    }
}

/// The last lines: what is valid, and the next command.
fn last_lines(path: &Path, config: Option<&Config>, problems: &[Problem], options: &str) -> String {
    match config {
        Some(config) if ending(problems, false) == Exit::Done => {
            summary::state(path, config, problems) + &summary::next(config, options)
        }
        _ => summary::refused(path, problems),
    }
}

/// The problems of a config that `init` has just written, and the next command.
pub(super) fn first_check(path: &Path) {
    let examined = examine(path);
    let is_here = path == Path::new("config.toml");
    let options = if is_here { String::new() } else { format!(" -c {}", path.display()) };
    show(false, &examined.problems, &examined.sources);
    match &examined.config {
        Some(config) if examined.problems.is_empty() => {
            anstream::print!("{}", last_lines(path, Some(config), &[], &options));
        }
        _ => anstream::println!("next: edit {}, then: presenced check{options}", path.display()),
    }
}

/// Prints the results of `--online`. With `-o json`, the JSON is about the file only, and these go to stderr.
fn print_online(globals: &Globals, found: &[online::Found]) -> Exit {
    for one in found {
        let good = one.exit == Exit::Done;
        let help = if one.help.is_empty() { String::new() } else { format!("\n   = {}", one.help) };
        if globals.output.is_some() {
            anstream::eprintln!("{}{help}", one.line);
        } else if !good {
            anstream::println!("{ERROR}error:{ERROR:#} {}{help}", one.line);
        } else if !globals.quiet {
            anstream::println!("{}", one.line);
        }
    }
    found.iter().map(|one| one.exit).find(|exit| *exit != Exit::Done).unwrap_or(Exit::Done)
}

/// A refusal by DingTalk counts more than a warning.
fn worse(file: Exit, online: Exit) -> Exit {
    if online == Exit::Done { file } else { online }
}

/// An error decides; a warning only with `--strict`.
fn ending(problems: &[Problem], strict: bool) -> Exit {
    if problems.iter().any(|problem| problem.severity == Severity::Error) {
        Exit::Config
    } else if strict && !problems.is_empty() {
        Exit::Warnings
    } else {
        Exit::Done
    }
}

/// Prints to stdout, because the problems are the answer. `-q` omits warnings.
fn show(quiet: bool, problems: &[Problem], sources: &Sources) {
    let is_wanted = |problem: &&Problem| problem.severity == Severity::Error || !quiet;
    let (shown, rest) = foremost(problems.iter().filter(is_wanted));
    for problem in shown {
        let style = match problem.severity {
            Severity::Error => ERROR,
            Severity::Warning => WARNING,
        };
        let (on, off) = (style.render().to_string(), style.render_reset().to_string());
        anstream::print!("{}", render_one(problem, sources, (&on, &off)));
    }
    if let Some(rest) = rest {
        anstream::println!("{rest}");
    }
}

/// One problem as programs read it. Part of the contract of `-o json`.
#[derive(Debug, Serialize)]
struct Row<'a> {
    code: &'a str,
    severity: &'a str,
    file: Option<&'a str>,
    line: Option<usize>,
    column: Option<usize>,
    message: &'a str,
    help: Option<&'a str>,
}

/// The same for `-o jsonl` and `-o csv`.
const COLUMNS: &[Column] = &[
    Column::new("code", "CODE"),
    Column::new("severity", "SEVERITY"),
    Column::new("file", "FILE"),
    Column::new("line", "LINE"),
    Column::new("column", "COLUMN"),
    Column::new("message", "MESSAGE"),
    Column::new("help", "HELP"),
];

fn json(problems: &[Problem], sources: &Sources) -> serde_json::Result<String> {
    let rows: Vec<Row<'_>> = problems.iter().map(|problem| row(problem, sources)).collect();
    serde_json::to_string_pretty(&rows)
}

fn data_rows(problems: &[Problem], sources: &Sources) -> Vec<output::Row> {
    let number = |number: Option<usize>| number.and_then(|number| i64::try_from(number).ok()).into();
    let cells = |Row { code, severity, file, line, column, message, help }: Row<'_>| {
        let place = [file.into(), number(line), number(column)];
        let cells = [code.into(), severity.into()].into_iter().chain(place);
        output::Row::new(cells.chain([message.into(), help.into()]).collect())
    };
    problems.iter().map(|problem| cells(row(problem, sources))).collect()
}

fn row<'a>(problem: &'a Problem, sources: &'a Sources) -> Row<'a> {
    let position = problem.place.as_ref().and_then(|place| sources.position(place));
    Row {
        code: problem.code,
        severity: problem.severity.name(),
        file: position.as_ref().map(|at| at.file),
        line: position.as_ref().map(|at| at.line),
        column: position.as_ref().map(|at| at.column),
        message: &problem.message,
        help: problem.help.as_deref(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::problem::{Place, Source};

    #[test]
    fn errors_and_strictness_decide_the_exit_code() {
        let (error, warning) = (Problem::error("a", None, "m"), Problem::warning("b", None, "m"));
        assert_eq!(ending(&[], true), Exit::Done);
        assert_eq!(ending(std::slice::from_ref(&warning), false), Exit::Done);
        assert_eq!(ending(std::slice::from_ref(&warning), true), Exit::Warnings);
        assert_eq!(ending(&[warning, error], true), Exit::Config);
    }

    #[test]
    fn json_keeps_its_shape() {
        let mut sources = Sources::default();
        sources.add(Source::new("config.toml", "x = 1\n  y = 2\n"));
        let place = Place { source: 0, span: 8..9 };
        let problem = Problem::error("unknown-key", Some(place), "unknown key `y` in the file")
            .help("did you mean `x`?");
        let expected = r#"[
  {
    "code": "unknown-key",
    "severity": "error",
    "file": "config.toml",
    "line": 2,
    "column": 3,
    "message": "unknown key `y` in the file",
    "help": "did you mean `x`?"
  },
  {
    "code": "b",
    "severity": "warning",
    "file": null,
    "line": null,
    "column": null,
    "message": "m",
    "help": null
  }
]"#;
        let shown = json(&[problem, Problem::warning("b", None, "m")], &sources).expect("JSON");
        assert_eq!(shown, expected);
    }
}
