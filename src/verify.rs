//! Whether a checkpoint is what its log makes: the same fold, compared bit for bit. No IO.

use std::fmt;

use serde::Serialize;

use crate::checkpoint::{Checkpoint, Outcome};
use crate::kafka::Refused;
use crate::report::{Decoder, MONTHS};
use crate::stats::MonthCell;
use crate::store::{Rejected, StoreError};

/// The log folded again, with the files that it is compared with.
#[derive(Debug)]
pub struct Replay<Lines> {
    checkpoint: Checkpoint,
    aside: Aside<Lines>,
    counts: Counts,
    decoder: Decoder,
}

/// How the records were counted.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Counts {
    pub counted: u64,
    pub duplicates: u64,
    pub rejected: u64,
    /// Records that can't be decoded, besides the first of their batch, which is rejected for all of them.
    pub undecoded: u64,
}

impl Counts {
    pub fn records(&self) -> u64 {
        self.counted + self.duplicates + self.rejected + self.undecoded
    }
}

/// The first place where file and log differ.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "in", rename_all = "lowercase")]
pub enum Difference {
    /// A field of a month cell; `None` where there is no such cell.
    Cell { month: &'static str, year: u16, field: &'static str, file: Option<Value>, log: Option<Value> },
    /// The offset lies below a record of the log that the statistics hold, or past the log's end.
    Offset { file: i64, log_end: i64 },
    /// The headers of the log's batches have another number of records than were read of it.
    Records { headers: u64, read: u64 },
    /// A line of the rejected file, counted from 1; `None` where there is no such line.
    Rejected { line: usize, file: Option<Box<Rejected>>, log: Option<Box<Rejected>> },
}

/// The value of a field.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Value {
    Number(u32),
    Days(Vec<u32>),
    Degrees(f64),
}

impl fmt::Display for Value {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Value::Number(number) => write!(formatter, "{number}"),
            Value::Days(days) => {
                let days: Vec<String> = days.iter().map(u32::to_string).collect();
                formatter.write_str(&days.join(","))
            }
            // With its point, and the sign of a zero.
            Value::Degrees(degrees) => write!(formatter, "{degrees:?}"),
        }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        let shown = |value: Option<String>| value.unwrap_or_else(|| "nothing".to_owned());
        match self {
            Difference::Cell { month, year, field, file, log } => {
                let shown = |value: &Option<Value>| shown(value.as_ref().map(Value::to_string));
                write!(
                    formatter,
                    "{month} {year:04}, {field}: the file has {}, the log makes {}",
                    shown(file),
                    shown(log)
                )
            }
            Difference::Offset { file, log_end } => {
                write!(formatter, "offset: the file has {file}, the log ends at {log_end}")
            }
            Difference::Records { headers, read } => {
                write!(formatter, "records: the headers of the batches have {headers}, but {read} were read")
            }
            Difference::Rejected { line, file, log } => {
                let shown =
                    |line: &Option<Box<Rejected>>| shown(line.as_ref().map(|line| format!("{line:?}")));
                write!(
                    formatter,
                    "rejected line {line}: the file has {}, the log makes {}",
                    shown(file),
                    shown(log)
                )
            }
        }
    }
}

/// The rejected file, compared with the rejected records of the log. Both are in the order of offsets, so
/// that neither has to be in memory.
#[derive(Debug)]
struct Aside<Lines> {
    lines: Lines,
    /// Lines at or past it belong to a batch whose checkpoint is still to come.
    end: i64,
    /// How many lines have been compared.
    passed: usize,
    difference: Option<Difference>,
    error: Option<StoreError>,
}

impl<Lines: Iterator<Item = Result<Rejected, StoreError>>> Aside<Lines> {
    fn next(&mut self) -> Option<Rejected> {
        if self.error.is_some() {
            return None;
        }
        for line in self.lines.by_ref() {
            match line {
                Ok(line) if line.offset < self.end => {
                    self.passed += 1;
                    return Some(line);
                }
                Ok(_) => {}
                Err(error) => {
                    self.error = Some(error);
                    break;
                }
            }
        }
        None
    }

    /// Compares the next line with the next rejected record of the log, until they differ.
    fn compare(&mut self, log: Rejected) {
        if self.difference.is_some() {
            return;
        }
        let line = self.passed + 1;
        let file = self.next();
        if file.as_ref() != Some(&log) {
            let (file, log) = (file.map(Box::new), Some(Box::new(log)));
            self.difference = Some(Difference::Rejected { line, file, log });
        }
    }

    /// Reads what is left, which is more than the log makes.
    fn finish(&mut self) -> Result<(), StoreError> {
        while let Some(file) = self.next() {
            let (line, file) = (self.passed, Some(Box::new(file)));
            self.difference.get_or_insert(Difference::Rejected { line, file, log: None });
        }
        self.error.take().map_or(Ok(()), Err)
    }
}

impl<Lines: Iterator<Item = Result<Rejected, StoreError>>> Replay<Lines> {
    /// `rejected` are the lines of the rejected file; those at or past `end`, the checkpoint's offset, belong to a batch
    /// whose checkpoint is still to come.
    ///
    /// `decoder` knows the station that is counted; a fresh one goes by the first valid report.
    pub fn new(partition: i32, first_offset: i64, decoder: Decoder, rejected: Lines, end: i64) -> Self {
        Replay {
            checkpoint: Checkpoint::empty(partition, first_offset),
            aside: Aside { lines: rejected, end, passed: 0, difference: None, error: None },
            counts: Counts::default(),
            decoder,
        }
    }

