//! Months that are in two files. A month of one year belongs into one partition; if it is in two, its statistics are
//! split, and a day may be counted twice.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;

use serde::Serialize;

use crate::report::MONTHS;
use crate::stats::Statistics;

/// The likely cause, as a clause, and what to do.
pub const CAUSE: &str = "probably another producer uses another partitioner, such as consistent_random (the \
                         default of Kafka's C client), or other keys";
pub const HINT: &str = "set partitioner=murmur2_random in that producer, with the month's English name as the key, and \
                        send all days to a new topic";

/// How many months are in two files or more.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Split {
    pub months: u64,
    /// Days that are counted in two files or more.
    pub days: u64,
    /// The first month with such a day or, without any, the first month.
    pub first: SplitMonth,
}

#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct SplitMonth {
    pub month: &'static str,
    pub year: u16,
    pub partitions: [i32; 2],
    /// `YYYY-MM-DD`, the first day that both have counted.
    pub day: Option<String>,
}

impl Split {
    /// Compares the files of several partitions. Only months that one of the partitions in `among` has are reported.
    pub fn find<'a>(
        files: impl IntoIterator<Item = (i32, &'a Statistics)>,
        among: impl Fn(i32) -> bool,
    ) -> Option<Split> {
        let mut seen: HashMap<(u16, usize), (i32, u32)> = HashMap::new();
        // Ordered by whether a day is counted twice, then by the calendar.
        let mut found: Vec<(bool, u16, usize, [i32; 2], u32)> = Vec::new();
        for (partition, statistics) in files {
            for (month, year, cell) in statistics.cells() {
                let days = cell.days().fold(0_u32, |days, day| days | 1 << (day - 1));
                match seen.entry((year, month)) {
                    Entry::Vacant(entry) => _ = entry.insert((partition, days)),
                    Entry::Occupied(mut entry) => {
                        let (other, others) = entry.get_mut();
                        if among(*other) || among(partition) {
                            let both = *others & days;
                            let pair = [partition.min(*other), partition.max(*other)];
                            found.push((both == 0, year, month, pair, both));
                        }
                        *others |= days;
                    }
                }
            }
        }
        found.sort_unstable();
        let &(_, year, month, partitions, both) = found.first()?;
        let day = (both != 0).then(|| format!("{year:04}-{:02}-{:02}", month + 1, both.trailing_zeros() + 1));
        let days = found.iter().map(|(.., both)| u64::from(both.count_ones())).sum();
        let first = SplitMonth { month: MONTHS.get(month)?, year, partitions, day };
        found.dedup_by_key(|(_, year, month, ..)| (*year, *month));
        Some(Split { months: found.len() as u64, days, first })
    }
}

impl fmt::Display for Split {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        let SplitMonth { month, year, partitions: [one, other], day } = &self.first;
        match day {
            Some(day) => write!(formatter, "{day} is counted in partitions {one} and {other}")?,
            None => write!(formatter, "{month} {year:04} is in partitions {one} and {other}")?,
        }
        let counted = |count: u64, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
        write!(
            formatter,
            " ({} in two files, {} counted twice); {CAUSE}",
            counted(self.months, "month"),
            counted(self.days, "day")
        )
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::{Date, date};

    use super::*;
    use crate::report::Report;

    fn statistics(days: &[Date]) -> Statistics {
        let mut statistics = Statistics::default();
        for date in days {
            statistics.add(&Report { date: *date, degrees: 1.0 });
        }
        statistics
    }

    fn found(files: &[(i32, &[Date])], among: impl Fn(i32) -> bool) -> Option<Split> {
        let files: Vec<_> = files.iter().map(|(partition, days)| (*partition, statistics(days))).collect();
        Split::find(files.iter().map(|(partition, statistics)| (*partition, statistics)), among)
    }

    #[test]
    fn a_month_of_one_year_belongs_into_one_file() {
        let (one, two, later) = (date(1990, 1, 1), date(1990, 1, 2), date(1991, 1, 1));
        assert_eq!(found(&[(0, &[one, two]), (2, &[later])], |_| true), None);
        let split = found(&[(0, &[one]), (2, &[two, later])], |_| true).unwrap();
        assert_eq!((split.months, split.days, &split.first.day), (1, 0, &None));
        assert!(split.to_string().starts_with(
            "January 1990 is in partitions 0 and 2 (1 month in two files, 0 days counted twice); probably"
        ));
        // A day that is counted twice comes before a month that only is in two files.
        let split = found(&[(0, &[one, later, two]), (1, &[later]), (2, &[two, later])], |_| true).unwrap();
        assert_eq!((split.months, split.days), (2, 3));
        assert!(
            split.to_string().starts_with("1990-01-02 is counted in partitions 0 and 2 (2 months"),
            "{split}"
        );
    }

    #[test]
    fn only_what_concerns_some_partitions_is_reported() {
        let (one, later) = (date(1990, 1, 1), date(1991, 5, 1));
        let files: [(i32, &[Date]); 4] = [(0, &[one]), (1, &[later]), (2, &[one]), (3, &[later])];
        assert_eq!(found(&files, |partition| partition == 3).unwrap().first.partitions, [1, 3]);
        assert_eq!(found(&files, |partition| partition == 7), None);
    }
}
