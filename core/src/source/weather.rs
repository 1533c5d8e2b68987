//! The content of a file of weather: its days, and what it says of their place.

use super::error::SourceError;
use super::options::InputFormat;
use crate::place::{Place, shown_station};
use crate::report::Report;

/// The days of one place, in the order of the file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Weather {
    pub days: Vec<Report>,
    pub place: Place,
}

impl Weather {
    /// The days of several files, each with its name, one after the other. They must be of one place, which `station_id`
    /// says if it is given: files of any place are of that station then.
    pub fn of_files(files: Vec<(String, Weather)>, station_id: Option<&str>) -> Result<Weather, SourceError> {
        let mut all = Weather::default();
        let mut first: Option<String> = None;
        let mut stations: Vec<String> = Vec::new();
        for (name, Weather { mut days, place }) in files {
            let shown = format!("{} in {name}", shown_station(&place.station));
            if first.as_ref().is_none_or(|first| *first == place.station) || station_id.is_some() {
                first.get_or_insert_with(|| place.station.clone());
            } else {
                stations.push(shown);
                continue;
            }
            if stations.is_empty() {
                stations.push(shown);
            }
            all.days.append(&mut days);
            all.place.complete(&place);
        }
        if stations.len() > 1 {
            return Err(SourceError::SeveralPlaces { places: stations });
        }
        all.place.station = station_id.map(str::to_owned).or(first).unwrap_or_default();
        Ok(all)
    }
}

/// What is known of the data of a format's provider.
pub(super) fn provider(format: InputFormat) -> Place {
    let of = |source: &str, attribution: &str, licence: &str| Place {
        source: Some(source.to_owned()),
        attribution: Some(attribution.to_owned()),
        licence: Some(licence.to_owned()),
        ..Place::default()
    };
    match format {
        // <https://www.ncei.noaa.gov/products/land-based-station/global-historical-climatology-network-daily>
        InputFormat::GhcnCsv | InputFormat::GhcnAccess | InputFormat::GhcnDly => {
            of("NOAA GHCN-Daily", "GHCN-Daily, NOAA NCEI, https://doi.org/10.7289/V5D21VHZ", "public domain")
        }
        // <https://open-meteo.com/en/licence>
        InputFormat::OpenMeteoCsv | InputFormat::OpenMeteoJson => {
            of("Open-Meteo", "Weather data by Open-Meteo.com, https://open-meteo.com", "CC BY 4.0")
        }
        InputFormat::Csv => Place::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::told;

    fn file(name: &str, station: &str) -> (String, Weather) {
        let place = Place { name: Some(format!("of {name}")), ..Place::of(station) };
        (name.to_owned(), Weather { days: Vec::new(), place })
    }

    #[test]
    fn files_of_several_places_are_refused_and_listed() {
        let files =
            || vec![file("a.csv", ""), file("b.dly", "B"), file("c.csv", ""), file("d.csv", "43.1,-89.4")];
        assert_eq!(
            told(&Weather::of_files(files(), None).unwrap_err()),
            "the files hold several places: no station in a.csv, station \"B\" in b.dly, station \"43.1,-89.4\" in d.csv\n\
             hint: send each place to a topic of its own, or add `--station-id ID` if all are of one place"
        );
        let all = Weather::of_files(files(), Some("X")).unwrap();
        assert_eq!((&*all.place.station, all.place.name.as_deref()), ("X", Some("of d.csv")));
        let same = Weather::of_files(vec![file("b.dly", "B"), file("b.csv", "B")], None).unwrap();
        assert_eq!(same.place.station, "B");
        let none = Weather::of_files(vec![file("b.dly", "B")], Some("")).unwrap();
        assert_eq!(none.place.station, "");
    }
}
