//! `presenced completions`: prints the completion script for a shell.
//!
//! Guards: the completions are those of this binary. Not here: where a shell looks for them.

use super::Exit;
use super::output::write_out;

/// Options of `completions`.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Args {
    /// The shell to print completions for
    #[arg(value_name = "SHELL", value_enum)]
    shell: clap_complete::Shell,
}

/// Prints the completions of `program`.
pub fn run(args: &Args, program: &mut clap::Command) -> anyhow::Result<Exit> {
    write_out(std::io::stdout().lock(), &script(args.shell, program))?;
    Ok(Exit::Done)
}

fn script(shell: clap_complete::Shell, program: &mut clap::Command) -> String {
    let mut bytes = Vec::new();
    clap_complete::generate(shell, program, "presenced", &mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::cli::Cli;

    #[test]
    fn every_command_is_known_to_every_shell() {
        for shell in [clap_complete::Shell::Bash, clap_complete::Shell::Zsh, clap_complete::Shell::Fish] {
            let text = script(shell, &mut Cli::command());
            for command in Cli::command().get_subcommands() {
                assert!(text.contains(command.get_name()), "{shell} lacks {}", command.get_name());
            }
        }
    }
}
