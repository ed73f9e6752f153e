//! `presenced man`: prints the manual pages, one for each command and one for the config file.
//!
//! Guards: the pages are those of this binary; they contain everything that the help and the reference say. Not here:
//! where a system keeps its pages, compressing them.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, italic, roman};

use super::output::{counted, write_out};
use super::{Exit, Globals};
use crate::config::reference::{Absent, Effect, TABLES, Table};

/// Options of `man`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Folder to write all pages to (default: print the page of `presenced`)
    #[arg(value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// One page.
#[derive(Debug)]
struct Page {
    /// With its section: `presenced.1`.
    name: String,
    text: Vec<u8>,
}

/// Prints or writes the pages of `program` and of the config file.
pub fn run(globals: &Globals, args: &Args, program: clap::Command) -> anyhow::Result<Exit> {
    let pages = pages(program)?;
    match &args.dir {
        None => {
            let first = pages.first().map(|page| String::from_utf8_lossy(&page.text)).unwrap_or_default();
            write_out(std::io::stdout().lock(), &first)?;
        }
        Some(dir) => {
            write(dir, &pages)?;
            if !globals.quiet {
                anstream::println!("wrote {} to {}", counted(pages.len(), "page", "pages"), dir.display());
            }
        }
    }
    Ok(Exit::Done)
}

