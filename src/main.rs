use std::process::ExitCode;

use almanac::cli::Cli;
use almanac::{commands, logging};
use clap::Parser;

fn main() -> ExitCode {
    let cli = Cli::parse();
    logging::start(&cli.logging);
    let result = commands::run(cli.command);
    commands::exit_code(result)
}
