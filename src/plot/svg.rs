//! A tree of SVG elements that prints itself: well-formed whatever text it is given, and the same bytes for
//! the same tree.

use std::fmt::{self, Write};

/// One element: its attributes, and inside it text, then children.
#[derive(Clone, Debug)]
pub struct Element {
    name: &'static str,
    attributes: Vec<(&'static str, String)>,
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
        Element { name, attributes: Vec::new(), text: text.into(), children: Vec::new() }
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

    fn write(&self, f: &mut fmt::Formatter<'_>, depth: usize) -> fmt::Result {
        let Element { name, attributes, text, children } = self;
        write!(f, "{:indent$}<{name}", "", indent = 2 * depth)?;
        for (attribute, value) in attributes {
            write!(f, " {attribute}=\"{}\"", Escaped(value))?;
        }
        if text.is_empty() && children.is_empty() {
            return writeln!(f, "/>");
        }
        write!(f, ">{}", Escaped(text))?;
        if !children.is_empty() {
            writeln!(f)?;
            for child in children {
                child.write(f, depth + 1)?;
            }
            write!(f, "{:indent$}", "", indent = 2 * depth)?;
        }
        writeln!(f, "</{name}>")
    }
}

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, 0)
    }
}

/// An attribute's value; numbers are rounded as coordinates.
pub struct Value(String);

impl From<f64> for Value {
    fn from(number: f64) -> Value {
        Value(coordinate(number))
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Value {
        Value(text)
    }
}

/// A length in user units with at most two decimals: a hundredth of a pixel can't be seen, and what differs
/// beyond it between machines must not make different bytes.
pub fn coordinate(length: f64) -> String {
    // Adding zero turns -0 into 0.
    ((length * 100.0).round() / 100.0 + 0.0).to_string()
}

/// Text for an element or a quoted attribute. What XML can't hold at all becomes U+FFFD.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|character| match character {
            '&' => f.write_str("&amp;"),
            '<' => f.write_str("&lt;"),
            '>' => f.write_str("&gt;"),
            '"' => f.write_str("&quot;"),
            '\t' | '\n' | '\r' => write!(f, "&#{};", u32::from(character)),
            '\0'..' ' | '\u{fffe}' | '\u{ffff}' => f.write_char(char::REPLACEMENT_CHARACTER),
            _ => f.write_char(character),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn coordinates_have_two_decimals_at_most() {
        for (length, expected) in
            [(0.0, "0"), (-0.001, "0"), (1.005, "1"), (12.345678, "12.35"), (-7.5, "-7.5")]
        {
            assert_eq!(coordinate(length), expected);
        }
    }

    proptest! {
        #[test]
        fn any_text_survives_the_round_trip(text in any::<String>()) {
            let svg = document(1.0, 1.0, &text, "").set("class", text.as_str()).to_string();
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
