//! Rules for every picture of any cells.

use proptest::prelude::*;
use resvg::tiny_skia::Pixmap;
use resvg::usvg::{Group, Node, Rect};
use roxmltree::Document;

use super::*;
use crate::report::DEGREES_MAX;

const KINDS: [Kind; 7] =
    [Kind::Months, Kind::Year, Kind::Anomalies, Kind::Heatmap, Kind::Stripes, Kind::History, Kind::Records];

fn look(kind: Kind) -> Look {
    let months = if kind == Kind::History { vec![6] } else { (0..12).collect() };
    Look { months, ..Look::of(kind) }
}

#[test]
fn stripes_of_some_months_say_of_which() {
    let cells = samples::years();
    let look = Look { months: vec![6, 7], ..Look::of(Kind::Stripes) };
    assert!(svg(&cells, &look).unwrap().contains(">Difference from the record’s mean of July, August (°C)<"));
    assert!(text(&cells, &look, 80, false).unwrap().contains("mean of July, August (°C)"));
    assert!(
        svg(&cells, &Look::of(Kind::Stripes)).unwrap().contains(">Difference from the record’s mean (°C)<")
    );
}

/// 155 years, as long as the longest records are.
fn long_record() -> Vec<Cell> {
    let mut cells = Vec::new();
    for year in 1869..=2023_i16 {
        for (month, typical) in (1..).zip(samples::TYPICAL) {
            cells.push(samples::cell(year, month, typical + f64::from(year % 7) - 3.0));
        }
    }
    cells
}

fn records() -> [Vec<Cell>; 5] {
    let far_apart = vec![samples::cell(1, 7, -3.0), samples::cell(9999, 7, 3.0)];
    let mut in_progress = long_record();
    in_progress.truncate(154 * 12 + 7);
    if let Some(july) = in_progress.last_mut() {
        (july.count, july.end) = (9, jiff::civil::date(2023, 7, 9));
    }
    [samples::years(), long_record(), in_progress, far_apart, vec![samples::cell(1990, 7, 20.0)]]
}

/// The SVG can be parsed, its coordinates are numbers, and no element lies beyond its edges.
#[track_caller]
fn check_svg(svg: &str) {
    let document = Document::parse(svg).unwrap();
    assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    assert!(!svg.contains("style"), "a strict content security policy refuses it");
    let root = document.root_element();
    let number = |node: roxmltree::Node, name: &str| -> f64 {
        node.attribute(name).map_or(0.0, |number| number.parse().unwrap())
    };
    let (width, height) = (number(root, "width"), number(root, "height"));
    assert_eq!(root.attribute("viewBox").unwrap(), format!("0 0 {width} {height}"));
    let inside = |x: f64, y: f64, what: roxmltree::Node| {
        let (x_in, y_in) = ((-0.02..=width + 0.02).contains(&x), (-0.02..=height + 0.02).contains(&y));
        assert!(x_in && y_in, "({x}, {y}) is not in {width} × {height}: {what:?}");
    };
    for node in document.descendants() {
        match node.tag_name().name() {
            "rect" => {
                let (x, y) = (number(node, "x"), number(node, "y"));
                let (width, height) = (number(node, "width"), number(node, "height"));
                assert!(width >= 0.0 && height >= 0.0, "{node:?}");
                inside(x, y, node);
                inside(x + width, y + height, node);
            }
            "line" => {
                inside(number(node, "x1"), number(node, "y1"), node);
                inside(number(node, "x2"), number(node, "y2"), node);
            }
            "circle" => inside(number(node, "cx"), number(node, "cy"), node),
            "polygon" | "polyline" => {
                for point in node.attribute("points").unwrap().split(' ') {
                    let (x, y) = point.split_once(',').unwrap();
                    inside(x.parse().unwrap(), y.parse().unwrap(), node);
                }
            }
            "path" => {
                for point in node.attribute("d").unwrap().split(['M', 'L']).filter(|point| !point.is_empty())
                {
                    let (x, y) = point.split_once(' ').unwrap();
                    inside(x.parse().unwrap(), y.parse().unwrap(), node);
                }
            }
            _ => {}
        }
    }
}

