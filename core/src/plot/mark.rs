//! The words of a mark, and the dot that shows that days are missing.

use super::cells::Cell;
use super::look::Unit;
use super::numbers::short;
use super::page::{HATCHING, INK, PAPER};
use super::svg::{Element, coordinate};
use crate::report::MONTHS;

/// An element that stands for one month of the year, or the years, named `years`.
pub fn of_cell(element: Element, cell: &Cell, years: &str, unit: Unit) -> Element {
    element
        .set("data-month", (cell.month + 1).to_string())
        .set("data-year", cell.year.to_string())
        .set("data-tip", tip(cell, years, unit))
}

/// As in `January 1991: −8.9 °C, 31 days; min −17.2, max 1.1; 3 days missing`.
fn tip(cell: &Cell, years: &str, unit: Unit) -> String {
    let [average, min, max] = [cell.average, cell.min, cell.max].map(short);
    let (name, symbol) = (MONTHS[cell.month], unit.symbol());
    let days = |count: u32| if count == 1 { "day" } else { "days" };
    let (count, missing) = (cell.count, cell.missing);
    let counted =
        format!("{name} {years}: {average} {symbol}, {count} {}; min {min}, max {max}", days(count));
    if missing > 0 { format!("{counted}; {missing} {} missing", days(missing)) } else { counted }
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
