use std::fmt::Write;

use jiff::civil::date;
use proptest::prelude::*;

use super::*;

/// A message put together field by field, so that the wire format is held to more than prost.
#[derive(Clone, Default)]
struct Bytes(Vec<u8>);

impl Bytes {
    fn varint(mut self, mut number: u64) -> Self {
        while number >= 0x80 {
            self.0.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
        self
    }

    fn tag(self, field: u32, wire_type: u8) -> Self {
        self.varint(u64::from(field) << 3 | u64::from(wire_type))
    }

    fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    fn length_delimited(self, field: u32, bytes: &[u8]) -> Self {
        self.tag(field, 2).varint(bytes.len() as u64).raw(bytes)
    }

    fn date(self, text: &str) -> Self {
        self.length_delimited(1, text.as_bytes())
    }

    fn degrees(self, degrees: f64) -> Self {
        self.tag(2, 1).raw(&degrees.to_le_bytes())
    }

    fn station(self, id: &str) -> Self {
        self.length_delimited(3, id.as_bytes())
    }

    /// Behind a Schema Registry's frame with these bytes as its message indexes.
    fn framed(self, indexes: &[u8]) -> Self {
        bytes().raw(&[0, 0xff, 0, 0, 7]).raw(indexes).raw(&self.0)
    }

    fn decode(&self) -> Result<Report, RejectReason> {
        Decoder::default().decode(Some(&self.0))
    }
}

fn bytes() -> Bytes {
    Bytes::default()
}

fn christmas(degrees: f64) -> Result<Report, RejectReason> {
    Ok(Report { date: date(2000, 12, 25), degrees })
}

#[test]
fn valid_dates_are_days_of_the_calendar() {
    for (text, is_valid) in [
        ("2001-02-03", true),
        ("0001-01-01", true),
        ("9999-12-31", true),
        ("2000-02-29", true),
        ("1996-02-29", true),
        ("1900-02-29", false),
        ("1999-02-29", false),
        ("2000-02-30", false),
        ("2001-04-31", false),
        ("2001-00-10", false),
        ("2001-13-10", false),
        ("2001-01-00", false),
        ("2001-01-32", false),
        ("0000-01-01", false),
        ("10000-01-01", false),
        ("-001-01-01", false),
        ("+001-01-01", false),
        ("20010203", false),
        ("2001-2-3", false),
        ("2001-02-03T10:00", false),
        ("2001-02-03Z", false),
        ("2001/02/03", false),
        ("2001-W05-6", false),
        ("2001-034", false),
        ("٢٠٠١-٠٢-٠٣", false),
        ("2001−02−03", false),
        (" 2001-02-03", false),
        ("2001-02-03 ", false),
        ("2001-02-03\n", false),
        ("2001-02-03\0", false),
        ("2001- 2-03", false),
        ("2001-+2-03", false),
        ("", false),
    ] {
        let expected = if is_valid { Ok(1.0) } else { Err(RejectReason::InvalidDate) };
        let found = bytes().date(text).degrees(1.0).decode();
        assert_eq!(found.map(|report| report.degrees), expected, "{text:?}");
        assert!(found.is_err() || found.is_ok_and(|report| report.date.to_string() == text), "{text:?}");
    }
}

#[test]
fn each_byte_of_a_date_is_looked_at() {
    let good = *b"2001-02-03";
    for at in 0..good.len() {
        for byte in 0..=u8::MAX {
            let mut changed = good;
            changed[at] = byte;
            let is_in_form = if good[at] == b'-' { byte == b'-' } else { byte.is_ascii_digit() };
            let expected = std::str::from_utf8(&changed).ok().filter(|_| is_in_form);
            assert_eq!(parse_date(&changed), expected.and_then(|text| text.parse().ok()), "{changed:?}");
        }
    }
}

#[test]
fn all_months_and_days_of_two_digits_differ() {
    for year in [0, 1, 4, 100, 400, 1900, 2000, 2001, 9999] {
        for (month, day) in (0..=99).flat_map(|month| (0..=99).map(move |day| (month, day))) {
            let expected = jiff::civil::Date::new(year, month, day).ok().filter(|_| year > 0);
            assert_eq!(parse_date(format!("{year:04}-{month:02}-{day:02}").as_bytes()), expected);
        }
    }
}

#[test]
fn degrees_are_finite_and_bounded() {
    let past = DEGREES_MAX.next_up();
    for degrees in [0.0, -0.0, 5e-324, 31.5235, DEGREES_MAX, -DEGREES_MAX] {
        let report = bytes().date("2000-12-25").degrees(degrees).decode().unwrap();
        assert_eq!(report.degrees.to_bits(), degrees.to_bits());
    }
    for degrees in [past, -past, f64::MAX, f64::INFINITY, f64::NEG_INFINITY, f64::NAN, -f64::NAN] {
        let found = bytes().date("2000-12-25").degrees(degrees).decode();
        assert_eq!(found, Err(RejectReason::InvalidDegrees), "{degrees}");
    }
}

#[test]
fn absent_fields_have_their_defaults() {
    assert_eq!(bytes().date("2000-12-25").decode(), christmas(0.0));
    assert_eq!(bytes().degrees(1.0).decode(), Err(RejectReason::InvalidDate));
    assert_eq!(bytes().decode(), Err(RejectReason::InvalidDate), "an empty value is an empty message");
    assert_eq!(Decoder::default().decode(None), Err(RejectReason::NoValue));
}

#[test]
fn the_last_value_of_a_field_wins() {
    let twice = bytes().degrees(1.0).date("1999-01-01").date("2000-12-25").degrees(2.0);
    assert_eq!(twice.decode(), christmas(2.0));
    let mended = bytes().date("never").degrees(f64::NAN).degrees(2.0).date("2000-12-25");
    assert_eq!(mended.decode(), christmas(2.0));
    let spoilt = bytes().date("2000-12-25").degrees(2.0).date("never");
    assert_eq!(spoilt.decode(), Err(RejectReason::InvalidDate));
}

#[test]
fn unknown_fields_of_every_wire_type_are_skipped() {
    let unknown = [
        bytes().tag(9, 0).varint(u64::MAX),
        bytes().tag(4, 1).raw(&[0xff; 8]),
        bytes().length_delimited(5, &[0xff; 300]),
        bytes().tag(6, 3).tag(1, 0).varint(1).tag(7, 3).tag(7, 4).tag(6, 4),
        bytes().tag(8, 5).raw(&[0xff; 4]),
        bytes().tag(0x1fff_ffff, 0).varint(0),
    ];
    for Bytes(field) in unknown {
        let before = bytes().raw(&field).date("2000-12-25").degrees(2.0);
        let after = bytes().date("2000-12-25").degrees(2.0).raw(&field);
        assert_eq!(before.decode(), christmas(2.0), "{field:?}");
        assert_eq!(after.decode(), christmas(2.0), "{field:?}");
    }
}

#[test]
fn another_wire_type_on_a_known_field_is_malformed() {
    let content = |wire_type| match wire_type {
        0 => bytes().varint(1),
        1 => bytes().raw(&[0; 8]),
        2 => bytes().varint(10).raw(b"2000-12-25"),
        3 => bytes(),
        _ => bytes().raw(&[0; 4]),
    };
    for (field, its_own) in [(1, 2), (2, 1), (3, 2)] {
        for wire_type in [0, 1, 2, 3, 4, 5, 6, 7].into_iter().filter(|wire_type| *wire_type != its_own) {
            let mut other = bytes().date("2000-12-25").tag(field, wire_type).raw(&content(wire_type).0);
            if wire_type == 3 {
                other = other.tag(field, 4);
            }
            assert_eq!(other.decode(), Err(RejectReason::MalformedProtobuf), "{field} {wire_type}");
        }
    }
}

#[test]
fn other_bytes_are_malformed() {
    let whole = bytes().date("2000-12-25").degrees(2.0).0;
    // Cut between its two fields, what is left is a whole message.
    for length in (1..whole.len()).filter(|length| *length != 12) {
        let found = Decoder::default().decode(Some(&whole[..length]));
        assert_eq!(found, Err(RejectReason::MalformedProtobuf), "{length}");
    }
    for malformed in [
        bytes().tag(0, 0).varint(0),
        bytes().tag(9, 6),
        bytes().tag(9, 4),
        bytes().tag(9, 3),
        bytes().tag(9, 0).raw(&[0xff; 11]),
        bytes().tag(9, 2).varint(u64::MAX),
        bytes().length_delimited(1, b"\xff\xff"),
        bytes().date("2000-12-25").length_delimited(3, b"\xff\xff"),
        bytes().raw(b"{\"date\":\"2000-12-25\"}"),
        bytes().raw(b"2000-12-25 31.5"),
    ] {
        assert_eq!(malformed.decode(), Err(RejectReason::MalformedProtobuf), "{:?}", malformed.0);
    }
}

#[test]
fn a_schema_registrys_frame_is_read() {
    let report = || bytes().date("2000-12-25").degrees(2.0);
    let short = b"\0";
    for indexes in [
        &short[..],
        b"\x02\0",
        b"\x02\x02",
        b"\x04\x02\x06",
        b"\x02\xfe\xff\xff\xff\x0f",
        // Longer than need be, as varints may.
        b"\x80\0",
        b"\x82\0\x80\x80\x80\x80\0",
    ] {
        assert_eq!(report().framed(indexes).decode(), christmas(2.0), "{indexes:?}");
        let unusual = bytes().degrees(2.0).date("2000-12-25");
        assert_eq!(unusual.framed(indexes).decode(), christmas(2.0), "{indexes:?}");
        assert_eq!(bytes().framed(indexes).decode(), Err(RejectReason::InvalidDate), "an empty message");
        let cold = bytes().date("2000-12-25").degrees(f64::NAN).framed(indexes);
        assert_eq!(cold.decode(), Err(RejectReason::InvalidDegrees), "{indexes:?}");
        let Bytes(whole) = report().framed(indexes);
        let start = whole.len() - report().0.len();
        for length in (1..whole.len()).filter(|length| ![start, start + 12].contains(length)) {
            let found = Decoder::default().decode(Some(&whole[..length]));
            assert_eq!(found, Err(RejectReason::MalformedProtobuf), "{indexes:?}, {length}");
        }
    }
    assert_eq!(bytes().date("2000-12-25").framed(short).decode(), christmas(0.0));
    for indexes in [
        // Counts and indexes that are negative.
        &b"\x01"[..],
        b"\x01\0",
        b"\x02\x01",
        b"\xff\xff\xff\xff\x0f",
        // More indexes than there are bytes.
        b"\xfe\xff\xff\xff\x0f",
        // Numbers past 32 bits.
        b"\x80\x80\x80\x80\x10",
        b"\x80\x80\x80\x80\x80\0",
        b"\x02\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
    ] {
        let found = report().framed(indexes).decode();
        assert_eq!(found, Err(RejectReason::MalformedProtobuf), "{indexes:?}");
    }
    let twice = report().framed(short).framed(short);
    assert_eq!(twice.decode(), Err(RejectReason::MalformedProtobuf), "a frame in a frame");
    let magic = bytes().raw(&[1, 0, 0, 0, 7, 0]).raw(&report().0);
    assert_eq!(magic.decode(), Err(RejectReason::MalformedProtobuf), "another magic byte");
}

#[test]
fn nothing_of_a_record_is_left_for_the_next() {
    let mut decoder = Decoder::default();
    let with_degrees = bytes().date("2000-12-25").degrees(2.0).0;
    let without = bytes().date("2000-12-25").0;
    assert_eq!(decoder.decode(Some(&with_degrees)), christmas(2.0));
    assert_eq!(decoder.decode(Some(&without)), christmas(0.0));
    assert_eq!(decoder.decode(Some(&[0xff])), Err(RejectReason::MalformedProtobuf));
    assert_eq!(decoder.decode(Some(&[])), Err(RejectReason::InvalidDate));
}

/// Value by value, the same as by a decoder that has kept nothing, and that takes no usual way.
#[track_caller]
fn hold_against_fresh(decoder: &mut Decoder, Bytes(value): &Bytes) {
    let mut fresh = Decoder::default();
    let expected = unframed(value).and_then(|message| fresh.message(message));
    if expected.is_ok() {
        // Whatever was counted before.
        decoder.set_station(fresh.wire.station_id);
    }
    let same = |found: &Report, other: &Report| {
        (found.date, found.degrees.to_bits()) == (other.date, other.degrees.to_bits())
    };
    match (decoder.observe(Some(value)), decoder.decode(Some(value)), &expected) {
        (Ok(observed), Ok(decoded), Ok(expected)) => {
            assert!(same(&decoded, expected), "{decoded:?}, {expected:?}");
            assert_eq!(Observation::from(expected), observed);
            assert!(observed.report().is_some_and(|report| same(&report, expected)), "{observed:?}");
        }
        (Err(observed), Err(decoded), Err(expected)) => {
            assert_eq!((observed, decoded), (*expected, *expected))
        }
        found => panic!("{found:?}"),
    }
}

#[test]
fn of_a_month_that_is_known_each_two_bytes_are_a_day_or_none() {
    let mut decoder = Decoder::default();
    for front in ["2000-02-", "2001-02-", "1999-04-", "1999-12-"] {
        for (tens, ones) in (0..=u8::MAX).flat_map(|tens| (0..=u8::MAX).map(move |ones| (tens, ones))) {
            assert!(decoder.decode(Some(&bytes().date(&format!("{front}01")).degrees(1.0).0)).is_ok());
            let date = [front.as_bytes(), &[tens, ones]].concat();
            let value = bytes().length_delimited(1, &date).degrees(1.0).0;
            assert_eq!(
                decoder.unstamped(&value).and_then(Observation::report).map(|report| report.date),
                parse_date(&date)
            );
        }
    }
}

#[test]
fn months_that_are_known_differ_from_all_others() {
    let mut decoder = Decoder::default();
    let (one, other) = (*b"1991-01-31", *b"1991-11-30");
    for date in [one, other] {
        for at in 0..date.len() {
            for byte in 0..=u8::MAX {
                let mut changed = date;
                changed[at] = byte;
                for date in [date, changed] {
                    hold_against_fresh(&mut decoder, &bytes().length_delimited(1, &date).degrees(1.0));
                }
            }
        }
    }
    // An entry without a month begins with these.
    hold_against_fresh(
        &mut Decoder::default(),
        &bytes().length_delimited(1, b"\0\0\0\0\0\0\0\x0001").degrees(1.0),
    );
}

#[test]
fn the_last_days_of_all_months_are_known() {
    let mut decoder = Decoder::default();
    for (year, month) in (0..=9999).flat_map(|year| (1..=12).map(move |month| (year, month))) {
        for day in [28, 29, 30, 31, 32] {
            let value = bytes().date(&format!("{year:04}-{month:02}-{day}")).degrees(1.0).0;
            let expected = Date::new(year, month, day).ok().filter(|_| year > 0);
            assert_eq!(
                decoder.unstamped(&value).and_then(Observation::report).map(|report| report.date),
                expected
            );
        }
    }
}

#[test]
fn a_report_is_encoded_as_any_protobuf_library_does_it() {
    let report = Report { date: date(2000, 12, 25), degrees: -31.5235 };
    assert_eq!(report.encode(), bytes().date("2000-12-25").degrees(-31.5235).0);
    let freezing = Report { degrees: 0.0, ..report };
    assert_eq!(freezing.encode(), bytes().date("2000-12-25").0, "proto3 leaves out a default");
    let below = Report { degrees: -0.0, ..report };
    assert_eq!(below.encode(), freezing.encode(), "prost takes it for the default, which is as cold");
}

#[test]
fn the_key_is_the_months_name() {
    for (month, name) in (1..).zip(MONTHS) {
        assert_eq!(Report { date: date(2001, month, 28), degrees: 0.0 }.key(), name);
    }
}

#[test]
fn reasons_have_the_names_that_files_have() {
    let names = [
        (RejectReason::NoValue, "\"no_value\""),
        (RejectReason::MalformedProtobuf, "\"malformed_protobuf\""),
        (RejectReason::InvalidDate, "\"invalid_date\""),
        (RejectReason::InvalidDegrees, "\"invalid_degrees\""),
        (RejectReason::OtherStation, "\"other_station\""),
    ];
    for (reason, name) in names {
        assert_eq!(serde_json::to_string(&reason).unwrap(), name);
        assert_eq!(serde_json::from_str::<RejectReason>(name).unwrap(), reason);
    }
}

/// A report in every form: usual, with its fields in another order, with a field that is not known, and framed.
fn forms(station: &str) -> [Bytes; 6] {
    let stamp = || if station.is_empty() { bytes() } else { bytes().station(station) };
    let usual = || bytes().date("2000-12-25").degrees(2.0).raw(&stamp().0);
    [
        usual(),
        bytes().raw(&stamp().0).degrees(2.0).date("2000-12-25"),
        usual().tag(9, 0).varint(7),
        usual().framed(b"\0"),
        bytes().degrees(2.0).date("2000-12-25").raw(&stamp().0).framed(b"\x02\x02"),
        // The last value of a field wins.
        bytes().station("before").date("2000-12-25").degrees(2.0).station(station),
    ]
}

#[test]
fn only_reports_of_the_station_are_counted_in_whatever_form() {
    let long = "x".repeat(STATION_BYTES_MAX);
    let stations = ["", "A", "USW00014837", "43.07,-89.4", "USW0001483", "Köln\n", &long];
    for counted in stations {
        let (mut decoder, mut undecided) = (Decoder::of(counted), Decoder::default());
        for Bytes(value) in forms(counted) {
            assert_eq!(undecided.observe(Some(&value)), Ok(Observation::from(&christmas(2.0).unwrap())));
            assert_eq!(undecided.station(), Some(counted), "the first report decides");
        }
        for station in stations {
            for Bytes(value) in forms(station) {
                let expected = match station == counted {
                    true => Ok(Observation::from(&christmas(2.0).unwrap())),
                    false => Err(RejectReason::OtherStation),
                };
                assert_eq!(decoder.observe(Some(&value)), expected, "{station:?} {value:?}");
                assert_eq!(undecided.observe(Some(&value)), expected, "{station:?} {value:?}");
                assert_eq!(decoder.decode_with_station(Some(&value)).unwrap().1, station);
                assert_eq!(decoder.decode(Some(&value)), christmas(2.0));
            }
        }
    }
}

#[test]
fn only_a_valid_report_decides_the_station() {
    let mut decoder = Decoder::default();
    let too_long = "x".repeat(STATION_BYTES_MAX + 1);
    for (value, reason) in [
        (bytes().date("never").degrees(2.0).station("A"), RejectReason::InvalidDate),
        (bytes().date("2000-12-25").degrees(f64::NAN).station("A"), RejectReason::InvalidDegrees),
        (bytes().date("2000-12-25").station(&too_long), RejectReason::TooLarge),
        (bytes().date("2000-12-25").length_delimited(3, b"\xff"), RejectReason::MalformedProtobuf),
    ] {
        assert_eq!(decoder.observe(Some(&value.0)), Err(reason));
        assert_eq!(decoder.station(), None);
        // Whether a report is valid does not depend on what is counted.
        assert_eq!(Decoder::of("B").observe(Some(&value.0)), Err(reason));
    }
    assert_eq!(decoder.observe(None), Err(RejectReason::NoValue));
    assert!(decoder.observe(Some(&bytes().date("2000-12-25").degrees(2.0).station("A").0)).is_ok());
    assert_eq!(decoder.station(), Some("A"));
}

#[test]
fn a_report_of_a_station_is_encoded_as_any_protobuf_library_does_it() {
    let report = Report { date: date(2000, 12, 25), degrees: 2.0 };
    assert_eq!(report.encode_at("A"), bytes().date("2000-12-25").degrees(2.0).station("A").0);
    assert_eq!(report.encode_at(""), report.encode());
}

/// `TYPE NAME = NUMBER` of each field of the only message in a .proto text.
fn fields_of(proto: &str) -> String {
    let code: Vec<&str> =
        proto.lines().map(|line| line.split("//").next().unwrap_or_default().trim()).collect();
    let code = code.join(" ");
    let (head, body) = code.split_once('{').unwrap();
    assert_eq!(head.split_whitespace().collect::<Vec<_>>().join(" "), r#"syntax = "proto3"; message Report"#);
    let mut fields = String::new();
    for field in body.split_once('}').unwrap().0.split_terminator(';') {
        let words = field.split_whitespace().collect::<Vec<_>>().join(" ");
        if !words.is_empty() {
            let _ = writeln!(fields, "{words}");
        }
    }
    fields
}

#[test]
fn the_derive_is_what_the_schema_says() {
    assert_eq!(fields_of(PROTO), "string date = 1\ndouble degrees = 2\nstring station_id = 3\n");
    // The same fields, found in what prost writes: name by `Debug`, number and type by the bytes.
    let wire = Wire { date: "d".to_owned(), degrees: 1.5, station_id: "s".to_owned() };
    assert_eq!(format!("{wire:?}"), r#"Wire { date: "d", degrees: 1.5, station_id: "s" }"#);
    assert_eq!(wire.encode_to_vec(), bytes().date("d").degrees(1.5).station("s").0);
}

impl Report {
    fn decoded(&self) -> Report {
        Decoder::default().decode(Some(&self.encode())).unwrap()
    }
}

fn degrees() -> impl Strategy<Value = f64> {
    prop_oneof![8 => -60.0..60.0, 1 => Just(-0.0), 1 => any::<f64>()]
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(value in proptest::collection::vec(any::<u8>(), 0..64)) {
        let _ = Decoder::default().decode(Some(&value));
    }

    #[test]
    fn damaged_reports_never_panic(at in 0_usize..21, byte: u8, cut in 0_usize..22) {
        let mut value = bytes().date("2000-12-25").degrees(2.0).0;
        value[at] = byte;
        value.truncate(cut);
        if let Ok(report) = Decoder::default().decode(Some(&value)) {
            prop_assert!(report.degrees.abs() <= DEGREES_MAX);
        }
    }

    #[test]
    fn the_usual_form_means_what_any_form_means(date in "[0-9]{4}-[0-1][0-9]-[0-3][0-9]|[0-9-]{10}|\\PC{5}", degrees: f64) {
        // The same message, once in its usual form, and once with an unknown field after it.
        let usual = bytes().date(&date).degrees(degrees);
        let unusual = bytes().date(&date).degrees(degrees).tag(15, 0).varint(7);
        prop_assert_eq!(usual.decode().map(|report| (report.date, report.degrees.to_bits())), unusual.decode().map(|report| (report.date, report.degrees.to_bits())));
    }

    #[test]
    fn framed_or_not_a_value_means_the_same(
        message in prop_oneof![
            proptest::collection::vec(1_u8.., 0..40),
            ("[0-9]{4}-[01][0-9]-[0-3][0-9]", degrees()).prop_map(|(date, degrees)| bytes().date(&date).degrees(degrees).0),
        ],
        id: [u8; 4],
        indexes in proptest::collection::vec(0_u64..1 << 31, 0..4),
    ) {
        let count = bytes().raw(&[0]).raw(&id).varint(2 * indexes.len() as u64);
        let frame = indexes.iter().fold(count, |frame, index| frame.varint(2 * index));
        let plain = Decoder::default().decode(Some(&message));
        let framed = frame.raw(&message);
        hold_against_fresh(&mut Decoder::default(), &framed);
        prop_assert_eq!(framed.decode(), plain);
    }

    #[test]
    fn no_frame_panics(frame in proptest::collection::vec(any::<u8>(), 0..40)) {
        let value = bytes().raw(&[0]).raw(&frame);
        hold_against_fresh(&mut Decoder::default(), &value);
    }

    #[test]
    fn the_memory_of_a_decoder_changes_nothing(values in proptest::collection::vec(
        (prop_oneof![
            3 => "(199[19]|2000)-(0[12]|1[012])-([0-2][0-9]|3[01])",
            1 => "[0-9]{4}-[01][0-9]-[0-9]{2}",
            1 => "[0-9:/-]{10}",
        ], degrees(), any::<bool>()),
        1..40,
    )) {
        let mut decoder = Decoder::default();
        for (date, degrees, is_usual) in values {
            let value = bytes().date(&date).degrees(degrees);
            hold_against_fresh(&mut decoder, &if is_usual { value } else { value.tag(15, 0).varint(7) });
        }
    }

    #[test]
    fn ten_bytes_that_are_no_text_are_malformed(bytes_of_date: [u8; 10]) {
        let value = bytes().length_delimited(1, &bytes_of_date).degrees(1.0);
        let is_text = std::str::from_utf8(&bytes_of_date).is_ok();
        prop_assert_eq!(value.decode() == Err(RejectReason::MalformedProtobuf), !is_text);
    }

    #[test]
    fn encoded_reports_are_decoded(days in 0_i64..3_652_059, degrees in -DEGREES_MAX..=DEGREES_MAX) {
        let date = date(1, 1, 1) + jiff::Span::new().days(days);
        let report = Report { date, degrees };
        let decoded = report.decoded();
        prop_assert_eq!(decoded.date, date);
        prop_assert_eq!(decoded.degrees, degrees);
    }

    #[test]
    fn only_ten_ascii_characters_are_a_date(text in "[0-9 T:+-]{0,12}|\\PC{0,12}") {
        if let Some(date) = parse_date(text.as_bytes()) {
            prop_assert_eq!(date.to_string(), text);
        }
    }
}
