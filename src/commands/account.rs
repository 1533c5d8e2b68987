//! The last line of a producer that reads files: what became of every row.

use indicatif::HumanCount;

use crate::producer::Acknowledged;
use crate::source::{Account, Contradiction};

/// The rows of the files.
pub(super) struct Rows {
    pub(super) account: Account,
    /// The distinct days among them, and how many of those the topic had before.
    pub(super) days: u64,
    pub(super) present: u64,
}

impl Rows {
    /// The days that were sent, and how many rows were left out for each reason.
    pub(super) fn text(&self, sent: Acknowledged, topic: &str) -> String {
        let mut text = format!("{} days", HumanCount(sent.days));
        if let (Some(oldest), Some(newest)) = (sent.oldest, sent.newest) {
            text += &format!(" ({oldest} to {newest})");
        }
        if sent.repeats > 0 {
            text += &format!(" and {} repeats", HumanCount(sent.repeats));
        }
        let unsent = self.days.saturating_sub(self.present + sent.days);
        let account = &self.account;
        let reasons: Vec<String> = [
            (account.missing, "missing".to_owned()),
            (account.flagged, "flagged (--keep-flagged sends them)".to_owned()),
            (account.repeated, "repeated with the same value".to_owned()),
            (account.contradictions, format!("with another value ({})", listed(account))),
            (account.other_stations, "of other stations".to_owned()),
            (self.present, format!("that are in {topic} already")),
            (unsent, "not sent".to_owned()),
        ]
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, reason)| format!("{} {reason}", HumanCount(count)))
        .collect();
        if !reasons.is_empty() {
            text += &format!("; left out {}", reasons.join(", "));
        }
        text
    }
}

/// The first contradictions, and how many more there are.
fn listed(account: &Account) -> String {
    let mut texts: Vec<String> = account.listed.iter().map(shown).collect();
    let more = account.contradictions.saturating_sub(texts.len() as u64);
    if more > 0 {
        texts.push(format!("and {} more", HumanCount(more)));
    }
    texts.join("; ")
}

fn shown(contradiction: &Contradiction) -> String {
    let Contradiction { name, line, first, then } = contradiction;
    let file = name.as_ref().map_or(String::new(), |name| format!("{name}, "));
    format!("{file}line {line}: {}, then {}", degrees(*first), degrees(*then))
}

/// Degrees with one decimal or, if they have more, two.
fn degrees(value: f64) -> String {
    let is_short = ((value * 10.0).round() / 10.0 - value).abs() < 1e-9;
    if is_short { format!("{value:.1}") } else { format!("{value:.2}") }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    #[test]
    fn every_row_is_accounted_for() {
        let sent = Acknowledged {
            days: 10_260,
            repeats: 0,
            oldest: Some(date(1997, 1, 1)),
            newest: Some(date(2025, 2, 28)),
        };
        let rows = |account, days, present| Rows { account, days, present };
        let text = rows(Account::default(), 10_260, 0).text(sent, "t");
        assert_eq!(text, "10,260 days (1997-01-01 to 2025-02-28)");
        let contradiction = |line| Contradiction { name: None, line, first: 4.0, then: 41.0 / 9.0 };
        let account = Account {
            missing: 9,
            flagged: 1000,
            repeated: 3,
            contradictions: 7,
            listed: (812..817).map(contradiction).collect(),
            other_stations: 5,
        };
        assert_eq!(
            rows(account, 10_270, 4).text(sent, "t"),
            "10,260 days (1997-01-01 to 2025-02-28); left out 9 missing, 1,000 flagged (--keep-flagged sends them), \
             3 repeated with the same value, 7 with another value (line 812: 4.0, then 4.56; line 813: 4.0, then 4.56; \
             line 814: 4.0, then 4.56; line 815: 4.0, then 4.56; line 816: 4.0, then 4.56; and 2 more), \
             5 of other stations, 4 that are in t already, 6 not sent"
        );
        let named = Contradiction { name: Some("b.csv".to_owned()), ..contradiction(2) };
        let account = Account { contradictions: 1, listed: vec![named], ..Account::default() };
        let text = rows(account, 0, 0).text(Acknowledged::default(), "t");
        assert_eq!(text, "0 days; left out 1 with another value (b.csv, line 2: 4.0, then 4.56)");
    }
}
