//! The first sentences that a reader meets.

use super::{Climate, Coverage, YEARS_MIN, days_in_month};
use crate::plot::cells::Cell;
use crate::plot::look::Unit;
use crate::plot::numbers::{decimal, short};
use crate::report::MONTHS;

/// The sentences about a record.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Lead {
    /// As in `daily maximum, 1869–2023 · 56,602 days, to 31 December 2023`.
    pub span: String,
    /// As in `December 2023`: the month that the sentence is about, or the month in progress if no month is complete.
    pub month: String,
    /// About the newest complete month, as in
    /// `December 2023 was 4.5 °C warmer than normal: the 3rd warmest of 155 Decembers.`
    pub sentence: Option<String>,
    /// About the month in progress, as in `November 2023 so far, 9 of 30 days: 8.1 °C on average.`
    pub progress: Option<String>,
    /// The years of the normal, as in `Normal: the mean of December over 1991–2020.`
    pub normal: Option<String>,
}

impl Climate<'_> {
    /// The sentences about the record; none without a day.
    pub fn lead(&self, unit: Unit) -> Option<Lead> {
        let (first, last) = (self.cells().next()?, self.cells().next_back()?);
        let newest = self.newest()?;
        let days: u64 = self.cells().map(|cell| u64::from(cell.count)).sum();
        let years = if first.year == last.year {
            format!("{:04}", first.year)
        } else {
            format!("{:04}–{:04}", first.year, last.year)
        };
        let count = decimal(days as f64, 0);
        let noun = if days == 1 { "day" } else { "days" };
        let end = format!("{} {}", newest.day(), month_name(last));
        let complete = self.cells().rfind(|cell| self.is_complete(cell));
        let progress = Some(last).filter(|cell| self.coverage(cell) == Coverage::InProgress);
        let normal_of = complete.or(progress).and_then(|cell| Some((cell, self.normal(cell.month)?)));
        Some(Lead {
            span: format!("daily maximum, {years} · {count} {noun}, to {end}"),
            month: month_name(complete.unwrap_or(last)),
            sentence: complete.map(|cell| self.sentence(cell, unit)),
            progress: progress.map(|cell| self.progress(cell, unit)),
            normal: normal_of.map(|(cell, normal)| {
                format!("Normal: the mean of {} over {}.", MONTHS[cell.month], normal.period())
            }),
        })
    }

    /// The sentence about a complete month.
    pub fn sentence(&self, cell: &Cell, unit: Unit) -> String {
        let (name, symbol, month) = (month_name(cell), unit.symbol(), MONTHS[cell.month]);
        let (Some(anomaly), Some(rank)) = (self.anomaly(cell), self.rank(cell)) else {
            let years = self.years(cell.month).len();
            let months = if years == 1 {
                format!("is 1 {month}")
            } else {
                format!("are {years} {}", plural(cell.month))
            };
            return format!(
                "{name}: {} {symbol} on average. There {months} so far, and a normal takes {YEARS_MIN}.",
                short(unit.degrees(cell.average))
            );
        };
        let size = short(unit.difference(anomaly).abs());
        let compared = match size.as_str() {
            "0.0" => "as warm as normal".to_owned(),
            _ if anomaly > 0.0 => format!("{size} {symbol} warmer than normal"),
            _ => format!("{size} {symbol} colder than normal"),
        };
        let tied = match rank.ties {
            0 => String::new(),
            1 => ", tied with one other".to_owned(),
            ties => format!(", tied with {ties} others"),
        };
        format!("{name} was {compared}: {} {}{tied}.", rank.name(), plural(cell.month))
    }

    /// The sentence about a month in progress. Its days so far are not compared with the normal: the first days of a
    /// November are warmer than the whole.
    fn progress(&self, cell: &Cell, unit: Unit) -> String {
        let (symbol, month) = (unit.symbol(), MONTHS[cell.month]);
        let normal = self.normal(cell.month).map(|normal| {
            format!("; a whole {month} is normally {} {symbol}", short(unit.degrees(normal.average)))
        });
        format!(
            "{} so far, {} of {} days: {} {symbol} on average{}.",
            month_name(cell),
            cell.count,
            days_in_month(cell),
            short(unit.degrees(cell.average)),
            normal.unwrap_or_default()
        )
    }
}

