//! What a mark says of itself, and the dot that shows that days are missing.

use super::cells::Cell;
use super::numbers::short;
use super::page::{INK, PAPER};
use super::svg::Element;
use super::{MONTHS, Unit};

/// An element that stands for one month of the year, or the years, named `years`.
pub fn of_cell(element: Element, cell: &Cell, years: &str, unit: Unit) -> Element {
    element
        .set("data-month", (cell.month + 1).to_string())
        .set("data-year", cell.year.to_string())
        .set("data-tip", tip(cell, years, unit))
}

/// As in `January 1991: −8.9 °C, 31 days; min −17.2, max 1.1; 3 days missing`.
fn tip(cell: &Cell, years: &str, unit: Unit) -> String {
    format!("{} {years}: {}", MONTHS[cell.month], numbers(cell, unit))
}

/// As in `−8.9 °C, 31 days; min −17.2, max 1.1; 3 days missing`.
pub fn numbers(cell: &Cell, unit: Unit) -> String {
    let Cell { count, average, min, max, missing, .. } = *cell;
    let mut numbers = format!(
        "{} {}, {}; min {}, max {}",
        short(average),
        unit.symbol(),
        days(count),
        short(min),
        short(max)
    );
    if missing > 0 {
        numbers.push_str(&format!("; {} missing", days(missing)));
    }
    numbers
}

fn days(count: u32) -> String {
    if count == 1 { "1 day".to_owned() } else { format!("{count} days") }
}

/// The dots on marks with days missing, as (x, y, radius). A pointer reaches the marks through them.
pub fn missing(dots: impl IntoIterator<Item = (f64, f64, f64)>) -> Option<Element> {
    let mut dots = dots.into_iter().map(|(x, y, radius)| dot(x, y, radius)).peekable();
    dots.peek()?;
    let group = Element::new("g").set("class", "missing").set("fill", PAPER).set("stroke", INK);
    Some(group.set("stroke-width", 0.75).set("pointer-events", "none").children(dots))
}

fn dot(x: f64, y: f64, radius: f64) -> Element {
    Element::new("circle").set("cx", x).set("cy", y).set("r", radius)
}
