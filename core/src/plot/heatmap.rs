//! The picture of the whole record: the average of each month of each year, as a colour.

use std::collections::BTreeSet;

use super::cells::{Cell, month_label};
use super::legend::{self, Item};
use super::look::{Kind, Look};
use super::mark::{self, Marks};
use super::months::axis_title;
use super::numbers::short;
use super::page::{EMPTY, PARTIAL, Page, SMALL_SIZE, faint, text_width};
use super::scale::Scale;
use super::span::Span;
use super::svg::{Element, edge};
use crate::report::MONTHS;

// Lengths are in CSS pixels.

/// A year that would be narrower is drawn as a row instead, so that a phone shows all of a long record.
const COLUMN_MIN: f64 = 5.0;
const ROW: f64 = 22.0;
/// The height of all years together if they are rows, unless a row would be too low or too high.
const TALL_HEIGHT: f64 = 900.0;
const NAME_WIDTH: f64 = 34.0;
const YEAR_WIDTH: f64 = 40.0;

/// Draws every cell: years across and months down, or, where that is too narrow, years down and months across.
pub fn picture(cells: &[Cell], look: &Look, marks: Marks) -> Element {
    draw(cells, look, &axis_title(look.unit), |span| Heatmap {
        cells,
        span,
        months: look.months(),
        scale: scale_of(cells),
        marks,
        value: |_, cell| Some(cell.average),
    })
}

/// The same of the differences from each month's normal; nothing if no month has one.
pub fn anomalies(cells: &[Cell], look: &Look, marks: Marks) -> Option<Element> {
    let scale = anomaly_scale(cells, marks)?;
    let subtitle = anomaly_subtitle(look, marks);
    Some(draw(cells, look, &subtitle, |span| Heatmap {
        cells,
        span,
        months: look.months(),
        scale,
        marks,
        value: Marks::anomaly,
    }))
}

/// As in `Difference from the normal of 1991–2020 (°C)`.
pub fn anomaly_subtitle(look: &Look, marks: Marks) -> String {
    let normals = look.months().into_iter().filter_map(|month| marks.climate.normal(month));
    let periods: BTreeSet<String> = normals.map(|normal| normal.period()).collect();
    let of = match periods.len() {
        1 => format!("the normal of {}", periods.into_iter().collect::<String>()),
        _ => "each month’s normal".to_owned(),
    };
    format!("Difference from {of} ({})", look.unit.symbol())
}

/// Symmetric around zero. One difference in fifty is beyond its ends, and has their colour: a single month would make
/// all others pale.
pub fn anomaly_scale(cells: &[Cell], marks: Marks) -> Option<Scale> {
    let mut sizes: Vec<f64> = cells.iter().filter_map(|cell| marks.anomaly(cell)).map(f64::abs).collect();
    sizes.sort_by(f64::total_cmp);
    let limit = *sizes.get(sizes.len().checked_sub(1)? * 49 / 50)?;
    Some(Scale::diverging(limit.max(0.5)))
}

fn draw<'a>(cells: &[Cell], look: &Look, subtitle: &str, map: impl FnOnce(Span) -> Heatmap<'a>) -> Element {
    let span = Span::of(cells);
    let slots = span.slots() as f64;
    let own = NAME_WIDTH + (slots * (840.0 / slots).clamp(6.0, 28.0)).max(424.0) + 56.0;
    let width = look.width().unwrap_or(if own > 1200.0 { 720.0 } else { own });
    let note = |slot| span.note(slot).unwrap_or_default();
    let page = |slot| Page::new(width, look, &title(look.kind, span), &[subtitle, &note(slot)]);
    let map = map(span);
    let across = page("column");
    let column = (across.right() - across.left() - NAME_WIDTH) / slots;
    if column >= COLUMN_MIN { map.years_across(&across, column) } else { map.years_down(&page("row")) }
}

pub fn title(kind: Kind, span: Span) -> String {
    format!("{}, {}", kind.title(), span.name())
}

struct Heatmap<'a> {
    cells: &'a [Cell],
    span: Span,
    months: Vec<usize>,
    scale: Scale,
    marks: Marks<'a>,
    /// The value that a cell's colour shows, if it has one.
    value: fn(Marks<'a>, &Cell) -> Option<f64>,
}

/// The ground that the cells lie on.
struct Grid {
    left: f64,
    top: f64,
    width: f64,
    height: f64,
}