/// No text is cut, and none lies on another, in a font that is as wide as they get.
#[track_caller]
fn check_texts(svg: &str) {
    let tree = png::tree(svg).unwrap();
    let mut boxes = Vec::new();
    texts(tree.root(), &mut boxes);
    assert!(boxes.len() > 3, "title, line, label and source at the least");
    let size = tree.size();
    for (text, rect) in &boxes {
        let is_in =
            rect.left() >= -0.5 && rect.right() <= size.width() + 0.5 && rect.bottom() <= size.height();
        assert!(is_in, "{text:?} at {rect:?} is cut: {size:?}");
    }
    for (index, (text, rect)) in boxes.iter().enumerate() {
        for (other, other_rect) in &boxes[..index] {
            let apart = rect.left() >= other_rect.right() - 0.5
                || other_rect.left() >= rect.right() - 0.5
                || rect.top() >= other_rect.bottom() - 0.5
                || other_rect.top() >= rect.bottom() - 0.5;
            assert!(apart, "{text:?} lies on {other:?}: {rect:?}, {other_rect:?}");
        }
    }
}

/// The texts, but those that stand aslant, whose boxes say little.
fn texts(group: &Group, boxes: &mut Vec<(String, Rect)>) {
    for node in group.children() {
        match node {
            Node::Group(group) => texts(group, boxes),
            Node::Text(text) if text.abs_transform().is_translate() || text.abs_transform().is_identity() => {
                let words = text.chunks().iter().map(|chunk| chunk.text()).collect();
                boxes.push((words, text.abs_bounding_box()));
            }
            _ => {}
        }
    }
}

#[test]
fn texts_keep_apart_at_any_width() {
    for cells in records() {
        for kind in KINDS {
            for width in [280, 320, 360, 479, 480, 660, 800, 1200, 1600].map(Some).into_iter().chain([None]) {
                let svg = svg(&cells, &Look { width, unit: Unit::Fahrenheit, ..look(kind) });
                // A record without a normal, or without a complete month.
                let Some(svg) = svg else { continue };
                check_svg(&svg);
                check_texts(&svg);
            }
        }
    }
}

/// Long words, wide letters, and what SVG must escape.
fn caption() -> Caption {
    Caption {
        place: Some(
            "Bailén-Llanfairpwllgwyngyllgogerychwyrndrobwllllantysiliogogogoch, <WALES> & Ōsaka".to_owned(),
        ),
        credit: Some("Copyright Met Éireann, https://doi.org/10.7289/V5D21VHZ (CC BY 4.0)".to_owned()),
    }
}

#[test]
fn every_picture_names_the_place_and_the_source_of_its_data() {
    for cells in [samples::years(), long_record()] {
        for kind in KINDS {
            let look = Look { caption: caption(), ..look(kind) };
            let Some(svg) = svg(&cells, &look) else { continue };
            let document = Document::parse(&svg).unwrap();
            let title = document.root_element().first_element_child().unwrap().text().unwrap();
            assert!(title.ends_with(&format!(" · {}", caption().place.unwrap())), "{title}");
            for width in [280, 480, 1600] {
                check_texts(&super::svg(&cells, &Look { width: Some(width), ..look.clone() }).unwrap());
            }
            let words: Vec<_> = document.descendants().filter_map(|node| node.text()).collect();
            assert!(words.concat().contains("doi.org"), "{svg}");
            let text = text(&cells, &look, 72, false).unwrap();
            let lines: Vec<&str> = text.lines().collect();
            assert!(lines[1].starts_with("Bailén-") && lines.last().unwrap().ends_with("4.0)"), "{text}");
            assert!(lines.iter().all(|line| line.chars().count() <= 72), "{text}");
        }
    }
}

#[test]
fn one_complete_month_is_neither_a_mean_nor_a_record() {
    let progress = Cell { count: 9, end: jiff::civil::date(1990, 2, 9), ..samples::cell(1990, 2, -2.9) };
    let cells = [samples::cell(1990, 1, -3.2), progress];
    for (kind, month) in [(Kind::History, 0), (Kind::History, 1), (Kind::Records, 0)] {
        let look =
            Look { months: if kind == Kind::History { vec![month] } else { vec![0, 1] }, ..look(kind) };
        let svg = svg(&cells, &look).unwrap();
        let text = text(&cells, &look, 80, false).unwrap();
        for words in ["mean of all years", "Warmest month", "Coldest month"] {
            assert!(!svg.contains(words) && !text.contains(words), "{words}: {svg}{text}");
        }
    }
}

