//! Warming stripes, after Ed Hawkins: one for each year, coloured by its difference from the mean over the record.

use super::cells::Cell;
use super::legend::{self, Item};
use super::look::{Kind, Look, Unit};
use super::mark::{self, Marks};
use super::numbers::signed;
use super::page::{PARTIAL, Page, SMALL_SIZE, faint};
use super::scale::{Colour, Scale};
use super::span::Span;
use super::svg::{self, Element, edge};
use super::yearly::{Year, differences};
use crate::climate::{Climate, DAYS_MISSING_MAX, YEARS_MIN};
use crate::report::MONTHS;

// Lengths are in CSS pixels.

const HEIGHT: f64 = 200.0;
/// How high a year is that has no colour.
const PARTIAL_HEIGHT: f64 = 28.0;
const YEAR_WIDTH: f64 = 40.0;

pub fn picture(cells: &[Cell], look: &Look, marks: Marks) -> Element {
    let span = Span::of(cells);
    let slots = span.slots() as f64;
    let own = (slots * (840.0 / slots).clamp(2.0, 28.0)).max(424.0) + 56.0;
    let stripes = Stripes::of(cells, look, span, marks.climate);
    let note = span.note("stripe").unwrap_or_default();
    let page = Page::new(look.width().unwrap_or(own), look, &title(span), &[&subtitle(look), &note]);
    stripes.draw(&page)
}

/// One stripe for each year, as wide as high, without anything else; none with fewer than ten whole years.
pub fn banner(cells: &[Cell], look: &Look, climate: &Climate) -> Option<Element> {
    let stripes = Stripes::of(cells, look, Span::of(cells), climate);
    let whole = stripes.years.iter().filter(|year| difference(year).is_some()).count();
    if whole < YEARS_MIN {
        return None;
    }
    let marks = stripes.years.iter().enumerate().filter_map(|(slot, year)| {
        let Colour(fill) = stripes.scale.colour(difference(year)?);
        Some(
            Element::new("rect").set("x", slot as f64).set("width", 1.0).set("height", 1.0).set("fill", fill),
        )
    });
    let svg = svg::document(stripes.years.len() as f64, 1.0, &title(stripes.span), &stripes.description());
    Some(svg.set("preserveAspectRatio", "none").set("shape-rendering", "crispEdges").children(marks))
}

pub fn title(span: Span) -> String {
    format!("{}, {}", Kind::Stripes.title(), span.name())
}

/// Names the months where they are not all.
pub fn subtitle(look: &Look) -> String {
    let names: Vec<&str> = look.months().into_iter().map(|month| MONTHS[month]).collect();
    let months = if names.len() < MONTHS.len() { format!(" of {}", names.join(", ")) } else { String::new() };
    format!("Difference from the record’s mean{months} ({})", look.unit.symbol())
}

/// The end of the scale on either side of zero.
pub fn limit(years: &[Year]) -> f64 {
    years.iter().filter_map(difference).fold(0.5, |limit, value| f64::max(limit, value.abs()))
}

struct Stripes {
    span: Span,
    unit: Unit,
    /// How many a whole year has.
    months: usize,
    years: Vec<Year>,
    scale: Scale,
}

impl Stripes {
    fn of(cells: &[Cell], look: &Look, span: Span, climate: &Climate) -> Stripes {
        let months = look.months().len();
        let years = differences(cells, span, months, climate);
        let scale = Scale::diverging(limit(&years));
        Stripes { span, unit: look.unit, months, years, scale }
    }

