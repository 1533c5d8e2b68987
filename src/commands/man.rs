//! `almanac man`: manual pages, from the same definitions as the help.

use std::fs;
use std::path::Path;

use anyhow::Result;
use clap::{Arg, Command};
use clap_mangen::roff::{Inline, Roff, bold, italic, roman};

use super::{Exit, Refusal};
use crate::cli;
use crate::output;
use crate::store::StoreError;

pub fn run(options: &cli::Man) -> Result<()> {
    let pages = pages();
    if let Some(dir) = &options.into {
        return pages.iter().try_for_each(|page| write(dir, page));
    }
    let name = options.command.as_ref().map_or("almanac".to_owned(), |command| format!("almanac-{command}"));
    match pages.iter().find(|page| page.name == name) {
        Some(page) => super::print(&page.text),
        None => {
            let command = options.command.as_deref().unwrap_or_default();
            Err(Refusal::usage(format!("there is no command {command:?}"))
                .hint("run `almanac help` to list them")
                .into())
        }
    }
}

struct Page {
    /// As in `almanac-status`.
    name: String,
    text: String,
}

fn write(dir: &Path, page: &Page) -> Result<()> {
    fs::create_dir_all(dir).map_err(|source| StoreError::Io {
        action: "create directory",
        path: dir.to_owned(),
        source,
    })?;
    Ok(output::write(&dir.join(format!("{}.1", page.name)), page.text.as_bytes())?)
}

fn pages() -> Vec<Page> {
    // A manual page also has the options that `-h` leaves out to fit a screen.
    let whole = |command: Command| command.mut_args(|argument| argument.hide_short_help(false));
    let mut almanac = cli::command().subcommand_help_heading("COMMANDS");
    almanac.build();
    let is_own = |command: &&Command| command.get_name() != "help";
    let commands: Vec<Command> = almanac.get_subcommands().filter(is_own).cloned().collect();
    [almanac].into_iter().chain(commands).map(whole).map(page).collect()
}

fn page(mut command: Command) -> Page {
    // As the help has it: all options in one word.
    let usage = command.render_usage().to_string();
    let command = command.override_usage(usage.trim_start_matches("Usage: ").to_owned());
    let name = command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned();
    let mut text = Vec::new();
    let man = clap_mangen::Man::new(command.clone())
        .source(format!("almanac {}", env!("CARGO_PKG_VERSION")))
        .manual("almanac manual");
    let mut sections = Roff::new();
    exit_status(&mut sections);
    environment(&mut sections, &command);
    files(&mut sections, &command);
    examples(&mut sections, &command);
    see_also(&mut sections, &command);
    let render = |text: &mut Vec<u8>| {
        man.render_title(text)?;
        man.render_name_section(text)?;
        man.render_synopsis_section(text)?;
        man.render_description_section(text)?;
        man.render_options_section(text)?;
        if command.has_subcommands() {
            man.render_subcommands_section(text)?;
        }
        sections.to_writer(text)
    };
    render(&mut text).expect("a vector takes all that is written to it");
    Page { name, text: String::from_utf8_lossy(&text).into_owned() }
}

fn section(roff: &mut Roff, name: &str) {
    roff.control("SH", [name]);
}

/// A term, and what it is, indented below it.
fn item(roff: &mut Roff, term: Inline, what: &str) {
    roff.control("TP", []);
    roff.text([term]);
    roff.text([roman(what)]);
}

fn exit_status(roff: &mut Roff) {
    section(roff, "EXIT STATUS");
    for exit in Exit::ALL {
        item(roff, bold((exit as u8).to_string()), exit.meaning());
    }
}

/// The variables of the command's own options, and those that it looks at besides.
fn environment(roff: &mut Roff, command: &Command) {
    section(roff, "ENVIRONMENT");
    for argument in command.get_arguments() {
        if let Some(name) = argument.get_env() {
            item(roff, bold(name.to_string_lossy()), &format!("The same as {}.", option(argument)));
        }
    }
    item(roff, bold("NO_COLOR"), "If it is not empty, nothing is coloured.");
    if has(command, "data") {
        item(roff, bold("XDG_DATA_HOME"), "The directory of the local Kafka's data, if --data is not given.");
        item(roff, bold("ALMANAC_CACHE"), "The directory for the jars of Apache Kafka.");
        item(roff, bold("JAVA_HOME"), "The Java that runs it.");
    }
}

fn option(argument: &Arg) -> String {
    match (argument.get_long(), argument.get_short()) {
        (Some(long), _) => format!("--{long}"),
        (None, Some(short)) => format!("-{short}"),
        (None, None) => argument.get_id().to_string(),
    }
}

fn has(command: &Command, argument: &str) -> bool {
    command.get_arguments().any(|has| has.get_id() == argument)
}

const DIR_FILES: [(&str, &str); 6] = [
    (
        "DIR/partition-N.json",
        "The checkpoint of a partition: statistics and offset together, replaced atomically.",
    ),
    ("DIR/partition-N.rejected.jsonl", "Records that are no report, kept aside."),
    ("DIR/month.svg", "The plot."),
    ("DIR/archive/TOPIC-ID/", "The counts of topics that were deleted since."),
    ("DIR/.almanac/N/log.json", "The log that the checkpoint counts."),
    ("DIR/.almanac/N/status.json", "The status of the partition's consumer, at most once a second."),
];

fn files(roff: &mut Roff, command: &Command) {
    let (of_dir, of_broker) =
        (has(command, "dir") || command.has_subcommands(), has(command, "data") || command.has_subcommands());
    if !of_dir && !of_broker {
        return;
    }
    section(roff, "FILES");
    if of_dir {
        for (path, what) in DIR_FILES {
            item(roff, italic(path), what);
        }
    }
    if of_broker {
        item(roff, italic("~/.local/share/almanac/kafka"), "The data of the local Kafka.");
        item(roff, italic("~/.cache/almanac"), "The jars of Apache Kafka.");
    }
}

fn examples(roff: &mut Roff, command: &Command) {
    section(roff, "EXAMPLES");
    for (line, what) in cli::examples_of(command.get_name()) {
        roff.control("PP", []);
        roff.text([roman(*what)]);
        roff.control("PP", []);
        roff.control("RS", ["4"]);
        roff.control("nf", []);
        roff.text([bold(*line)]);
        roff.control("fi", []);
        roff.control("RE", []);
    }
}

fn see_also(roff: &mut Roff, command: &Command) {
    if !command.has_subcommands() {
        section(roff, "SEE ALSO");
        roff.text([bold("almanac"), roman("(1)")]);
    }
}
