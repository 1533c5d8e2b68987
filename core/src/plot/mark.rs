//! The words of a mark, and the dot that shows that days are missing.

use jiff::civil::Date;

use super::cells::Cell;
use super::look::Unit;
use super::numbers::{short, signed};
use super::page::{COLD, HATCHING, INK, PAPER, WARM};
use super::svg::{Element, coordinate};
use crate::climate::{Climate, Coverage, days_in_month};
use crate::report::MONTHS;

/// The attribute of a mark that has what it shows in words.
pub const TIP: &str = "data-tip";

/// The texts of a picture's marks, and which of them are of months that are not whole.
#[derive(Clone, Copy)]
pub struct Marks<'a> {
    pub climate: &'a Climate<'a>,
    pub unit: Unit,
}

impl Marks<'_> {
    /// Whether days of the month are still to come, or more of them are missing than a complete month may lack.
    pub fn is_partial(self, cell: &Cell) -> bool {
        !self.climate.is_complete(cell)
    }

    /// The normal of a month in the picture's unit.
    pub fn normal(self, month: usize) -> Option<f64> {
        Some(self.unit.degrees(self.climate.normal(month)?.average))
    }

    /// The difference of a complete month from its normal, in the picture's unit.
    pub fn anomaly(self, cell: &Cell) -> Option<f64> {
        let normal = self.normal(cell.month)?;
        (!self.is_partial(cell)).then_some(cell.average - normal)
    }

    /// An element that stands for one month of the year, or the years, named `years`.
    pub fn of_cell(self, element: Element, cell: &Cell, years: &str) -> Element {
        element
            .set("data-month", (cell.month + 1).to_string())
            .set("data-year", cell.year.to_string())
            .set(TIP, self.tip(cell, years))
    }

    /// As in `January 1991: −8.9 °C, 28 days, 3 missing; warmest day 1.1 on 4 January, coldest day −17.2 on 20 January;
    /// 3.1 °C colder than normal`.
    pub fn tip(self, cell: &Cell, years: &str) -> String {
        let (name, symbol) = (MONTHS[cell.month], self.unit.symbol());
        let head = match self.climate.coverage(cell) {
            Coverage::Complete => {
                let missing = match cell.missing {
                    0 => String::new(),
                    missing => format!(", {missing} missing"),
                };
                let days = if cell.count == 1 { "day" } else { "days" };
                format!("{name} {years}: {} {symbol}, {} {days}{missing}", short(cell.average), cell.count)
            }
            coverage => format!(
                "{name} {years}{}, {} of {} days: {} {symbol}",
                if coverage == Coverage::InProgress { " so far" } else { "" },
                cell.count,
                days_in_month(cell),
                short(cell.average)
            ),
        };
        let day = |degrees: f64, date: Option<Date>| match date {
            Some(date) if years.contains('–') => format!("{} in {}", short(degrees), date.year()),
            Some(date) => format!("{} on {}", short(degrees), date.day()),
            None => short(degrees),
        };
        let compared = match self.anomaly(cell) {
            Some(anomaly) if !years.contains('–') => {
                let against = format!("; {} {symbol} against normal", signed(anomaly));
                match self.climate.rank_of(cell.month, cell.year) {
                    Some(rank) => format!("{against}, {}", rank.name()),
                    None => against,
                }
            }
            _ => String::new(),
        };
        format!(
            "{head}; warmest day {}, coldest day {}{compared}",
            day(cell.max, cell.max_date),
            day(cell.min, cell.min_date)
        )
    }
}

/// The dots on marks with days missing, as (x, y, radius). A pointer reaches the marks through them.
pub fn missing(dots: impl IntoIterator<Item = (f64, f64, f64)>) -> Option<Element> {
    let mut dots = dots.into_iter().map(|(x, y, radius)| dot(x, y, radius)).peekable();
    dots.peek()?;
    let group = Element::new("g").set("class", "missing").set("fill", PAPER).set("stroke", INK);
    Some(group.set("stroke-width", 0.75).set("pointer-events", "none").children(dots))
}

/// Slanted lines where nothing is known: no shade of grey is far from the middle of a scale from blue to red.
pub fn hatching(left: f64, top: f64, width: f64, height: f64) -> Element {
    const APART: f64 = 6.0;
    let lines = (0..((width + height) / APART) as u32).map(|line| {
        // From the lower or left edge up to the upper or right one.
        let foot = (f64::from(line) + 0.5) * APART - height;
        let (from, to) = (f64::max(-foot, 0.0), f64::min(width - foot, height));
        let [x1, y1, x2, y2] =
            [left + foot + from, top + height - from, left + foot + to, top + height - to].map(coordinate);
        format!("M{x1} {y1}L{x2} {y2}")
    });
    Element::new("path").set("class", "hatching").set("stroke", HATCHING).set("d", lines.collect::<String>())
}

fn dot(x: f64, y: f64, radius: f64) -> Element {
    Element::new("circle").set("cx", x).set("cy", y).set("r", radius)
}

/// A bar of a month that is not whole: its outline, dashed.
pub fn outlined(bar: Element, is_frost: bool) -> Element {
    let (class, colour) = if is_frost { ("cold-part", COLD) } else { ("warm-part", WARM) };
    bar.set("class", class)
        .set("fill", PAPER)
        .set("stroke", colour)
        .set("stroke-width", 1.5)
        .set("stroke-dasharray", "4 3")
}
