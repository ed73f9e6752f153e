//! The help of every command: its own options first, the global ones in a group, then two examples.
//!
//! Guards: each command has examples that its own parser accepts; a command without many options has at most 25 lines of
//! help. Not here: the words about an option (the file of its command).

/// Examples by the words of the command. A command that only groups others has none.
const EXAMPLES: &[(&str, [&str; 2])] = &[
    ("run", ["presenced run", "presenced run -c /etc/presenced/config.toml"]),
    ("demo", ["presenced demo", "presenced demo --seconds 10 --keep"]),
    ("simulate", ["presenced simulate", "presenced simulate --scenario chaos --listen 127.0.0.1:9000"]),
    ("check", ["presenced check", "presenced check --strict --online"]),
    ("now", ["presenced now --group ops --watch", "presenced now --at \"yesterday 10:15\""]),
    (
        "meetings",
        ["presenced meetings --since today", "presenced meetings --since 30d -o csv --bom > month.csv"],
    ),
    (
        "meeting",
        [
            "presenced meeting \"Weekly planning\" --start 10:00",
            "presenced meeting 6b0b86b898eb3080 -o csv --bom > attendance.csv",
        ],
    ),
    (
        "history",
        [
            "presenced history \"Li Wei\" --since 30d",
            "presenced history --since yesterday --group ops -o csv",
        ],
    ),
    ("report", ["presenced report --month --total", "presenced report \"Li Wei\" --since 2026-11-01 -o csv"]),
    (
        "events",
        ["presenced events -f --type 'meeting.*'", "presenced events --since \"yesterday 09:00\" -o jsonl"],
    ),
    ("page", ["presenced page", "presenced page -q"]),
    ("status", ["presenced status", "presenced status --watch"]),
    (
        "init",
        ["presenced init --try", "presenced init --app-key KEY --user UNIONID --webhook https://host/path"],
    ),
    ("reload", ["presenced reload", "presenced reload -c /etc/presenced/config.toml"]),
    ("plan", ["presenced plan", "presenced plan --explain \"Li Wei\""]),
    ("poll", ["presenced poll \"Li Wei\"", "presenced poll \"Li Wei\" --dry-run"]),
    ("db info", ["presenced db info", "presenced db info -o json"]),
    ("db sql", ["presenced db sql", "presenced db sql \"SELECT who, minutes FROM v_visits\""]),
    ("db backup", ["presenced db backup copy.db", "presenced db backup /var/backups/presence.db"]),
    ("db restore", ["presenced db restore copy.db", "presenced db restore /var/backups/presence.db"]),
    ("db prune", ["presenced db prune", "presenced db prune -c /etc/presenced/config.toml"]),
    ("db forget", ["presenced db forget \"Li Wei\"", "presenced db forget \"Li Wei\" --yes"]),
    ("db check", ["presenced db check", "presenced db check -q"]),
    ("db export-trace", ["presenced db export-trace", "presenced db export-trace > trace.jsonl"]),
    ("webhook list", ["presenced webhook list", "presenced webhook list -o json"]),
    (
        "webhook test",
        [
            "presenced webhook test crm",
            "presenced webhook test crm --type meeting.participant_left --user Li --dry-run",
        ],
    ),
    (
        "webhook route",
        [
            "presenced webhook route meeting.participant_joined \"Li Wei\"",
            "presenced webhook route system.alert -o json",
        ],
    ),
    ("webhook deliveries", ["presenced webhook deliveries", "presenced webhook deliveries --dead"]),
    (
        "webhook replay",
        ["presenced webhook replay --dead", "presenced webhook replay --webhook crm --since 2h"],
    ),
    ("webhook pause", ["presenced webhook pause crm", "presenced webhook pause crm -q"]),
    ("webhook resume", ["presenced webhook resume crm", "presenced webhook resume crm -q"]),
    ("webhook enable", ["presenced webhook enable crm", "presenced webhook enable crm -q"]),
    ("webhook snapshot", ["presenced webhook snapshot crm", "presenced webhook snapshot crm -q"]),
    (
        "webhook secret new",
        ["presenced webhook secret new", "presenced webhook secret new -q > credentials/webhook-secret"],
    ),
    ("user list", ["presenced user list", "presenced user list -o csv"]),
    ("user find", ["presenced user find manager4220", "presenced user find --department 1"]),
    ("config show", ["presenced config show", "presenced config show --origin"]),
    ("config explain", ["presenced config explain poll.interval", "presenced config explain webhook"]),
    ("config schema", ["presenced config schema", "presenced config schema > config.schema.json"]),
    ("completions", ["presenced completions bash", "presenced completions zsh > _presenced"]),
    ("man", ["presenced man", "presenced man /usr/share/man/man1"]),
];

