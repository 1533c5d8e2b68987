//! The picture of one month over the years: its average, and the range from its lowest to its highest day.

use super::axis::Axis;
use super::cells::Cell;
use super::legend::{self, Item};
use super::look::{Look, Unit};
use super::mark;
use super::numbers::short;
use super::page::{Page, SMALL_SIZE, faint, grid_line, rule, text_width};
use super::scale::widened;
use super::span::Span;
use super::svg::{Element, coordinate};
use crate::report::MONTHS;

// Lengths are in CSS pixels.

const HEIGHT: f64 = 300.0;
const YEAR_WIDTH: f64 = 40.0;
const SLOT_MAX: f64 = 64.0;
const LINE: &str = "#b34700";
pub const LINE_RGB: [u8; 3] = [0xb3, 0x47, 0x00];
const BAND: &str = "#f5d9c3";

/// Draws the cells of one month, in the order of time.
pub fn picture(cells: &[Cell], look: &Look) -> Element {
    let span = Span::of(cells);
    let slots = span.slots() as f64;
    let own = (slots * (840.0 / slots).clamp(2.0, 28.0)).max(424.0) + 96.0;
    let history = History::of(cells, look.unit, span);
    history.draw(&history.page(look.width().unwrap_or(own)))
}

/// As in `July, 1869–2023`.
pub fn title(cells: &[Cell], span: Span) -> String {
    format!("{}, {}", cells.first().map_or("", |cell| MONTHS[cell.month]), span.name())
}

/// The mean of all days.
pub fn mean(cells: &[Cell]) -> f64 {
    let days: f64 = cells.iter().map(|cell| f64::from(cell.count)).sum();
    let sum: f64 = cells.iter().map(|cell| cell.average * f64::from(cell.count)).sum();
    sum / days.max(1.0)
}

struct History {
    title: String,
    unit: Unit,
    span: Span,
    slots: Vec<Option<Cell>>,
    /// The mean of all days.
    mean: f64,
    axis: Axis,
}

impl History {
    fn of(cells: &[Cell], unit: Unit, span: Span) -> History {
        let low = cells.iter().map(|cell| cell.min.min(cell.average)).fold(f64::INFINITY, f64::min);
        let high = cells.iter().map(|cell| cell.max.max(cell.average)).fold(f64::NEG_INFINITY, f64::max);
        let (low, high) = widened(low, high);
        History {
            title: title(cells, span),
            unit,
            span,
            slots: span.pooled(cells),
            mean: mean(cells),
            axis: Axis::around(low, high, 8),
        }
    }

    fn page(&self, width: f64) -> Page {
        let symbol = self.unit.symbol();
        let subtitle = format!("Maximum temperature ({symbol}): average, lowest and highest day");
        let mean = format!("Dashed: the mean of all years, {} {symbol}", short(self.mean));
        Page::new(
            width,
            self.unit,
            &self.title,
            &[&subtitle, &mean, &self.span.note("point").unwrap_or_default()],
        )
    }

