//! `almanac status`: how far each partition is, as its files say.

use std::io::{self, IsTerminal};
use std::time::Duration;

use almanac_core::place::Place;
use almanac_core::split;
use anyhow::Result;
use jiff::Timestamp;
use serde::Serialize;

use super::{Exit, Refusal};
use crate::cli::{self, Format};
use crate::logging::{has_colour, is_in_foreground};
use crate::stop::Stop;
use crate::store::{self, Owner, Reader};
use crate::text::{escaped, to_json};
use crate::view::{self, All, AllRejected, Facts, PartitionState, PartitionView, Whole};

const HEADINGS: [&str; 8] = ["PARTITION", "STATE", "OFFSET", "LAG", "RATE/S", "NEWEST", "AGE", "REJECTED"];
const STATE: usize = 1;
/// The width of a usual terminal.
const COLUMNS: usize = 80;
const UNKNOWN: &str = "–";

pub fn run(options: &cli::Status) -> Result<()> {
    let dir = &options.dir.dir;
    let reader = &*store::reader(dir)?;
    super::warn_of_several_topics(reader, dir);
    if let Some(every) = options.watch {
        return watch(reader, options.format, every);
    }
    let All { facts, whole, failure } = view::read_all(reader)?;
    if facts.is_empty() {
        return Err(super::no_checkpoints(dir).into());
    }
    let views = views(&facts, Timestamp::now());
    match options.format {
        Format::Json => super::print_json(&json(&views, &whole))?,
        Format::Text => super::print(&text(&views, &whole))?,
    }
    views.iter().for_each(warn);
    if let Some(split) = &whole.split {
        tracing::warn!(hint = split::HINT, "{split}");
    }
    failure.map_or(Ok(()), Err)?;
    let hindrances = view::hindrances(&views, options.stall_after);
    match options.check && !hindrances.is_empty() {
        true => Err(Refusal::new(Exit::Failed, format!("not ready: {}", hindrances.join("; "))).into()),
        false => Ok(()),
    }
}

fn views(facts: &[Facts], now: Timestamp) -> Vec<PartitionView<'_>> {
    facts.iter().map(|facts| facts.view(now)).collect()
}

/// The table is there for the eye; who runs this in a script learns of it as well.
fn warn(view: &PartitionView) {
    let number = view.partition;
    match view.state {
        PartitionState::Waiting => {
            tracing::warn!(
                "partition {number} waits: {}",
                view.cause.unwrap_or("its consumer does not say for what")
            );
        }
        PartitionState::Stalled => tracing::warn!(
            hint = "read the stderr of its consumer, with -v for more",
            "partition {number} has stalled: no checkpoint for {} s, lag {}{}",
            view.seconds_in_state(),
            view.lag.map_or("unknown".to_owned(), |lag| lag.to_string()),
            view.cause.map_or(String::new(), |cause| format!("; {cause}"))
        ),
        _ => {}
    }
    if let Some(AllRejected { records, first_reason }) = view.all_rejected {
        tracing::warn!(
            hint = format!("read the reasons in partition-{number}.rejected.jsonl"),
            "partition {number}: all {records} records that its consumer has read are rejected{}",
            first_reason.map_or(String::new(), |reason| format!(", the first as {reason}"))
        );
    }
}

/// Shows it again and again, also partitions that are new.
fn watch(reader: &dyn Reader, format: Format, every: Duration) -> Result<()> {
    let stop = Stop::on_signals()?;
    let mut screen = Screen::new();
    while !stop.is_asked() {
        let All { facts, whole, .. } = view::read_all(reader)?;
        let views = views(&facts, Timestamp::now());
        match format {
            Format::Json => super::print_json(&json(&views, &whole))?,
            Format::Text => screen.show(&text(&views, &whole))?,
        }
        stop.wait(every);
    }
    Ok(())
}

/// The place of the next table: over the one before on a terminal, below it elsewhere.
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
        // Lines above the screen's first one can't be drawn over.
        let rows = rustix::termios::tcgetwinsize(io::stdout()).map_or(0, |size| usize::from(size.ws_row));
        let (text, lines) = frame(table, if rows > 1 { rows - 1 } else { usize::MAX }, before.unwrap_or(0));
        self.lines = Some(lines);
        super::print(&text)
    }
}

/// Returns the text that draws the table over the one before, and its number of lines. A line that is too long for the terminal is
/// cut there: one that went on below would be two lines to draw over.
fn frame(table: &str, lines_max: usize, before: usize) -> (String, usize) {
    let mut text = "\x1b[?7l".to_owned();
    if before > 0 {
        text += &format!("\x1b[{before}F");
    }
    let mut lines = 0;
    for line in table.lines().take(lines_max) {
        text += &format!("{line}\x1b[K\n");
        lines += 1;
    }
    text.push_str("\x1b[J\x1b[?7h");
    (text, lines)
}

