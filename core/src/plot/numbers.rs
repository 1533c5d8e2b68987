//! Numbers as a printed page shows them.

/// The minus sign of print, which screen readers say where they skip a hyphen.
const MINUS: &str = "\u{2212}";

/// `value` with `decimals` places, its thousands grouped by commas. A value that rounds to zero has no sign.
pub fn decimal(value: f64, decimals: usize) -> String {
    let digits = format!("{:.decimals$}", value.abs());
    let negative = value < 0.0 && digits.bytes().any(|byte| !matches!(byte, b'0' | b'.'));
    let sign = if negative { MINUS } else { "" };
    let (whole, fraction) = digits.split_at(digits.find('.').unwrap_or(digits.len()));
    if whole.len() <= 3 {
        return format!("{sign}{digits}");
    }
    format!("{sign}{}{fraction}", grouped(whole))
}

/// `value` with one decimal place, narrow whatever its size: from a hundred thousand on as `1.0×10⁹`.
pub fn short(value: f64) -> String {
    if !value.is_finite() || value.abs() < 99_999.95 {
        return decimal(value, 1);
    }
    let scientific = format!("{value:.1e}").replace('-', MINUS);
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    format!("{mantissa}×10{}", superscript(exponent))
}

/// `value` as [`short`], with its sign; zero has none.
pub fn signed(value: f64) -> String {
    let short = short(value);
    if value > 0.0 && short != "0.0" { format!("+{short}") } else { short }
}

fn grouped(digits: &str) -> String {
    let mut out = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

fn superscript(digits: &str) -> String {
    const SUPERSCRIPTS: [char; 10] = ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'];
    digits.chars().filter_map(|digit| digit.to_digit(10)).map(|digit| SUPERSCRIPTS[digit as usize]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_grouped_and_signed() {
        let table = [
            (0.0, 1, "0.0"),
            (-0.0, 1, "0.0"),
            (-0.04, 1, "0.0"),
            (-0.06, 1, "−0.1"),
            (999.95, 1, "1,000.0"),
            (-100_000.0, 0, "−100,000"),
            (1_234_567.891, 2, "1,234,567.89"),
            (f64::NAN, 1, "NaN"),
            (f64::NEG_INFINITY, 1, "−inf"),
        ];
        for (value, decimals, expected) in table {
            assert_eq!(decimal(value, decimals), expected);
        }
    }

    #[test]
    fn short_numbers_stay_narrow() {
        let table = [
            (28.05, "28.1"),
            (-99_999.9, "−99,999.9"),
            (99_999.96, "1.0×10⁵"),
            (-1e9, "−1.0×10⁹"),
            (9.96e14, "1.0×10¹⁵"),
            (f64::MAX, "1.8×10³⁰⁸"),
        ];
        for (value, expected) in table {
            assert_eq!(short(value), expected);
        }
    }
}
