//! The parts that pictures share: title and rules above, legend and source below, and how wide text is.

use super::look::Look;
use super::svg::{self, Element};

pub const INK: &str = "#222222";
pub const FAINT: &str = "#595959";
pub const GRID: &str = "#e3e3e3";
pub const PAPER: &str = "#ffffff";
/// For cells without data; not a colour of any scale.
pub const EMPTY: &str = "#ececec";
/// Okabe and Ito's vermilion and blue, told apart with any kind of colour vision.
pub const WARM: &str = "#d55e00";
pub const COLD: &str = "#0072b2";
/// For what has no colour on a scale, because days are missing.
pub const PARTIAL: &str = "#8c8c8c";
pub const HATCHING: &str = "#8c8c8c";

pub const TITLE_SIZE: f64 = 22.0;
pub const LABEL_SIZE: f64 = 13.0;
pub const SMALL_SIZE: f64 = 12.0;
const SOURCE_SIZE: f64 = 11.0;

const TITLE_LINE: f64 = 27.0;
const LABEL_LINE: f64 = 18.0;
const SOURCE_LINE: f64 = 15.0;

/// A picture's outline. Lengths are in CSS pixels.
pub struct Page {
    pub width: f64,
    /// What a screen reader says first.
    name: String,
    title: Vec<String>,
    lines: Vec<String>,
    source: Vec<String>,
}

impl Page {
    /// A page with `title`, and under it the place and `lines`, broken where the width makes it necessary.
    pub fn new(width: f64, look: &Look, title: &str, lines: &[&str]) -> Page {
        let inner = width - 2.0 * margin(width);
        let place = look.caption.place.as_deref();
        let lines = place.iter().chain(lines).filter(|line| !line.is_empty());
        Page {
            width,
            name: place.map_or(title.to_owned(), |place| format!("{title} · {place}")),
            // A serif font is up to that much wider.
            title: wrap(title, 1.08 * TITLE_SIZE, inner),
            lines: lines.flat_map(|line| wrap(line, LABEL_SIZE, inner)).collect(),
            source: wrap(&source(look, inner), SOURCE_SIZE, inner),
        }
    }

    pub fn left(&self) -> f64 {
        margin(self.width)
    }

    pub fn right(&self) -> f64 {
        self.width - margin(self.width)
    }

    /// The baseline of the last line under the title; the picture begins below it.
    pub fn top(&self) -> f64 {
        let lines = self.lines.len().saturating_sub(1) as f64;
        self.title_bottom() + 24.0 + lines * LABEL_LINE
    }

    fn title_bottom(&self) -> f64 {
        24.0 + self.title.len() as f64 * TITLE_LINE
    }

    /// The page around what was drawn, which ends at `bottom`.
    pub fn picture(
        &self,
        bottom: f64,
        description: &str,
        drawn: impl IntoIterator<Item = Element>,
    ) -> Element {
        let first = bottom + 26.0;
        let line = |index: usize| first + index as f64 * SOURCE_LINE;
        let source = self.source.iter().enumerate().map(|(index, text)| {
            faint_as("source", text, self.left(), line(index)).set("font-size", SOURCE_SIZE)
        });
        svg::document(self.width, line(self.source.len() - 1) + 20.0, &self.name, description)
            .set("font-family", "sans-serif")
            .children(self.heading())
            .children(drawn)
            .children(source)
    }

    fn heading(&self) -> impl Iterator<Item = Element> {
        let (left, right) = (self.left(), self.right());
        let rules = [(18.0, 2.0), (21.5, 0.75)];
        let rules =
            rules.into_iter().map(move |(y, width)| rule(left, y, right, y).set("stroke-width", width));
        let title = (1..).zip(&self.title).map(move |(line, text)| {
            ink(text, left, 24.0 + f64::from(line) * TITLE_LINE)
                .set("font-family", "serif")
                .set("font-size", TITLE_SIZE)
        });
        let lines = (0..).zip(&self.lines).map(move |(line, text)| {
            faint(text, left, self.title_bottom() + 24.0 + f64::from(line) * LABEL_LINE)
                .set("font-size", LABEL_SIZE)
        });
        rules.chain(title).chain(lines)
    }
}

