//! The picture of one month over the years: its average, and the range from its lowest to its highest day.

use super::axis::Axis;
use super::cells::Cell;
use super::legend::{self, Item};
use super::look::Look;
use super::mark::{self, Marks};
use super::numbers::{decimal, short};
use super::page::{FAINT, INK, PAPER, Page, SMALL_SIZE, faint, grid_line, halo, ink, rule, text_width};
use super::scale::widened;
use super::span::Span;
use super::svg::{Element, coordinate};
use crate::climate::{Climate, smoothed};
use crate::report::MONTHS;

// Lengths are in CSS pixels.

const HEIGHT: f64 = 300.0;
const YEAR_WIDTH: f64 = 40.0;
const LINE: &str = "#b34700";
pub const LINE_RGB: [u8; 3] = [0xb3, 0x47, 0x00];
const BAND: &str = "#f5d9c3";
/// Shows the band to readers who do not see its light colour.
const BAND_EDGE: &str = "#b07d55";

/// Draws the cells of one month, in the order of time.
pub fn picture(cells: &[Cell], look: &Look, marks: Marks) -> Element {
    let span = Span::of(cells);
    let slots = span.slots() as f64;
    let own = (slots * (840.0 / slots).clamp(2.0, 28.0)).max(424.0) + 96.0;
    let history = History::of(cells, span, marks);
    history.draw(&history.page(look.width().unwrap_or(own), look))
}

/// As in `July, 1869–2023`.
pub fn title(cells: &[Cell], span: Span) -> String {
    format!("{}, {}", cells.first().map_or("", |cell| MONTHS[cell.month]), span.name())
}

/// As in `Trend: +0.12 ± 0.05 °C per decade`, if there are enough years.
pub fn trend_note(month: usize, marks: Marks) -> Option<String> {
    let trend = marks.climate.trend(month)?;
    let [slope, margin] = [trend.per_decade, trend.margin].map(|degrees| marks.unit.difference(degrees));
    let sign = if slope > 0.0 { "+" } else { "" };
    let (slope, margin, symbol) = (decimal(slope, 2), decimal(margin, 2), marks.unit.symbol());
    Some(format!("Trend: {sign}{slope} ± {margin} {symbol} per decade (95 % interval)"))
}

/// The mean of all days of complete months, if there are two of these at the least.
pub fn mean(cells: &[Cell], climate: &Climate) -> Option<f64> {
    let complete: Vec<&Cell> = cells.iter().filter(|cell| climate.is_complete(cell)).collect();
    let days: f64 = complete.iter().map(|cell| f64::from(cell.count)).sum();
    let sum: f64 = complete.iter().map(|cell| cell.average * f64::from(cell.count)).sum();
    (complete.len() > 1).then_some(sum / days)
}

struct History<'a> {
    title: String,
    marks: Marks<'a>,
    month: usize,
    span: Span,
    slots: Vec<Option<Cell>>,
    /// The mean of all years.
    mean: Option<f64>,
    axis: Axis,
}

