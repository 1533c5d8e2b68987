//! The picture of the months: a bar for each, standing side by side or, on a narrow page, lying under each
//! other.

use super::axis::Axis;
use super::cells::{Cell, month_label};
use super::legend::{self, Item};
use super::look::{Kind, Look, Unit};
use super::mark::{self, Marks};
use super::numbers::short;
use super::page::{COLD, LABEL_SIZE, Page, SMALL_SIZE, WARM, faint, grid_line, halo, ink, rule, text_width};
use super::svg::{self, Element};
use crate::climate::days_in_month;

/// The colours of the bars for a terminal.
pub const WARM_RGB: [u8; 3] = [0xd5, 0x5e, 0x00];
pub const COLD_RGB: [u8; 3] = [0x00, 0x72, 0xb2];

// Lengths are in CSS pixels.

const PLOT_HEIGHT: f64 = 360.0;
/// `September-1991`, the longest label, with some air.
const LABEL_WIDTH: f64 = 118.0;
/// The largest values that `short` writes out need this much side by side.
const BAND: f64 = 70.0;
const BAR_WIDTH_MAX: f64 = 72.0;
/// The height at which a bar is drawn that is too low to see.
const FLAT: f64 = 4.0;
const ROW: f64 = 28.0;
const DOT: f64 = 3.0;

/// Draws one bar for each cell, in their order.
pub fn picture(cells: &[&Cell], look: &Look, marks: Marks) -> Element {
    let bars = Bars { cells, look, axis: axis_of(cells), marks };
    let left = 28.0 + bars.tick_width().max(36.0) + 10.0;
    let count = cells.len() as f64;
    // A few bars get a small picture with their names side by side, a year the full width.
    let own = left + (count * LABEL_WIDTH).clamp(4.0 * LABEL_WIDTH, (count * BAND).max(12.0 * BAND)) + 28.0;
    let width = look.width().unwrap_or(own);
    let band = (width - left - 28.0) / count;
    if band >= bars.value_width() + 8.0 && width >= 480.0 {
        bars.standing(width, left)
    } else {
        bars.lying(width)
    }
}

struct Bars<'a> {
    cells: &'a [&'a Cell],
    look: &'a Look,
    axis: Axis,
    marks: Marks<'a>,
}

