//! The pictures in the characters of a terminal.

use super::cells::{Cell, latest, month_label};
use super::look::{Kind, Look};
use super::mark::Marks;
use super::numbers::{short, signed};
use super::page::broken;
use super::scale::{Scale, widened};
use super::span::{SLOTS_MAX, Span};
use super::yearly::{Year, differences};
use super::{heatmap, history, months, records, stripes, year};
use crate::climate::Climate;

const COLUMNS_MIN: usize = 40;
/// Eighths of a character that grow from the left.
const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
/// Levels that grow from the bottom.
const LEVELS: [&str; 8] = ["▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"];
const NO_DATA: &str = "·";
const PARTIAL: &str = "×";

/// The cells, of which there is one, in lines of at most `columns` characters, or 40.
pub fn picture(cells: &[Cell], look: &Look, climate: &Climate, columns: usize, colour: bool) -> String {
    let marks = Marks { climate, unit: look.unit };
    let text = Text { cells, look, marks, columns: columns.max(COLUMNS_MIN), colour };
    let mut lines = match look.kind {
        Kind::Months => text.months(),
        Kind::Heatmap => text.heatmap(),
        Kind::Stripes => text.stripes(),
        Kind::History => text.history(),
        Kind::Year => text.year(),
        Kind::Anomalies => text.anomalies(),
        Kind::Records => text.records(),
    };
    if let Some(credit) = &look.caption.credit {
        lines.push(String::new());
        lines.extend(text.broken(credit));
    }
    lines.push(String::new());
    lines.iter().map(|line| line.trim_end()).collect::<Vec<_>>().join("\n")
}

struct Text<'a> {
    cells: &'a [Cell],
    look: &'a Look,
    marks: Marks<'a>,
    columns: usize,
    colour: bool,
}