fn write(dir: &Path, pages: &[Page]) -> anyhow::Result<()> {
    std::fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
    for page in pages {
        let path = dir.join(&page.name);
        std::fs::write(&path, &page.text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// The page of the program, then those of its commands, then that of the config file.
fn pages(program: clap::Command) -> std::io::Result<Vec<Page>> {
    let mut pages = Vec::new();
    let mut program = program;
    program.build();
    add(&mut pages, &program, "presenced")?;
    pages.push(Page { name: "presenced.toml.5".into(), text: config_page()? });
    Ok(pages)
}

fn add(pages: &mut Vec<Page>, command: &clap::Command, name: &str) -> std::io::Result<()> {
    let command = command.clone().name(name.to_owned()).bin_name(name.replace('-', " "));
    let man = Man::new(command.clone());
    let mut text = title(name, 1);
    if name == "presenced" {
        program_page(&man, &mut text)?;
    } else {
        man.render_name_section(&mut text)?;
        man.render_synopsis_section(&mut text)?;
        man.render_description_section(&mut text)?;
        man.render_options_section(&mut text)?;
        if command.has_subcommands() {
            man.render_subcommands_section(&mut text)?;
        }
        if let Some(notes) = command.get_after_help() {
            let mut roff = Roff::new();
            roff.control("SH", ["NOTES"]);
            roff.text([roman(notes.to_string())]);
            roff.to_writer(&mut text)?;
        }
        see_also(&mut text, &["presenced(1)", "presenced.toml(5)"])?;
    }
    pages.push(Page { name: format!("{name}.1"), text });
    for inner in command.get_subcommands().filter(|inner| !inner.is_hide_set()) {
        add(pages, inner, &format!("{name}-{}", inner.get_name()))?;
    }
    Ok(())
}

/// The first line of a page. Without a date: the same program prints the same pages.
fn title(name: &str, section: u8) -> Vec<u8> {
    let version = env!("CARGO_PKG_VERSION");
    format!(".TH {} {section} \"\" \"presenced {version}\" \"presenced manual\"\n", name.to_uppercase())
        .into_bytes()
}

fn program_page(man: &Man, text: &mut Vec<u8>) -> std::io::Result<()> {
    man.render_name_section(text)?;
    man.render_synopsis_section(text)?;
    man.render_description_section(text)?;
    man.render_options_section(text)?;
    man.render_subcommands_section(text)?;
    let mut roff = Roff::new();
    section(&mut roff, "EXIT STATUS", EXIT_CODES);
    section(&mut roff, "FILES", FILES);
    section(&mut roff, "ENVIRONMENT", ENVIRONMENT);
    section(&mut roff, "SIGNALS", SIGNALS);
    roff.to_writer(text)?;
    see_also(text, &["presenced.toml(5)", "systemctl(1)", "systemd.exec(5)"])
}

const EXIT_CODES: &[(&str, &str)] = &[
    ("0", "done"),
    ("1", "the command failed; the message says why"),
    ("2", "the command line is wrong"),
    ("3", "check --strict found warnings"),
    ("4", "nothing matched"),
    ("69", "the daemon does not answer"),
    ("75", "try later: rate limited, or the calls of the month are used up"),
    ("77", "DingTalk refused credentials or a permission"),
    ("78", "the config is invalid"),
];
const FILES: &[(&str, &str)] = &[
    (
        "./config.toml, /etc/presenced/config.toml",
        "the config, if neither -c nor PRESENCED_CONFIG names another",
    ),
    ("/etc/presenced/credentials/", "secrets, which systemd passes to the daemon"),
    ("/var/lib/presenced/presence.db", "the history, an SQLite database that its group may read"),
    ("/var/lib/presenced/http-token", "the token of the HTTP listener, if the config sets none"),
    ("/run/presenced/", "the control socket"),
];
const ENVIRONMENT: &[(&str, &str)] = &[
    ("PRESENCED_CONFIG", "the config file, if -c is not given"),
    ("NO_COLOR", "no colours"),
    ("COLUMNS", "width of tables"),
    ("TZ", "the time zone named `local`"),
    ("CREDENTIALS_DIRECTORY", "where systemd puts credentials"),
];
const SIGNALS: &[(&str, &str)] = &[
    ("SIGHUP", "reload the config; an invalid config changes nothing"),
    ("SIGTERM, SIGINT", "stop cleanly within ten seconds; a second signal stops at once"),
];

fn section(roff: &mut Roff, title: &str, rows: &[(&str, &str)]) {
    roff.control("SH", [title]);
    for (term, what) in rows {
        roff.control("TP", []);
        roff.text([bold(*term)]);
        roff.text([roman(*what)]);
    }
}

fn see_also(text: &mut Vec<u8>, pages: &[&str]) -> std::io::Result<()> {
    let mut roff = Roff::new();
    roff.control("SH", ["SEE ALSO"]);
    roff.text([roman(pages.join(", "))]);
    roff.to_writer(text)
}

/// `presenced.toml(5)`: the reference of the config.
fn config_page() -> std::io::Result<Vec<u8>> {
    let mut roff = Roff::new();
    roff.control("SH", ["NAME"]);
    roff.text([roman("presenced.toml - the configuration of presenced, usually /etc/presenced/config.toml")]);
    roff.control("SH", ["DESCRIPTION"]);
    roff.text([roman(
        "TOML. Unknown keys are errors, and nothing in the text is substituted. A duration is a text with its unit: 30s, 5m, \
         1h 30m, 90d. A secret is { credential = \"NAME\" }, { file = \"PATH\" }, { env = \"NAME\" }, \
         { command = [\"PROGRAM\"] }, or a plain text. Relative paths start at the folder of the config.",
    )]);
    for table in TABLES {
        config_section(&mut roff, table);
    }
    let mut text = title("presenced.toml", 5);
    roff.to_writer(&mut text)?;
    see_also(&mut text, &["presenced(1)", "presenced-check(1)", "presenced-config(1)"])?;
    Ok(text)
}

fn config_section(roff: &mut Roff, table: &Table) {
    let title = if table.path.is_empty() { "THE TOP OF THE FILE".to_owned() } else { table.header() };
    roff.control("SH", [title.as_str()]);
    roff.text([roman(table.about)]);
    if let Some(shared) = table.also {
        roff.control("PP", []);
        roff.text([roman(format!("In addition, every key of [{}].", shared.path))]);
    }
    for key in table.keys.iter().filter(|key| key.kind.inner().is_none()) {
        let absent = match key.absent {
            Absent::Default(value) => format!(" Default: {value}."),
            Absent::Means(what) => format!(" When left out: {what}."),
            // The sentence of the key says when it is required.
            Absent::Refused(_) => String::new(),
        };
        let restart = if key.effect == Effect::Restart && !key.about.contains("at a start") {
            " Takes effect at a restart."
        } else {
            ""
        };
        let gap = if key.more.is_empty() { "" } else { " " };
        roff.control("TP", []);
        roff.text([bold(key.name), roman(" ("), italic(key.kind.words()), roman(")")]);
        roff.text([roman(format!("{}{gap}{}{absent}{restart}", key.about, key.more))]);
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::cli::Cli;

    #[test]
    fn every_command_has_a_page_and_the_config_too() {
        let pages = pages(Cli::command()).expect("pages");
        let names: Vec<&str> = pages.iter().map(|page| page.name.as_str()).collect();
        for expected in
            ["presenced.1", "presenced-run.1", "presenced-db-backup.1", "presenced-config-explain.1"]
        {
            assert!(names.contains(&expected), "{expected} is missing: {names:?}");
        }
        for command in Cli::command().get_subcommands().filter(|command| !command.is_hide_set()) {
            let name = format!("presenced-{}.1", command.get_name());
            assert!(names.contains(&name.as_str()), "{name} is missing");
        }
        let config = pages.iter().find(|page| page.name == "presenced.toml.5").expect("the config's page");
        let text = String::from_utf8_lossy(&config.text);
        for table in TABLES {
            for key in table.keys.iter().filter(|key| key.kind.inner().is_none()) {
                assert!(text.contains(&format!("\\fB{}\\fR", key.name)), "{} is missing", key.name);
            }
        }
    }

    #[test]
    fn what_stands_below_the_help_stands_on_the_page_too() {
        let pages = pages(Cli::command()).expect("pages");
        for name in ["presenced-history.1", "presenced-report.1", "presenced-webhook-replay.1"] {
            let page = pages.iter().find(|page| page.name == name).expect(name);
            let text = String::from_utf8_lossy(&page.text).into_owned();
            assert!(text.contains("SH NOTES\nWHEN is a duration ago"), "{text}");
        }
    }

    #[test]
    fn the_first_page_says_how_commands_end() {
        let pages = pages(Cli::command()).expect("pages");
        let text = String::from_utf8_lossy(&pages[0].text).into_owned();
        for exit in [
            Exit::Done,
            Exit::Failed,
            Exit::Usage,
            Exit::Warnings,
            Exit::Nothing,
            Exit::Unreachable,
            Exit::TryLater,
            Exit::Refused,
            Exit::Config,
        ] {
            assert!(text.contains(&format!("\\fB{}\\fR", exit as u8)), "{exit:?}");
        }
    }
}