impl<'a> History<'a> {
    fn of(cells: &[Cell], span: Span, marks: Marks<'a>) -> History<'a> {
        let low = cells.iter().map(|cell| cell.min.min(cell.average)).fold(f64::INFINITY, f64::min);
        let high = cells.iter().map(|cell| cell.max.max(cell.average)).fold(f64::NEG_INFINITY, f64::max);
        let (low, high) = widened(low, high);
        History {
            title: title(cells, span),
            marks,
            month: cells.first().map_or(0, |cell| cell.month),
            span,
            slots: span.pooled(cells, marks.climate),
            mean: mean(cells, marks.climate),
            axis: Axis::around(low, high, 8),
        }
    }

    fn page(&self, width: f64, look: &Look) -> Page {
        let symbol = self.marks.unit.symbol();
        let subtitle = format!("Maximum temperature ({symbol}): average, coldest and warmest day");
        let mean = self.mean.map(|mean| format!("Dashed: the mean of all years, {} {symbol}", short(mean)));
        let trend = trend_note(self.month, self.marks).unwrap_or_default();
        Page::new(
            width,
            look,
            &self.title,
            &[&subtitle, &mean.unwrap_or_default(), &trend, &self.span.note("point").unwrap_or_default()],
        )
    }

    fn draw(&self, page: &Page) -> Element {
        let area = Area::of(self, page);
        let mut bands = Element::new("g")
            .set("class", "band")
            .set("fill", BAND)
            .set("stroke", BAND_EDGE)
            .set("stroke-width", 0.75);
        let mut lines = Element::new("g").set("class", "line").set("fill", "none").set("stroke", LINE);
        for run in self.runs() {
            bands = bands.child(area.band(&run));
            lines = lines.children(area.line(&run));
        }
        let mean = self.mean.map(|mean| {
            let y = area.y(mean);
            rule(area.left, y, area.right, y).set("stroke-width", 0.75).set("stroke-dasharray", "5 4")
        });
        let (partial, whole): (Vec<_>, Vec<_>) =
            self.cells().partition(|(_, cell)| self.marks.is_partial(cell));
        let points = Element::new("g").set("class", "point").set("fill", LINE);
        let points = points.children(whole.iter().map(|point| area.circle(*point, 0.0)));
        let hollow = Element::new("g")
            .set("class", "missing")
            .set("fill", PAPER)
            .set("stroke", INK)
            .set("stroke-width", 1.5)
            .children(partial.iter().map(|point| area.circle(*point, 1.5)));
        let missing = self.cells().filter(|(_, cell)| cell.missing > 0);
        let missing: Vec<_> =
            missing.map(|(slot, cell)| (area.x(slot), area.y(cell.average), area.radius() + 0.6)).collect();
        let long = self.long_lines(&area);
        let items = legend_items(!missing.is_empty(), !partial.is_empty(), !long.is_empty());
        let (legend, end) = legend::below(page, page.left(), area.bottom() + 30.0, &items);
        let grid = self.grid(&area);
        let drawn = [bands, grid]
            .into_iter()
            .chain(mean)
            .chain([lines.set("stroke-width", 1.25), points, hollow])
            .chain(long)
            .chain(self.extremes(&whole, &area))
            .chain(mark::missing(missing))
            .chain([self.hits(&area)])
            .chain(legend);
        page.picture(end, &self.description(), drawn)
    }

    fn cells(&self) -> impl Iterator<Item = (usize, &Cell)> {
        self.slots.iter().enumerate().filter_map(|(slot, cell)| Some((slot, cell.as_ref()?)))
    }

    /// The lines of the axis, and the years below.
    fn grid(&self, area: &Area) -> Element {
        let grid = self.axis.ticks().flat_map(|tick| {
            let (text, y) = (self.axis.label(tick), area.y(tick));
            let text = faint(&text, area.left - 8.0, y + 4.0).set("text-anchor", "end");
            [grid_line(area.left, y, area.right, y), text]
        });
        let years = self.span.labels(area.slot_width, YEAR_WIDTH).map(|(slot, label)| {
            faint(&label, area.x(slot), area.bottom() + 18.0).set("text-anchor", "middle")
        });
        Element::new("g").set("font-size", SMALL_SIZE).children(grid).children(years)
    }

    /// A pointer finds a year anywhere above and below its point, which is small.
    fn hits(&self, area: &Area) -> Element {
        let marks = self.cells().map(|(slot, cell)| {
            let mark = Element::new("rect")
                .set("x", area.x(slot) - area.slot_width / 2.0)
                .set("y", area.top)
                .set("width", area.slot_width)
                .set("height", HEIGHT);
            self.marks.of_cell(mark, cell, &self.span.slot_name(slot))
        });
        Element::new("g").set("class", "hit").set("fill", "none").set("pointer-events", "all").children(marks)
    }

    /// The slots with whole months, as many as follow on one another at a time: nothing is drawn across a gap.
    fn runs(&self) -> Vec<Vec<(usize, &Cell)>> {
        let whole = |cell: &'_ Option<Cell>| cell.as_ref().is_some_and(|cell| !self.marks.is_partial(cell));
        let slots: Vec<_> = self.slots.iter().enumerate().collect();
        let runs = slots.split(|(_, cell)| !whole(cell)).filter(|run| !run.is_empty());
        runs.map(|run| run.iter().filter_map(|(slot, cell)| Some((*slot, cell.as_ref()?))).collect())
            .collect()
    }

    /// The smoothed line and the trend, if there are enough years, each of them drawn by itself.
    fn long_lines(&self, area: &Area) -> Vec<Element> {
        let (unit, climate) = (self.marks.unit, self.marks.climate);
        let Some(trend) = climate.trend(self.month).filter(|_| self.span.step == 1) else {
            return Vec::new();
        };
        let at =
            |(year, celsius): (u16, f64)| point(area.x(self.span.slot(year)), area.y(unit.degrees(celsius)));
        let line = |class, colour, width: f64, points: Vec<String>| {
            Element::new("polyline")
                .set("class", class)
                .set("fill", "none")
                .set("stroke", colour)
                .set("stroke-width", width)
                .set("points", points.join(" "))
        };
        let smooth = smoothed(climate.years(self.month)).into_iter().map(at).collect();
        let straight = [trend.start, trend.end].into_iter().map(at).collect();
        vec![
            line("trend", FAINT, 1.25, straight).set("stroke-dasharray", "2 3"),
            line("smooth", INK, 2.25, smooth),
        ]
    }

    /// The names of the warmest and the coldest year, above and below their points.
    fn extremes(&self, whole: &[(usize, &Cell)], area: &Area) -> Option<Element> {
        let by_average = |a: &&(usize, &Cell), b: &&(usize, &Cell)| a.1.average.total_cmp(&b.1.average);
        let (warmest, coldest) = (whole.iter().rev().max_by(by_average)?, whole.iter().min_by(by_average)?);
        if warmest.0 == coldest.0 {
            return None;
        }
        let label = |(slot, cell): &(usize, &Cell), aside: f64| {
            let text = format!("{}: {}", self.span.slot_name(*slot), short(cell.average));
            let half = text_width(&text, SMALL_SIZE) / 2.0;
            let middle = area.x(*slot).min(area.right - half).max(area.left + half);
            ink(&text, middle, area.y(cell.average) + aside)
        };
        let labels = [label(warmest, -9.0), label(coldest, 18.0)];
        Some(halo("middle").children(labels))
    }

    /// The picture in words.
    fn description(&self) -> String {
        let cells = || self.cells().filter(|(_, cell)| !self.marks.is_partial(cell));
        let symbol = self.marks.unit.symbol();
        let said = |(slot, cell): (usize, &Cell)| {
            format!("{} {symbol} in {}", short(cell.average), self.span.slot_name(slot))
        };
        let by_average = |a: &(usize, &Cell), b: &(usize, &Cell)| a.1.average.total_cmp(&b.1.average);
        let averages = match (cells().min_by(by_average), cells().max_by(by_average)) {
            (Some(coldest), Some(warmest)) => {
                format!("Averages from {} to {}. ", said(coldest), said(warmest))
            }
            _ => "No month is complete yet. ".to_owned(),
        };
        let mean = self.mean.map(|mean| format!("The mean of all years is {} {symbol}. ", short(mean)));
        let trend = trend_note(self.month, self.marks).map(|note| note + ". ");
        format!(
            "Line chart of {}. {averages}{}{}{} years have days missing.",
            self.title,
            mean.unwrap_or_default(),
            trend.unwrap_or_default(),
            cells().filter(|(_, cell)| cell.missing > 0).count(),
        )
    }
}

fn legend_items(has_missing: bool, has_partial: bool, has_long_lines: bool) -> Vec<Item<'static>> {
    let mut items = Vec::new();
    if has_missing {
        items.push(Item::Missing);
    }
    if has_partial {
        items.push(Item::Dot { is_whole: false, text: "not a whole month" });
    }
    if has_long_lines {
        let (stroke, text) = (INK, "smoothed, about ten years");
        items.push(Item::Dash { class: "smooth", stroke, width: 2.25, text });
        items.push(Item::Dash { class: "trend", stroke: FAINT, width: 1.25, text: "trend" });
    }
    items
}