impl Text<'_> {
    /// A bar for each month, left or right of zero.
    fn months(&self) -> Vec<String> {
        let cells = latest(self.cells);
        let values: Vec<String> = cells.iter().map(|cell| self.value(cell)).collect();
        let names: Vec<String> = cells.iter().map(|cell| month_label(cell.month, cell.year)).collect();
        let (name_width, value_width) = (widest(&names), widest(&values));
        let bar_width = self.columns.saturating_sub(name_width + value_width + 5).max(4) as f64;

        let low = cells.iter().map(|cell| cell.average).fold(0.0, f64::min);
        let high = cells.iter().map(|cell| cell.average).fold(0.0, f64::max);
        let scale = bar_width / f64::max(high - low, 1.0);
        let zero = (-low * scale).round() as usize;
        let bars = cells.iter().map(|cell| {
            let is_frost = months::is_frost(cell, self.look.unit);
            let colour = if is_frost { months::COLD_RGB } else { months::WARM_RGB };
            let length = cell.average.abs() * scale;
            if cell.average < 0.0 {
                let bar = hanging(length.min(zero as f64));
                format!("{}{}│", " ".repeat(zero - bar.chars().count()), self.ink(&bar, colour))
            } else {
                let bar = standing(length.min(bar_width - zero as f64));
                format!("{}│{}", " ".repeat(zero), self.ink(&bar, colour))
            }
        });
        let mut lines = self.heading(Kind::Months.title(), &[&months::axis_title(self.look.unit)]);
        lines.extend(names.iter().zip(&values).zip(bars).map(|((name, value), bar)| {
            format!("{}  {}  {bar}", left(name, name_width), right(value, value_width))
        }));
        lines.extend(self.missing_note(cells));
        lines
    }

    /// A line for each month, with numbers where there is room for them, else shades.
    fn heatmap(&self) -> Vec<String> {
        const NAME: usize = 5;
        let room = self.columns - NAME;
        let span = Span::fitting(self.cells, room);
        let scale = heatmap::scale_of(self.cells);
        let slot_room = room / span.slots();
        let number_width =
            self.cells.iter().map(|cell| self.value(cell).chars().count() + 1).max().unwrap_or(1);
        let has_numbers = number_width <= slot_room && span.step == 1;
        let width = if has_numbers { number_width.max(6) } else { slot_room.min(2) };

        let note = span.note("column").unwrap_or_default();
        let mut lines =
            self.heading(&heatmap::title(Kind::Heatmap, span), &[&months::axis_title(self.look.unit), &note]);
        // The years end where their numbers do, before the star.
        lines.push(self.years(span, width, if has_numbers { NAME + width - 5 } else { NAME }));
        let mut has_gaps = false;
        for month in self.look.months() {
            let pooled =
                span.pooled(self.cells.iter().filter(|cell| cell.month == month), self.marks.climate);
            has_gaps |= pooled.iter().any(Option::is_none);
            let shades = pooled.iter().map(|cell| match cell {
                None if has_numbers => right(NO_DATA, width),
                None => NO_DATA.repeat(width),
                Some(cell) if has_numbers => {
                    self.ground(&right(&self.value(cell), width), scale.rgb(cell.average))
                }
                Some(cell) if self.marks.is_partial(cell) => PARTIAL.repeat(width),
                Some(cell) if self.colour => self.ground(&" ".repeat(width), scale.rgb(cell.average)),
                Some(cell) => digit(scale.fraction(cell.average)).repeat(width),
            });
            lines.push(format!("{}{}", left(heatmap::short_name(month), NAME), shades.collect::<String>()));
        }
        if self.colour || !has_numbers {
            let (low, high) = scale.ends();
            lines.push(format!("\n{}{}", " ".repeat(NAME), self.scale(&scale, short(low), short(high))));
        }
        if has_gaps && !has_numbers {
            lines.push(format!("{}{NO_DATA} no data", " ".repeat(NAME)));
        }
        if !has_numbers && self.cells.iter().any(|cell| self.marks.is_partial(cell)) {
            lines.push(format!("{}{PARTIAL} not a whole month", " ".repeat(NAME)));
        }
        if has_numbers {
            lines.extend(self.missing_note(self.cells.iter()));
        }
        lines
    }

    /// A stripe for each year; a level where there is no colour.
    fn stripes(&self) -> Vec<String> {
        const ROWS: usize = 5;
        let span = Span::fitting(self.cells, self.columns);
        let months = self.look.months().len();
        let years = differences(self.cells, span, months, self.marks.climate);
        let limit = stripes::limit(&years);
        let scale = Scale::diverging(limit);
        let width = (self.columns / span.slots()).min(4);
        let row = |is_last: bool| -> String {
            let stripe = |year: &Year| match *year {
                Year::Empty => NO_DATA.repeat(width),
                Year::Partial { .. } if is_last => PARTIAL.repeat(width),
                Year::Partial { .. } => " ".repeat(width),
                Year::Whole { difference, .. } if self.colour => {
                    self.ground(&" ".repeat(width), scale.rgb(difference))
                }
                Year::Whole { difference, .. } => level(scale.fraction(difference)).repeat(width),
            };
            years.iter().map(stripe).collect()
        };
        let note = span.note("stripe").unwrap_or_default();
        let subtitle = stripes::subtitle(self.look);
        let mut lines = self.heading(&stripes::title(span), &[&subtitle, &note]);
        let rows = if self.colour { ROWS } else { 1 };
        lines.extend((1..=rows).map(|number| row(number == rows)));
        lines.push(self.years(span, width, 0));
        lines.push(format!("\n{}", self.scale(&scale, signed(-limit), signed(limit))));
        if years.iter().any(|year| matches!(year, Year::Partial { .. })) {
            lines.push(format!("{PARTIAL} months missing"));
        }
        if years.contains(&Year::Empty) {
            lines.push(format!("{NO_DATA} no data"));
        }
        lines
    }

    /// A line for each year: its average in numbers, and its range around it.
    fn history(&self) -> Vec<String> {
        let span = Span::fitting(self.cells, SLOTS_MAX);
        let slots = span.pooled(self.cells, self.marks.climate);
        let values: Vec<String> = slots.iter().flatten().map(|cell| self.value(cell)).collect();
        let names: Vec<String> = (0..span.slots()).map(|slot| span.slot_name(slot)).collect();
        let name_width = widest(&names);
        let value_width = widest(&values);
        let room = self.columns.saturating_sub(name_width + value_width + 4).max(4);

        let (low, high) = widened(
            self.cells.iter().map(|cell| cell.min.min(cell.average)).fold(f64::INFINITY, f64::min),
            self.cells.iter().map(|cell| cell.max.max(cell.average)).fold(f64::NEG_INFINITY, f64::max),
        );
        let at = |degrees: f64| ((degrees - low) / (high - low) * (room - 1) as f64).round() as usize;
        let mean = history::mean(self.cells, self.marks.climate);
        let mean_at = mean.map(at);
        let ends = (short(low), short(high));
        let between = room.saturating_sub(ends.0.chars().count() + ends.1.chars().count());
        let axis = format!("{}{}{}", ends.0, " ".repeat(between), ends.1);

        let symbol = self.look.unit.symbol();
        let mean = mean.map(|mean| format!(", ┆ mean of all years {}", short(mean))).unwrap_or_default();
        let subtitle = format!("Maximum temperature ({symbol}): ● average, ─ coldest to warmest day{mean}");
        let note = span.note("line").unwrap_or_default();
        let mut lines = self.heading(&history::title(self.cells, span), &[&subtitle, &note]);
        lines.push(format!("{}{axis}", " ".repeat(name_width + value_width + 4)));
        let mut slots = slots.iter().enumerate().peekable();
        while let Some((slot, cell)) = slots.next() {
            let Some(cell) = cell else {
                // A line for each year of a long gap would bury the years that there are.
                let mut last = slot;
                while let Some((next, _)) = slots.next_if(|(_, cell)| cell.is_none()) {
                    last = next;
                }
                lines.push(format!("{}  no data", span.slots_name(slot, last)));
                continue;
            };
            let days = at(cell.min)..=at(cell.max);
            let range = (0..room).map(|place| match (days.contains(&place), Some(place) == mean_at) {
                _ if place == at(cell.average) => self.dot(cell),
                (true, true) => "┼".to_owned(),
                (true, false) => "─".to_owned(),
                (false, true) => "┆".to_owned(),
                (false, false) => " ".to_owned(),
            });
            let range: String = range.collect();
            let (name, value) = (left(&names[slot], name_width), right(&self.value(cell), value_width));
            lines.push(format!("{name}  {value}  {}", range.trim_end()));
        }
        lines.extend(self.missing_note(self.cells.iter()));
        lines
    }

    /// A line for each month in its latest year: average, normal and difference, and the ranges of daily maxima.
    fn year(&self) -> Vec<String> {
        let months = year::months(self.cells, self.marks);
        let (low, high) = widened(
            months.iter().map(|month| month.low).fold(f64::INFINITY, f64::min),
            months.iter().map(|month| month.high).fold(f64::NEG_INFINITY, f64::max),
        );
        let numbers = |month: &year::Month| {
            let name = format!("{} {:04}", heatmap::short_name(month.cell.month), month.cell.year);
            let normal = month.normal.map(short).unwrap_or_default();
            let anomaly = self.marks.anomaly(month.cell).map(signed).unwrap_or_default();
            format!("{name:<8} {:>7} {normal:>6} {anomaly:>6}", self.value(month.cell))
        };
        let numbers: Vec<String> = months.iter().map(numbers).collect();
        let room = self.columns.saturating_sub(widest(&numbers) + 2);
        let at =
            |degrees: f64| ((degrees - low) / (high - low) * room.saturating_sub(1) as f64).round() as usize;
        let range = |month: &year::Month| -> String {
            let (days, record) = (at(month.cell.min)..=at(month.cell.max), at(month.low)..=at(month.high));
            let mark = |place| match place {
                _ if place == at(month.cell.average) => self.dot(month.cell),
                _ if month.normal.map(at) == Some(place) => "┃".to_owned(),
                _ if days.contains(&place) => "━".to_owned(),
                _ if record.contains(&place) => "─".to_owned(),
                _ => " ".to_owned(),
            };
            (0..room).map(mark).collect()
        };
        let symbol = self.look.unit.symbol();
        let key = format!(
            "Maximum temperature ({symbol}): ● average, ┃ normal, ━ that year’s days, ─ days of the whole record"
        );
        let mut lines = self.heading(Kind::Year.title(), &[&key]);
        lines.push(format!("{:<8} {:>7} {:>6} {:>6}", "", "average", "normal", "diff."));
        lines.extend(
            numbers.iter().zip(&months).map(|(numbers, month)| format!("{numbers}  {}", range(month))),
        );
        lines.extend(self.missing_note(latest(self.cells)));
        lines
    }

    /// The average of a month, in its range.
    fn dot(&self, cell: &Cell) -> String {
        if self.marks.is_partial(cell) { "○".to_owned() } else { self.ink("●", history::LINE_RGB) }
    }

    /// A line for each month, with a level for each year's difference from the normal.
    fn anomalies(&self) -> Vec<String> {
        const NAME: usize = 5;
        let Some(scale) = heatmap::anomaly_scale(self.cells, self.marks) else {
            return self.heading(Kind::Anomalies.title(), &["No month has a normal yet: it takes 10 years."]);
        };
        let room = self.columns - NAME;
        let span = Span::fitting(self.cells, room);
        let width = (room / span.slots()).min(2);
        let note = span.note("column").unwrap_or_default();
        let subtitle = heatmap::anomaly_subtitle(self.look, self.marks);
        let title = heatmap::title(Kind::Anomalies, span);
        let mut lines = self.heading(&title, &[&subtitle, &note]);
        lines.push(self.years(span, width, NAME));
        for month in self.look.months() {
            let pooled =
                span.pooled(self.cells.iter().filter(|cell| cell.month == month), self.marks.climate);
            let shades = pooled.iter().map(|cell| {
                let Some(cell) = cell else { return NO_DATA.repeat(width) };
                match self.marks.anomaly(cell) {
                    None => PARTIAL.repeat(width),
                    Some(value) if self.colour => self.ground(&" ".repeat(width), scale.rgb(value)),
                    Some(value) => level(scale.fraction(value).clamp(0.0, 1.0)).repeat(width),
                }
            });
            lines.push(format!("{}{}", left(heatmap::short_name(month), NAME), shades.collect::<String>()));
        }
        let (low, high) = scale.ends();
        lines.push(format!("\n{}{}", " ".repeat(NAME), self.scale(&scale, signed(low), signed(high))));
        lines.push(format!("{}{NO_DATA} no data  {PARTIAL} not a whole month", " ".repeat(NAME)));
        lines
    }

    /// A line for each record.
    fn records(&self) -> Vec<String> {
        let symbol = self.look.unit.symbol();
        let mut lines = self.heading(Kind::Records.title(), &[]);
        let entries = records::entries(self.cells, self.marks);
        lines.extend(entries.iter().map(|entry| {
            let rgb = if entry.is_warm { months::WARM_RGB } else { months::COLD_RGB };
            let degrees = self.ink(&right(&short(entry.degrees), 9), rgb);
            format!("{:<13}{degrees} {symbol}  {}", entry.name, entry.when_in_short())
        }));
        lines
    }

    /// The title, and under it the place and what else there is to say.
    fn heading(&self, title: &str, below: &[&str]) -> Vec<String> {
        let place = self.look.caption.place.as_deref();
        let texts = [title].into_iter().chain(place).chain(below.iter().copied());
        let lines = texts.filter(|text| !text.is_empty()).flat_map(|text| self.broken(text));
        lines.chain([String::new()]).collect()
    }

    fn broken(&self, text: &str) -> Vec<String> {
        broken(text, |line| line.chars().count() <= self.columns)
    }

    /// The years above or below slots of so many characters, after `indent`.
    fn years(&self, span: Span, width: usize, indent: usize) -> String {
        let mut line = " ".repeat(indent);
        for (slot, label) in span.labels(width as f64, 6.0) {
            let place = indent + slot * width;
            if place + label.len() <= self.columns {
                line.push_str(&" ".repeat(place.saturating_sub(line.len())));
                line.push_str(&label);
            }
        }
        line
    }

    /// The key to the shades, which are colours, digits or levels.
    fn scale(&self, scale: &Scale, low: String, high: String) -> String {
        match self.look.kind {
            _ if self.colour => {
                let shades = (0..20).map(|step| self.ground(" ", scale.rgb_at(f64::from(step) / 19.0)));
                format!("{low} {} {high}", shades.collect::<String>())
            }
            Kind::Stripes | Kind::Anomalies => format!("{} is {low}, {} is {high}", LEVELS[0], LEVELS[7]),
            _ => format!("0 is {low}, 9 is {high}"),
        }
    }

    fn missing_note<'c>(&self, cells: impl IntoIterator<Item = &'c Cell>) -> Option<String> {
        let (mut missing, mut partial) = (false, false);
        for cell in cells {
            partial |= self.marks.is_partial(cell);
            missing |= cell.missing > 0 && !self.marks.is_partial(cell);
        }
        let notes = [(missing, "* days missing"), (partial, "~ not a whole month")];
        let notes: Vec<&str> = notes.into_iter().filter(|(is, _)| *is).map(|(_, note)| note).collect();
        (!notes.is_empty()).then(|| format!("\n{}", notes.join(", ")))
    }

    /// The average, with a tilde where the month is not whole, or else a star where days are missing.
    fn value(&self, cell: &Cell) -> String {
        let sign = match cell.missing {
            _ if self.marks.is_partial(cell) => "~",
            0 => " ",
            _ => "*",
        };
        format!("{}{sign}", short(cell.average))
    }

    fn ink(&self, text: &str, rgb: [u8; 3]) -> String {
        if self.colour { format!("\x1b[38;5;{}m{text}\x1b[0m", ansi(rgb)) } else { text.to_owned() }
    }

    /// `text` on a ground of that colour, itself black or white.
    fn ground(&self, text: &str, rgb: [u8; 3]) -> String {
        if !self.colour {
            return text.to_owned();
        }
        let [red, green, blue] = rgb.map(f64::from);
        let ink = if 0.3 * red + 0.59 * green + 0.11 * blue > 120.0 { 16 } else { 231 };
        format!("\x1b[38;5;{ink};48;5;{}m{text}\x1b[0m", ansi(rgb))
    }
}