impl Heatmap<'_> {
    fn years_across(&self, page: &Page, column: f64) -> Element {
        let (left, top) = (page.left() + NAME_WIDTH, page.top() + 22.0);
        let rows = self.months.len() as f64;
        let (right, bottom) = (left + column * self.span.slots() as f64, top + rows * ROW);
        let grid = Grid { left, top, width: right - left, height: bottom - top };
        let at = |slot: usize, month: usize| (left + slot as f64 * column, top + month as f64 * ROW);

        let names = (0..).zip(&self.months).map(|(row, &month)| {
            faint(short_name(month), left - 8.0, top + f64::from(row) * ROW + 15.5).set("text-anchor", "end")
        });
        let years = self.span.labels(column, YEAR_WIDTH).map(|(slot, label)| {
            faint(&label, at(slot, 0).0 + column / 2.0, bottom + 17.0).set("text-anchor", "middle")
        });
        let labels = Element::new("g").set("font-size", SMALL_SIZE).children(names).children(years);
        self.finish(page, grid, (column, ROW), at, labels, bottom + 30.0)
    }

    fn years_down(&self, page: &Page) -> Element {
        let slots = self.span.slots() as f64;
        let row = (TALL_HEIGHT / slots).clamp(COLUMN_MIN, 20.0);
        let (left, top) = (page.left() + YEAR_WIDTH, page.top() + 40.0);
        let (right, bottom) = (page.right(), top + slots * row);
        let column = (right - left) / self.months.len() as f64;
        let grid = Grid { left, top, width: right - left, height: bottom - top };
        let at = |slot: usize, month: usize| (left + month as f64 * column, top + slot as f64 * row);

        let names = (0..).zip(&self.months).map(|(index, &month)| {
            let name = short_name(month);
            let name = if text_width(name, SMALL_SIZE) + 4.0 > column { &name[..1] } else { name };
            faint(name, left + (f64::from(index) + 0.5) * column, top - 8.0).set("text-anchor", "middle")
        });
        let years = self.span.labels(row, 18.0).map(|(slot, label)| {
            faint(&label, left - 8.0, at(slot, 0).1 + row / 2.0 + 4.0).set("text-anchor", "end")
        });
        let labels = Element::new("g").set("font-size", SMALL_SIZE).children(names).children(years);
        self.finish(page, grid, (column, row), at, labels, bottom + 12.0)
    }

    fn finish(
        &self,
        page: &Page,
        grid: Grid,
        (width, height): (f64, f64),
        at: impl Fn(usize, usize) -> (f64, f64),
        labels: Element,
        legend_top: f64,
    ) -> Element {
        let mut halves = false;
        let ground = Element::new("rect")
            .set("class", "empty")
            .set("x", edge(grid.left))
            .set("y", edge(grid.top))
            .set("width", edge(grid.left + grid.width) - edge(grid.left))
            .set("height", edge(grid.top + grid.height) - edge(grid.top))
            .set("fill", EMPTY);
        let mut marks = Vec::new();
        let mut dots = Vec::new();
        for (row, &month) in self.months.iter().enumerate() {
            let pooled =
                self.span.pooled(self.cells.iter().filter(|cell| cell.month == month), self.marks.climate);
            for (slot, cell) in pooled.iter().enumerate() {
                let Some(cell) = cell else { continue };
                let (x, y) = at(slot, row);
                halves |= self.marks.is_partial(cell);
                let mark = self.rectangle(cell, (x, y), (width, height));
                marks.push(self.marks.of_cell(mark, cell, &self.span.slot_name(slot)));
                if cell.missing > 0 {
                    let radius = (0.28 * width.min(height)).clamp(1.3, 3.0);
                    dots.push((x + width / 2.0, y + height / 2.0, radius));
                }
            }
        }
        let mut items = vec![Item::Scale(&self.scale)];
        // The ground is seen where a cell is missing, and nowhere else.
        if marks.len() < self.months.len() * self.span.slots() {
            items.push(Item::Patch { class: "empty", fill: EMPTY, text: "no data" });
        }
        if halves {
            items.push(Item::Half);
        }
        if !dots.is_empty() {
            items.push(Item::Missing);
        }
        // Edges on whole pixels leave no seams between cells.
        let marks =
            Element::new("g").set("class", "heat").set("shape-rendering", "crispEdges").children(marks);
        let (legend, bottom) = legend::below(page, page.left(), legend_top, &items);
        let drawn = [ground, marks].into_iter().chain(mark::missing(dots)).chain([labels]).chain(legend);
        page.picture(bottom, &self.description(), drawn)
    }

    /// A cell's rectangle; that of a part of a month has half the height.
    fn rectangle(&self, cell: &Cell, (x, y): (f64, f64), (width, height): (f64, f64)) -> Element {
        let top = if self.marks.is_partial(cell) { edge(y + height / 2.0) } else { edge(y) };
        let mark = Element::new("rect")
            .set("x", edge(x))
            .set("y", top)
            .set("width", edge(x + width) - edge(x))
            .set("height", edge(y + height) - top);
        match (self.value)(self.marks, cell) {
            Some(value) => mark.set("fill", self.scale.colour(value).0),
            None => mark.set("class", "partial").set("fill", PARTIAL),
        }
    }

    /// The picture in words.
    fn description(&self) -> String {
        let values = || {
            let complete = self.cells.iter().filter(|cell| !self.marks.is_partial(cell));
            complete.filter_map(|cell| Some((cell, (self.value)(self.marks, cell)?)))
        };
        let said = |found: Option<(&Cell, f64)>| match found {
            Some((cell, value)) => {
                let (label, symbol) = (month_label(cell.month, cell.year), self.marks.unit.symbol());
                format!("{} {symbol} in {label}", short(value))
            }
            None => "none".to_owned(),
        };
        let missing = self.cells.iter().filter(|cell| cell.missing > 0).count();
        format!(
            "Heat map of {} months of the years {}: from {} to {}. {}{missing} of them have days missing.",
            self.cells.len(),
            self.span.name(),
            said(values().min_by(|a, b| a.1.total_cmp(&b.1))),
            said(values().max_by(|a, b| a.1.total_cmp(&b.1))),
            self.span.note("cell").map(|note| note + " ").unwrap_or_default(),
        )
    }
}

pub fn scale_of(cells: &[Cell]) -> Scale {
    let averages = || cells.iter().map(|cell| cell.average);
    Scale::sequential(averages().fold(f64::INFINITY, f64::min), averages().fold(f64::NEG_INFINITY, f64::max))
}

/// As in `Jan`.
pub fn short_name(month: usize) -> &'static str {
    &MONTHS[month][..3]
}