/// The same command with the examples at the end of the help of each of its commands.
pub(super) fn with_examples(command: clap::Command) -> clap::Command {
    add(command, "")
}

fn add(command: clap::Command, path: &str) -> clap::Command {
    let names: Vec<String> = command.get_subcommands().map(|sub| sub.get_name().to_owned()).collect();
    let command = names.into_iter().fold(command, |command, name| {
        let path = if path.is_empty() { name.clone() } else { format!("{path} {name}") };
        command.mut_subcommand(name, |sub| add(sub, &path))
    });
    let Some((_, [one, two])) = EXAMPLES.iter().find(|(of, _)| *of == path) else { return command };
    let before = command.get_after_help().map(|text| format!("{text}\n\n")).unwrap_or_default();
    let examples = format!("{before}Examples:\n  {one}\n  {two}");
    command.after_help(examples)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::program;

    /// Every command that does something, with its words.
    fn commands(of: &clap::Command, path: &str) -> Vec<(String, clap::Command)> {
        let mut found = Vec::new();
        for sub in of.get_subcommands().filter(|sub| !sub.is_hide_set()) {
            let path = format!("{path} {}", sub.get_name()).trim().to_owned();
            if sub.has_subcommands() {
                found.extend(commands(sub, &path));
            } else {
                found.push((path, sub.clone()));
            }
        }
        found
    }

    fn help_of(path: &str) -> String {
        let words = ["presenced"].into_iter().chain(path.split(' ')).chain(["--help"]);
        program().term_width(80).try_get_matches_from(words).expect_err("help").to_string()
    }

    #[test]
    fn every_command_has_two_examples_that_it_accepts() {
        for (path, _) in commands(&program(), "") {
            let (_, examples) =
                EXAMPLES.iter().find(|(of, _)| *of == path).unwrap_or_else(|| panic!("no example: {path}"));
            for example in examples {
                let line = example.split('>').next().unwrap_or_default().replace('\'', "\"");
                let words: Vec<&str> = line
                    .split('"')
                    .enumerate()
                    .flat_map(
                        |(at, part)| if at % 2 == 1 { vec![part] } else { part.split_whitespace().collect() },
                    )
                    .collect();
                let parsed = program().try_get_matches_from(words);
                assert!(parsed.is_ok(), "{example}: {}", parsed.expect_err("refused"));
            }
        }
    }

    #[test]
    fn a_command_without_many_options_has_at_most_25_lines_of_help() {
        for (path, command) in commands(&program(), "") {
            let text = help_of(&path);
            let own = command.get_arguments().filter(|arg| !arg.is_global_set()).count();
            if own <= 3 && !text.contains("WHEN is") {
                assert!(text.lines().count() <= 25, "{path}: {} lines\n{text}", text.lines().count());
            }
        }
    }

    #[test]
    fn own_options_come_first_and_no_line_is_wider_than_80_columns() {
        for (path, _) in commands(&program(), "") {
            let text = help_of(&path);
            let global = text.find("Global options:").expect("a group");
            assert!(text.find("\nOptions:").is_none_or(|own| own < global), "{text}");
            assert!(text.find("Examples:").expect("examples") > global, "{text}");
            let wide: Vec<&str> = text.lines().filter(|line| line.chars().count() > 80).collect();
            assert!(wide.is_empty(), "{path}: {wide:#?}");
        }
    }
}
