//! Text from brokers, files and users, made safe for a terminal.

use std::borrow::Cow;

use serde::Serialize;

/// Whether a terminal could take this character for an order, or show the text around it in another order.
fn is_active(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}'
        )
}

/// The text with such characters written as `\u{1b}`; line ends as well.
pub fn escaped(text: &str) -> Cow<'_, str> {
    escape(text, |_| false)
}

/// The same of a text of several lines.
pub fn escaped_lines(text: &str) -> Cow<'_, str> {
    escape(text, |character| character == '\n')
}

fn escape(text: &str, is_kept: impl Fn(char) -> bool) -> Cow<'_, str> {
    let is_escaped = |character| is_active(character) && !is_kept(character);
    if !text.contains(is_escaped) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        match is_escaped(character) {
            true => escaped.extend(character.escape_unicode()),
            false => escaped.push(character),
        }
    }
    Cow::Owned(escaped)
}

/// A word as a shell reads it.
pub fn quoted(word: &str) -> Cow<'_, str> {
    let is_plain = |character: char| character.is_ascii_alphanumeric() || "-_./:,@%+=".contains(character);
    match !word.is_empty() && word.chars().all(is_plain) {
        true => Cow::Borrowed(word),
        false => Cow::Owned(format!("'{}'", word.replace('\'', r"'\''"))),
    }
}

/// JSON with such characters escaped as JSON has it. They can only stand in its strings, where serde leaves those above
/// ASCII as they are.
pub fn escaped_json(json: &str) -> Cow<'_, str> {
    let is_escaped = |character| character != '\n' && is_active(character);
    if !json.contains(is_escaped) {
        return Cow::Borrowed(json);
    }
    let mut escaped = String::with_capacity(json.len() + 8);
    for character in json.chars() {
        if is_escaped(character) {
            escaped += &format!("\\u{:04x}", u32::from(character));
        } else {
            escaped.push(character);
        }
    }
    Cow::Owned(escaped)
}

/// A value as JSON, on a line of its own.
pub fn json_line(value: &impl Serialize) -> Vec<u8> {
    let mut line = to_json(value).into_bytes();
    line.push(b'\n');
    line
}

/// A value of almanac as JSON. Only maps whose keys are no names would have none.
pub fn to_json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("each value of almanac has names as keys, so it has a JSON")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_order_reaches_the_terminal() {
        assert_eq!(escaped("wetter-1.lan, 21 °C"), "wetter-1.lan, 21 °C");
        assert_eq!(
            escaped("a\x1b[31mb\r\x07c\u{9b}2Jd\x7f\n"),
            r"a\u{1b}[31mb\u{d}\u{7}c\u{9b}2Jd\u{7f}\u{a}"
        );
        assert_eq!(escaped("a\u{202e}b"), r"a\u{202e}b");
        assert_eq!(escaped_lines("a\tb\nhint: c\x1b"), "a\\u{9}b\nhint: c\\u{1b}");
        let json = serde_json::to_string("a\x1b\u{9b}\u{7f}\u{2028}°").unwrap();
        let escaped = escaped_json(&json);
        assert_eq!(escaped, r#""a\u001b\u009b\u007f\u2028°""#);
        assert_eq!(serde_json::from_str::<String>(&escaped).unwrap(), "a\x1b\u{9b}\u{7f}\u{2028}°");
    }
}
