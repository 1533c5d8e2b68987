//! The head of the page: the place, the stripes, and what the newest month says in words.

use almanac_core::climate::Climate;
use almanac_core::place::Place;
use serde::Serialize;

use super::watch::Snapshot;
use crate::plot::{self, Unit};

const INDEX: &str = include_str!("page/index.html");

/// `/api/head`.
#[derive(Serialize)]
pub struct Head<'a> {
    version: &'a str,
    /// The name of the place or its station or, failing both, the topic.
    title: String,
    /// As in `December 2023`: the newest complete month.
    month: Option<String>,
    /// As in `43.14° N, 89.35° W`.
    coordinates: Option<String>,
    /// As in `daily maximum, 1869–2023 · 56,602 days, to 31 December 2023`.
    span: Option<String>,
    /// About the newest complete month, and about the month in progress.
    sentence: Option<String>,
    progress: Option<String>,
    /// The years of the normal.
    normal: Option<String>,
    /// Whether a month has enough years for a normal.
    has_normals: bool,
    /// The stripes alone as SVG, if there are ten whole years.
    banner: Option<String>,
    /// How the source of the data asks to be named, with its terms.
    attribution: Option<String>,
}

pub fn head(snapshot: &Snapshot, unit: Unit) -> Head<'_> {
    let climate = Climate::of(&snapshot.cells);
    let lead = climate.lead(unit);
    let place = snapshot.whole.place.as_ref();
    let topic = snapshot.partitions.values().find_map(|file| Some(&file.facts.status.as_ref()?.topic));
    let label = place.and_then(Place::label).or(topic.map(String::as_str));
    let lead = |read: fn(&almanac_core::climate::lead::Lead) -> Option<&String>| {
        lead.as_ref().and_then(read).cloned()
    };
    Head {
        version: &snapshot.version,
        title: label.unwrap_or("almanac").to_owned(),
        month: lead(|lead| Some(&lead.month)),
        coordinates: place.and_then(coordinates),
        span: lead(|lead| Some(&lead.span)),
        sentence: lead(|lead| lead.sentence.as_ref()),
        progress: lead(|lead| lead.progress.as_ref()),
        normal: lead(|lead| lead.normal.as_ref()),
        has_normals: (0..12).any(|month| climate.normal(month).is_some()),
        banner: plot::banner(&snapshot.cells),
        attribution: place.and_then(Place::credit),
    }
}

fn coordinates(place: &Place) -> Option<String> {
    let side = |degrees: f64, positive, negative| {
        format!("{:.2}° {}", degrees.abs(), if degrees < 0.0 { negative } else { positive })
    };
    let (latitude, longitude) = (place.latitude?, place.longitude?);
    Some(format!("{}, {}", side(latitude, "N", "S"), side(longitude, "E", "W")))
}

/// The page with its head filled in. `base` is the URL that the client used, without a slash at its end: a shared link
/// needs a whole one for its picture.
pub fn page(head: &Head, unit: Unit, base: &str) -> String {
    let picture = if head.banner.is_some() { "stripes" } else { "year" };
    let text = |text: &Option<String>| escaped(text.as_deref().unwrap_or_default());
    let name = match &head.month {
        Some(month) => format!("{} · {month}", head.title),
        None => head.title.clone(),
    };
    let said = head.sentence.as_ref().or(head.progress.as_ref());
    let unit = if unit == Unit::Celsius { "c" } else { "f" };
    let image = match head.span {
        Some(_) => format!("{base}/plot/{picture}.png?width=600&unit={unit}"),
        None => String::new(),
    };
    let fields = [
        ("{{name}}", escaped(&name)),
        ("{{title}}", escaped(&head.title)),
        ("{{about}}", escaped(said.map_or("Monthly temperatures from daily weather reports", |said| said))),
        ("{{image}}", escaped(&image)),
        ("{{version}}", escaped(head.version)),
        ("{{unit}}", unit.to_owned()),
        ("{{has_normals}}", head.has_normals.to_string()),
        ("{{coordinates}}", text(&head.coordinates)),
        ("{{span}}", text(&head.span)),
        ("{{sentence}}", text(&head.sentence)),
        ("{{progress}}", text(&head.progress)),
        ("{{normal}}", text(&head.normal)),
        ("{{attribution}}", text(&head.attribution)),
        ("{{banner}}", head.banner.clone().unwrap_or_default()),
    ];
    // In one pass, so that a name with braces in it is not read as a field.
    let mut page = String::with_capacity(INDEX.len() + 16_384);
    let mut rest = INDEX;
    while let Some(at) = rest.find("{{") {
        page.push_str(&rest[..at]);
        rest = &rest[at..];
        match fields.iter().find(|(field, _)| rest.starts_with(field)) {
            Some((field, value)) => {
                page.push_str(value);
                rest = &rest[field.len()..];
            }
            None => {
                page.push_str("{{");
                rest = &rest[2..];
            }
        }
    }
    page + rest
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_escaped_and_no_field_is_left() {
        let snapshot = Snapshot::default();
        let mut head = head(&snapshot, Unit::Celsius);
        head.title = "<b>{{span}} & \"x\"".to_owned();
        let page = page(&head, Unit::Celsius, "http://localhost");
        assert!(page.contains("<title>&lt;b&gt;{{span}} &amp; &quot;x&quot;</title>"), "{page}");
        let others = page.replace("{{span}}", "");
        assert!(!others.contains("{{"), "{others}");
    }

    #[test]
    fn coordinates_have_their_sides() {
        let place = Place { latitude: Some(43.14), longitude: Some(-89.35), ..Place::of("USW00014837") };
        assert_eq!(coordinates(&place).as_deref(), Some("43.14° N, 89.35° W"));
        assert_eq!(coordinates(&Place::of("a")), None);
    }
}