impl Bars<'_> {
    fn page(&self, width: f64) -> Page {
        Page::new(width, self.look, Kind::Months.title(), &[&axis_title(self.look.unit)])
    }

    fn tick_width(&self) -> f64 {
        self.axis.ticks().map(|tick| text_width(&self.axis.label(tick), SMALL_SIZE)).fold(0.0, f64::max)
    }

    fn value_width(&self) -> f64 {
        self.cells.iter().map(|cell| text_width(&short(cell.average), SMALL_SIZE)).fold(0.0, f64::max)
    }

    fn name_width(&self) -> f64 {
        self.cells.iter().map(|cell| text_width(&label(cell), LABEL_SIZE)).fold(0.0, f64::max)
    }

    /// The whole picture in words.
    fn description(&self) -> String {
        let said: Vec<String> = self.cells.iter().map(|cell| self.said(cell)).collect();
        format!("Bar chart. {}: {}.", axis_title(self.look.unit), said.join("; "))
    }

    fn standing(&self, width: f64, left: f64) -> Element {
        let page = self.page(width);
        let (right, top) = (page.right(), page.top() + 37.0);
        let band = (right - left) / self.cells.len() as f64;
        let slanted = band < LABEL_WIDTH;
        let x = |index: usize| left + (index as f64 + 0.5) * band;
        let y = |degrees: f64| top + (1.0 - self.axis.fraction(degrees)) * PLOT_HEIGHT;

        let ticks = self.axis.ticks().flat_map(|tick| {
            let (text, y) = (self.axis.label(tick), y(tick));
            [grid_line(left, y, right, y), faint(&text, left - 10.0, y + 4.0)]
        });
        let grid = Element::new("g").set("font-size", SMALL_SIZE).set("text-anchor", "end").children(ticks);

        let bar_width = (band * 0.64).min(BAR_WIDTH_MAX);
        let bars = self.cells.iter().enumerate().map(|(index, cell)| {
            let (from, to) = extent(y(0.0), y(cell.average));
            self.bar(cell, x(index) - bar_width / 2.0, from, bar_width, to - from)
        });
        let dots = (0..).zip(self.cells).filter(|(_, cell)| cell.missing > 0);
        let dots = dots.map(|(index, cell)| (x(index), (y(0.0) + y(cell.average)) / 2.0, DOT));

        let values = self.cells.iter().enumerate().map(|(index, cell)| {
            let y = y(cell.average);
            let baseline = if cell.average < 0.0 { y + 16.0 } else { y - 7.0 };
            ink(&short(cell.average), x(index), baseline)
        });

        // Below everything, so that no bar that hangs runs into its own name.
        let names_y = top + PLOT_HEIGHT + if slanted { 32.0 } else { 40.0 };
        let names = self.cells.iter().enumerate().map(|(index, cell)| {
            if slanted {
                let place = (svg::coordinate(x(index) + 6.0), svg::coordinate(names_y));
                let place = format!("translate({} {}) rotate(-40)", place.0, place.1);
                Element::text("text", label(cell)).set("class", "ink").set("transform", place)
            } else {
                ink(&label(cell), x(index), names_y)
            }
        });
        let names = Element::new("g")
            .set("font-size", LABEL_SIZE)
            .set("class", "ink")
            .set("fill", super::page::INK)
            .set("text-anchor", if slanted { "end" } else { "middle" })
            .children(names);

        let bottom = top + PLOT_HEIGHT + if slanted { 112.0 } else { 50.0 };
        let (legend, bottom) = legend::below(&page, left, bottom, &self.legend());
        let drawn = [grid, rule(left, y(0.0), right, y(0.0)).set("stroke-width", 1.5)]
            .into_iter()
            .chain(bars)
            .chain(mark::missing(dots))
            .chain([halo("middle").children(values), names])
            .chain(legend);
        page.picture(bottom, &self.description(), drawn)
    }

    fn lying(&self, width: f64) -> Element {
        let page = self.page(width);
        let top = page.top() + 36.0;
        // The values stand beyond the ends of the bars, on either side of zero.
        let value = self.value_width() + 8.0;
        let hangs = self.cells.iter().any(|cell| cell.average < 0.0);
        let stands = self.cells.iter().any(|cell| cell.average >= 0.0);
        let names = page.left() + self.name_width();
        let left = names + 10.0 + if hangs { value } else { 0.0 };
        let right = page.right() - if stands { value } else { 8.0 };
        let x = |degrees: f64| left + self.axis.fraction(degrees) * (right - left);
        let row = |index: usize| top + index as f64 * ROW;
        let bottom = row(self.cells.len());

        let grid = self.axis.ticks().map(|tick| grid_line(x(tick), top - 4.0, x(tick), bottom));
        let tick_space = (right - left) / (self.axis.ticks().count() - 1) as f64;
        let every = ((self.tick_width() + 10.0) / tick_space).ceil().max(1.0) as usize;
        let ticks = self.axis.every(every);
        let ticks = ticks.map(|tick| faint(&self.axis.label(tick), x(tick), top - 10.0));
        let ticks =
            Element::new("g").set("font-size", SMALL_SIZE).set("text-anchor", "middle").children(ticks);

        let bars = self.cells.iter().enumerate().map(|(index, cell)| {
            let (from, to) = extent(x(0.0), x(cell.average));
            self.bar(cell, from, row(index) + 5.0, to - from, ROW - 10.0)
        });
        let dots = (0..).zip(self.cells).filter(|(_, cell)| cell.missing > 0);
        let dots = dots.map(|(index, cell)| ((x(0.0) + x(cell.average)) / 2.0, row(index) + ROW / 2.0, DOT));

        let values = self.cells.iter().enumerate().map(|(index, cell)| {
            let (end, anchor) = if cell.average < 0.0 { (-6.0, "end") } else { (6.0, "start") };
            ink(&short(cell.average), x(cell.average) + end, row(index) + 18.0).set("text-anchor", anchor)
        });
        let names = self.cells.iter().enumerate().map(|(index, cell)| {
            ink(&label(cell), page.left(), row(index) + 18.5).set("font-size", LABEL_SIZE)
        });

        let (legend, end) = legend::below(&page, page.left(), bottom + 6.0, &self.legend());
        let drawn = grid
            .chain([ticks, rule(x(0.0), top - 4.0, x(0.0), bottom).set("stroke-width", 1.5)])
            .chain(bars)
            .chain(mark::missing(dots))
            .chain([halo("start").children(values)])
            .chain(names)
            .chain(legend);
        page.picture(end, &self.description(), drawn)
    }

    /// Its name and value show where a pointer rests on it, in a browser without any script.
    fn bar(&self, cell: &Cell, x: f64, y: f64, width: f64, height: f64) -> Element {
        let is_frost = is_frost(cell, self.look.unit);
        let bar = Element::new("rect").set("x", x).set("y", y).set("width", width).set("height", height);
        let bar = if self.marks.is_partial(cell) {
            mark::outlined(bar, is_frost)
        } else {
            let (class, colour) = if is_frost { ("cold", COLD) } else { ("warm", WARM) };
            bar.set("class", class).set("fill", colour)
        };
        self.marks
            .of_cell(bar, cell, &format!("{:04}", cell.year))
            .child(Element::text("title", self.said(cell)))
    }

    /// As in `January-1991 −8.9 °C`.
    fn said(&self, cell: &Cell) -> String {
        let said = format!("{} {} {}", label(cell), short(cell.average), self.look.unit.symbol());
        match self.marks.is_partial(cell) {
            true => format!("{said} ({} of {} days)", cell.count, days_in_month(cell)),
            false => said,
        }
    }

    fn legend(&self) -> Vec<Item<'static>> {
        let missing = self.cells.iter().any(|cell| cell.missing > 0);
        let partial = self.cells.iter().find(|cell| self.marks.is_partial(cell));
        let partial = partial.map(|cell| Item::Outline { is_frost: is_frost(cell, self.look.unit) });
        partial.into_iter().chain(missing.then_some(Item::Missing)).collect()
    }
}

