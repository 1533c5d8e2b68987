//! `almanac status`: how far each partition is, as its files say.

use std::fmt::Write;
use std::io::{self, IsTerminal};
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use jiff::Timestamp;
use serde::Serialize;

use crate::cli::{self, Format};
use crate::logging::{has_colour, is_in_foreground};
use crate::status::{Status, Summary, View, ViewState};
use crate::stop::Stop;
use crate::text::escaped;

const HEADINGS: [&str; 10] =
    ["PARTITION", "STATE", "OFFSET", "LAG", "RATE/S", "NEWEST", "AGE", "REJECTED", "LAST DURABLE", "OWNER"];
const STATE: usize = 1;
const UNKNOWN: &str = "–";

pub fn run(options: &cli::Status) -> Result<()> {
    let dir = &options.dir.dir;
    super::warn_of_several_topics(dir);
    if let Some(every) = options.watch {
        return watch(dir, options.format, every);
    }
    let views = View::read_all(dir)?;
    if views.is_empty() {
        return Err(super::no_checkpoints(dir).into());
    }
    let now = Timestamp::now();
    match options.format {
        Format::Json => super::print_json(&json(&views, now))?,
        Format::Text => super::print(&table(&views, now, has_colour(&io::stdout())))?,
    }
    tell_stalled(&views, now);
    let failure = views.into_iter().find_map(|view| view.checkpoint.err());
    failure.map_or(Ok(()), |error| Err(error.into()))
}

/// The table is there for the eye; who runs this in a script learns of it, too.
fn tell_stalled(views: &[View], now: Timestamp) {
    for view in views {
        let (number, cause) = (view.partition, view.cause(now));
        match view.state(now) {
            ViewState::Waiting => {
                tracing::warn!(
                    "partition {number} waits: {}",
                    cause.unwrap_or("its consumer does not say for what")
                );
            }
            ViewState::Stalled(time) => tracing::warn!(
                hint = "its consumer says why on stderr, with -v in full",
                "partition {number} has stalled: no checkpoint for {} s, lag {}{}",
                time.as_secs(),
                view.lag(now).map_or("unknown".to_owned(), |lag| lag.to_string()),
                cause.map_or(String::new(), |cause| format!("; {cause}"))
            ),
            _ => {}
        }
        if let Some(status) = &view.status
            && status.rejected > 0
            && status.counted + status.duplicates == 0
        {
            tracing::warn!(
                hint = format!("look at the reasons in partition-{number}.rejected.jsonl"),
                "partition {number}: all {} records that its consumer has read are rejected",
                status.rejected
            );
        }
    }
}

/// Shows it again and again, partitions that have come since, too.
fn watch(dir: &Path, format: Format, every: Duration) -> Result<()> {
    let stop = Stop::on_signals()?;
    let mut screen = Screen::new();
    while !stop.is_asked() {
        let (views, now) = (View::read_all(dir)?, Timestamp::now());
        match format {
            Format::Json => super::print_json(&json(&views, now))?,
            Format::Text => screen.show(&table(&views, now, has_colour(&io::stdout())))?,
        }
        stop.wait(every);
    }
    Ok(())
}

/// Where one table follows the other: in its place on a terminal, below it elsewhere.
struct Screen {
    is_terminal: bool,
    /// Of the table before.
    lines: Option<usize>,
}

impl Screen {
    fn new() -> Self {
        Screen { is_terminal: io::stdout().is_terminal(), lines: None }
    }

    fn show(&mut self, table: &str) -> Result<()> {
        let before = self.lines;
        if !self.is_terminal {
            self.lines = Some(0);
            return super::print(&format!("{}{table}", if before.is_some() { "\n" } else { "" }));
        }
        if !is_in_foreground(io::stdout()) {
            // The lines are the shell's by now; the next table is drawn below them.
            self.lines = None;
            return Ok(());
        }
        // What is above the screen's first line can't be reached any more to be drawn over.
        let rows = rustix::termios::tcgetwinsize(io::stdout()).map_or(0, |size| usize::from(size.ws_row));
        let (text, lines) = frame(table, if rows > 1 { rows - 1 } else { usize::MAX }, before.unwrap_or(0));
        self.lines = Some(lines);
        super::print(&text)
    }
}

