//! The picture of the months: a bar for each, in degrees Celsius.

use super::MonthBar;
use super::axis::Axis;
use super::numbers::short;
use super::svg::{self, Element};
use crate::report::DEGREES_MAX;

const TITLE: &str = "Each month in its latest recorded year";
const NO_MONTH: &str = "No month is recorded yet";
const AXIS_TITLE: &str = "Average maximum temperature (°C)";
const SOURCE: &str = "almanac · average of each day’s maximum temperature · °C";

/// Okabe and Ito's vermilion and blue, told apart with any kind of colour vision.
const WARM: &str = "#d55e00";
const COLD: &str = "#0072b2";
const INK: &str = "#222222";
const FAINT_INK: &str = "#595959";
const GRID: &str = "#e3e3e3";

// Lengths are in CSS pixels.

const MARGIN: f64 = 28.0;
const PLOT_TOP: f64 = 112.0;
const PLOT_HEIGHT: f64 = 360.0;
const LABEL_SIZE: f64 = 13.0;
const SMALL_SIZE: f64 = 12.0;
/// The advance of a digit in DejaVu Sans, as wide as a sans-serif gets; the reader's font is not known here.
const DIGIT_EMS: f64 = 0.64;
/// `September-1991`, the longest label, with some air.
const LABEL_WIDTH: f64 = 118.0;
/// Less would not leave the bars' values room side by side.
const BAND_MIN: f64 = 70.0;
const BAR_WIDTH_MAX: f64 = 72.0;
/// What a bar that is too low to be seen is drawn as.
const FLAT_HEIGHT: f64 = 4.0;

/// Draws one bar for each of `bars`, in their order.
///
/// An average beyond what reports can have is drawn as the largest they can, and labelled as it is.
pub fn months_svg(bars: &[MonthBar]) -> String {
    let layout = Layout::of(bars);
    svg::document(layout.width, layout.height, TITLE, &description(bars))
        .set("font-family", "sans-serif")
        .children(heading(&layout))
        .child(grid(&layout))
        .child(zero_line(&layout))
        .children(bars.iter().enumerate().map(|(index, bar)| bar_mark(&layout, index, bar)))
        .child(values(&layout, bars))
        .child(labels(&layout, bars))
        .children(bars.is_empty().then(|| no_month(&layout)))
        .child(source(&layout))
        .to_string()
}

/// Where things lie, as far as it depends on what is drawn.
struct Layout {
    axis: Axis,
    width: f64,
    height: f64,
    plot_left: f64,
    plot_width: f64,
    /// The width that one bar and the space around it have.
    band: f64,
    /// Whether the months' names would not fit side by side.
    slanted: bool,
}

impl Layout {
    fn of(bars: &[MonthBar]) -> Layout {
        let axis = axis_of(bars);
        let tick_chars = axis.ticks().map(|tick| axis.label(tick).chars().count()).max().unwrap_or(0);
        let plot_left = MARGIN + (tick_chars as f64 * DIGIT_EMS * SMALL_SIZE).max(36.0) + 10.0;

        let count = bars.len() as f64;
        // A few bars get a small picture with their names side by side, a year the full width.
        let plot_width =
            (count * LABEL_WIDTH).clamp(4.0 * LABEL_WIDTH, (12.0 * BAND_MIN).max(count * BAND_MIN));
        let band = plot_width / count.max(1.0);
        let slanted = band < LABEL_WIDTH;
        Layout {
            axis,
            width: plot_left + plot_width + MARGIN,
            height: PLOT_TOP + PLOT_HEIGHT + if slanted { 158.0 } else { 96.0 },
            plot_left,
            plot_width,
            band,
            slanted,
        }
    }

    fn plot_right(&self) -> f64 {
        self.plot_left + self.plot_width
    }

    /// The middle of the bar at `index`.
    fn x(&self, index: usize) -> f64 {
        self.plot_left + (index as f64 + 0.5) * self.band
    }

    fn y(&self, degrees: f64) -> f64 {
        PLOT_TOP + (1.0 - self.axis.fraction(degrees)) * PLOT_HEIGHT
    }
}

/// The axis from zero, or across it, to the averages; at least a degree, or noise would look like weather.
fn axis_of(bars: &[MonthBar]) -> Axis {
    let low = bars.iter().map(drawn).fold(0.0, f64::min);
    let high = bars.iter().map(drawn).fold(0.0, f64::max);
    if high - low >= 1.0 {
        Axis::around(low, high, 8)
    } else if high > 0.0 || low == 0.0 {
        Axis::around(low, low + 1.0, 8)
    } else {
        Axis::around(-1.0, 0.0, 8)
    }
}

/// The average as far as an axis can show it.
fn drawn(bar: &MonthBar) -> f64 {
    if bar.average.is_nan() { 0.0 } else { bar.average.clamp(-DEGREES_MAX, DEGREES_MAX) }
}