/// The nearest of the 6 × 6 × 6 colours that every terminal has; not all have more.
fn ansi(rgb: [u8; 3]) -> u32 {
    let [red, green, blue] = rgb.map(|part| match part {
        0..48 => 0,
        48..115 => 1,
        _ => (u32::from(part) - 35) / 40,
    });
    16 + 36 * red + 6 * green + blue
}

/// A bar of that length in characters that begins at the left.
fn standing(length: f64) -> String {
    let eighths = (length * 8.0).round() as usize;
    format!("{}{}", "█".repeat(eighths / 8), EIGHTHS[eighths % 8])
}

/// A bar that ends at the right; there are only halves to begin it with.
fn hanging(length: f64) -> String {
    let halves = (length * 2.0).round() as usize;
    format!("{}{}", if halves % 2 == 1 { "▐" } else { "" }, "█".repeat(halves / 2))
}

fn digit(fraction: f64) -> String {
    ((fraction * 10.0) as u8).min(9).to_string()
}

fn level(fraction: f64) -> &'static str {
    LEVELS[((fraction * 8.0) as usize).min(7)]
}

fn widest(texts: &[String]) -> usize {
    texts.iter().map(|text| text.chars().count()).max().unwrap_or(0)
}

fn left(text: &str, width: usize) -> String {
    format!("{text:<width$}")
}

