//! The help of each command.

use almanac::cli;

use crate::support::almanac;

pub const COMMANDS: [&str; 14] = [
    "recover",
    "up",
    "broker",
    "producer",
    "debug",
    "consumer",
    "plot",
    "dashboard",
    "verify",
    "status",
    "store",
    "proto",
    "completions",
    "man",
];

fn help(arguments: &[&str]) -> String {
    // Wrapped as on a terminal of that width.
    let ended = almanac(arguments).env("COLUMNS", "100").succeeds();
    assert_eq!(ended.stderr, "");
    ended.stdout
}

#[track_caller]
fn fits_a_screen(text: &str) {
    assert!(text.lines().count() <= 40, "{} lines:\n{text}", text.lines().count());
    for line in text.lines() {
        assert!(line.chars().count() <= 100, "{line}");
    }
}

#[test]
fn all_commands() {
    let short = help(&["-h"]);
    fits_a_screen(&short);
    insta::assert_snapshot!("almanac_h", short);
    insta::assert_snapshot!("almanac_help", help(&["--help"]));
    for command in COMMANDS {
        assert!(short.contains(&format!("\n  {command}  ")), "{command} is not in:\n{short}");
    }
}

#[test]
fn each_command() {
    for command in COMMANDS {
        let short = help(&[command, "-h"]);
        fits_a_screen(&short);
        insta::assert_snapshot!(format!("{command}_h"), short);
        insta::assert_snapshot!(format!("{command}_help"), help(&[command, "--help"]));
    }
}

#[test]
fn texts_are_short_and_in_their_order() {
    let mut wrong = Vec::new();
    for command in cli::command().get_subcommands() {
        for argument in command.get_arguments().filter(|argument| !argument.is_hide_set()) {
            let text = argument.get_help().map(ToString::to_string).unwrap_or_default();
            let said = text.split(" [default").next().unwrap();
            if said.chars().count() > 70 || !said.starts_with(char::is_uppercase) || said.ends_with('.') {
                wrong.push(format!("{} --{}: {said}", command.get_name(), argument.get_id()));
            }
        }
        let name = command.get_name();
        let short = help(&[name, "-h"]);
        assert!(!short.contains("[env:"), "{short}");
        let long = help(&[name, "--help"]);
        let is_heading = |line: &&str| line.ends_with(':') && line.starts_with(char::is_uppercase);
        let headings: Vec<&str> = long.lines().filter(is_heading).collect();
        assert!(headings.ends_with(&["Global options:", "Examples:"]), "{headings:?}");
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn version() {
    let version = format!("almanac {}\n", env!("CARGO_PKG_VERSION"));
    for arguments in [&["--version"][..], &["-V"]] {
        assert_eq!(help(arguments), version);
    }
}

#[test]
fn nothing_typed_shows_the_help() {
    let ended = almanac(&[]).fails(2);
    assert_eq!(ended.stdout, "");
    assert!(ended.stderr.contains("Usage: almanac"), "{}", ended.stderr);
}

#[test]
fn proto_prints_the_schema() {
    assert_eq!(help(&["proto"]), include_str!("../../core/src/report.proto"));
}

#[test]
fn a_password_is_not_shown() {
    let ended = almanac(&["producer", "--help"]).env("ALMANAC_X", "sasl.password=open sesame").succeeds();
    assert!(ended.stdout.contains("ALMANAC_X"), "{}", ended.stdout);
    assert!(!ended.stdout.contains("sesame"), "{}", ended.stdout);
}
