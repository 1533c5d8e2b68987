//! The place that reports are of, and what is known of it. No IO.

use serde::{Deserialize, Serialize};

/// The longest station ID, in bytes of UTF-8. A report with a longer one is not valid, so no file grows by it.
pub const STATION_BYTES_MAX: usize = 256;

/// The longest header that is read, and the longest text in it, in bytes and in characters.
const HEADER_BYTES_MAX: usize = 4096;
const TEXT_CHARS_MAX: usize = 500;

/// The place of all reports of a log that are counted. Only `station` decides what is counted; the rest is for people.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Place {
    /// `station_id` of its reports; empty for reports that carry none, which are also of one place.
    pub station: String,
    /// For example `Madison, Wisconsin`.
    pub name: Option<String>,
    /// Degrees north.
    pub latitude: Option<f64>,
    /// Degrees east.
    pub longitude: Option<f64>,
    /// Metres above sea level.
    pub elevation: Option<f64>,
    /// The source that measured or computed the data, for example `NOAA GHCN-Daily`.
    pub source: Option<String>,
    /// How the source asks to be named.
    pub attribution: Option<String>,
    /// The terms of the data, for example `CC BY 4.0`.
    pub licence: Option<String>,
}

impl Place {
    /// The key of the record header that carries a place, as JSON: see [`Place::to_header`].
    pub const HEADER: &'static str = "almanac-place";

    /// A place of which only the station is known.
    pub fn of(station: impl Into<String>) -> Place {
        Place { station: station.into(), ..Place::default() }
    }

    /// Its name or, failing that, its station.
    pub fn label(&self) -> Option<&str> {
        self.name.as_deref().or(Some(&self.station)).filter(|label| !label.is_empty())
    }

    /// How the source of the data is named, with its terms: as in `Weather data by Open-Meteo.com (CC BY 4.0)`.
    pub fn credit(&self) -> Option<String> {
        let source = self.attribution.as_ref().or(self.source.as_ref())?;
        Some(match &self.licence {
            Some(licence) => format!("{source} ({licence})"),
            None => source.clone(),
        })
    }

    /// The value of the header: an object with the fields that are known.
    pub fn to_header(&self) -> Vec<u8> {
        let mut json = serde_json::to_value(self).unwrap_or_default();
        if let Some(fields) = json.as_object_mut() {
            fields.retain(|_, value| !value.is_null());
        }
        json.to_string().into_bytes()
    }

    /// Reads a header's value. A header that is too long or not such an object is nothing. Any writer of the
    /// topic can set it, so texts are shortened and lose control characters, and impossible numbers are left out.
    pub fn from_header(bytes: &[u8]) -> Option<Place> {
        // serde reads an array of the fields as well.
        if bytes.len() > HEADER_BYTES_MAX || !bytes.starts_with(b"{") {
            return None;
        }
        let place: Place = serde_json::from_slice(bytes).ok()?;
        Some(place.cleaned()).filter(|place| place.station.len() <= STATION_BYTES_MAX)
    }

    /// The same without what a page, a terminal or a file should not be given.
    pub fn cleaned(self) -> Place {
        let text = |text: Option<String>| {
            let text: String = text?.chars().filter(|char| !char.is_control()).take(TEXT_CHARS_MAX).collect();
            Some(text.trim().to_owned()).filter(|text| !text.is_empty())
        };
        let within = |number: Option<f64>, max: f64| number.filter(|number| number.abs() <= max);
        Place {
            name: text(self.name),
            latitude: within(self.latitude, 90.0),
            // Some sources count to 360° east.
            longitude: within(self.longitude, 360.0),
            elevation: within(self.elevation, 10_000.0),
            source: text(self.source),
            attribution: text(self.attribution),
            licence: text(self.licence),
            station: self.station,
        }
    }

    /// Takes over what `newer` knows, except the station. Says whether anything is new.
    pub fn complete(&mut self, newer: &Place) -> bool {
        fn take<T: Clone + PartialEq>(field: &mut Option<T>, newer: &Option<T>) -> bool {
            let is_new = newer.is_some() && field != newer;
            if is_new {
                field.clone_from(newer);
            }
            is_new
        }
        take(&mut self.name, &newer.name)
            | take(&mut self.latitude, &newer.latitude)
            | take(&mut self.longitude, &newer.longitude)
            | take(&mut self.elevation, &newer.elevation)
            | take(&mut self.source, &newer.source)
            | take(&mut self.attribution, &newer.attribution)
            | take(&mut self.licence, &newer.licence)
    }
}

/// A station as messages name it.
pub fn shown_station(station: &str) -> String {
    match station {
        "" => "no station".to_owned(),
        station => format!("station {station:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn madison() -> Place {
        Place {
            name: Some("Madison, Wisconsin".to_owned()),
            latitude: Some(43.1406),
            longitude: Some(-89.3453),
            ..Place::of("USW00014837")
        }
    }

    #[test]
    fn a_header_comes_back_as_it_went() {
        let header = String::from_utf8(madison().to_header()).unwrap();
        assert_eq!(
            header,
            r#"{"latitude":43.1406,"longitude":-89.3453,"name":"Madison, Wisconsin","station":"USW00014837"}"#
        );
        assert_eq!(Place::from_header(header.as_bytes()), Some(madison()));
        assert_eq!(Place::from_header(&Place::default().to_header()), Some(Place::default()));
    }

    #[test]
    fn a_hostile_header_is_harmless() {
        let long = format!(r#"{{"name":"{}"}}"#, "x".repeat(HEADER_BYTES_MAX));
        let station = format!(r#"{{"station":"{}"}}"#, "x".repeat(STATION_BYTES_MAX + 1));
        for header in ["", "{", "[]", "7", "\"x\"", r#"{"name":7}"#, "\u{0}", &long, &station] {
            assert_eq!(Place::from_header(header.as_bytes()), None, "{header}");
        }
        let text = "é\\u001b[2J\\n".repeat(300);
        let place = Place::from_header(
            format!(r#"{{"name":"{text}","licence":" ","latitude":91,"longitude":-1e300,"other":[1]}}"#)
                .as_bytes(),
        );
        let place = place.unwrap();
        let name = place.name.unwrap();
        assert_eq!((name.chars().count(), name.chars().any(char::is_control)), (TEXT_CHARS_MAX, false));
        assert_eq!((place.licence, place.latitude, place.longitude), (None, None, None));
    }

    #[test]
    fn a_place_is_completed_and_keeps_its_station() {
        let mut place = Place::of("USW00014837");
        assert!(place.complete(&madison()));
        assert!(!place.complete(&madison()) && !place.complete(&Place::of("other")));
        assert_eq!(place, madison());
        assert!(place.complete(&Place { name: Some("Madison".to_owned()), ..Place::default() }));
        assert_eq!((place.name.as_deref(), place.latitude), (Some("Madison"), Some(43.1406)));
    }
}