/// What draws the table over the one before, and how many lines it has. A line that is too long for the terminal is
/// cut there: one that went on below would be two lines to draw over.
fn frame(table: &str, lines_max: usize, before: usize) -> (String, usize) {
    let mut text = "\x1b[?7l".to_owned();
    if before > 0 {
        let _ = write!(text, "\x1b[{before}F");
    }
    let mut lines = 0;
    for line in table.lines().take(lines_max) {
        let _ = writeln!(text, "{line}\x1b[K");
        lines += 1;
    }
    text.push_str("\x1b[J\x1b[?7h");
    (text, lines)
}

fn json(views: &[View], now: Timestamp) -> String {
    #[derive(Serialize)]
    struct Partitions<'a> {
        partitions: Vec<Summary<'a>>,
    }
    let partitions = views.iter().map(|view| view.summary(now)).collect();
    // Nothing in it can't be JSON: keys are names, and rates are finite.
    serde_json::to_string(&Partitions { partitions }).unwrap_or_default() + "\n"
}

/// Columns as wide as their widest cell.
fn table(views: &[View], now: Timestamp, has_colour: bool) -> String {
    let rows: Vec<_> = views.iter().map(|view| (view.state(now), row(view, now))).collect();
    let cells = || rows.iter().map(|(_, row)| row);
    let width = |column: usize| {
        cells().map(|row| row[column].chars().count()).chain([HEADINGS[column].len()]).max().unwrap_or(0)
    };
    let widths: [usize; HEADINGS.len()] = std::array::from_fn(width);
    let line = |row: &[String; HEADINGS.len()]| {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    let mut text = String::new();
    let headings = line(&HEADINGS.map(str::to_owned));
    let _ = match has_colour {
        true => writeln!(text, "\x1b[1m{headings}\x1b[0m"),
        false => writeln!(text, "{headings}"),
    };
    for (state, row) in &rows {
        let mut line = line(row);
        if let Some(colour) = colour(*state).filter(|_| has_colour) {
            // Its column begins where the first one, and the space after it, ends.
            let start = widths[0] + 2;
            let end = start + row[STATE].len();
            line.insert_str(end, "\x1b[0m");
            line.insert_str(start, &format!("\x1b[{colour}m"));
        }
        let _ = writeln!(text, "{line}");
    }
    text
}

fn colour(state: ViewState) -> Option<u8> {
    match state {
        ViewState::Running => Some(32),
        ViewState::Silent(_) | ViewState::Waiting => Some(33),
        ViewState::Stalled(_) | ViewState::Unreadable => Some(31),
        ViewState::Stopped | ViewState::Unknown => None,
    }
}

fn row(view: &View, now: Timestamp) -> [String; HEADINGS.len()] {
    let state = match view.state(now) {
        ViewState::Unknown => None,
        state => Some(state.to_string()),
    };
    let checkpoint = view.checkpoint.as_ref().ok();
    // Of what can't be read there is nothing to say.
    let status = checkpoint.and(view.status.as_ref());
    let of_status = |field: fn(&Status) -> Option<String>| status.and_then(field);
    [
        Some(view.partition.to_string()),
        state,
        checkpoint.map(|checkpoint| checkpoint.offset.to_string()),
        view.lag(now).map(|lag| lag.to_string()),
        view.rate(now).map(|rate| format!("{rate:.0}")),
        checkpoint.and_then(|checkpoint| checkpoint.statistics.newest()).map(|date| date.to_string()),
        checkpoint.and(view.age(now)).map(|age| format!("{}s", age.as_secs())),
        of_status(|status| status.rejected_total.map(|rejected| rejected.to_string())),
        of_status(|status| status.last_durable.clone()),
        of_status(|status| Some(status.owner.to_string())),
    ]
    .map(|cell| cell.map_or_else(|| UNKNOWN.to_owned(), |cell| escaped(&cell).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::Checkpoint;
    use crate::status::State;
    use crate::store::{Owner, StoreError};

    const NOW: Timestamp = Timestamp::constant(1_000_000_000, 0);

    fn before(seconds: i64) -> Timestamp {
        NOW.checked_sub(jiff::SignedDuration::from_secs(seconds)).unwrap()
    }

    fn view(partition: i32, state: State, silence: i64) -> View {
        let status = Status {
            partition,
            topic: "temperatures".to_owned(),
            state,
            offset: 1000,
            position: 1000,
            high_watermark: Some(1000 + i64::from(partition)),
            lag: Some(i64::from(partition)),
            rate: 10.4,
            counted: 950,
            duplicates: 49,
            rejected: 1,
            rejected_total: Some(1),
            days: 950,
            newest: Some("1990-04-30".to_owned()),
            last_durable: Some(before(silence).to_string()),
            last_progress: Some(before(silence).to_string()),
            stalled_since: (state == State::Stalled).then(|| before(40).to_string()),
            checkpoint_seconds: 0.002,
            checkpoint_bytes: 4711,
            rebalances: 1,
            broker_errors: 0,
            waiting_for: None,
            owner: Owner { pid: 42, host: "weather".to_owned(), since: before(100).to_string() },
            written: before(silence).to_string(),
        };
        View {
            partition,
            checkpoint: Ok(Checkpoint::empty(partition, 1000)),
            status: Some(status),
            modified: Some(before(silence)),
            bytes: Some(4711),
        }
    }

    /// One of each state.
    fn views() -> Vec<View> {
        let unreadable = StoreError::Unreadable {
            path: "files/partition-10.json".into(),
            reason: "expected value at line 1 column 1".to_owned(),
        };
        vec![
            view(0, State::Running, 1),
            view(1, State::Stalled, 1),
            view(2, State::Running, 90),
            view(3, State::Stopped, 3600),
            View { checkpoint: Err(unreadable), ..view(10, State::Running, 1) },
            View { status: None, ..view(11, State::Running, 1) },
        ]
    }

    #[test]
    fn a_table_is_for_the_eye() {
        insta::assert_snapshot!("table", table(&views(), NOW, false));
        let coloured = table(&views(), NOW, true);
        assert!(coloured.contains("\n1          \x1b[31mstalled 40s\x1b[0m  1000    1 "), "{coloured:?}");
        assert!(coloured.contains("\n11         –            1000 "), "{coloured:?}");
        let plain = ["0", "1", "31", "32", "33"]
            .iter()
            .fold(coloured, |text, colour| text.replace(&format!("\x1b[{colour}m"), ""));
        assert_eq!(plain, table(&views(), NOW, false));
    }

    #[test]
    fn json_is_for_programs() {
        let json = json(&views(), NOW);
        assert_eq!(json.lines().count(), 1);
        let value: serde_json::Value = serde_json::from_str(&json).unwrap();
        insta::assert_snapshot!("json", serde_json::to_string_pretty(&value).unwrap());
    }

    #[test]
    fn a_table_is_drawn_over_the_one_before() {
        assert_eq!(frame("a\nb\n", 9, 0), ("\x1b[?7la\x1b[K\nb\x1b[K\n\x1b[J\x1b[?7h".to_owned(), 2));
        assert_eq!(
            frame("a\nb\nc\n", 2, 3),
            ("\x1b[?7l\x1b[3Fa\x1b[K\nb\x1b[K\n\x1b[J\x1b[?7h".to_owned(), 2)
        );
    }
}
