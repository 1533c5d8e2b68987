//! The picture of this year: each month's average in its latest recorded year next to its normal, with the daily maxima
//! of that year and of the whole record.

use super::axis::Axis;
use super::cells::{Cell, latest};
use super::heatmap::short_name;
use super::legend::{self, Item};
use super::look::{Kind, Look};
use super::mark::Marks;
use super::months::axis_title;
use super::numbers::{short, signed};
use super::page::{INK, PAPER, Page, SMALL_SIZE, faint, grid_line, ink, text_width};
use super::scale::widened;
use super::svg::{self, Element};
use crate::climate::{Coverage, YEARS_MIN};

// Lengths are in CSS pixels.

const HEIGHT: f64 = 320.0;
const ROW: f64 = 30.0;
pub const EXTENT: &str = "#8c8c8c";
pub const RANGE: &str = "#c77a3a";

/// One month of the picture.
pub struct Month<'a> {
    pub cell: &'a Cell,
    /// The coldest and the warmest day of the whole record.
    pub low: f64,
    pub high: f64,
    pub normal: Option<f64>,
    /// The difference in figures, or why there is none.
    figure: String,
}

/// Each month in its latest recorded year.
pub fn months<'a>(cells: &'a [Cell], marks: Marks) -> Vec<Month<'a>> {
    latest(cells).into_iter().map(|cell| Month::of(cell, cells, marks)).collect()
}

/// Draws each month in its latest recorded year.
pub fn picture(cells: &[Cell], look: &Look, marks: Marks) -> Element {
    let months = months(cells, marks);
    let low = months.iter().map(|month| month.low).fold(f64::INFINITY, f64::min);
    let high = months.iter().map(|month| month.high).fold(f64::NEG_INFINITY, f64::max);
    let (low, high) = widened(low, high);
    let width = look.width().unwrap_or(896.0);
    let periods = super::heatmap::anomaly_subtitle(look, marks);
    let has_normal = months.iter().any(|month| month.normal.is_some());
    let note = match has_normal {
        true => format!("{periods} in figures"),
        false => format!("No normal yet: it takes {YEARS_MIN} years. Averages in figures"),
    };
    let page = Page::new(width, look, &title(&months), &[&axis_title(look.unit), &note]);
    let year = Year { months, axis: Axis::around(low, high, 8), marks };
    let label_width =
        year.months.iter().map(|month| text_width(&month.figure, SMALL_SIZE)).fold(30.0, f64::max);
    let (left, right) = (page.left() + year.tick_width() + 10.0, page.right());
    let band = (right - left) / year.months.len() as f64;
    if band >= label_width + 6.0 { year.standing(&page, left) } else { year.lying(&page) }
}

/// With the year if it is one.
fn title(months: &[Month]) -> String {
    match years(months)[..] {
        [(_, year)] => format!("{}, {year:04}", Kind::Year.title()),
        _ => Kind::Year.title().to_owned(),
    }
}

/// The years, each with the first of the months that follow one another in it.
fn years(months: &[Month]) -> Vec<(usize, u16)> {
    let mut years: Vec<(usize, u16)> = Vec::new();
    for (index, month) in months.iter().enumerate() {
        if years.last().is_none_or(|(_, year)| *year != month.cell.year) {
            years.push((index, month.cell.year));
        }
    }
    years
}

impl<'a> Month<'a> {
    fn of(cell: &'a Cell, cells: &[Cell], marks: Marks) -> Month<'a> {
        let same = || cells.iter().filter(|other| other.month == cell.month);
        let figure = match marks.anomaly(cell) {
            Some(anomaly) => signed(anomaly),
            None if marks.is_partial(cell) => "so far".to_owned(),
            None => short(cell.average),
        };
        let figure = match marks.climate.coverage(cell) {
            Coverage::Incomplete => "part".to_owned(),
            _ => figure,
        };
        Month {
            cell,
            low: same().map(|other| other.min).fold(cell.average, f64::min),
            high: same().map(|other| other.max).fold(cell.average, f64::max),
            normal: marks.normal(cell.month),
            figure,
        }
    }
}

struct Year<'a> {
    months: Vec<Month<'a>>,
    axis: Axis,
    marks: Marks<'a>,
}

