//! "250ms", "5s", "1h"; "64KiB".

use std::time::Duration;

/// Why a text is no duration or size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnitError {
    /// There is no unit after the number, or one that is not known.
    #[error("expected a duration with a unit, such as \"250ms\", \"5s\", \"10m\" or \"1h\"")]
    Duration,
    /// There is no unit after the number, or one that is not known.
    #[error("expected a size with a unit, such as \"512B\", \"64KiB\" or \"1MiB\"")]
    Size,
    /// The number does not fit.
    #[error("the number is too large")]
    TooLarge,
}

/// Reads a duration: a whole number and one of `us`, `ms`, `s`, `m` (or `min`), `h`, `d`. Zero needs no unit.
///
/// # Errors
///
/// Other texts, and more than a hundred years.
pub fn parse_duration(text: &str) -> Result<Duration, UnitError> {
    let (number, unit) = split(text).ok_or(UnitError::Duration)?;
    let micros = match unit {
        "us" => 1,
        "ms" => 1_000,
        "s" => SECOND,
        "m" | "min" => 60 * SECOND,
        "h" => 3600 * SECOND,
        "d" => 24 * 3600 * SECOND,
        "" if is_zero(number) => 0,
        _ => return Err(UnitError::Duration),
    };
    let number: u64 = number.parse().map_err(|_| UnitError::TooLarge)?;
    match number.checked_mul(micros) {
        Some(micros) if micros <= CENTURY => Ok(Duration::from_micros(micros)),
        _ => Err(UnitError::TooLarge),
    }
}

/// Writes `duration` in the largest unit that it is a whole number of.
pub fn show_duration(duration: Duration) -> String {
    const UNITS: [(u128, &str); 5] = [
        (24 * 3600 * 1_000_000, "d"),
        (3600 * 1_000_000, "h"),
        (60 * 1_000_000, "m"),
        (1_000_000, "s"),
        (1_000, "ms"),
    ];
    let micros = duration.as_micros();
    if micros == 0 {
        return "0".to_owned();
    }
    let (scale, unit) =
        UNITS.into_iter().find(|(scale, _)| micros.is_multiple_of(*scale)).unwrap_or((1, "us"));
    format!("{}{unit}", micros / scale)
}

/// Reads a size in bytes: a whole number and one of `B`, `KiB`, `MiB`, `GiB`.
///
/// # Errors
///
/// Other texts, and sizes that this machine cannot address.
pub fn parse_size(text: &str) -> Result<usize, UnitError> {
    let (number, unit) = split(text).ok_or(UnitError::Size)?;
    let shift = match unit {
        "B" => 0,
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        _ => return Err(UnitError::Size),
    };
    let number: usize = number.parse().map_err(|_| UnitError::TooLarge)?;
    number.checked_mul(1 << shift).ok_or(UnitError::TooLarge)
}

/// Writes `size` in the largest unit that it is a whole number of.
pub fn show_size(size: usize) -> String {
    let (shift, unit) = match size.trailing_zeros() {
        _ if size == 0 => (0, "B"),
        30.. => (30, "GiB"),
        20..30 => (20, "MiB"),
        10..20 => (10, "KiB"),
        _ => (0, "B"),
    };
    format!("{}{unit}", size >> shift)
}

/// The digits at the start, of which there is at least one, and the rest.
fn split(text: &str) -> Option<(&str, &str)> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(end)?;
    (!number.is_empty()).then(|| (number, unit.trim_start()))
}

fn is_zero(digits: &str) -> bool {
    digits.bytes().all(|digit| digit == b'0')
}

const SECOND: u64 = 1_000_000;
const CENTURY: u64 = 100 * 365 * 24 * 3600 * SECOND;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_and_sizes_are_read() {
        for (text, micros) in [
            ("250ms", 250_000),
            ("5s", 5_000_000),
            (" 1 h ", 3_600_000_000),
            ("2min", 120_000_000),
            ("0", 0),
            ("7us", 7),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_micros(micros)), "{text}");
        }
        assert_eq!(parse_size("64KiB"), Ok(65536));
        assert_eq!(parse_size("12B"), Ok(12));
    }

    #[test]
    fn what_has_no_unit_or_does_not_fit_is_refused() {
        for text in ["", "5", "s", "5 parsecs", "-5s", "1.5s", "5s5s"] {
            assert_eq!(parse_duration(text), Err(UnitError::Duration), "{text}");
        }
        assert_eq!(parse_duration("99999999999999999999s"), Err(UnitError::TooLarge));
        assert_eq!(parse_duration("999999999999d"), Err(UnitError::TooLarge));
        for text in ["", "64", "64KB", "64kib", "KiB"] {
            assert_eq!(parse_size(text), Err(UnitError::Size), "{text}");
        }
        assert_eq!(parse_size("999999999999GiB"), Err(UnitError::TooLarge));
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_back(micros in 0..CENTURY, size: usize) {
            let duration = Duration::from_micros(micros);
            prop_assert_eq!(parse_duration(&show_duration(duration)), Ok(duration));
            prop_assert_eq!(parse_size(&show_size(size)), Ok(size));
        }

        #[test]
        fn any_text_is_answered(text: String) {
            let _ = (parse_duration(&text), parse_size(&text));
        }
    }
}