/// The whole picture in words.
fn description(bars: &[MonthBar]) -> String {
    if bars.is_empty() {
        return format!("{NO_MONTH}.");
    }
    let said: Vec<String> = bars.iter().map(said).collect();
    format!("Bar chart. {AXIS_TITLE}: {}.", said.join("; "))
}

fn said(bar: &MonthBar) -> String {
    format!("{} {} °C", bar.label(), short(bar.average))
}

fn heading(layout: &Layout) -> [Element; 4] {
    let rule = |y: f64, width: f64| {
        line(MARGIN, y, layout.width - MARGIN, y).set("stroke", INK).set("stroke-width", width)
    };
    [
        rule(18.0, 2.0),
        rule(21.5, 0.75),
        Element::text("text", TITLE)
            .set("x", MARGIN)
            .set("y", 51.0)
            .set("font-family", "serif")
            .set("font-size", 22.0)
            .set("fill", INK),
        Element::text("text", AXIS_TITLE)
            .set("x", MARGIN)
            .set("y", 75.0)
            .set("font-size", LABEL_SIZE)
            .set("fill", FAINT_INK),
    ]
}

/// The ticks with their lines across the plot.
fn grid(layout: &Layout) -> Element {
    let (left, right) = (layout.plot_left, layout.plot_right());
    let ticks = layout.axis.ticks().flat_map(|tick| {
        let y = layout.y(tick);
        let label = Element::text("text", layout.axis.label(tick)).set("x", left - 10.0).set("y", y + 4.0);
        [line(left, y, right, y).set("stroke", GRID), label]
    });
    Element::new("g")
        .set("font-size", SMALL_SIZE)
        .set("fill", FAINT_INK)
        .set("text-anchor", "end")
        .children(ticks)
}

/// Under the bars, or it would cover those that are next to nothing.
fn zero_line(layout: &Layout) -> Element {
    let y = layout.y(0.0);
    line(layout.plot_left, y, layout.plot_right(), y).set("stroke", INK).set("stroke-width", 1.5)
}

/// The bar at `index`; its name and value show where a pointer rests on it.
fn bar_mark(layout: &Layout, index: usize, bar: &MonthBar) -> Element {
    let (zero, end) = (layout.y(0.0), layout.y(drawn(bar)));
    let (top, height) = match (zero - end).abs() {
        low if low < FLAT_HEIGHT => (zero - FLAT_HEIGHT / 2.0, FLAT_HEIGHT),
        height => (zero.min(end), height),
    };
    let width = (layout.band * 0.64).min(BAR_WIDTH_MAX);
    Element::new("rect")
        .set("x", layout.x(index) - width / 2.0)
        .set("y", top)
        .set("width", width)
        .set("height", height)
        .set("fill", if bar.average < 0.0 { COLD } else { WARM })
        .child(Element::text("title", said(bar)))
}

/// Each value beyond the end of its bar: above, or below where the bar hangs.
fn values(layout: &Layout, bars: &[MonthBar]) -> Element {
    let texts = bars.iter().enumerate().map(|(index, bar)| {
        let y = layout.y(drawn(bar));
        let baseline = if bar.average < 0.0 { y + 16.0 } else { y - 7.0 };
        Element::text("text", short(bar.average)).set("x", layout.x(index)).set("y", baseline)
    });
    // The white outline keeps the lines of the grid off the digits.
    Element::new("g")
        .set("font-size", SMALL_SIZE)
        .set("fill", INK)
        .set("text-anchor", "middle")
        .set("stroke", "#ffffff")
        .set("stroke-width", 4.0)
        .set("stroke-linejoin", "round")
        .set("paint-order", "stroke")
        .children(texts)
}

/// The months' names, below everything so that no bar that hangs runs into its own.
fn labels(layout: &Layout, bars: &[MonthBar]) -> Element {
    let y = PLOT_TOP + PLOT_HEIGHT + if layout.slanted { 32.0 } else { 40.0 };
    let texts = bars.iter().enumerate().map(|(index, bar)| {
        let text = Element::text("text", bar.label());
        if layout.slanted {
            let place = format!(
                "translate({} {}) rotate(-40)",
                svg::coordinate(layout.x(index) + 6.0),
                svg::coordinate(y)
            );
            text.set("transform", place)
        } else {
            text.set("x", layout.x(index)).set("y", y)
        }
    });
    Element::new("g")
        .set("font-size", LABEL_SIZE)
        .set("fill", INK)
        .set("text-anchor", if layout.slanted { "end" } else { "middle" })
        .children(texts)
}

fn no_month(layout: &Layout) -> Element {
    Element::text("text", NO_MONTH)
        .set("x", layout.plot_left + layout.plot_width / 2.0)
        .set("y", PLOT_TOP + PLOT_HEIGHT / 2.0)
        .set("font-size", LABEL_SIZE)
        .set("fill", FAINT_INK)
        .set("text-anchor", "middle")
}