/// What drew the picture and, where it is known, whose data it shows.
fn source(look: &Look, width: f64) -> String {
    let symbol = look.unit.symbol();
    let long = format!("almanac · average of each day’s maximum temperature · {symbol}");
    let fits = text_width(&long, SOURCE_SIZE) <= width;
    let source = if fits { long } else { format!("almanac · daily maximum temperature · {symbol}") };
    match &look.caption.credit {
        Some(credit) => format!("{source} · {credit}"),
        None => source,
    }
}

fn margin(width: f64) -> f64 {
    if width < 480.0 { 16.0 } else { 28.0 }
}

pub fn ink(text: &str, x: f64, y: f64) -> Element {
    Element::text("text", text).set("x", x).set("y", y).set("class", "ink").set("fill", INK)
}

pub fn faint(text: &str, x: f64, y: f64) -> Element {
    faint_as("faint", text, x, y)
}

fn faint_as(class: &'static str, text: &str, x: f64, y: f64) -> Element {
    Element::text("text", text).set("x", x).set("y", y).set("class", class).set("fill", FAINT)
}

/// Small text on marks: the outline in the paper's colour keeps lines off the characters.
pub fn halo(anchor: &'static str) -> Element {
    Element::new("g")
        .set("class", "halo")
        .set("font-size", SMALL_SIZE)
        .set("text-anchor", anchor)
        .set("stroke", PAPER)
        .set("stroke-width", 4.0)
        .set("stroke-linejoin", "round")
        .set("paint-order", "stroke")
}

pub fn rule(x1: f64, y1: f64, x2: f64, y2: f64) -> Element {
    svg::line(x1, y1, x2, y2).set("class", "rule").set("stroke", INK)
}

pub fn grid_line(x1: f64, y1: f64, x2: f64, y2: f64) -> Element {
    svg::line(x1, y1, x2, y2).set("class", "grid").set("stroke", GRID)
}

/// The most that `text` takes in a sans-serif font: as wide as in DejaVu Sans, the widest of the usual ones.
/// The reader's font is not known here.
pub fn text_width(text: &str, size: f64) -> f64 {
    text.chars().map(ems).sum::<f64>() * size
}

fn ems(character: char) -> f64 {
    match character {
        'i' | 'j' | 'l' | 'I' | '\'' => 0.3,
        ' ' | '.' | ',' | ':' | ';' | '·' | '’' | '|' => 0.35,
        '-' | 'f' | 't' | 'r' | '(' | ')' | '/' => 0.42,
        '⁰'..='⁹' | '¹' | '²' | '³' => 0.42,
        '°' | '–' => 0.5,
        'm' | 'M' | 'W' | '%' | '—' | '…' | '@' => 1.0,
        'w' | '−' | '+' | '×' | '=' | '<' | '>' | '±' | '&' => 0.84,
        'A'..='Z' => 0.79,
        // Other capitals, and the full width of East Asian characters.
        '\u{1100}'.. => 1.0,
        '\u{80}'.. => 0.8,
        _ => 0.64,
    }
}

/// `text` in lines no wider than `width`.
fn wrap(text: &str, size: f64, width: f64) -> Vec<String> {
    broken(text, |line| text_width(line, size) <= width)
}

/// `text` in lines that fit, broken between words or, where one does not fit by itself, within it. There is one line at
/// the least.
pub fn broken(text: &str, fits: impl Fn(&str) -> bool) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split_inclusive(' ') {
        if !line.is_empty() && !fits(format!("{line}{word}").trim_end()) {
            lines.push(std::mem::take(&mut line));
        }
        if fits(word.trim_end()) {
            line.push_str(word);
            continue;
        }
        for character in word.chars() {
            line.push(character);
            if !fits(line.trim_end()) && line.chars().count() > 1 {
                line.pop();
                lines.push(std::mem::replace(&mut line, character.to_string()));
            }
        }
    }
    lines.push(line);
    lines.iter().map(|line| line.trim_end().to_owned()).collect()
}
