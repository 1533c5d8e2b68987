//! Completions and manual pages: what a shell and a reader of manuals make of them.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use almanac::commands::Exit;

use crate::help::COMMANDS;
use crate::support::{almanac, has_program};

/// The output of a shell for a script. In it, `almanac` is the binary under test, and HOME a place of its own.
fn run(shell: &[&str], home: &Path, script: &str) -> Output {
    let binaries = Path::new(env!("CARGO_BIN_EXE_almanac")).parent().unwrap();
    let path = format!("{}:{}", binaries.display(), std::env::var("PATH").unwrap());
    let (program, arguments) = shell.split_first().unwrap();
    let mut command = Command::new(program);
    command
        .args(arguments)
        .arg(script)
        .env("PATH", path)
        .env("HOME", home)
        .env("PROFILE", home.join("profile"));
    command.output().unwrap()
}

/// The words that bash offers for a line that ends where the cursor is.
#[track_caller]
fn candidates(line: &str) -> BTreeSet<String> {
    let words: Vec<&str> = line.split(' ').collect();
    // As bash calls it: the function that `complete` named, with command, word and word before.
    let script = format!(
        "source <(almanac completions bash)
        COMP_WORDS=({quoted}); COMP_CWORD={last}
        function=$(complete -p almanac | sed 's/.*-F \\([^ ]*\\).*/\\1/')
        $function almanac {word:?} {before:?}
        printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        quoted = words.iter().map(|word| format!("{word:?}")).collect::<Vec<_>>().join(" "),
        last = words.len() - 1,
        word = words[words.len() - 1],
        before = words[words.len() - 2],
    );
    let home = tempfile::tempdir().unwrap();
    let output = run(&["bash", "--norc", "-c"], home.path(), &script);
    assert!(output.stderr.is_empty(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn bash_completes_commands_options_and_values() {
    let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<String>>();
    let all = candidates("almanac ");
    assert!(all.is_superset(&set(&COMMANDS)), "{all:?}");
    for (line, expected) in [
        ("almanac stat", &["status"][..]),
        ("almanac status --fo", &["--format"]),
        ("almanac status --format ", &["text", "json"]),
        ("almanac verify --format j", &["json"]),
        ("almanac recover --re", &["--restart", "--repartition"]),
        ("almanac producer --unit ", &["c", "f", "tenths-c"]),
        ("almanac plot --month Ju", &["June", "July"]),
        ("almanac man sta", &["status"]),
        ("almanac completions ", &["bash", "elvish", "fish", "powershell", "zsh"]),
    ] {
        let found = candidates(line);
        // Options can be typed wherever a word can.
        let found: BTreeSet<String> = match line.ends_with(' ') {
            true => found.into_iter().filter(|word| !word.starts_with('-')).collect(),
            false => found,
        };
        assert_eq!(found, set(expected), "{line:?}");
    }
}

#[test]
fn every_shell_has_a_script_that_it_can_read() {
    for (shell, check) in [
        ("bash", Some(&["bash", "-n"][..])),
        ("zsh", Some(&["zsh", "-n"])),
        ("fish", Some(&["fish", "--no-execute"])),
        ("elvish", Some(&["elvish", "-compileonly"])),
        ("powershell", None),
    ] {
        let script = almanac(&["completions", shell]).succeeds().stdout;
        for command in COMMANDS {
            assert!(script.contains(command), "{command} is not in the script of {shell}");
        }
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("almanac");
        fs::write(&file, script).unwrap();
        let Some((program, arguments)) = check.and_then(|check| check.split_first()) else { continue };
        // The check runs on each machine that has the shell.
        if let Ok(output) = Command::new(program).args(arguments).arg(&file).output() {
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
    }
    let ended = almanac(&["completions", "csh"]).fails(2);
    assert!(ended.stderr.contains("[possible values: bash,"), "{}", ended.stderr);
}

/// The pages by the arguments that print them, with the help of the same command.
fn pages() -> Vec<(String, String, String)> {
    let almanac_itself = (vec!["man"], vec!["--help"], "almanac".to_owned());
    let of_command = |command| (vec!["man", command], vec![command, "--help"], format!("almanac-{command}"));
    let print = |arguments: &[&str]| almanac(arguments).env("COLUMNS", "100").succeeds().stdout;
    [almanac_itself]
        .into_iter()
        .chain(COMMANDS.map(of_command))
        .map(|(man, help, name)| (name, print(&man), print(&help)))
        .collect()
}

#[test]
fn every_command_has_a_page_with_all_that_its_help_has() {
    for (name, page, help) in pages() {
        let plain = page.replace("\\-", "-");
        assert!(plain.lines().any(|line| line.starts_with(&format!(".TH {name} 1 "))), "{page}");
        let mut sections =
            vec!["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXIT STATUS", "ENVIRONMENT", "EXAMPLES"];
        if help.contains("--dir") || help.contains("--data") || name == "almanac" {
            sections.push("FILES");
        }
        for section in sections {
            let quoted = plain.contains(&format!(".SH \"{section}\"\n"));
            assert!(quoted || plain.contains(&format!(".SH {section}\n")), "{name}: no {section}");
        }
        let is_part = |character: char| character.is_ascii_alphanumeric() || "-_".contains(character);
        let words = help.split(|character| !is_part(character));
        let flags_and_variables =
            words.filter(|word| (word.starts_with("--") && word.len() > 2) || word.starts_with("ALMANAC_"));
        for word in flags_and_variables {
            assert!(plain.contains(word), "{name} has nothing of {word}");
        }
    }
    let ended = almanac(&["man", "weather"]).fails(2);
    assert!(ended.stderr.contains("no command \"weather\""), "{}", ended.stderr);
}

#[test]
fn pages_are_typeset_without_a_warning() {
    if !has_program("groff") {
        return;
    }
    for (name, page, _) in pages() {
        let mut groff = Command::new("groff")
            .args(["-ww", "-man", "-K", "utf8", "-Tutf8", "-P-cbou"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        groff.stdin.take().unwrap().write_all(page.as_bytes()).unwrap();
        let output = groff.wait_with_output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{name}");
        assert!(String::from_utf8(output.stdout).unwrap().contains("EXIT STATUS"), "{name}");
    }
}

#[test]
fn all_pages_are_written_into_a_directory() {
    let dir = tempfile::tempdir().unwrap();
    let into = dir.path().join("share/man1");
    let ended = almanac(&["man", "--into", into.to_str().unwrap()]).succeeds();
    assert_eq!((ended.stdout.as_str(), ended.stderr.as_str()), ("", ""));
    let pages = pages();
    for (name, page, _) in &pages {
        assert_eq!(fs::read_to_string(into.join(format!("{name}.1"))).unwrap(), *page);
    }
    assert_eq!(fs::read_dir(&into).unwrap().count(), pages.len());
    almanac(&["man", "--into", "/dev/null/man1"]).fails(7);
}

#[test]
fn the_docs_install_all_files() {
    let home = tempfile::tempdir().unwrap();
    let lines = include_str!("../../docs/INSTALL.md")
        .lines()
        .filter(|line| line.starts_with("almanac completions") || line.starts_with("almanac man"));
    let mut count = 0;
    for line in lines {
        if let Some(file) = line.split("> ~/").nth(1) {
            let file = home.path().join(file.split(' ').next().unwrap());
            fs::create_dir_all(file.parent().unwrap()).unwrap();
        }
        let output = run(&["bash", "--norc", "-c"], home.path(), line);
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(String::from_utf8_lossy(&output.stdout), "", "{line}");
        count += 1;
    }
    assert_eq!(count, 6, "one for each shell, and one for the manual");
    let completions = home.path().join(".local/share/bash-completion/completions/almanac");
    assert!(fs::read_to_string(completions).unwrap().contains("complete -F"));
    assert!(home.path().join(".local/share/man/man1/almanac-consumer.1").exists());
}

#[test]
fn docs_and_manual_agree_on_the_exit_status() {
    let readme = include_str!("../../docs/OUTPUT.md");
    for exit in Exit::ALL {
        let row = format!("\n| {} | {} |\n", exit as u8, exit.meaning());
        assert!(readme.contains(&row), "{row}");
    }
}
