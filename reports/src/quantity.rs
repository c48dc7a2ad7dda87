//! Quantities as people read them: three significant digits, a unit, and separated thousands.

/// Microseconds as `850 µs`, `12.3 ms` or `1.25 s`.
pub fn duration_us(us: u64) -> String {
    // Past 999.5 ms three digits would say 1,000 ms.
    if us < 1_000 {
        format!("{us} µs")
    } else if us < 999_500 {
        format!("{} ms", significant(us as f64 / 1e3))
    } else {
        format!("{} s", significant(us as f64 / 1e6))
    }
}

/// Milliseconds, written as [`duration_us`] writes them.
pub fn duration_ms(ms: u64) -> String {
    duration_us(ms.saturating_mul(1_000))
}

/// An instant in milliseconds after another one, to the microsecond: what a witness is read by.
pub fn instant_ms(instant_ns: u64, origin_ns: u64) -> String {
    let us = (i128::from(instant_ns) - i128::from(origin_ns)) / 1_000;
    let sign = if us < 0 { "-" } else { "" };
    let us = us.unsigned_abs();
    format!("{sign}{}.{:03}", grouped(us / 1_000), us % 1_000)
}

/// A count: `1,234,567`.
pub fn count(count: u64) -> String {
    grouped(count.into())
}

/// A count with its noun: `1 slot`, `2,000 slots`, `11 strategies`.
pub fn counted(number: u64, noun: &str) -> String {
    let noun = if number == 1 { noun.to_owned() } else { plural(noun) };
    format!("{} {noun}", count(number))
}

/// The regular plural of an English noun.
fn plural(noun: &str) -> String {
    match noun.strip_suffix('y') {
        Some(stem) if !stem.ends_with(['a', 'e', 'i', 'o', 'u']) => format!("{stem}ies"),
        _ if noun.ends_with(['s', 'x']) || noun.ends_with("ch") || noun.ends_with("sh") => {
            format!("{noun}es")
        }
        _ => format!("{noun}s"),
    }
}

/// A share as `12 %`.
pub fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

/// A small share, as `0.52 %`.
pub fn share(share: f64) -> String {
    format!("{:.2} %", share * 100.0)
}

/// A number that may be below zero: `-31`.
pub fn signed(number: i64) -> String {
    let sign = if number < 0 { "-" } else { "" };
    format!("{sign}{}", grouped(number.unsigned_abs().into()))
}

/// Something per second: `2,310` or `0.42`.
pub fn rate(per_second: f64) -> String {
    if per_second.is_finite() { significant(per_second) } else { "not known".to_owned() }
}

/// Bytes as `512 B` or `7.63 GiB`.
pub fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1_024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1_024.0;
    let mut unit = 0;
    while value >= 1_023.5 && unit + 1 < UNITS.len() {
        value /= 1_024.0;
        unit += 1;
    }
    format!("{} {}", significant(value), UNITS[unit])
}

/// Three significant digits, and none lost before the point.
fn significant(value: f64) -> String {
    let size = value.abs();
    if size < 9.995 {
        format!("{value:.2}")
    } else if size < 99.95 {
        format!("{value:.1}")
    } else {
        let sign = if value < 0.0 { "-" } else { "" };
        format!("{sign}{}", grouped(size.round() as u128))
    }
}

fn grouped(number: u128) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_three_significant_digits_and_the_unit_that_fits() {
        let cases = [
            (0, "0 µs"),
            (999, "999 µs"),
            (1_000, "1.00 ms"),
            (9_996, "10.0 ms"),
            (12_345, "12.3 ms"),
            (999_499, "999 ms"),
            (999_500, "1.00 s"),
            (61_200_000, "61.2 s"),
            (u64::MAX, "18,446,744,073,710 s"),
        ];
        for (us, text) in cases {
            assert_eq!(duration_us(us), text);
        }
    }

    #[test]
    fn a_share_is_a_percentage_without_digits_after_the_point() {
        assert_eq!((percent(0.1), percent(1.234)), ("10 %".to_owned(), "123 %".to_owned()));
    }

    #[test]
    fn numbers_are_grouped_by_thousands() {
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(
            (counted(1, "slot"), counted(2_000, "seat")),
            ("1 slot".into(), "2,000 seats".into())
        );
        assert_eq!(signed(-1_000), "-1,000");
        assert_eq!(signed(i64::MIN), "-9,223,372,036,854,775,808");
        assert_eq!(rate(2_310.4), "2,310");
        assert_eq!(rate(0.0), "0.00");
        assert_eq!(rate(f64::NAN), "not known");
    }

    #[test]
    fn a_noun_takes_its_regular_plural() {
        let cases = [
            ("strategy", "3 strategies"),
            ("delay", "3 delays"),
            ("process", "3 processes"),
            ("batch", "3 batches"),
            ("required invariant", "3 required invariants"),
        ];
        for (noun, text) in cases {
            assert_eq!(counted(3, noun), text);
        }
        assert_eq!(counted(1, "strategy"), "1 strategy");
    }

    #[test]
    fn bytes_take_binary_units() {
        assert_eq!(bytes(1_023), "1023 B");
        assert_eq!(bytes(8_192_000_000), "7.63 GiB");
        assert_eq!(bytes(1_048_575), "1.00 MiB");
        assert_eq!(bytes(u64::MAX), "16.0 EiB");
    }

    #[test]
    fn instants_are_relative_and_may_lie_before_their_origin() {
        assert_eq!(instant_ms(1_012_345_678, 1_000_000_000), "12.345");
        assert_eq!(instant_ms(0, 5_000_000), "-5.000");
        assert_eq!(instant_ms(u64::MAX, 0), "18,446,744,073,709.551");
    }
}