impl Year<'_> {
    fn tick_width(&self) -> f64 {
        self.axis.ticks().map(|tick| text_width(&self.axis.label(tick), SMALL_SIZE)).fold(0.0, f64::max)
    }

    fn standing(&self, page: &Page, left: f64) -> Element {
        let (right, top) = (page.right(), page.top() + 24.0);
        let band = (right - left) / self.months.len() as f64;
        let x = |index: usize| left + (index as f64 + 0.5) * band;
        let y = |degrees: f64| top + (1.0 - self.axis.fraction(degrees)) * HEIGHT;
        let bottom = top + HEIGHT;
        let grid = self.axis.ticks().flat_map(|tick| {
            let (text, y) = (self.axis.label(tick), y(tick));
            [grid_line(left, y, right, y), faint(&text, left - 8.0, y + 4.0).set("text-anchor", "end")]
        });
        let names = self.months.iter().enumerate().flat_map(|(index, month)| {
            let name = faint(short_name(month.cell.month), x(index), bottom + 20.0);
            let figure = ink(&month.figure, x(index), bottom + 38.0).set("font-weight", "bold");
            [name, figure].map(|text| text.set("text-anchor", "middle"))
        });
        let years = self.year_labels().map(|(index, year)| faint(&year, x(index), bottom + 56.0));
        let years = years.map(|text| text.set("text-anchor", "middle"));
        let labels =
            Element::new("g").set("font-size", SMALL_SIZE).children(grid).children(names).children(years);
        let marks = self.months.iter().enumerate().flat_map(|(index, month)| {
            let hit = rect(x(index) - band / 2.0, top, band, HEIGHT);
            self.draw(month, hit, |degrees, aside| (x(index) + aside, y(degrees)), (band * 0.3).min(14.0))
        });
        let (legend, end) = legend::below(page, page.left(), bottom + 66.0, &self.legend());
        page.picture(end, &self.description(), [labels].into_iter().chain(marks).chain(legend))
    }

    fn lying(&self, page: &Page) -> Element {
        let top = page.top() + 36.0;
        let figure_width =
            self.months.iter().map(|month| text_width(&month.figure, SMALL_SIZE)).fold(0.0, f64::max);
        let has_years = years(&self.months).len() > 1;
        let name_width = if has_years { 70.0 } else { 30.0 };
        let (left, right) = (page.left() + name_width + 8.0, page.right() - figure_width - 14.0);
        let x = |degrees: f64| left + self.axis.fraction(degrees) * (right - left);
        let row = |index: usize| top + (index as f64 + 0.5) * ROW;
        let bottom = top + self.months.len() as f64 * ROW;
        let tick_space = (right - left) / (self.axis.ticks().count() - 1).max(1) as f64;
        let every = ((self.tick_width() + 10.0) / tick_space).ceil().max(1.0) as usize;
        let grid = self.axis.ticks().map(|tick| grid_line(x(tick), top - 4.0, x(tick), bottom));
        let ticks = self
            .axis
            .every(every)
            .map(|tick| faint(&self.axis.label(tick), x(tick), top - 10.0).set("text-anchor", "middle"));
        let labels: Vec<(usize, String)> = self.year_labels().collect();
        let names = self.months.iter().enumerate().flat_map(|(index, month)| {
            let year = labels.iter().find(|(first, _)| *first == index).map_or("", |(_, year)| year);
            let name = format!("{} {year}", short_name(month.cell.month));
            let name = faint(name.trim_end(), page.left(), row(index) + 4.0);
            let figure = ink(&month.figure, page.right(), row(index) + 4.0).set("text-anchor", "end");
            [name, figure.set("font-weight", "bold")]
        });
        let labels =
            Element::new("g").set("font-size", SMALL_SIZE).children(grid).children(ticks).children(names);
        let marks = self.months.iter().enumerate().flat_map(|(index, month)| {
            let hit = rect(left, row(index) - ROW / 2.0, right - left, ROW);
            self.draw(month, hit, |degrees, aside| (x(degrees), row(index) + aside), 8.0)
        });
        let (legend, end) = legend::below(page, page.left(), bottom + 8.0, &self.legend());
        page.picture(end, &self.description(), [labels].into_iter().chain(marks).chain(legend))
    }

    /// Each year once, at the first of its months; none if the title has it.
    fn year_labels(&self) -> impl Iterator<Item = (usize, String)> + use<> {
        let years = years(&self.months);
        let is_needed = years.len() > 1;
        years.into_iter().filter(move |_| is_needed).map(|(index, year)| (index, format!("{year:04}")))
    }

    /// The marks of a month. `at` is the point of degrees, so far aside of the middle of its band.
    fn draw(
        &self,
        month: &Month,
        hit: Element,
        at: impl Fn(f64, f64) -> (f64, f64),
        half: f64,
    ) -> Vec<Element> {
        let cell = month.cell;
        let line = |from: (f64, f64), to: (f64, f64)| svg::line(from.0, from.1, to.0, to.1);
        let extent = line(at(month.low, 0.0), at(month.high, 0.0))
            .set("class", "extent")
            .set("stroke", EXTENT)
            .set("stroke-width", 1.5);
        let range = line(at(cell.min, 0.0), at(cell.max, 0.0)).set("class", "range").set("stroke", RANGE);
        let (cx, cy) = at(cell.average, 0.0);
        let dot = Element::new("circle").set("cx", cx).set("cy", cy).set("r", 4.5);
        let dot = match self.marks.is_partial(cell) {
            true => {
                dot.set("class", "missing").set("fill", PAPER).set("stroke", INK).set("stroke-width", 1.5)
            }
            false => dot.set("class", "ink").set("fill", INK),
        };
        let normal = month.normal.map(|normal| {
            line(at(normal, -half), at(normal, half))
                .set("class", "rule")
                .set("stroke", INK)
                .set("stroke-width", 2.0)
        });
        let hit = hit.set("class", "hit").set("fill", "none").set("pointer-events", "all");
        let hit = self.marks.of_cell(hit, cell, &format!("{:04}", cell.year));
        [extent, range.set("stroke-width", 7.0)].into_iter().chain(normal).chain([dot, hit]).collect()
    }

    fn legend(&self) -> Vec<Item<'static>> {
        let mut items = vec![Item::Dot { is_whole: true, text: "average" }];
        if self.months.iter().any(|month| self.marks.is_partial(month.cell)) {
            items.push(Item::Dot { is_whole: false, text: "not a whole month" });
        }
        if self.months.iter().any(|month| month.normal.is_some()) {
            items.push(Item::Dash { class: "rule", stroke: INK, width: 2.0, text: "normal" });
        }
        items.push(Item::Dash { class: "range", stroke: RANGE, width: 7.0, text: "its days" });
        items.push(Item::Dash {
            class: "extent",
            stroke: EXTENT,
            width: 1.5,
            text: "all days of the record",
        });
        items
    }

    /// The picture in words.
    fn description(&self) -> String {
        let tips =
            self.months.iter().map(|month| self.marks.tip(month.cell, &format!("{:04}", month.cell.year)));
        format!("Each month in its latest recorded year. {}.", tips.collect::<Vec<_>>().join(". "))
    }
}

