//! Spans of time and rates, as people write them: `15s`, `800/s`, `10s@100/s..1000/s`.
//!
//! On the command line, in a plan file and in `plan.json` they are the same text.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// A duration: `250ms`, `15s`, `5m`; a bare number is refused, because its unit would be a guess.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Span(pub Duration);

impl Span {
    /// A number of milliseconds.
    pub const fn of_ms(ms: u64) -> Self {
        Self(Duration::from_millis(ms))
    }

    /// In milliseconds.
    pub fn ms(self) -> u64 {
        u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX)
    }

    /// In nanoseconds.
    pub fn ns(self) -> u64 {
        u64::try_from(self.0.as_nanos()).unwrap_or(u64::MAX)
    }
}

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not a duration; write 250ms, 15s or 5m");
        let digits = text.trim_end_matches(char::is_alphabetic);
        let number: u64 = digits.parse().map_err(|_| wrong())?;
        let unit_ms = match &text[digits.len()..] {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            _ => return Err(wrong()),
        };
        number.checked_mul(unit_ms).map(Self::of_ms).ok_or_else(wrong)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.ms() {
            ms if ms % 1_000 == 0 => write!(f, "{}s", ms / 1_000),
            ms => write!(f, "{ms}ms"),
        }
    }
}

/// Arrivals per second: `800/s`, `2.5/s`, `90/m`.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Rate(f64);

impl Rate {
    /// More than any generator on one machine can make.
    pub const PER_S_MAX: f64 = 1_000_000.0;

    /// `None` if it is not a number from 0 to [`Rate::PER_S_MAX`].
    pub fn of_per_s(per_s: f64) -> Option<Self> {
        (0.0..=Self::PER_S_MAX).contains(&per_s).then_some(Self(per_s))
    }

    /// Per second.
    pub fn per_s(self) -> f64 {
        self.0
    }
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "{text:?} is not a rate; write 800/s, 2.5/s or 90/m, 0/s to {}/s",
                Self::PER_S_MAX
            )
        };
        let (number, unit) = text.split_once('/').ok_or_else(wrong)?;
        let number: f64 = number.parse().map_err(|_| wrong())?;
        let per_s = match unit {
            "s" => number,
            "m" => number / 60.0,
            _ => return Err(wrong()),
        };
        Self::of_per_s(per_s).ok_or_else(wrong)
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/s", self.0)
    }
}

/// A constant rate, `800/s`, or a linear ramp, `100/s..1000/s`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ramp {
    /// At the beginning.
    pub from: Rate,
    /// At the end.
    pub to: Rate,
}

impl Ramp {
    /// A constant rate.
    pub fn flat(rate: Rate) -> Self {
        Self { from: rate, to: rate }
    }
}

impl FromStr for Ramp {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once("..") {
            Some((from, to)) => Ok(Self { from: from.parse()?, to: to.parse()? }),
            None => text.parse().map(Self::flat),
        }
    }
}

impl fmt::Display for Ramp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.from == self.to {
            self.from.fmt(f)
        } else {
            write!(f, "{}..{}", self.from, self.to)
        }
    }
}

/// A ramp and how long it lasts: `10s@800/s`, `10s@100/s..1000/s`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stage {
    /// How long it lasts.
    pub lasts: Span,
    /// The rate in it.
    pub ramp: Ramp,
}

impl Stage {
    /// How many arrivals it has; rarely a whole number.
    pub fn arrivals(&self) -> f64 {
        f64::midpoint(self.ramp.from.per_s(), self.ramp.to.per_s()) * self.lasts.0.as_secs_f64()
    }
}

impl FromStr for Stage {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not a stage; write 10s@800/s or 10s@100/s..1000/s");
        let (lasts, ramp) = text.split_once('@').ok_or_else(wrong)?;
        Ok(Self { lasts: lasts.parse()?, ramp: ramp.parse()? })
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.lasts, self.ramp)
    }
}

/// Another rate for a while: `4000/s:2s@8s` is 4,000/s for 2 s, starting at 8 s.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spike {
    /// The rate in it.
    pub rate: Rate,
    /// How long it lasts.
    pub lasts: Span,
    /// When it begins.
    pub at: Span,
}

impl FromStr for Spike {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "{text:?} is not a spike; write 4000/s:2s@8s for 4,000/s for 2 s, starting at 8 s"
            )
        };
        let (rate, times) = text.split_once(':').ok_or_else(wrong)?;
        let (lasts, at) = times.split_once('@').ok_or_else(wrong)?;
        Ok(Self { rate: rate.parse()?, lasts: lasts.parse()?, at: at.parse()? })
    }
}

impl fmt::Display for Spike {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}@{}", self.rate, self.lasts, self.at)
    }
}

/// In files they are stored as their text.
macro_rules! written_as_text {
    ($($type:ty)+) => {$(
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
            }
        }
    )+};
}
pub(crate) use written_as_text;

written_as_text!(Span Rate Ramp Stage Spike);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_need_a_unit() {
        let ms = |text: &str| text.parse::<Span>().map(Span::ms);
        assert_eq!(
            (ms("250ms"), ms("15s"), ms("5m"), ms("1h")),
            (Ok(250), Ok(15_000), Ok(300_000), Ok(3_600_000))
        );
        for wrong in
            ["15", "s", "", "-1s", "1.5s", "15 s", "99999999999999999999h", "18446744073709551615h"]
        {
            assert!(ms(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        fn same<T: FromStr<Err = String> + fmt::Display>(texts: &[&str]) {
            for text in texts {
                assert_eq!(
                    text.parse::<T>().map(|value| value.to_string()),
                    Ok((*text).to_owned())
                );
            }
        }
        same::<Span>(&["250ms", "15s", "0s"]);
        same::<Rate>(&["800/s", "2.5/s", "0/s"]);
        same::<Ramp>(&["800/s", "100/s..1000/s", "1000/s..0/s"]);
        same::<Stage>(&["10s@800/s", "500ms@100/s..1000/s"]);
        same::<Spike>(&["4000/s:2s@8s"]);
        assert_eq!("90/m".parse::<Rate>().map(Rate::per_s), Ok(1.5));
    }

    #[test]
    fn rates_that_cannot_be_are_refused() {
        for wrong in ["800", "-1/s", "NaN/s", "inf/s", "1/h", "2000000/s", "/s", ""] {
            assert!(wrong.parse::<Rate>().is_err(), "{wrong:?}");
        }
        for wrong in ["10s", "10s@", "10@5/s", "10s@5/s..", "10s@-5/s..5/s"] {
            assert!(wrong.parse::<Stage>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_stage_holds_the_area_under_its_ramp() {
        let arrivals = |text: &str| text.parse::<Stage>().expect("a stage").arrivals();
        assert_eq!((arrivals("10s@800/s"), arrivals("10s@0/s..100/s")), (8_000.0, 500.0));
    }
}