    fn draw(&self, page: &Page) -> Element {
        let (left, top) = (page.left(), page.top() + 18.0);
        let bottom = top + HEIGHT;
        let slots = self.span.slots() as f64;
        let width = (page.right() - left) / slots;
        let x = |slot: usize| left + slot as f64 * width;
        let has = |wanted: fn(&Year) -> bool| self.years.iter().any(wanted);
        let ground = has(|year| !matches!(year, Year::Whole { .. }))
            .then(|| mark::hatching(left, top, slots * width, HEIGHT));
        let marks = self.years.iter().enumerate().filter_map(|(slot, year)| {
            let mark = match year {
                Year::Empty => return None,
                Year::Partial { .. } => rect(x(slot), bottom - PARTIAL_HEIGHT, width, PARTIAL_HEIGHT)
                    .set("class", "partial")
                    .set("fill", PARTIAL),
                Year::Whole { difference, .. } => {
                    let Colour(fill) = self.scale.colour(*difference);
                    rect(x(slot), top, width, HEIGHT).set("class", "stripe").set("fill", fill)
                }
            };
            let year = self.span.year(slot).to_string();
            Some(mark.set("data-year", year).set(mark::TIP, self.tip(slot)))
        });
        // Edges on whole pixels leave no seams between stripes.
        let marks = Element::new("g").set("shape-rendering", "crispEdges").children(marks);
        let labels = self
            .span
            .labels(width, YEAR_WIDTH)
            .map(|(slot, label)| faint(&label, x(slot) + width / 2.0, bottom + 17.0));
        let labels =
            Element::new("g").set("font-size", SMALL_SIZE).set("text-anchor", "middle").children(labels);

        let mut items = Vec::new();
        if has(|year| matches!(year, Year::Whole { .. })) {
            items.push(Item::Scale(&self.scale));
        }
        if has(|year| matches!(year, Year::Partial { .. })) {
            items.push(Item::Patch { class: "partial", fill: PARTIAL, text: "months missing" });
        }
        if has(|year| matches!(year, Year::Empty)) {
            items.push(Item::Hatching { text: "no data" });
        }
        let (legend, end) = legend::below(page, left, bottom + 30.0, &items);
        page.picture(end, &self.description(), ground.into_iter().chain([marks, labels]).chain(legend))
    }

    /// As in `1991: +0.8 °C`.
    fn tip(&self, slot: usize) -> String {
        let name = self.span.slot_name(slot);
        let of_year = match self.years[slot] {
            Year::Empty => "no data".to_owned(),
            Year::Partial { months } => format!("only {months} of {} months", self.months),
            Year::Whole { difference, years } => {
                let value = format!("{} {}", signed(difference), self.unit.symbol());
                if self.span.step > 1 { format!("{value}, mean of {years} whole years") } else { value }
            }
        };
        format!("{name}: {of_year}")
    }

    /// The picture in words.
    fn description(&self) -> String {
        let whole = || (0..).zip(&self.years).filter_map(|(slot, year)| Some((slot, difference(year)?)));
        let coldest = whole().min_by(|a, b| a.1.total_cmp(&b.1));
        let warmest = whole().max_by(|a, b| a.1.total_cmp(&b.1));
        let ends = match (coldest, warmest) {
            (Some((coldest, _)), Some((warmest, _))) => {
                format!("Coldest is {}; warmest is {}. ", self.tip(coldest), self.tip(warmest))
            }
            _ => "No year has all its months yet. ".to_owned(),
        };
        format!(
            "Warming stripes, one for each year of {}, from blue for cold to red for warm. {ends}A year’s difference is \
             the mean of those of its {} months, each from that month’s mean over the record; a month counts with at \
             most {DAYS_MISSING_MAX} days missing, and a year without one of its months has no colour.",
            self.span.name(),
            self.months,
        )
    }
}

fn difference(year: &Year) -> Option<f64> {
    match year {
        Year::Whole { difference, .. } => Some(*difference),
        Year::Empty | Year::Partial { .. } => None,
    }
}

fn rect(x: f64, y: f64, width: f64, height: f64) -> Element {
    let (left, right) = (edge(x), edge(x + width));
    Element::new("rect").set("x", left).set("y", y).set("width", right - left).set("height", height)
}
