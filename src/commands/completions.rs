//! `almanac completions`: what a shell needs to complete what is typed.

use anyhow::Result;
use clap::builder::PossibleValuesParser;
use clap::{Arg, Command, CommandFactory};

use crate::cli::{self, Cli};
use crate::report::MONTHS;

pub fn run(options: &cli::Completions) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(options.shell, &mut with_values(Cli::command()), "almanac", &mut script);
    super::print(&String::from_utf8_lossy(&script))
}

/// A shell would offer files where the help does not list what can be typed.
fn with_values(almanac: Command) -> Command {
    fn offer(values: Vec<&'static str>) -> impl FnOnce(Arg) -> Arg {
        |argument| argument.value_parser(PossibleValuesParser::new(values))
    }
    // clap takes only what lasts as long as the process, which ends after this.
    let name = |command: &Command| -> &'static str { command.get_name().to_owned().leak() };
    let commands = almanac.get_subcommands().map(name).collect();
    almanac
        .mut_subcommand("man", |man| man.mut_arg("command", offer(commands)))
        .mut_subcommand("plot", |plot| plot.mut_arg("month", offer(MONTHS.to_vec())))
}