    /// Takes what a reader refused.
    pub fn set_aside(&mut self, refused: &Refused) {
        let is_new = refused.passed_to().is_none_or(|next_offset| self.checkpoint.skip_to(next_offset));
        if is_new {
            let others = refused.next_offset() - refused.offset() - 1;
            self.counts.undecoded += u64::try_from(others).unwrap_or(0);
            self.counts.rejected += 1;
            self.aside.compare(Rejected::of(refused));
        }
    }

    /// Takes the next record of the log.
    pub fn apply(&mut self, offset: i64, key: Option<&[u8]>, value: Option<&[u8]>) {
        match self.checkpoint.apply(offset, value, &mut self.decoder) {
            Ok(Outcome::Counted) => self.counts.counted += 1,
            Ok(Outcome::Duplicate) => self.counts.duplicates += 1,
            Ok(Outcome::Rejected(reason)) => {
                self.counts.rejected += 1;
                self.aside.compare(Rejected::new(offset, reason, key, value));
            }
            Err(_) => {}
        }
    }

    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Holds the files against what the log made. `log_end` is its high watermark.
    pub fn difference(&mut self, file: &Checkpoint, log_end: i64) -> Result<Option<Difference>, StoreError> {
        self.aside.finish()?;
        if file.offset > log_end {
            return Ok(Some(Difference::Offset { file: file.offset, log_end }));
        }
        Ok(self.different_cell(file).or_else(|| self.aside.difference.clone()))
    }

    /// The same where the log is replayed from `self`'s first offset only, and the file has counted more before it.
    /// So it checks only that the days of these records are counted, and that the rejected ones are kept.
    pub fn difference_from(
        &mut self,
        file: &Checkpoint,
        log_end: i64,
    ) -> Result<Option<Difference>, StoreError> {
        self.aside.finish()?;
        Ok(self.uncounted(file, log_end).or_else(|| self.aside.difference.clone()))
    }

    /// A day of the log that the file has not counted. No other check is possible if records are missing within the log.
    pub fn uncounted(&self, file: &Checkpoint, log_end: i64) -> Option<Difference> {
        if file.offset > log_end {
            return Some(Difference::Offset { file: file.offset, log_end });
        }
        self.checkpoint.statistics.cells().find_map(|(month, year, cell)| {
            let counted = file.statistics.cell(month, year);
            let is_counted = |day: u32| counted.is_some_and(|counted| counted.days().any(|has| has == day));
            let day = cell.days().find(|day| !is_counted(*day))?;
            Some(Difference::Cell {
                month: name_of(month),
                year,
                field: "day",
                file: None,
                log: Some(Value::Number(day)),
            })
        })
    }

    /// Both hold their cells in calendar order, so the first difference is where the merge of both first differs.
    fn different_cell(&self, file: &Checkpoint) -> Option<Difference> {
        let (mut in_file, mut in_log) =
            (file.statistics.cells().peekable(), self.checkpoint.statistics.cells().peekable());
        loop {
            let place =
                |next: Option<&(usize, u16, &MonthCell)>| next.map(|(month, year, _)| (*month, *year));
            let (of_file, of_log) = (place(in_file.peek()), place(in_log.peek()));
            let (month, year) = [of_file, of_log].into_iter().flatten().min()?;
            let cell = |next: Option<(usize, u16, &MonthCell)>| next.map(|(_, _, cell)| *cell);
            let file = if of_file == Some((month, year)) { cell(in_file.next()) } else { None };
            let log = if of_log == Some((month, year)) { cell(in_log.next()) } else { None };
            if let Some((field, file, log)) = different_field(file, log) {
                return Some(Difference::Cell { month: name_of(month), year, field, file, log });
            }
        }
    }
}

fn name_of(month: usize) -> &'static str {
    MONTHS.get(month).copied().unwrap_or("?")
}

type DifferentField = (&'static str, Option<Value>, Option<Value>);

fn different_field(file: Option<MonthCell>, log: Option<MonthCell>) -> Option<DifferentField> {
    let (Some(file), Some(log)) = (file, log) else {
        let count = |cell: Option<MonthCell>| cell.map(|cell| Value::Number(cell.count()));
        return (file != log).then(|| ("count", count(file), count(log)));
    };
    if !file.days().eq(log.days()) {
        let days = |cell: MonthCell| Some(Value::Days(cell.days().collect()));
        return Some(("days", days(file), days(log)));
    }
    let degrees =
        [("sum", file.sum(), log.sum()), ("min", file.min(), log.min()), ("max", file.max(), log.max())]
            .into_iter()
            .find(|(_, file, log)| file.to_bits() != log.to_bits())
            .map(|(field, file, log)| (field, Some(Value::Degrees(file)), Some(Value::Degrees(log))));
    let days = [("min_date", file.min_day(), log.min_day()), ("max_date", file.max_day(), log.max_day())];
    // A file that was begun by an older almanac does not say which day it was.
    let different = |(field, file, log): (_, Option<u32>, Option<u32>)| {
        (file.is_some() && file != log).then_some((field, file.map(Value::Number), log.map(Value::Number)))
    };
    degrees.or_else(|| days.into_iter().find_map(different))
}
