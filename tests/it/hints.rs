//! Each hint in the source is one instruction, and its commands and options work when they are typed.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use almanac::cli::{self, Cli};
use clap::FromArgMatches;
use clap::error::ErrorKind;
use proc_macro2::{Delimiter, TokenStream, TokenTree};
use rdkafka::ClientConfig;

use crate::layers::sources;
use crate::support::has_program;

/// The verbs that a hint may begin with.
const VERBS: [&str; 37] = [
    "add", "allow", "check", "connect", "continue", "correct", "count", "draw", "end", "fetch", "fill",
    "fix", "free", "install", "keep", "leave", "move", "name", "pick", "put", "read", "recreate", "renew",
    "request", "restore", "run", "say", "send", "set", "split", "start", "stop", "take", "unpack", "unset",
    "use", "write",
];

const WORDS_MAX: usize = 25;

/// What the parts of a text that are filled in later, or by the user, stand for.
const EXAMPLES: [(&str, &str); 27] = [
    ("{recover}", "almanac recover 2"),
    ("{consumer}", "almanac consumer 2"),
    ("{brokers}", "127.0.0.1:9092"),
    ("{options}", "f"),
    ("{option}", "--listen"),
    ("{flag} {value}", "--unit f"),
    ("{operation:?}", "Read"),
    ("{kind}", "topic"),
    ("{unit}", "f"),
    ("{pattern}", " --date-format unix"),
    ("{}://HOST:{port}", "SSL://a:9093"),
    ("{port}", "9093"),
    ("HOST:PORT", "a:9092"),
    ("MIN..MAX", "-60..60"),
    ("LAT,LON", "43.07,-89.40"),
    ("CHARACTER", "tab"),
    ("FORMAT", "csv"),
    ("DATE", "1990-01-01"),
    ("NAME", "a"),
    ("DIR", "a"),
    ("ID", "a"),
    ("N", "3"),
    ("{years}", "3"),
    ("{last}", "3"),
    ("{nearest}", "3"),
    ("{found}", "a"),
    ("{}", "3"),
];

