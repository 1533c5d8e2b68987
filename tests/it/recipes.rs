//! The commands and programs of docs/RECIPES.md, in its order, with the output that it promises.

use std::path::Path;
use std::process::Command;

use crate::support::{Place, Raw, kafka, skip};

/// The Python that has what tests/recipes/requirements.txt names; `./test` installs it.
pub fn python() -> Option<String> {
    let python = std::env::var("ALMANAC_TEST_PYTHON").ok();
    if python.is_none() {
        skip("the packages of tests/recipes are not installed: run ./test");
    }
    python
}

/// A block of the page, and the output in the block after it.
struct Recipe<'a> {
    language: &'a str,
    text: &'a str,
    output: Option<&'a str>,
}

fn recipes() -> Vec<Recipe<'static>> {
    let mut recipes: Vec<Recipe> = Vec::new();
    for block in include_str!("../../docs/RECIPES.md").split("```").skip(1).step_by(2) {
        let (language, text) = block.split_once('\n').unwrap();
        match language {
            "text" => recipes.last_mut().unwrap().output = Some(text),
            _ => recipes.push(Recipe { language, text, output: None }),
        }
    }
    recipes
}

#[test]
fn recipes_work_as_written() {
    let place = Place::new();
    place.produce(&["--days", "14610"]);
    place.send(&[Raw { partition: 0, key: None, value: Some(b"31 degrees") }]);
    place.replay(kafka(), "files");
    let dashboard = place.almanac(&["dashboard", "--listen", "127.0.0.1:0"]).start();
    let page = dashboard.stderr_line_with("dashboard at http://");
    let page = page.split("http://").nth(1).unwrap().trim_end_matches('/').to_owned();
    let Some(python) = python() else { return };
    let binaries = Path::new(env!("CARGO_BIN_EXE_almanac")).parent().unwrap().display().to_string();
    let path = format!("{binaries}:{}:{}", Path::new(&python).parent().unwrap().display(), env!("PATH"));
    let mut consumer = None;
    for Recipe { language, text, output } in recipes() {
        let text = text
            .replace("localhost:9092", &place.brokers)
            .replace("\"temperatures\"", &format!("{:?}", place.topic))
            .replace("127.0.0.1:8080", &page);
        if text.contains("/readyz") {
            consumer = Some(place.almanac(&["consumer", "0", "1", "2", "3"]).start());
        }
        let file = place.dir("recipe");
        std::fs::write(&file, &text).unwrap();
        let mut program = match language {
            "sh" => Command::new("bash"),
            "python" => Command::new(&python),
            _ => panic!("a block in {language}"),
        };
        if language == "sh" {
            program.args(["-euo", "pipefail"]);
        }
        let ended = program
            .arg(&file)
            .current_dir(place.temp.path())
            .env("PATH", &path)
            .env("ALMANAC_BROKERS", &place.brokers)
            .env("ALMANAC_TOPIC", &place.topic)
            .output()
            .unwrap();
        assert!(ended.status.success(), "{text}\n{}", String::from_utf8_lossy(&ended.stderr));
        let printed = String::from_utf8(ended.stdout).unwrap();
        if let Some(output) = output {
            assert_eq!(printed, output, "{text}");
        }
    }
    place.caught_up(kafka(), "files");
    assert_eq!(place.days("files"), 14_612, "the two days of the Python producer are counted");
    assert_eq!(consumer.unwrap().terminate().code, Some(0));
}
