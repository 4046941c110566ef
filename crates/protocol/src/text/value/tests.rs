use super::*;

#[test]
fn durations() {
    for (text, milliseconds) in [
        ("7d", 604_800_000),
        ("36h", 129_600_000),
        ("15m", 900_000),
        ("90s", 90_000),
        ("250ms", 250),
        ("0ms", 0),
        ("forever", u64::MAX),
    ] {
        assert_eq!(parse_duration(text), Ok(milliseconds));
        assert_eq!(format_duration(milliseconds), text);
    }
    assert_eq!(parse_duration("7D"), Ok(604_800_000));
    for wrong in [
        "",
        "7",
        "d",
        "7w",
        "-7d",
        "+7d",
        "1.5h",
        "18446744073709551615ms",
        "9999999999999d",
    ] {
        assert!(parse_duration(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn sizes() {
    for (text, octets) in [
        ("1GiB", 1 << 30),
        ("64KiB", 65_536),
        ("1000", 1000),
        ("0", 0),
    ] {
        assert_eq!(parse_size(text), Ok(octets));
        assert_eq!(format_size(octets), text);
    }
    assert_eq!(parse_size("16mib"), Ok(16 << 20));
    for wrong in ["", "GiB", "1GB", "-1", "1.5MiB", "18446744073709551615"] {
        assert!(parse_size(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn starting_points() {
    for (text, start) in [
        ("Earliest", Start::Earliest),
        ("LATEST", Start::Latest),
        ("1700000000123", Start::Timestamp(1_700_000_000_123)),
        ("-1", Start::Timestamp(-1)),
        ("1970-01-01T00:00:01Z", Start::Timestamp(1000)),
        ("1970-01-01T01:00:00.5+01:00", Start::Timestamp(500)),
        ("1970-01-01T00:00:00.000000001Z", Start::Timestamp(1)),
    ] {
        assert_eq!(parse_start(text), Ok(start), "{text}");
    }
    for wrong in ["", "yesterday", "2026-01-31", "2026-01-31T12:00:00"] {
        assert!(parse_start(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn positions() {
    assert_eq!(parse_positions(""), Ok(Positions::new()));
    let positions = Positions::from([(0, 42), (1, 7)]);
    assert_eq!(parse_positions("1-7,0-42"), Ok(positions.clone()));
    assert_eq!(format_positions(&positions), "0-42,1-7");
    for wrong in [
        "0", "0-", "-1", "0-1,", "0-1,0-2", "+0-1", "0-+1", "0--1", "a-1",
    ] {
        assert!(parse_positions(wrong).is_err(), "{wrong}");
    }
}
