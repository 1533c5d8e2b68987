//! A tree of SVG elements that prints itself: well-formed whatever text it is given, and the same bytes for
//! the same tree.

use std::borrow::Cow;
use std::fmt;

/// One element: its attributes, and inside it text, then children.
#[derive(Clone, Debug)]
pub struct Element {
    name: &'static str,
    attributes: Vec<(&'static str, Cow<'static, str>)>,
    text: String,
    children: Vec<Element>,
}

/// The root of a picture on white paper. A screen reader says `title` and `description` in its place.
///
/// There is no XML declaration and no `id`, so that the text is a file as well as a part of a web page.
pub fn document(width: f64, height: f64, title: &str, description: &str) -> Element {
    Element::new("svg")
        .set("xmlns", "http://www.w3.org/2000/svg")
        .set("width", width)
        .set("height", height)
        .set("viewBox", format!("0 0 {} {}", coordinate(width), coordinate(height)))
        .set("role", "img")
        .child(Element::text("title", title))
        .child(Element::text("desc", description))
        .child(
            Element::new("rect")
                .set("class", "paper")
                .set("width", width)
                .set("height", height)
                .set("fill", "#ffffff"),
        )
}

pub fn line(x1: f64, y1: f64, x2: f64, y2: f64) -> Element {
    Element::new("line").set("x1", x1).set("y1", y1).set("x2", x2).set("y2", y2)
}

impl Element {
    pub fn new(name: &'static str) -> Element {
        Element::text(name, "")
    }

    pub fn text(name: &'static str, text: impl Into<String>) -> Element {
        Element { name, attributes: Vec::with_capacity(8), text: text.into(), children: Vec::new() }
    }

    pub fn set(mut self, name: &'static str, value: impl Into<Value>) -> Element {
        self.attributes.push((name, value.into().0));
        self
    }

    pub fn child(self, child: Element) -> Element {
        self.children([child])
    }

    pub fn children(mut self, children: impl IntoIterator<Item = Element>) -> Element {
        self.children.extend(children);
        self
    }

    /// Visits the element and all that it contains, in the order of the text.
    pub fn visit(&mut self, visitor: &mut impl FnMut(&mut Element)) {
        visitor(self);
        self.children.iter_mut().for_each(|child| child.visit(visitor));
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(attribute, _)| *attribute == name).map(|(_, value)| &**value)
    }

    /// Removes an attribute, and returns its value.
    pub fn take(&mut self, name: &str) -> Option<String> {
        let at = self.attributes.iter().position(|(attribute, _)| *attribute == name)?;
        Some(self.attributes.remove(at).1.into_owned())
    }

    fn write(&self, out: &mut String, depth: usize) {
        let Element { name, attributes, text, children } = self;
        indent(out, depth);
        out.extend(["<", name]);
        for (attribute, value) in attributes {
            out.extend([" ", attribute, "=\""]);
            escape(out, value);
            out.push('"');
        }
        if text.is_empty() && children.is_empty() {
            out.push_str("/>\n");
            return;
        }
        out.push('>');
        escape(out, text);
        if !children.is_empty() {
            out.push('\n');
            for child in children {
                child.write(out, depth + 1);
            }
            indent(out, depth);
        }
        out.extend(["</", name, ">\n"]);
    }
}

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = String::new();
        self.write(&mut out, 0);
        f.write_str(&out)
    }
}

fn indent(out: &mut String, depth: usize) {
    out.extend(std::iter::repeat_n("  ", depth));
}

/// An attribute's value; numbers are rounded as coordinates.
pub struct Value(Cow<'static, str>);

impl From<f64> for Value {
    fn from(number: f64) -> Value {
        Value(coordinate(number).into())
    }
}

impl From<&'static str> for Value {
    fn from(text: &'static str) -> Value {
        Value(text.into())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Value {
        Value(text.into())
    }
}

/// A length in user units with at most two decimals: a hundredth of a pixel can't be seen, and what differs
/// beyond it between machines must not make different bytes.
pub fn coordinate(length: f64) -> String {
    // As integers, since a picture has thousands of them, and an f64 takes longer to print than all the rest.
    let hundredths = (length * 100.0).round() as i64;
    let sign = if hundredths < 0 { "-" } else { "" };
    let (whole, part) = (hundredths.unsigned_abs() / 100, hundredths.unsigned_abs() % 100);
    match part {
        0 => format!("{sign}{whole}"),
        _ if part % 10 == 0 => format!("{sign}{whole}.{}", part / 10),
        _ => format!("{sign}{whole}.{part:02}"),
    }
}

/// The edge between two cells: a multiple that two decimals and any float hold exactly. So neighbours share their edge,
/// and no seam shows between them.
pub fn edge(length: f64) -> f64 {
    (length * 4.0).round() / 4.0
}

/// Text for an element or a quoted attribute. Characters that XML can't hold become U+FFFD.
fn escape(out: &mut String, text: &str) {
    let is_plain = |byte: u8| !matches!(byte, b'&' | b'<' | b'>' | b'"' | 0..b' ' | 0xef);
    // U+FFFE and U+FFFF begin with 0xef, as do others that only take the longer way.
    if text.bytes().all(is_plain) {
        out.push_str(text);
        return;
    }
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\t' | '\n' | '\r' => out.extend(["&#", &u32::from(character).to_string(), ";"]),
            '\0'..' ' | '\u{fffe}' | '\u{ffff}' => out.push(char::REPLACEMENT_CHARACTER),
            _ => out.push(character),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn coordinates_have_two_decimals_at_most() {
        for (length, expected) in [
            (0.0, "0"),
            (-0.001, "0"),
            (1.005, "1"),
            (12.345678, "12.35"),
            (-7.5, "-7.5"),
            (0.05, "0.05"),
            (-0.1, "-0.1"),
        ] {
            assert_eq!(coordinate(length), expected);
        }
    }

    proptest! {
        #[test]
        fn any_text_survives_the_round_trip(text in any::<String>()) {
            let svg = document(1.0, 1.0, &text, "").set("class", text.clone()).to_string();
            let parsed = roxmltree::Document::parse(&svg).unwrap();
            let root = parsed.root_element();
            let title = root.first_element_child().unwrap();
            let impossible = |c: char| (c < ' ' && !"\t\n\r".contains(c)) || "\u{fffe}\u{ffff}".contains(c);
            let expected = text.replace(impossible, "\u{fffd}");
            prop_assert_eq!(root.attribute("class").unwrap(), &expected);
            prop_assert_eq!(title.text().unwrap_or_default(), &expected);
        }
    }
}