fn json(partitions: &[PartitionView], whole: &Whole) -> String {
    #[derive(Serialize)]
    struct Partitions<'a> {
        partitions: &'a [PartitionView<'a>],
        #[serde(flatten)]
        whole: &'a Whole,
    }
    to_json(&Partitions { partitions, whole }) + "\n"
}

/// The table, below a line about the place if anything is known of it.
fn text(views: &[PartitionView], whole: &Whole) -> String {
    let place = whole.place.as_ref().and_then(describe);
    place.map_or(String::new(), |place| place + "\n")
        + &table(views, has_colour(&io::stdout()))
        + &owners(views)
}

/// A line for each owner and its partitions, and one about the last durable progress of all.
fn owners(views: &[PartitionView]) -> String {
    let mut owners: Vec<(&Owner, Vec<i32>)> = Vec::new();
    for (status, view) in views.iter().filter_map(|view| view.consumer.map(|status| (status, view))) {
        // One process takes its partitions one after the other.
        let is_same = |owner: &Owner| (owner.pid, &owner.host) == (status.owner.pid, &status.owner.host);
        match owners.iter_mut().find(|(owner, _)| is_same(owner)) {
            Some((_, partitions)) => partitions.push(view.partition),
            None => owners.push((&status.owner, vec![view.partition])),
        }
    }
    let mut text = String::new();
    for (Owner { pid, host, since }, partitions) in owners {
        let (ranges, host, since) = (ranges(&partitions), escaped(host), escaped(to_second(since)));
        text += &format!("{ranges}: process {pid} on {host} since {since}Z\n");
    }
    let last_durable = views.iter().filter_map(|view| view.consumer?.last_durable.as_deref()).max();
    text += &last_durable
        .map_or(String::new(), |time| format!("last durable progress: {}Z\n", escaped(to_second(time))));
    text
}

/// As in `2001-09-09T01:46:39`.
fn to_second(time: &str) -> &str {
    time.split(['.', 'Z']).next().unwrap_or(time)
}

/// As in `0-3, 7`.
fn ranges(partitions: &[i32]) -> String {
    let runs = partitions.chunk_by(|one, next| one.checked_add(1) == Some(*next));
    let text = |run: &[i32]| match run {
        [first, .., last] => format!("{first}-{last}"),
        _ => run.iter().map(ToString::to_string).collect(),
    };
    runs.map(text).collect::<Vec<_>>().join(", ")
}

/// `Madison, Wisconsin (USW00014837); NOAA GHCN-Daily, public domain`.
fn describe(place: &Place) -> Option<String> {
    let station = Some(&*place.station).filter(|station| !station.is_empty());
    let label = match (place.name.as_deref(), station) {
        (Some(name), Some(station)) => Some(format!("{name} ({station})")),
        (name, station) => name.or(station).map(str::to_owned),
    };
    let source = [&place.source, &place.licence]
        .into_iter()
        .flatten()
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join(", ");
    let parts: Vec<String> = label.into_iter().chain((!source.is_empty()).then_some(source)).collect();
    let parts: Vec<_> = parts.iter().map(|part| escaped(part)).collect();
    let fits = parts.iter().map(|part| part.chars().count() + "; ".len()).sum::<usize>() <= COLUMNS;
    (!parts.is_empty()).then(|| parts.join(if fits { "; " } else { "\n" }))
}

/// Columns as wide as their widest cell.
fn table(views: &[PartitionView], has_colour: bool) -> String {
    let rows: Vec<_> = views.iter().map(|view| (view.state, row(view))).collect();
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
    text += &match has_colour {
        true => format!("\x1b[1m{headings}\x1b[0m\n"),
        false => format!("{headings}\n"),
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
        text += &format!("{line}\n");
    }
    text
}

fn colour(state: PartitionState) -> Option<u8> {
    match state {
        PartitionState::Running => Some(32),
        PartitionState::Silent | PartitionState::Waiting => Some(33),
        PartitionState::Stalled | PartitionState::Unreadable => Some(31),
        PartitionState::Stopped | PartitionState::Unknown => None,
    }
}

fn row(view: &PartitionView) -> [String; HEADINGS.len()] {
    let state = match (view.state, view.state_seconds) {
        (PartitionState::Unknown, _) => None,
        (state, None) => Some(state.to_string()),
        (state, Some(time)) => Some(format!("{state} {}", short(time))),
    };
    // Of what can't be read there is nothing to say.
    let is_readable = view.error.is_none();
    [
        Some(view.partition.to_string()),
        state,
        view.offset.map(|offset| offset.to_string()),
        view.lag.map(|lag| lag.to_string()),
        view.rate.map(short_rate),
        view.newest.map(|date| date.to_string()),
        view.age_seconds.filter(|_| is_readable).map(short),
        view.rejected.filter(|_| is_readable).map(|rejected| rejected.to_string()),
    ]
    .map(|cell| cell.map_or_else(|| UNKNOWN.to_owned(), |cell| escaped(&cell).into_owned()))
}