pub fn axis_title(unit: Unit) -> String {
    format!("Average maximum temperature ({})", unit.symbol())
}

/// Whether the average is below the freezing point, which is not where °F have their zero.
pub fn is_frost(cell: &Cell, unit: Unit) -> bool {
    cell.average < unit.degrees(0.0)
}

fn label(cell: &Cell) -> String {
    month_label(cell.month, cell.year)
}

/// The axis from zero, or across it, to the averages; at least a degree, or noise would look like weather.
fn axis_of(cells: &[&Cell]) -> Axis {
    let low = cells.iter().map(|cell| cell.average).fold(0.0, f64::min);
    let high = cells.iter().map(|cell| cell.average).fold(0.0, f64::max);
    if high - low >= 1.0 {
        Axis::around(low, high, 8)
    } else if high > 0.0 || low == 0.0 {
        Axis::around(low, low + 1.0, 8)
    } else {
        Axis::around(-1.0, 0.0, 8)
    }
}

/// The beginning and the end of a bar from `zero` to `end`, long enough to see.
fn extent(zero: f64, end: f64) -> (f64, f64) {
    if (zero - end).abs() < FLAT {
        (zero - FLAT / 2.0, zero + FLAT / 2.0)
    } else {
        (zero.min(end), zero.max(end))
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use roxmltree::{Document, Node};

    use super::*;
    use crate::plot::svg;
    use crate::plot::tests::samples::{TYPICAL, cell, with_gap};

    /// A year that has come as far as April.
    fn cells(averages: &[f64]) -> Vec<Cell> {
        let year = |month| if month <= 4 { 1991 } else { 1990 };
        (1..).zip(averages).map(|(month, &average)| cell(year(month), month, average)).collect()
    }

    fn draw(averages: &[f64], width: Option<u32>) -> String {
        svg(&cells(averages), &Look { width, ..Look::of(Kind::Months) }).unwrap()
    }

    fn number(node: Node, attribute: &str) -> f64 {
        node.attribute(attribute).unwrap().parse().unwrap()
    }

    /// The bars' rectangles as (top, bottom), and where zero is.
    #[track_caller]
    fn drawn_bars(averages: &[f64]) -> (Vec<(f64, f64)>, f64) {
        let svg = draw(averages, None);
        let document = Document::parse(&svg).unwrap();
        let bars = document.descendants().filter(|node| node.has_attribute("data-tip")).map(|rect| {
            let top = number(rect, "y");
            (top, top + number(rect, "height"))
        });
        let zero = document.descendants().find(|node| node.attribute("stroke-width") == Some("1.5"));
        (bars.collect(), number(zero.unwrap(), "y1"))
    }

    #[test]
    fn a_typical_year() {
        insta::assert_snapshot!(draw(&TYPICAL, None));
    }

    #[test]
    fn a_typical_year_on_a_phone() {
        insta::assert_snapshot!(draw(&TYPICAL, Some(360)));
    }

    #[test]
    fn days_missing_are_a_dot_and_have_a_legend() {
        let cells = [with_gap(cell(1991, 1, -8.9), 3), cell(1991, 2, 1.0)];
        let svg = svg(&cells, &Look::of(Kind::Months)).unwrap();
        assert!(
            svg.contains("data-tip=\"January 1991: −8.9 °C, 28 days, 3 missing; warmest day 1.1 on 31, coldest day −18.9 on 1\"")
        );
        assert_eq!(svg.matches("<circle").count(), 2, "one on the bar, one in the legend:\n{svg}");
    }

    #[test]
    fn a_month_that_is_not_whole_is_an_outline_and_has_a_legend() {
        let progress = Cell { count: 9, end: date(1999, 9, 9), ..cell(1999, 9, 26.8) };
        let svg = svg(&[cell(1999, 8, 25.0), progress], &Look::of(Kind::Months)).unwrap();
        assert!(svg.contains("<title>September-1999 26.8 °C (9 of 30 days)</title>"), "{svg}");
        assert!(svg.contains("data-tip=\"September 1999 so far, 9 of 30 days: 26.8 °C; "));
        assert_eq!((svg.matches("\"warm\"").count(), svg.matches("\"warm-part\"").count()), (1, 2));
        assert!(svg.contains(">September-1999<") && svg.contains(">not a whole month<"));
    }

    #[test]
    fn bars_stand_on_zero_or_hang_from_it() {
        let (rects, zero) = drawn_bars(&[-3.2, 12.0]);
        let [(cold_top, cold_bottom), (warm_top, warm_bottom)] = rects[..] else { panic!("{rects:?}") };
        assert!((cold_top - zero).abs() < 0.01 && cold_bottom > zero);
        assert!((warm_bottom - zero).abs() < 0.01 && warm_top < zero);
    }

    #[test]
    fn zero_is_a_flat_mark_on_the_line() {
        let (rects, zero) = drawn_bars(&[0.0, -0.0, 1e-12, 20.0]);
        for &(top, bottom) in &rects[..3] {
            assert_eq!((top, bottom), (zero - FLAT / 2.0, zero + FLAT / 2.0));
        }
    }

    #[test]
    fn the_axis_spans_a_degree_at_least() {
        for (averages, ticks) in [
            (&[][..], ["0.0", "1.0"]),
            (&[0.0], ["0.0", "1.0"]),
            (&[1e-9], ["0.0", "1.0"]),
            (&[-1e-9], ["−1.0", "0.0"]),
            (&[-0.01, 0.01], ["−0.2", "1.0"]),
            (&[20.001, 20.002], ["0", "25"]),
            (&TYPICAL, ["−5", "30"]),
            (&[-1e9, 1e9], ["−1,000,000,000", "1,000,000,000"]),
        ] {
            let cells = cells(averages);
            let axis = axis_of(&cells.iter().collect::<Vec<_>>());
            let ends = [axis.ticks().next(), axis.ticks().last()].map(|tick| axis.label(tick.unwrap()));
            assert_eq!(ends, ticks, "for {averages:?}");
        }
    }

    #[test]
    fn frost_is_cold_in_either_unit() {
        for unit in [Unit::Celsius, Unit::Fahrenheit] {
            let look = Look { unit, ..Look::of(Kind::Months) };
            let svg = svg(&cells(&[-3.0, 0.0, 3.0]), &look).unwrap();
            assert_eq!((svg.matches("\"cold\"").count(), svg.matches("\"warm\"").count()), (1, 2));
        }
    }

    #[test]
    fn names_that_do_not_fit_side_by_side_are_slanted() {
        assert!(!draw(&TYPICAL[..7], None).contains("rotate"));
        assert!(draw(&TYPICAL[..8], None).contains("rotate"));
        assert!(!draw(&TYPICAL, Some(400)).contains("rotate"), "they lie under each other");
    }
}
