//! `presenced completions`: prints the completion script for a shell. `presenced complete` prints the names that it offers.
//!
//! Guards: the completions are those of this binary; a name that cannot be looked up is not offered, without a message. Not
//! here: where a shell looks for them.

use clap::ValueEnum;

use super::open_readonly::block_on;
use super::output::{harmless, write_out};
use super::readable::load_readable;
use super::{Exit, Globals};
use crate::store::Store;

/// Options of `completions`.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Args {
    /// The shell to print completions for
    #[arg(value_name = "SHELL", value_enum)]
    shell: clap_complete::Shell,
}

/// Options of `complete`.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct NamesArgs {
    #[arg(value_enum)]
    what: Names,
}

/// What can be completed from the config and the database.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Names {
    People,
    Webhooks,
    Queries,
}

/// Added to the script for bash: names after the options of clap.
const BASH: &str = r#"
_presenced_with_names() {
    _presenced "$@"
    local words=" ${COMP_WORDS[*]} " cur=${COMP_WORDS[COMP_CWORD]} names="" name
    [[ $cur == -* ]] && return
    case $words in
        *" webhook test "* | *" webhook pause "* | *" webhook resume "* | *" webhook enable "* | *" webhook snapshot "* | *" --webhook "*) names=webhooks ;;
        *" db sql "*) names=queries ;;
        *" now "* | *" history "* | *" report "* | *" poll "* | *" db forget "* | *" --user "* | *" --explain "*) names=people ;;
        *) return ;;
    esac
    while IFS= read -r name; do
        [[ $name == "$cur"* ]] && COMPREPLY+=("$(printf '%q' "$name")")
    done < <(presenced complete "$names" 2>/dev/null)
}
complete -F _presenced_with_names -o nosort -o bashdefault -o default presenced
"#;

/// The same for zsh.
const ZSH: &str = r#"
_presenced_names() {
    local -a names
    names=("${(@f)$(presenced complete $1 2>/dev/null)}")
    compadd -a names
}
"#;

/// The same for fish.
const FISH: &str = r#"
complete -c presenced -f -n "__fish_seen_subcommand_from now history report poll forget" -a "(presenced complete people 2>/dev/null)"
complete -c presenced -f -n "__fish_seen_subcommand_from test pause resume enable snapshot" -a "(presenced complete webhooks 2>/dev/null)"
complete -c presenced -f -n "__fish_seen_subcommand_from sql" -a "(presenced complete queries 2>/dev/null)"
"#;

/// Prints the completions of `program`.
pub fn run(args: &Args, program: &mut clap::Command) -> anyhow::Result<Exit> {
    write_out(std::io::stdout().lock(), &script(args.shell, program))?;
    Ok(Exit::Done)
}

fn script(shell: clap_complete::Shell, program: &mut clap::Command) -> String {
    let mut bytes = Vec::new();
    clap_complete::generate(shell, program, "presenced", &mut bytes);
    let text = String::from_utf8_lossy(&bytes).into_owned();
    match shell {
        clap_complete::Shell::Bash => text + BASH,
        clap_complete::Shell::Zsh => with_names(&text) + ZSH,
        clap_complete::Shell::Fish => text + FISH,
        _ => text,
    }
}

/// The arguments of a zsh script that take a name, with the function that knows the names.
fn with_names(script: &str) -> String {
    let takes = |line: &str| {
        let argument = line.trim_start().trim_start_matches('\'').trim_start_matches(':');
        ["who --", "name --", "query --"]
            .into_iter()
            .zip(["people", "webhooks", "queries"])
            .find_map(|(argument_name, names)| argument.starts_with(argument_name).then_some(names))
    };
    let named = |line: &str| match takes(line) {
        Some(names) => line.replace(":_default'", &format!(":_presenced_names {names}'")),
        None => line.to_owned(),
    };
    script.split_inclusive('\n').map(named).collect()
}

/// Prints names, one a line.
pub fn names(globals: &Globals, args: NamesArgs) -> anyhow::Result<Exit> {
    let (loaded, _) = load_readable(globals)?;
    let names: Vec<String> = match args.what {
        Names::People => loaded.config.users.iter().map(|user| user.name.clone()).collect(),
        Names::Webhooks => loaded.config.webhooks.iter().map(|webhook| webhook.name.to_string()).collect(),
        Names::Queries => block_on(async {
            let store = Store::open_readonly(&loaded.config.history.path).await?;
            let examples = store.history().examples().await;
            store.close().await;
            anyhow::Ok(examples?.into_iter().map(|example| format!("@{}", example.name)).collect())
        })??,
    };
    let lines: String = names.iter().map(|name| harmless(name) + "\n").collect();
    write_out(std::io::stdout().lock(), &lines)?;
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::cli::Cli;

    const SHELLS: [clap_complete::Shell; 3] =
        [clap_complete::Shell::Bash, clap_complete::Shell::Zsh, clap_complete::Shell::Fish];

    #[test]
    fn every_command_is_known_to_every_shell() {
        for shell in SHELLS {
            let text = script(shell, &mut Cli::command());
            for command in Cli::command().get_subcommands() {
                assert!(text.contains(command.get_name()), "{shell} lacks {}", command.get_name());
            }
        }
    }

    #[test]
    fn every_shell_asks_for_people_webhooks_and_queries() {
        for shell in SHELLS {
            let text = script(shell, &mut Cli::command());
            for names in ["people", "webhooks", "queries"] {
                let call = format!("names {names}'");
                let is_asked = text.contains(&call)
                    || text.contains(&format!("names={names} "))
                    || text.contains(&format!("complete {names} "));
                assert!(is_asked, "{shell} does not ask for {names}");
            }
        }
    }
}
