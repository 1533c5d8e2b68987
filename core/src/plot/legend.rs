//! The legend below a picture: the meaning of colours and marks.

use super::mark;
use super::page::{EMPTY, INK, PAPER, PARTIAL, Page, SMALL_SIZE, faint, text_width};
use super::scale::{Colour, STEPS, Scale};
use super::svg::{self, Element};

/// One entry.
pub enum Item<'a> {
    /// A dot: days are missing.
    Missing,
    /// A bar that is only an outline: a month that is not whole.
    Outline { is_frost: bool },
    /// Half a cell of a colour scale: a month that is not whole.
    Half,
    /// A dot, hollow for what is not whole.
    Dot { is_whole: bool, text: &'static str },
    /// A short line.
    Dash { class: &'static str, stroke: &'static str, width: f64, text: &'static str },
    /// A patch of a class and colour.
    Patch { class: &'static str, fill: &'static str, text: &'static str },
    /// A patch of hatching.
    Hatching { text: &'static str },
    /// A colour scale with its axis.
    Scale(&'a Scale),
}

const ROW: f64 = 22.0;
const PATCH: f64 = 12.0;
const SCALE_WIDTH: f64 = 240.0;

/// The items in rows from `left` on, below `top`, and where they end.
pub fn below(page: &Page, left: f64, top: f64, items: &[Item]) -> (Option<Element>, f64) {
    if items.is_empty() {
        return (None, top);
    }
    let group = Element::new("g").set("font-size", SMALL_SIZE);
    let (mut x, mut y) = (left, top);
    let mut drawn = Vec::new();
    let mut row = 0.0;
    for item in items {
        let (width, height) = item.size(page.right() - left);
        if x > left && x + width > page.right() {
            (x, y, row) = (left, y + row, 0.0);
        }
        drawn.extend(item.draw(x, y, width));
        row = f64::max(row, height);
        x += width + 20.0;
    }
    (Some(group.children(drawn)), y + row)
}

impl Item<'_> {
    fn text(&self) -> &'static str {
        match self {
            Item::Missing => "days missing",
            Item::Outline { .. } | Item::Half => "not a whole month",
            Item::Patch { text, .. }
            | Item::Hatching { text }
            | Item::Dot { text, .. }
            | Item::Dash { text, .. } => text,
            Item::Scale(_) => "",
        }
    }

    fn size(&self, available: f64) -> (f64, f64) {
        match self {
            Item::Scale(_) => (SCALE_WIDTH.min(available), 44.0),
            _ => (PATCH + 7.0 + text_width(self.text(), SMALL_SIZE), ROW),
        }
    }

    fn draw(&self, x: f64, y: f64, width: f64) -> Vec<Element> {
        let text = faint(self.text(), x + PATCH + 7.0, y + 14.0);
        match self {
            Item::Missing => {
                mark::missing([(x + PATCH / 2.0, y + 10.0, 3.0)]).into_iter().chain([text]).collect()
            }
            Item::Outline { is_frost } => vec![mark::outlined(square(x, y), *is_frost), text],
            Item::Dot { is_whole, .. } => {
                let dot = Element::new("circle").set("cx", x + PATCH / 2.0).set("cy", y + 10.0).set("r", 4.5);
                let dot = match is_whole {
                    true => dot.set("class", "ink").set("fill", INK),
                    false => dot
                        .set("class", "missing")
                        .set("fill", PAPER)
                        .set("stroke", INK)
                        .set("stroke-width", 1.5),
                };
                vec![dot, text]
            }
            Item::Dash { class, stroke, width, .. } => {
                let line = svg::line(x, y + 10.0, x + PATCH, y + 10.0).set("class", *class);
                vec![line.set("stroke", *stroke).set("stroke-width", *width), text]
            }
            Item::Half => {
                let ground = square(x, y).set("class", "empty").set("fill", EMPTY);
                let half =
                    patch(x, y + PATCH / 2.0, PATCH / 2.0).set("class", "partial").set("fill", PARTIAL);
                vec![ground, half, text]
            }
            Item::Patch { class, fill, .. } => {
                vec![square(x, y).set("class", *class).set("fill", *fill), text]
            }
            Item::Hatching { .. } => vec![mark::hatching(x, y + 4.0, PATCH, PATCH), text],
            Item::Scale(scale) => scale_bar(scale, x, y, width),
        }
    }
}

fn square(x: f64, y: f64) -> Element {
    patch(x, y, PATCH)
}

fn patch(x: f64, y: f64, height: f64) -> Element {
    Element::new("rect").set("x", x).set("y", y + 4.0).set("width", PATCH).set("height", height)
}

/// The colours of a scale with their numbers below.
fn scale_bar(scale: &Scale, x: f64, y: f64, width: f64) -> Vec<Element> {
    let ticks = scale.ticks(1);
    let tick_width = ticks.iter().map(|(_, label)| text_width(label, SMALL_SIZE)).fold(0.0, f64::max);
    // A number may reach beyond the end that it is near to.
    let overhang = tick_width / 2.0;
    let (left, length) = (x + overhang, width - 2.0 * overhang);
    let step = length / f64::from(STEPS);
    let bar = (0..STEPS).map(|index| {
        let Colour(fill) = scale.step(index);
        Element::new("rect")
            .set("x", left + f64::from(index) * step)
            .set("y", y + 4.0)
            .set("width", step)
            .set("height", PATCH)
            .set("fill", fill)
    });
    let bar = Element::new("g").set("class", "heat").set("shape-rendering", "crispEdges").children(bar);

    let apart = match ticks[..] {
        [(first, _), (second, _), ..] => (second - first) * length,
        _ => length,
    };
    let every = ((tick_width + 8.0) / apart).ceil().max(1.0) as usize;
    let texts = scale.ticks(every).into_iter();
    let texts = texts.map(|(fraction, label)| faint(&label, left + fraction * length, y + 31.0));
    vec![bar, Element::new("g").set("text-anchor", "middle").children(texts)]
}
