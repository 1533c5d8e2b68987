//! The months as a table: a row for each month of each year, as CSV or as JSON lines. Parquet would take 11 more crates,
//! 52 s of processor time in a release build and 0.9 MB; DuckDB makes it of the CSV.

use std::collections::BTreeSet;

use jiff::civil::Date;
use serde_json::Value;

use super::cells::{Cell, in_unit};
use super::look::Unit;
use crate::climate::{Climate, days_in_month};

/// The months to list, as (year, month), where they are, and their unit.
#[derive(Clone, Copy, Debug)]
pub struct Table<'a> {
    /// Of all months, also of those that are not listed: the climate is of all of them.
    pub cells: &'a [Cell],
    pub listed: &'a BTreeSet<(u16, usize)>,
    pub place: Option<&'a str>,
    pub unit: Unit,
}

type Row<'a> = [(&'static str, Value); 19];

impl Table<'_> {
    /// A line of names, and a line for each month. An unknown value is empty. RFC 4180, except that a line ends with a line
    /// feed.
    pub fn csv(&self) -> String {
        let rows = self.rows();
        let names = rows.first().map(|row| row.iter().map(|(name, _)| (*name).to_owned()).collect());
        let lines = rows.iter().map(|row| row.iter().map(|(_, value)| field(value)).collect());
        names.into_iter().chain(lines).map(|fields: Vec<String>| fields.join(",") + "\n").collect()
    }

    /// An object for each month, on a line of its own. An unknown value is null.
    pub fn json_lines(&self) -> String {
        let member = |(name, value): &(&str, Value)| format!("\"{name}\":{value}");
        let object = |row: &Row| format!("{{{}}}\n", row.iter().map(member).collect::<Vec<_>>().join(","));
        self.rows().iter().map(object).collect()
    }

    fn rows(&self) -> Vec<Row<'_>> {
        let climate = Climate::of(self.cells);
        let is_listed = |cell: &&Cell| self.listed.contains(&(cell.year, cell.month));
        climate.cells().filter(is_listed).map(|cell| self.row(cell, &climate)).collect()
    }

    fn row(&self, cell: &Cell, climate: &Climate) -> Row<'_> {
        let shown = in_unit(cell, self.unit);
        let date = |date: Option<Date>| Value::from(date.map(|date| date.to_string()));
        let rank = climate.rank(cell);
        let normal = climate.normal(cell.month).map(|normal| self.unit.degrees(normal.average));
        let anomaly = climate.anomaly(cell).map(|anomaly| self.unit.difference(anomaly));
        [
            ("place", self.place.into()),
            ("year", cell.year.into()),
            ("month", (cell.month + 1).into()),
            ("count", cell.count.into()),
            ("expected_days", days_in_month(cell).into()),
            ("complete", climate.is_complete(cell).into()),
            ("sum", self.unit.sum(cell.sum, cell.count).into()),
            ("avg", shown.average.into()),
            ("min", shown.min.into()),
            ("min_date", date(cell.min_date)),
            ("max", shown.max.into()),
            ("max_date", date(cell.max_date)),
            ("start", date(Some(cell.start))),
            ("end", date(Some(cell.end))),
            ("anomaly", anomaly.into()),
            ("rank", rank.map(|rank| rank.warmest).into()),
            ("coldest_rank", rank.map(|rank| rank.coldest).into()),
            ("normal", normal.into()),
            ("unit", self.unit.name().into()),
        ]
    }
}

fn field(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) if text.contains([',', '"', '\n', '\r']) => {
            format!("\"{}\"", text.replace('"', "\"\""))
        }
        Value::String(text) => text.clone(),
        value => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plot::tests::samples::{cell, with_gap};

    fn table(cells: &[Cell], unit: Unit) -> (String, String) {
        let listed = cells.iter().map(|cell| (cell.year, cell.month)).collect();
        let table = Table { cells, listed: &listed, place: Some("Madison, \"WI\""), unit };
        (table.csv(), table.json_lines())
    }

    #[test]
    fn a_row_for_each_month_of_each_year() {
        let mut cells: Vec<_> = (2000..2010).map(|year| cell(year, 7, 20.0)).collect();
        cells.push(Cell { min_date: None, ..with_gap(cell(2010, 6, 22.0), 4) });
        cells.push(cell(2010, 7, 22.0));
        let (csv, json) = table(&cells, Unit::Celsius);
        let lines: Vec<&str> = csv.lines().collect();
        assert_eq!(lines.len(), 13, "{csv}");
        assert_eq!(
            lines[0],
            "place,year,month,count,expected_days,complete,sum,avg,min,min_date,max,max_date,start,end,anomaly,rank,\
             coldest_rank,normal,unit"
        );
        assert_eq!(
            lines[11],
            "\"Madison, \"\"WI\"\"\",2010,6,26,30,false,660.0,22.0,12.0,,32.0,2010-06-30,2010-06-01,2010-06-30,,,,,celsius"
        );
        assert!(
            lines[12].contains(",2010,7,31,31,true,682.0,22.0,12.0,2010-07-01,32.0,2010-07-31,"),
            "{csv}"
        );
        assert!(lines[12].ends_with(",1.8181818181818166,1,11,20.181818181818183,celsius"), "{csv}");

        let rows: Vec<Value> = json.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(rows.len(), 12);
        assert_eq!((&rows[10]["min_date"], &rows[10]["rank"]), (&Value::Null, &Value::Null));
        assert_eq!((&rows[11]["place"], &rows[11]["rank"]), (&"Madison, \"WI\"".into(), &1.into()));
        assert!(json.starts_with("{\"place\":\"Madison, \\\"WI\\\"\",\"year\":2000,\"month\":7,"), "{json}");
    }

    #[test]
    fn fahrenheit_is_of_all_numbers() {
        let (csv, _) = table(&[cell(2010, 7, 20.0)], Unit::Fahrenheit);
        assert!(csv.contains(",31,31,true,2108.0,68.0,50.0,"), "{csv}");
        assert!(csv.ends_with(",fahrenheit\n"), "{csv}");
    }
}