/// A time in its largest unit.
fn short(time: Duration) -> String {
    match time.as_secs() {
        seconds @ ..120 => format!("{seconds}s"),
        seconds @ ..7_200 => format!("{}m", seconds / 60),
        seconds @ ..172_800 => format!("{}h", seconds / 3600),
        seconds => format!("{}d", seconds / 86_400),
    }
}

fn short_rate(rate: f64) -> String {
    match rate {
        ..100_000.0 => format!("{rate:.0}"),
        ..10_000_000.0 => format!("{:.0}k", rate / 1e3),
        _ => format!("{:.0}M", rate / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::{Durable, State, Status};
    use crate::view::Unread;
    use crate::view::tests::{NOW, before};

    fn facts(partition: i32, state: State, silence: i64) -> Facts {
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
            written_every: None,
            owner: Owner { pid: 42, host: "weather".to_owned(), since: before(100).to_string() },
            written: before(silence).to_string(),
        };
        let written = Some(before(silence));
        Facts::in_memory(status, Durable { offset: 1000, days: 0, newest: None, bytes: 4711, written })
    }

    /// One of each state.
    fn all() -> Vec<Facts> {
        let unread = Unread {
            fact: "files/partition-10.json: expected value at line 1 column 1".to_owned(),
            hint: Some("nothing was overwritten".to_owned()),
            bytes: Some(4711),
            written: Some(before(1)),
        };
        vec![
            facts(0, State::Running, 1),
            facts(1, State::Stalled, 1),
            facts(2, State::Running, 90),
            facts(3, State::Stopped, 3600),
            Facts { durable: Err(unread), ..facts(10, State::Running, 1) },
            Facts { status: None, ..facts(11, State::Running, 1) },
        ]
    }

    #[test]
    fn a_table_is_for_the_eye() {
        let all = all();
        let views = views(&all, NOW);
        insta::assert_snapshot!("table", table(&views, false) + &owners(&views));
        let coloured = table(&views, true);
        assert!(coloured.contains("\n1          \x1b[31mstalled 40s\x1b[0m  1000    1 "), "{coloured:?}");
        assert!(coloured.contains("\n11         –            1000 "), "{coloured:?}");
        let plain = ["0", "1", "31", "32", "33"]
            .iter()
            .fold(coloured, |text, colour| text.replace(&format!("\x1b[{colour}m"), ""));
        assert_eq!(plain, table(&views, false));
    }

    #[test]
    fn a_table_fits_eighty_columns() {
        let mut all: Vec<Facts> =
            (0..4).map(|partition| facts(9996 + partition, State::Stalled, 1)).collect();
        for (number, facts) in all.iter_mut().enumerate() {
            let status = facts.status.as_mut().unwrap();
            status.high_watermark = Some(9_999_999_999);
            status.rate = 3.5 * 10_f64.powi(number as i32 * 3);
            status.stalled_since = Some(before(400 * 10_i64.pow(number as u32 + 1)).to_string());
            status.owner.host = "ip-10-20-30-40-of-the-farm".to_owned();
            facts.durable.as_mut().unwrap().offset = 9_998_765_432;
            facts.durable.as_mut().unwrap().newest = Some(jiff::civil::date(9999, 12, 31));
        }
        let views = views(&all, NOW);
        let text = table(&views, false) + &owners(&views);
        assert!(text.lines().all(|line| line.chars().count() <= COLUMNS), "{text}");
        assert!(text.contains("9996-9999: process 42 on ip-10-20-30-40-of-the-farm since 2001-"), "{text}");
        assert_eq!(ranges(&[0, 1, 2, 5, 7, 8]), "0-2, 5, 7-8");
    }

    #[test]
    fn a_place_is_named_if_anything_is_known_of_it() {
        let text = |text: &str| Some(text.to_owned());
        for (station, name, source, licence, expected) in [
            ("", None, None, None, None),
            ("USW00014837", None, None, None, text("USW00014837")),
            ("USW00014837", text("Madison\u{1b}[2J"), None, None, text("Madison\\u{1b}[2J (USW00014837)")),
            ("", text("Home"), text("Open-Meteo"), text("CC BY 4.0"), text("Home; Open-Meteo, CC BY 4.0")),
            (
                "",
                text(&"a".repeat(70)),
                text("Open-Meteo"),
                None,
                text(&format!("{}\nOpen-Meteo", "a".repeat(70))),
            ),
        ] {
            assert_eq!(describe(&Place { name, source, licence, ..Place::of(station) }), expected);
        }
    }

    #[test]
    fn json_is_for_programs() {
        let json = json(&views(&all(), NOW), &Whole::default());
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