    fn draw(&self, page: &Page) -> Element {
        let ticks = || self.axis.ticks().map(|tick| self.axis.label(tick));
        let tick_width = ticks().map(|label| text_width(&label, SMALL_SIZE)).fold(0.0, f64::max);
        let (left, top) = (page.left() + tick_width + 10.0, page.top() + 24.0);
        let (right, bottom) = (page.right(), top + HEIGHT);
        let slot_width = ((right - left) / self.span.slots() as f64).min(SLOT_MAX);
        let x = |slot: usize| left + (slot as f64 + 0.5) * slot_width;
        let y = |degrees: f64| top + (1.0 - self.axis.fraction(degrees)) * HEIGHT;

        let grid = self.axis.ticks().flat_map(|tick| {
            let (text, y) = (self.axis.label(tick), y(tick));
            [grid_line(left, y, right, y), faint(&text, left - 8.0, y + 4.0).set("text-anchor", "end")]
        });
        let years = self
            .span
            .labels(slot_width, YEAR_WIDTH)
            .map(|(slot, label)| faint(&label, x(slot), bottom + 18.0).set("text-anchor", "middle"));
        let grid = Element::new("g").set("font-size", SMALL_SIZE).children(grid).children(years);

        let mut bands = Element::new("g").set("class", "band").set("fill", BAND);
        let mut lines = Element::new("g").set("class", "line").set("fill", "none").set("stroke", LINE);
        for run in self.runs() {
            bands = bands.child(band(&run, slot_width, x, y));
            lines = lines.children(line(&run, x, y));
        }
        let mean = y(self.mean);
        let mean = rule(left, mean, right, mean).set("stroke-width", 0.75).set("stroke-dasharray", "5 4");

        let radius = (0.3 * slot_width).clamp(1.4, 3.5);
        let at = |(slot, cell): (usize, &Cell)| (x(slot), y(cell.average), radius);
        let cells = || self.slots.iter().enumerate().filter_map(|(slot, cell)| Some((slot, cell.as_ref()?)));
        let points = cells().map(at);
        let points = points.map(|(x, y, r)| Element::new("circle").set("cx", x).set("cy", y).set("r", r));
        let points = Element::new("g").set("class", "point").set("fill", LINE).children(points);
        let dots = cells().filter(|(_, cell)| cell.missing > 0).map(at);
        let dots: Vec<_> = dots.map(|(x, y, radius)| (x, y, radius + 0.6)).collect();
        let items: Vec<Item> = if dots.is_empty() { vec![] } else { vec![Item::Missing] };

        // A pointer finds a year anywhere above and below its point, which is small.
        let marks = cells().map(|(slot, cell)| {
            let mark = Element::new("rect")
                .set("x", x(slot) - slot_width / 2.0)
                .set("y", top)
                .set("width", slot_width)
                .set("height", HEIGHT);
            mark::of_cell(mark, cell, &self.span.slot_name(slot), self.unit)
        });
        let marks = Element::new("g")
            .set("class", "hit")
            .set("fill", "none")
            .set("pointer-events", "all")
            .children(marks);

        let (legend, end) = legend::below(page, page.left(), bottom + 30.0, &items);
        let drawn = [bands, grid, mean, lines.set("stroke-width", 1.25), points]
            .into_iter()
            .chain(mark::missing(dots))
            .chain([marks])
            .chain(legend);
        page.picture(end, &self.description(), drawn)
    }

    /// The slots with data, as many as follow on one another at a time: nothing is drawn across a gap.
    fn runs(&self) -> Vec<Vec<(usize, &Cell)>> {
        let slots: Vec<_> = self.slots.iter().enumerate().collect();
        let runs = slots.split(|(_, cell)| cell.is_none()).filter(|run| !run.is_empty());
        runs.map(|run| run.iter().filter_map(|(slot, cell)| Some((*slot, cell.as_ref()?))).collect())
            .collect()
    }

    /// The picture in words.
    fn description(&self) -> String {
        let cells = || self.slots.iter().enumerate().filter_map(|(slot, cell)| Some((slot, cell.as_ref()?)));
        let said = |found: Option<(usize, &Cell)>| match found {
            Some((slot, cell)) => {
                format!("{} {} in {}", short(cell.average), self.unit.symbol(), self.span.slot_name(slot))
            }
            None => String::new(),
        };
        let by_average = |a: &(usize, &Cell), b: &(usize, &Cell)| a.1.average.total_cmp(&b.1.average);
        format!(
            "Line chart of {}. Averages from {} to {}; the mean of all years is {} {}. {} years have days missing.",
            self.title,
            said(cells().min_by(by_average)),
            said(cells().max_by(by_average)),
            short(self.mean),
            self.unit.symbol(),
            cells().filter(|(_, cell)| cell.missing > 0).count(),
        )
    }
}

/// The range of the slots of a run; one alone is a bar.
fn band(
    run: &[(usize, &Cell)],
    slot_width: f64,
    x: impl Fn(usize) -> f64,
    y: impl Fn(f64) -> f64,
) -> Element {
    if let [(slot, cell)] = run {
        let width = (0.6 * slot_width).min(12.0);
        return Element::new("rect")
            .set("x", x(*slot) - width / 2.0)
            .set("y", y(cell.max))
            .set("width", width)
            .set("height", y(cell.min) - y(cell.max));
    }
    let highs = run.iter().map(|(slot, cell)| point(x(*slot), y(cell.max)));
    let lows = run.iter().rev().map(|(slot, cell)| point(x(*slot), y(cell.min)));
    Element::new("polygon").set("points", highs.chain(lows).collect::<Vec<_>>().join(" "))
}

fn line(run: &[(usize, &Cell)], x: impl Fn(usize) -> f64, y: impl Fn(f64) -> f64) -> Option<Element> {
    let points: Vec<String> = run.iter().map(|(slot, cell)| point(x(*slot), y(cell.average))).collect();
    (points.len() > 1).then(|| Element::new("polyline").set("points", points.join(" ")))
}

fn point(x: f64, y: f64) -> String {
    format!("{},{}", coordinate(x), coordinate(y))
}