fn right(text: &str, width: usize) -> String {
    format!("{text:>width$}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plot::tests::samples;
    use crate::plot::{Unit, text};

    fn draw(look: &Look, columns: usize) -> String {
        let plain = text(&samples::years(), look, columns, false).unwrap();
        let coloured = text(&samples::years(), look, columns, true).unwrap();
        for line in plain.lines().chain(without_colour(&coloured).lines()) {
            assert!(line.chars().count() <= columns, "{line}");
        }
        assert!(!plain.contains('\x1b') && coloured.contains('\x1b'));
        plain
    }

    fn without_colour(text: &str) -> String {
        let parts = text.split('\x1b').map(|part| match part.strip_prefix('[') {
            Some(part) => part.split_once('m').unwrap().1,
            None => part,
        });
        parts.collect()
    }

    #[test]
    fn each_kind() {
        for kind in [Kind::Months, Kind::Heatmap, Kind::Stripes, Kind::Year, Kind::Records] {
            insta::assert_snapshot!(format!("{kind:?}"), draw(&Look::of(kind), 80));
        }
        let july = Look { months: vec![6], unit: Unit::Fahrenheit, ..Look::of(Kind::History) };
        insta::assert_snapshot!("History", draw(&july, 80));
    }

    #[test]
    fn anomalies_are_levels_or_colours() {
        let average = |year: i16| f64::from((year * 7 % 11) - 5) / 2.0;
        let mut cells: Vec<Cell> = (1975..2015)
            .flat_map(|year| {
                (1..=12).map(move |month| samples::cell(year, month, average(year + i16::from(month))))
            })
            .collect();
        cells[40] = samples::with_gap(cells[40].clone(), 9);
        cells.remove(50);
        let look = Look::of(Kind::Anomalies);
        insta::assert_snapshot!("Anomalies", text(&cells, &look, 60, false).unwrap());
        let coloured = text(&cells, &look, 60, true).unwrap();
        assert!(
            coloured.contains("\x1b[38;5;")
                && without_colour(&coloured).lines().all(|line| line.chars().count() <= 60)
        );
        let few = text(&samples::years(), &look, 60, false).unwrap();
        assert!(few.contains("No month has a normal yet"), "{few}");
    }

    #[test]
    fn a_narrow_heatmap_has_digits() {
        insta::assert_snapshot!(draw(&Look::of(Kind::Heatmap), 40));
    }

    #[test]
    fn colours_are_those_of_every_terminal() {
        for (rgb, expected) in
            [([0, 0, 0], 16), ([255, 255, 255], 231), ([255, 0, 0], 196), ([95, 135, 175], 67)]
        {
            assert_eq!(ansi(rgb), expected, "{rgb:?}");
        }
    }

    #[test]
    fn bars_are_as_long_as_said() {
        assert_eq!([standing(0.0), standing(1.5), standing(2.99)], ["", "█▌", "███"]);
        assert_eq!([hanging(0.2), hanging(1.5), hanging(2.0)], ["", "▐█", "██"]);
    }
}