/// The part of the page between the axes.
struct Area<'a> {
    axis: &'a Axis,
    left: f64,
    right: f64,
    top: f64,
    slot_width: f64,
}

impl<'a> Area<'a> {
    fn of(history: &'a History<'_>, page: &Page) -> Area<'a> {
        let axis = &history.axis;
        let ticks = axis.ticks().map(|tick| text_width(&axis.label(tick), SMALL_SIZE));
        let (left, right) = (page.left() + ticks.fold(0.0, f64::max) + 10.0, page.right());
        let slot_width = (right - left) / history.span.slots() as f64;
        Area { axis, left, right, top: page.top() + 24.0, slot_width }
    }

    fn bottom(&self) -> f64 {
        self.top + HEIGHT
    }

    fn x(&self, slot: usize) -> f64 {
        self.left + (slot as f64 + 0.5) * self.slot_width
    }

    fn y(&self, degrees: f64) -> f64 {
        self.top + (1.0 - self.axis.fraction(degrees)) * HEIGHT
    }

    fn radius(&self) -> f64 {
        (0.3 * self.slot_width).clamp(1.4, 3.5)
    }

    fn circle(&self, (slot, cell): (usize, &Cell), wider: f64) -> Element {
        Element::new("circle")
            .set("cx", self.x(slot))
            .set("cy", self.y(cell.average))
            .set("r", self.radius() + wider)
    }

    /// The range of the slots of a run; one alone is a bar.
    fn band(&self, run: &[(usize, &Cell)]) -> Element {
        if let [(slot, cell)] = run {
            let width = (0.6 * self.slot_width).min(12.0);
            return Element::new("rect")
                .set("x", self.x(*slot) - width / 2.0)
                .set("y", self.y(cell.max))
                .set("width", width)
                .set("height", self.y(cell.min) - self.y(cell.max));
        }
        let highs = run.iter().map(|(slot, cell)| point(self.x(*slot), self.y(cell.max)));
        let lows = run.iter().rev().map(|(slot, cell)| point(self.x(*slot), self.y(cell.min)));
        Element::new("polygon").set("points", highs.chain(lows).collect::<Vec<_>>().join(" "))
    }

    fn line(&self, run: &[(usize, &Cell)]) -> Option<Element> {
        let points: Vec<String> =
            run.iter().map(|(slot, cell)| point(self.x(*slot), self.y(cell.average))).collect();
        (points.len() > 1).then(|| Element::new("polyline").set("points", points.join(" ")))
    }
}

fn point(x: f64, y: f64) -> String {
    format!("{},{}", coordinate(x), coordinate(y))
}
