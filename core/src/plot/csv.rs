//! The numbers of a picture as CSV, in its unit: a line for each month that is drawn.

use std::collections::BTreeSet;
use std::fmt::Write;

use jiff::civil::Date;

use super::cells::{Cell, in_unit};
use super::look::{Look, Unit};
use crate::climate::{Climate, days_in_month};

/// A line for each cell of `drawn`, as (year, month), in the order of `cells`. Unknown values are empty.
pub fn csv(cells: &[Cell], drawn: &BTreeSet<(u16, usize)>, look: &Look) -> String {
    let climate = Climate::of(cells);
    let mut csv =
        "year,month,count,expected_days,complete,avg,min,min_date,max,max_date,start,end,normal,anomaly,\
                   warmest_rank,coldest_rank,unit\n"
            .to_owned();
    for cell in cells.iter().filter(|cell| drawn.contains(&(cell.year, cell.month))) {
        let shown = in_unit(cell, look.unit);
        let date = |date: Option<Date>| date.map(|date| date.to_string()).unwrap_or_default();
        let number = |number: Option<f64>| number.map(|number| number.to_string()).unwrap_or_default();
        let rank = climate.rank(cell);
        let place = |place: Option<usize>| place.map(|place| place.to_string()).unwrap_or_default();
        let normal = climate.normal(cell.month).map(|normal| look.unit.degrees(normal.average));
        let anomaly = climate.anomaly(cell).map(|anomaly| look.unit.difference(anomaly));
        let unit = match look.unit {
            Unit::Celsius => "celsius",
            Unit::Fahrenheit => "fahrenheit",
        };
        // Writing to memory does not fail.
        let _ = writeln!(
            csv,
            "{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{unit}",
            cell.year,
            cell.month + 1,
            cell.count,
            days_in_month(cell),
            climate.is_complete(cell),
            shown.average,
            shown.min,
            date(cell.min_date),
            shown.max,
            date(cell.max_date),
            cell.start,
            cell.end,
            number(normal),
            number(anomaly),
            place(rank.map(|rank| rank.warmest)),
            place(rank.map(|rank| rank.coldest)),
        );
    }
    csv
}

#[cfg(test)]
mod tests {
    use crate::plot::tests::samples::cell;
    use crate::plot::{Kind, Look, csv};

    #[test]
    fn a_line_for_each_month_that_is_drawn() {
        let cells: Vec<_> =
            (2000..2010).map(|year| cell(year, 7, 20.0)).chain([cell(2010, 7, 22.0)]).collect();
        let csv = csv(&cells, &Look::of(Kind::Year)).unwrap();
        let lines: Vec<&str> = csv.lines().collect();
        assert_eq!(lines.len(), 2, "{csv}");
        let expected =
            "2010,7,31,31,true,22,12,2010-07-01,32,2010-07-31,2010-07-01,2010-07-31,20.181818181818183,";
        assert!(lines[1].starts_with(expected), "{csv}");
        assert!(lines[1].ends_with(",1,11,celsius"), "{csv}");
    }
}