#[test]
fn tips_can_come_later() {
    for kind in KINDS {
        let cells = long_record();
        let whole = svg(&cells, &look(kind)).unwrap();
        let bare = svg_without_tips(&cells, &look(kind)).unwrap();
        assert!(
            !bare.contains("data-tip")
                && bare.matches("data-year").count() == whole.matches("data-tip").count()
        );
        let whole = Document::parse(&whole).unwrap();
        for (name, tip) in tips(&cells, &look(kind)).unwrap() {
            let is_it = |node: &roxmltree::Node| {
                let [year, month] =
                    ["data-year", "data-month"].map(|name| node.attribute(name).unwrap_or_default());
                format!("{year}-{month}") == name && node.attribute("data-tip") == Some(&*tip)
            };
            assert!(whole.descendants().any(|node| is_it(&node)), "{name}: {tip}");
        }
    }
}

#[test]
fn a_wish_for_a_width_is_met() {
    for kind in KINDS {
        for (width, expected) in [(0, 280), (360, 360), (1600, 1600), (5000, 4000)] {
            let svg = svg(&long_record(), &Look { width: Some(width), ..look(kind) }).unwrap();
            assert!(svg.contains(&format!(" width=\"{expected}\"")), "{kind:?} at {width}");
        }
    }
}

#[test]
fn each_kind_in_svg() {
    for kind in [Kind::Year, Kind::Heatmap, Kind::Stripes, Kind::History, Kind::Records] {
        insta::assert_snapshot!(format!("{kind:?}"), svg(&samples::years(), &look(kind)).unwrap());
    }
}

#[test]
fn every_month_has_its_mark() {
    let cells = long_record();
    for (kind, marks) in [
        (Kind::Months, 12),
        (Kind::Year, 12),
        (Kind::Anomalies, 155 * 12),
        (Kind::Heatmap, 155 * 12),
        (Kind::Stripes, 155),
        (Kind::History, 155),
        (Kind::Records, 4),
    ] {
        let svg = svg(&cells, &look(kind)).unwrap();
        assert_eq!((svg.matches("data-tip=").count(), svg.matches("data-year=").count()), (marks, marks));
    }
}

#[test]
fn nothing_draws_nothing() {
    for kind in KINDS {
        assert_eq!(svg(&[], &look(kind)), None);
        assert_eq!(text(&[], &look(kind), 80, true), None);
        let january = [samples::cell(1990, 1, 0.0)];
        assert_eq!(svg(&january, &Look { months: vec![6], ..Look::of(kind) }), None);
    }
}

#[test]
fn a_png_has_the_size_of_its_svg_times_its_scale() {
    for kind in KINDS {
        let svg = svg(&long_record(), &Look { width: Some(640), ..look(kind) }).unwrap();
        let height: f32 =
            Document::parse(&svg).unwrap().root_element().attribute("height").unwrap().parse().unwrap();
        let bytes = png(&svg, 2.0).unwrap();
        assert_eq!(bytes, png(&svg, 2.0).unwrap(), "the same bytes");
        let pixels = Pixmap::decode_png(&bytes).unwrap();
        assert_eq!((pixels.width(), pixels.height()), (1280, (2.0 * height).ceil() as u32));
        // Text is painted, which without its font would be missing: the title is in the upper left.
        let title = (60..110).flat_map(|y| (56..400).map(move |x| (x, y)));
        let inked = title.filter(|&(x, y)| pixels.pixel(x, y).unwrap().red() < 0x80).count();
        assert!(inked > 500, "{kind:?}: {inked} dark pixels");
    }
}

#[test]
fn text_that_is_not_svg_gives_no_png() {
    assert!(matches!(png("<svg", 1.0), Err(PngError::Svg(_))));
    let svg = svg(&samples::years(), &look(Kind::Months)).unwrap();
    assert!(matches!(png(&svg, 1e9), Err(PngError::Size { .. })));
}

