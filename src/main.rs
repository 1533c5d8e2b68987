use std::process::ExitCode;

use almanac::cli::{self, Cli};
use almanac::{commands, logging};
use clap::FromArgMatches;

fn main() -> ExitCode {
    let is_short = std::env::args_os().any(|argument| argument == "-h");
    let mut command = if is_short { cli::short_command() } else { cli::command() };
    let matches = command.get_matches_mut();
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.format(&mut command).exit());
    logging::start(&cli.logging);
    let result = commands::run(cli.command);
    commands::exit_code(result)
}
