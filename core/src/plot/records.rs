//! The picture of the records: the warmest and the coldest day and month, with their dates.

use super::cells::Cell;
use super::heatmap::short_name;
use super::look::{Kind, Look};
use super::mark::{Marks, TIP};
use super::numbers::short;
use super::page::{COLD, LABEL_SIZE, Page, WARM, faint, ink};
use super::svg::Element;
use crate::climate::records::{Day, Records};
use crate::report::MONTHS;

// Lengths are in CSS pixels.

const CARD_MIN: f64 = 190.0;
const CARD_HEIGHT: f64 = 96.0;
const FIGURE_SIZE: f64 = 32.0;

/// A record: its name, its figure, and when it was.
pub struct Entry {
    pub name: &'static str,
    pub is_warm: bool,
    pub degrees: f64,
    pub when: String,
    month: usize,
    year: u16,
}

impl Entry {
    /// As in `14 Jul 1936`.
    pub fn when_in_short(&self) -> String {
        self.when.replacen(MONTHS[self.month], short_name(self.month), 1)
    }
}

/// The records among `cells`, which are in the order of time.
pub fn entries(cells: &[Cell], marks: Marks) -> Vec<Entry> {
    let all: Vec<&Cell> = cells.iter().collect();
    let complete: Vec<&Cell> = cells.iter().filter(|cell| !marks.is_partial(cell)).collect();
    let Some(records) = Records::of(&all, &complete) else { return Vec::new() };
    let day = |name, is_warm, day: Day| Entry {
        name,
        is_warm,
        degrees: day.degrees,
        when: match day.date {
            Some(date) => format!("{} {}", date.day(), month_of(day.cell)),
            None => format!("in {}", month_of(day.cell)),
        },
        month: day.cell.month,
        year: day.cell.year,
    };
    let month = |name, is_warm, cell: Option<&Cell>| {
        cell.map(|cell| Entry {
            name,
            is_warm,
            degrees: cell.average,
            when: month_of(cell),
            month: cell.month,
            year: cell.year,
        })
    };
    let days =
        [day("Warmest day", true, records.warmest_day), day("Coldest day", false, records.coldest_day)];
    let months = [
        month("Warmest month", true, records.warmest_month),
        month("Coldest month", false, records.coldest_month),
    ];
    days.into_iter().chain(months.into_iter().flatten()).collect()
}

/// As in `July 1936`.
fn month_of(cell: &Cell) -> String {
    format!("{} {:04}", MONTHS[cell.month], cell.year)
}

pub fn picture(cells: &[Cell], look: &Look, marks: Marks) -> Option<Element> {
    let entries = entries(cells, marks);
    let (first, last) = (cells.first()?.year, cells.last()?.year);
    let years = if first == last { format!("{first:04}") } else { format!("{first:04}–{last:04}") };
    let symbol = look.unit.symbol();
    let note = format!("Daily maxima, and averages of complete months ({symbol})");
    let page = Page::new(
        look.width().unwrap_or(896.0),
        look,
        &format!("{}, {years}", Kind::Records.title()),
        &[&note],
    );
    let width = page.right() - page.left();
    let columns = match (width / CARD_MIN) as usize {
        4.. => 4,
        2 | 3 => 2,
        _ => 1,
    };
    let top = page.top() + 14.0;
    let cards = entries.iter().enumerate().map(|(index, entry)| {
        let x = page.left() + (index % columns) as f64 * width / columns as f64;
        let y = top + (index / columns) as f64 * CARD_HEIGHT;
        let (class, colour) = if entry.is_warm { ("warm", WARM) } else { ("cold", COLD) };
        let bar = Element::new("rect").set("x", x).set("y", y + 10.0).set("width", 4.0).set("height", 70.0);
        let texts = [
            faint(entry.name, x + 14.0, y + 22.0).set("font-size", LABEL_SIZE),
            ink(&format!("{} {symbol}", short(entry.degrees)), x + 14.0, y + 56.0)
                .set("font-family", "serif")
                .set("font-size", FIGURE_SIZE),
            ink(&entry.when, x + 14.0, y + 78.0).set("font-size", LABEL_SIZE),
        ];
        Element::new("g")
            .set("data-month", (entry.month + 1).to_string())
            .set("data-year", entry.year.to_string())
            .set(TIP, format!("{}: {} {symbol}, {}", entry.name, short(entry.degrees), entry.when))
            .child(bar.set("class", class).set("fill", colour))
            .children(texts)
    });
    let rows = entries.len().div_ceil(columns);
    let said = |entry: &Entry| format!("{}: {} {symbol}, {}.", entry.name, short(entry.degrees), entry.when);
    let description = entries.iter().map(said).collect::<Vec<_>>().join(" ");
    Some(page.picture(top + rows as f64 * CARD_HEIGHT, &description, cards))
}

#[cfg(test)]
mod tests {
    use crate::plot::tests::samples::cell;
    use crate::plot::{Kind, Look, svg};

    #[test]
    fn records_have_their_dates_as_far_as_they_are_known() {
        let mut cells = [cell(1936, 7, 25.0), cell(1951, 1, -15.0)];
        let drawn = |cells: &[_]| svg(cells, &Look::of(Kind::Records)).unwrap();
        let svg = drawn(&cells);
        assert!(svg.contains(">35.0 °C<") && svg.contains(">31 July 1936<"), "{svg}");
        assert!(svg.contains(">−25.0 °C<") && svg.contains(">1 January 1951<"), "{svg}");
        assert!(svg.contains(">−15.0 °C<") && svg.contains(">January 1951<"), "{svg}");
        cells[0].max_date = None;
        let svg = drawn(&cells);
        assert!(!svg.contains(">31 July 1936<") && svg.contains(">in July 1936<"), "{svg}");
    }
}