proptest! {
    #[test]
    fn any_cells_make_a_whole_picture(
        cells in prop::collection::vec(any_cell(), 0..60),
        kind in prop::sample::select(&KINDS[..]),
        fahrenheit in any::<bool>(),
        width in prop::option::of(0_u32..2000),
        columns in 0_usize..200,
        place in prop::option::of(any::<String>()),
    ) {
        let unit = if fahrenheit { Unit::Fahrenheit } else { Unit::Celsius };
        let caption = Caption { place: place.clone(), credit: place };
        let look = Look { unit, width, caption, ..look(kind) };
        // Files have names of their own.
        let cells: Vec<Cell> =
            cells.into_iter().enumerate().map(|(n, cell)| Cell { file: n.to_string(), ..cell }).collect();
        let (merged, _) = merge(cells.clone());
        let picture = svg(&merged, &look);
        let (again, _) = merge(cells.into_iter().rev());
        prop_assert_eq!(&picture, &svg(&again, &look), "the order of the cells does not matter");
        if let Some(svg) = picture {
            check_svg(&svg);
        }
        if let Some(text) = text(&merged, &look, columns, false) {
            for line in text.lines() {
                prop_assert!(line.chars().count() <= columns.max(40), "{}", line);
            }
        }
    }
}

/// Those of weather, those that reports can have at the most, and those they can't.
fn any_degrees() -> impl Strategy<Value = f64> {
    prop_oneof![-60.0..60.0, -DEGREES_MAX..=DEGREES_MAX, -1e-6..1e-6, prop::num::f64::ANY]
}

fn any_cell() -> impl Strategy<Value = Cell> {
    let year = prop_oneof![1980_i16..2030, 1_i16..=9999];
    let degrees = prop_oneof![(-60.0..60.0).prop_map(|d| [d, d, d]), prop::array::uniform3(any_degrees())];
    (year, 1_i8..=12, degrees, 0_u32..=31, 0_u32..=29).prop_map(|(year, month, degrees, count, missing)| {
        let [min, average, max] = degrees;
        let cell = samples::cell(year, month, average);
        Cell { average, min, max, count, missing, ..cell }
    })
}

/// Cells for the tests of the pictures.
pub mod samples {
    use jiff::civil::Date;

    use super::Cell;

    /// A whole month, counted on every day, that swings 10 degrees around its average.
    pub fn cell(year: i16, month: i8, average: f64) -> Cell {
        let start = Date::new(year, month, 1).unwrap();
        let count = u32::from(start.days_in_month().unsigned_abs());
        Cell {
            month: usize::from(month.unsigned_abs()) - 1,
            year: year.unsigned_abs(),
            count,
            sum: average * f64::from(count),
            average,
            min: average - 10.0,
            max: average + 10.0,
            start,
            end: start.last_of_month(),
            min_date: Some(start),
            max_date: Some(start.last_of_month()),
            missing: 0,
            file: "partition-0.json".into(),
        }
    }

    /// The cell with so many of its days missing in the middle.
    pub fn with_gap(cell: Cell, missing: u32) -> Cell {
        Cell { count: cell.count - missing, missing, ..cell }
    }

    /// A year in Madison, Wisconsin.
    pub const TYPICAL: [f64; 12] = [-3.2, -0.4, 6.1, 13.9, 20.5, 26.0, 28.1, 26.9, 22.6, 15.2, 7.0, -0.8];

    /// Years that grow slowly warmer, with one that has no day, one with half its months, and a month with gaps.
    pub fn years() -> Vec<Cell> {
        let wobble = [0.0, 1.1, -0.7, 0.4, -1.6, 0.9, 2.0, -0.3, 0.6, 1.4];
        let mut cells = Vec::new();
        for (year, wobble) in (1990..).zip(wobble) {
            let months = match year {
                1994 => 0,
                1999 => 6,
                _ => 12,
            };
            for (month, typical) in (1..=12).zip(TYPICAL).take(months) {
                let average =
                    typical + wobble * (1.0 + 0.1 * f64::from(month)) + 0.1 * f64::from(year - 1990);
                let cell = cell(year, month, average);
                cells.push(if (year, month) == (1992, 7) { with_gap(cell, 3) } else { cell });
            }
        }
        cells
    }
}