fn rect(x: f64, y: f64, width: f64, height: f64) -> Element {
    Element::new("rect").set("x", x).set("y", y).set("width", width).set("height", height)
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use crate::plot::tests::samples::{self, cell};
    use crate::plot::{Cell, Look, svg};

    use super::*;

    fn draw(cells: &[Cell], width: u32) -> String {
        svg(cells, &Look { width: Some(width), ..Look::of(Kind::Year) }).unwrap()
    }

    #[test]
    fn differences_are_in_figures_and_a_month_in_progress_has_none() {
        let mut cells: Vec<Cell> = (1990..2001).map(|year| cell(year, 7, 20.0)).collect();
        cells.push(cell(2001, 7, 22.4));
        cells.push(Cell { count: 9, end: date(2001, 8, 9), ..cell(2001, 8, 30.0) });
        for width in [320, 900] {
            let svg = draw(&cells, width);
            assert!(svg.contains(">+2.2<") && svg.contains(">so far<"), "{svg}");
            assert!(svg.contains("This year against normal, 2001"));
        }
    }

    #[test]
    fn years_that_differ_are_named_once_each() {
        let svg = draw(&samples::years(), 900);
        assert!(svg.contains(">1999<") && svg.contains(">1998<"), "{svg}");
        assert_eq!((svg.matches(">1998<").count(), svg.matches(">1999<").count()), (1, 1));
    }
}
