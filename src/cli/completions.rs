//! `presenced completions`: what a shell needs to complete our command lines.
//!
//! Guards: the completions are those of this very binary. Deliberately not here: where a shell wants them.

use clap::CommandFactory;

use super::output::write_out;
use super::{Cli, Exit, Globals};

/// Options of `completions`.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Args {
    /// For this shell
    #[arg(value_name = "SHELL", value_enum)]
    shell: clap_complete::Shell,
}

/// Runs it.
pub fn run(_globals: &Globals, args: Args) -> anyhow::Result<Exit> {
    let Args { shell } = args;
    write_out(std::io::stdout().lock(), &script(shell))?;
    Ok(Exit::Done)
}

fn script(shell: clap_complete::Shell) -> String {
    let mut bytes = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "presenced", &mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_is_known_to_every_shell() {
        for shell in [clap_complete::Shell::Bash, clap_complete::Shell::Zsh, clap_complete::Shell::Fish] {
            let text = script(shell);
            for command in Cli::command().get_subcommands() {
                assert!(text.contains(command.get_name()), "{shell} lacks {}", command.get_name());
            }
        }
    }
}
