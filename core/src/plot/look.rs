//! The content and the style of a picture.

use crate::choice::Choice;
use crate::place::Place;
use crate::report::MONTHS;

/// The kind of picture.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    Months,
    Year,
    Anomalies,
    Heatmap,
    Stripes,
    History,
    Records,
}

impl Kind {
    /// The name of the picture, everywhere.
    pub fn title(self) -> &'static str {
        match self {
            Kind::Months => "Each month in its latest recorded year",
            Kind::Year => "This year against normal",
            Kind::Anomalies => "Every month against its normal",
            Kind::Heatmap => "Every month of every year",
            Kind::Stripes => "Warming stripes",
            Kind::History => "One month through the years",
            Kind::Records => "Records",
        }
    }
}

impl Choice for Kind {
    const ALL: &'static [(Self, &'static str, &'static str)] = &[
        (Self::Months, "months", "A bar for each month, in its latest recorded year"),
        (Self::Year, "year", "Each month's latest year next to its normal and its range"),
        (Self::Anomalies, "anomalies", "Every month's difference from its normal, as a colour"),
        (Self::Heatmap, "heatmap", "Every month of every year, as a colour"),
        (
            Self::Stripes,
            "stripes",
            "A stripe for each year, coloured by its difference from the mean over the record",
        ),
        (Self::History, "history", "One month through the years, with its warmest and coldest day"),
        (Self::Records, "records", "The warmest and the coldest day and month"),
    ];
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Unit {
    Celsius,
    Fahrenheit,
}

impl Choice for Unit {
    const ALL: &'static [(Self, &'static str, &'static str)] =
        &[(Self::Celsius, "c", "Degrees Celsius"), (Self::Fahrenheit, "f", "Degrees Fahrenheit")];
}

impl Unit {
    pub fn degrees(self, celsius: f64) -> f64 {
        match self {
            Unit::Celsius => celsius,
            Unit::Fahrenheit => celsius * 1.8 + 32.0,
        }
    }

    /// A difference between two temperatures.
    pub fn difference(self, celsius: f64) -> f64 {
        match self {
            Unit::Celsius => celsius,
            Unit::Fahrenheit => celsius * 1.8,
        }
    }

    /// The sum of so many temperatures.
    pub fn sum(self, celsius: f64, count: u32) -> f64 {
        match self {
            Unit::Celsius => celsius,
            Unit::Fahrenheit => celsius * 1.8 + 32.0 * f64::from(count),
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Unit::Celsius => "celsius",
            Unit::Fahrenheit => "fahrenheit",
        }
    }

    pub fn symbol(self) -> &'static str {
        match self {
            Unit::Celsius => "°C",
            Unit::Fahrenheit => "°F",
        }
    }
}

/// The content and the style of a picture.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Look {
    pub kind: Kind,
    /// Only these months; a history shows the first of them. 0 is January.
    pub months: Vec<usize>,
    pub unit: Unit,
    /// In CSS pixels, kept between [`WIDTH_MIN`] and [`WIDTH_MAX`]; without it the picture has the width that
    /// suits it.
    pub width: Option<u32>,
    pub caption: Caption,
}

/// What a picture says of its data; nothing where a page says it once for all pictures.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Caption {
    /// The name of the place.
    pub place: Option<String>,
    /// How the source asks to be named, with its terms.
    pub credit: Option<String>,
}

impl Caption {
    pub fn of(place: Option<&Place>) -> Caption {
        Caption {
            place: place.and_then(Place::label).map(str::to_owned),
            credit: place.and_then(Place::credit),
        }
    }
}

pub const WIDTH_MIN: u32 = 280;
pub const WIDTH_MAX: u32 = 4000;

impl Look {
    /// All months, in degrees Celsius.
    pub fn of(kind: Kind) -> Look {
        Look {
            kind,
            months: (0..MONTHS.len()).collect(),
            unit: Unit::Celsius,
            width: None,
            caption: Caption::default(),
        }
    }

    /// The months to draw, in the order of the calendar.
    pub fn months(&self) -> Vec<usize> {
        (0..MONTHS.len()).filter(|month| self.is_of(*month)).collect()
    }

    pub fn is_of(&self, month: usize) -> bool {
        match self.kind {
            Kind::History => self.months.first() == Some(&month),
            _ => self.months.contains(&month),
        }
    }

    pub fn width(&self) -> Option<f64> {
        self.width.map(|width| f64::from(width.clamp(WIDTH_MIN, WIDTH_MAX)))
    }
}
