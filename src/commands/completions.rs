//! `almanac completions`: what a shell needs to complete what is typed.

use anyhow::Result;
use clap::CommandFactory;

use crate::cli::{self, Cli};

pub fn run(options: &cli::Completions) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(options.shell, &mut Cli::command(), "almanac", &mut script);
    super::print(&String::from_utf8_lossy(&script))
}