fn source(layout: &Layout) -> Element {
    Element::text("text", SOURCE)
        .set("x", MARGIN)
        .set("y", layout.height - 20.0)
        .set("font-size", 11.0)
        .set("fill", FAINT_INK)
}

fn line(x1: f64, y1: f64, x2: f64, y2: f64) -> Element {
    Element::new("line").set("x1", x1).set("y1", y1).set("x2", x2).set("y2", y2)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use roxmltree::{Document, Node};

    use super::*;
    use crate::report::MONTHS;

    /// A year in Madison, Wisconsin, that has come as far as April.
    const TYPICAL: [f64; 12] = [-3.2, -0.4, 6.1, 13.9, 20.5, 26.0, 28.1, 26.9, 22.6, 15.2, 7.0, -0.8];

    fn bars(averages: &[f64]) -> Vec<MonthBar> {
        let year = |month| if month < 4 { 1991 } else { 1990 };
        averages
            .iter()
            .enumerate()
            .map(|(month, &average)| MonthBar { month, year: year(month), average })
            .collect()
    }

    fn number(node: Node, attribute: &str) -> f64 {
        node.attribute(attribute).unwrap().parse().unwrap()
    }

    /// The bars' rectangles as (top, bottom), and where zero is.
    #[track_caller]
    fn drawn_bars(averages: &[f64]) -> (Vec<(f64, f64)>, f64) {
        let bars = bars(averages);
        let svg = months_svg(&bars);
        check(&svg, &bars);
        let document = Document::parse(&svg).unwrap();
        let rects = bar_rects(&document).map(|rect| {
            let top = number(rect, "y");
            (top, top + number(rect, "height"))
        });
        (rects.collect(), Layout::of(&bars).y(0.0))
    }

    fn bar_rects<'a>(document: &'a Document) -> impl Iterator<Item = Node<'a, 'a>> {
        document.descendants().filter(|node| node.has_tag_name("rect") && node.has_children())
    }

    /// What holds for every picture.
    #[track_caller]
    fn check(svg: &str, bars: &[MonthBar]) {
        let document = Document::parse(svg).unwrap();
        let root = document.root_element();
        let (width, height) = (number(root, "width"), number(root, "height"));
        assert_eq!(root.attribute("viewBox").unwrap(), format!("0 0 {width} {height}"));

        let texts: Vec<&str> = document
            .descendants()
            .filter(|node| node.has_tag_name("text"))
            .filter_map(|node| node.text())
            .collect();
        for bar in bars {
            assert!(texts.contains(&bar.label().as_str()), "no label {} in {texts:?}", bar.label());
            assert!(texts.contains(&short(bar.average).as_str()), "no value {} in {texts:?}", bar.average);
        }

        assert_eq!(bar_rects(&document).count(), bars.len());
        for rect in bar_rects(&document) {
            let (left, top) = (number(rect, "x"), number(rect, "y"));
            let (right, bottom) = (left + number(rect, "width"), top + number(rect, "height"));
            assert!(0.0 <= left && left < right && right <= width, "{left}..{right} in {width}");
            assert!(0.0 <= top && top < bottom && bottom <= height, "{top}..{bottom} in {height}");
        }
    }

    #[test]
    fn a_typical_year() {
        let svg = months_svg(&bars(&TYPICAL));
        assert_eq!(svg, months_svg(&bars(&TYPICAL)));
        insta::assert_snapshot!(svg);
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
            assert_eq!((top, bottom), (zero - FLAT_HEIGHT / 2.0, zero + FLAT_HEIGHT / 2.0));
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
            let axis = axis_of(&bars(averages));
            let ends = [axis.ticks().next(), axis.ticks().last()].map(|tick| axis.label(tick.unwrap()));
            assert_eq!(ends, ticks, "for {averages:?}");
        }
    }

    #[test]
    fn no_bars_make_a_picture_that_says_so() {
        let svg = months_svg(&[]);
        check(&svg, &[]);
        assert!(svg.contains(NO_MONTH));
    }

    #[test]
    fn names_that_do_not_fit_side_by_side_are_slanted() {
        assert!(!months_svg(&bars(&TYPICAL[..7])).contains("rotate"));
        assert!(months_svg(&bars(&TYPICAL[..8])).contains("rotate"));
    }

    proptest! {
        #[test]
        fn any_bars_make_a_whole_picture(
            bars in prop::collection::vec((0..MONTHS.len() + 1, any::<u16>(), any_average()), 0..20)
        ) {
            let bars: Vec<MonthBar> =
                bars.into_iter().map(|(month, year, average)| MonthBar { month, year, average }).collect();
            check(&months_svg(&bars), &bars);
        }
    }

    /// Those of weather, those that reports can have at the most, and those they can't.
    fn any_average() -> impl Strategy<Value = f64> {
        prop_oneof![-60.0..60.0, -DEGREES_MAX..=DEGREES_MAX, -1e-6..1e-6, prop::num::f64::ANY]
    }
}