/// As in `Decembers`.
fn plural(month: usize) -> &'static str {
    const PLURALS: [&str; 12] = [
        "Januaries",
        "Februaries",
        "Marches",
        "Aprils",
        "Mays",
        "Junes",
        "Julys",
        "Augusts",
        "Septembers",
        "Octobers",
        "Novembers",
        "Decembers",
    ];
    PLURALS.get(month).copied().unwrap_or_default()
}

/// As in `December 2023`.
fn month_name(cell: &Cell) -> String {
    format!("{} {:04}", MONTHS[cell.month], cell.year)
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;
    use crate::plot::tests::samples::cell;

    fn decembers(averages: &[f64]) -> Vec<Cell> {
        (2000..).zip(averages).map(|(year, average)| cell(year, 12, *average)).collect()
    }

    fn lead(cells: &[Cell], unit: Unit) -> Lead {
        Climate::of(cells).lead(unit).unwrap()
    }

    #[test]
    fn the_newest_complete_month_is_compared_with_its_normal() {
        let cells = decembers(&[0.0, 1.0, 2.0, 3.0, 0.0, 1.0, 2.0, 3.0, 0.0, 1.0, 2.5]);
        let found = lead(&cells, Unit::Celsius);
        assert_eq!(found.span, "daily maximum, 2000–2010 · 341 days, to 31 December 2010");
        assert_eq!(found.month, "December 2010");
        let sentence = "December 2010 was 1.1 °C warmer than normal: the 3rd warmest of 11 Decembers.";
        assert_eq!(found.sentence.as_deref(), Some(sentence));
        assert_eq!(found.normal.as_deref(), Some("Normal: the mean of December over 2000–2010."));
        assert_eq!(found.progress, None);
        assert!(lead(&cells, Unit::Fahrenheit).sentence.unwrap().contains("was 2.0 °F warmer"));
    }

    #[test]
    fn ties_and_normal_months_are_said() {
        for (averages, expected) in [
            ([1.0; 10], "as warm as normal: the warmest of 10 Decembers, tied with 9 others."),
            (
                [1.0, 5.0, 5.0, 5.0, 5.0, 5.0, 5.0, 5.0, 5.0, 1.0],
                "3.2 °C colder than normal: the coldest of 10 Decembers, tied with one other.",
            ),
        ] {
            let sentence = lead(&decembers(&averages), Unit::Celsius).sentence.unwrap();
            assert_eq!(sentence, format!("December 2009 was {expected}"));
        }
    }

    #[test]
    fn few_years_are_a_plain_statement() {
        let found = lead(&decembers(&[0.0, -1.5]), Unit::Celsius);
        let sentence =
            "December 2001: −1.5 °C on average. There are 2 Decembers so far, and a normal takes 10.";
        assert_eq!(found.sentence.as_deref(), Some(sentence));
        assert_eq!(found.normal, None);
    }

    #[test]
    fn a_month_in_progress_has_a_sentence_of_its_own() {
        let mut cells = decembers(&[1.0; 10]);
        let days = |year, average| Cell { count: 9, end: date(year, 12, 9), ..cell(year, 12, average) };
        cells.push(days(2010, 9.0));
        let found = lead(&cells, Unit::Celsius);
        assert!(found.sentence.unwrap().starts_with("December 2009 was as warm"));
        let progress =
            "December 2010 so far, 9 of 31 days: 9.0 °C on average; a whole December is normally 1.0 °C.";
        assert_eq!(found.progress.as_deref(), Some(progress));
        assert!(found.span.ends_with("319 days, to 9 December 2010"), "{}", found.span);

        let alone = lead(&[days(2010, 9.0)], Unit::Celsius);
        assert_eq!((alone.sentence, alone.normal, &*alone.month), (None, None, "December 2010"));
        let progress = "December 2010 so far, 9 of 31 days: 9.0 °C on average.";
        assert_eq!(alone.progress.as_deref(), Some(progress));
    }
}