#[test]
fn each_is_one_instruction() {
    let mut wrong = Vec::new();
    for Text { place, text } in hints() {
        // The part of a hint that follows a command, or a command.
        if text.starts_with(['{', ',', ' ']) || text.starts_with("almanac ") {
            continue;
        }
        // A condition comes first: "if X, Y".
        let instruction = match text.strip_prefix("if ") {
            Some(rest) => rest.split_once(", ").map_or(rest, |(_, rest)| rest),
            None => &text,
        };
        let verb = instruction.split(' ').next().unwrap_or_default();
        if !VERBS.contains(&verb) {
            wrong.push(format!("{place}: {verb:?} is not a verb of VERBS: {text:?}"));
        }
        // A command counts as a word.
        let words: usize =
            text.split('`').step_by(2).map(|words| words.split_whitespace().count() + 1).sum::<usize>() - 1;
        if words > WORDS_MAX || text.contains("; ") || text.contains(". ") || text.ends_with('.') {
            wrong.push(format!("{place}: more than an instruction: {text:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn each_command_is_one_that_almanac_or_another_program_has() {
    let mut wrong = Vec::new();
    let mut commands = 0;
    // Errors, notes and help also name commands.
    let hints = hints().into_iter().map(|hint| (hint, true));
    let texts = texts(|_| true).into_iter().map(|text| (text, false));
    for (Text { place, text }, is_hint) in hints.chain(texts) {
        for command in text.split('`').skip(1).step_by(2) {
            let typed = with_examples(command);
            let result = match typed.split(' ').next().unwrap_or_default() {
                "almanac" => parse(&words(&typed)),
                option if option.starts_with("--") => parse_options(&words(&typed)),
                // As it is typed into a shell, or into another program.
                _ if !is_hint => continue,
                "kafka-acls.sh" | "kafka-configs.sh" if command.contains(" --bootstrap-server ") => Ok(()),
                "sudo" => is_package(&typed),
                "ulimit" | "sysctl" | "daily=temperature_2m_max" => Ok(()),
                _ => Err("which program is that?".to_owned()),
            };
            commands += 1;
            wrong.extend(result.err().map(|error| format!("{place}: `{typed}`: {error}")));
        }
        if is_hint && text.contains("'almanac") {
            wrong.push(format!("{place}: a command stands between backticks: {text:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(commands > 50, "{commands}");
}

#[test]
fn each_option_and_each_property_exists() {
    let options: BTreeSet<String> = commands()
        .iter()
        .flat_map(|command| command.get_arguments().filter_map(|argument| argument.get_long()))
        .map(|long| format!("--{long}"))
        .collect();
    let mut wrong = Vec::new();
    for Text { place, text } in hints() {
        // Those of other programs are within backticks.
        let outside: String = text.split('`').step_by(2).collect::<Vec<_>>().join(" ");
        let is_part = |character: char| character.is_ascii_alphanumeric() || "-_.=".contains(character);
        let words: Vec<&str> = outside.split(|character| !is_part(character)).collect();
        for (at, word) in words.iter().enumerate() {
            let is_of_another = text.contains("Docker: --ulimit") && *word == "--ulimit";
            if word.starts_with("--")
                && !options.contains(word.split('=').next().unwrap_or_default())
                && !is_of_another
            {
                wrong.push(format!("{place}: no command has {word}: {text:?}"));
            }
            if *word == "-X"
                && let Some(property) = words.get(at + 1).filter(|word| word.contains('.'))
            {
                let (key, value) = property.split_once('=').unwrap_or((property, ""));
                let error = ClientConfig::new().set(key, value).create_native_config().err();
                let error = error.map(|error| error.to_string()).unwrap_or_default();
                if error.contains("No such configuration property")
                    || (!value.is_empty() && !error.is_empty())
                {
                    wrong.push(format!("{place}: -X {property}: {error}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn scripts_name_what_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let scripts = fs::read_dir(root.join("scripts")).unwrap().map(|entry| entry.unwrap().path());
    for script in scripts.chain(["run", "test", ".ci/run"].map(|name| root.join(name))) {
        let text = fs::read_to_string(&script).unwrap();
        for hint in text.lines().filter_map(|line| line.split_once("\"hint: ")).map(|(_, hint)| hint) {
            let verb = hint.split(' ').next().unwrap();
            assert!(VERBS.contains(&verb), "{}: {hint}", script.display());
            for path in hint.split([' ', '"']).filter(|word| word.starts_with("scripts/")) {
                assert!(root.join(path).exists(), "{}: {hint}", script.display());
            }
        }
    }
}

/// A text in the source, and its file.
struct Text {
    place: String,
    text: String,
}

fn hints() -> Vec<Text> {
    let mut hints = texts(is_hint);
    // It prints them.
    hints.retain(|hint| hint.place != "src/logging.rs");
    assert!(hints.len() > 100, "{}", hints.len());
    hints
}

/// The texts of sentences in the source that are the value, the argument or the body of something with a name that
/// `is_wanted`.
fn texts(is_wanted: fn(&str) -> bool) -> Vec<Text> {
    let mut texts = Vec::new();
    for source in sources() {
        let mut found = BTreeSet::new();
        collect(source.code.parse().unwrap(), is_wanted, &mut found);
        texts.extend(found.into_iter().map(|text| Text { place: format!("src/{}", source.name), text }));
    }
    texts
}

fn is_hint(name: &str) -> bool {
    let name = name.to_lowercase();
    ["hint", "advice"].iter().any(|word| name == *word || name.ends_with(&format!("_{word}")))
}

fn collect(tokens: TokenStream, is_wanted: fn(&str) -> bool, found: &mut BTreeSet<String>) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    for (at, token) in tokens.iter().enumerate() {
        match token {
            TokenTree::Ident(name) if is_wanted(&name.to_string()) => {
                let is_function = matches!(at.checked_sub(1).map(|before| &tokens[before]), Some(TokenTree::Ident(word)) if word == "fn");
                let rest = tokens[at + 1..].iter();
                let is_end = |token: &TokenTree| match token {
                    TokenTree::Group(group) => is_function && group.delimiter() == Delimiter::Brace,
                    TokenTree::Punct(punct) => !is_function && ",;".contains(punct.as_char()),
                    _ => false,
                };
                let mut is_ended = false;
                let value = rest.take_while(|token| !std::mem::replace(&mut is_ended, is_end(token)));
                value.for_each(|token| literals(token, found));
            }
            TokenTree::Group(group) => collect(group.stream(), is_wanted, found),
            _ => {}
        }
    }
}

/// The texts of several words in this.
fn literals(token: &TokenTree, found: &mut BTreeSet<String>) {
    match token {
        TokenTree::Group(group) => group.stream().into_iter().for_each(|token| literals(&token, found)),
        TokenTree::Literal(literal) => {
            found.extend(text_of(&literal.to_string()).filter(|text| text.contains(' ')));
        }
        _ => {}
    }
}

/// The text of a literal, if it is one of a string.
fn text_of(literal: &str) -> Option<String> {
    let quoted = literal.strip_prefix('"')?.strip_suffix('"')?;
    // As Rust joins lines that end with a backslash.
    let lines: Vec<&str> = quoted.split("\\\n").collect();
    let joined: Vec<&str> =
        lines.iter().enumerate().map(|(at, line)| if at == 0 { line } else { line.trim_start() }).collect();
    Some(joined.concat().replace("\\\"", "\"").replace("\\n", "\n").replace("\\\\", "\\"))
}

/// The command as a user would type it.
fn with_examples(command: &str) -> String {
    let is_part = |character: char| character.is_ascii_alphanumeric() || character == '_';
    let mut command = command.to_owned();
    for (placeholder, example) in EXAMPLES {
        let mut from = 0;
        while let Some(at) = command[from..].find(placeholder).map(|at| from + at) {
            let end = at + placeholder.len();
            let is_word = !command[..at].ends_with(is_part) && !command[end..].starts_with(is_part);
            from = end;
            if is_word || placeholder.contains('{') {
                command.replace_range(at..end, example);
                from = at + example.len();
            }
        }
    }
    command
}

/// The words that a shell makes of a line.
fn words(line: &str) -> Vec<String> {
    let output = Command::new("bash").args(["-c", &format!("printf '%s\\n' {line}")]).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{line}: {output:?}");
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

fn parse(words: &[String]) -> Result<(), String> {
    // As `main` does.
    let parsed =
        cli::command().try_get_matches_from(words).and_then(|matches| Cli::from_arg_matches(&matches));
    match parsed {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::DisplayHelp => Ok(()),
        // The name of a command.
        Err(error) if error.kind() == ErrorKind::MissingRequiredArgument && words.len() == 2 => Ok(()),
        Err(error) => Err(error.to_string()),
    }
}

fn commands() -> Vec<clap::Command> {
    cli::command().get_subcommands().cloned().collect()
}

/// Options without their command, of which one must take them.
fn parse_options(words: &[String]) -> Result<(), String> {
    let takes = |command: &clap::Command| {
        let line =
            ["almanac", command.get_name()].map(str::to_owned).into_iter().chain(words.iter().cloned());
        match cli::command().try_get_matches_from(line) {
            // A name without its value.
            Err(error) if words.len() == 1 => {
                !matches!(error.kind(), ErrorKind::UnknownArgument | ErrorKind::InvalidSubcommand)
            }
            Err(error) => error.kind() == ErrorKind::MissingRequiredArgument,
            Ok(_) => true,
        }
    };
    commands().iter().any(takes).then_some(()).ok_or_else(|| "no command takes that".to_owned())
}

/// Whether Debian or Ubuntu have the packages. Not each release has each.
fn is_package(command: &str) -> Result<(), String> {
    let packages = command.strip_prefix("sudo apt install ").ok_or("which program is that?")?;
    if packages.starts_with("openjdk-") || !has_program("apt-cache") {
        return Ok(());
    }
    let output = Command::new("apt-cache").arg("show").args(packages.split(' ')).output().unwrap();
    let is_listed = output.status.success() && !output.stdout.is_empty();
    is_listed.then_some(()).ok_or_else(|| "there is no such package".to_owned())
}
