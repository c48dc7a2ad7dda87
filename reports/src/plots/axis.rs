//! Axes: a scale, a range that is never empty, and ticks that a person would have chosen.

use crate::quantity;

/// How values are spread along an axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scale {
    /// Evenly.
    Linear,
    /// By their logarithm; for what is above zero.
    Log,
    /// By the logarithm of one more, so that zero has a place.
    LogFromZero,
    /// A quantile by its nines: 0.9, 0.99 and 0.999 lie one step apart.
    Nines,
}

/// One axis of a plot.
#[derive(Debug, Clone)]
pub(super) struct Axis {
    pub(super) title: String,
    pub(super) ticks: Vec<(f64, String)>,
    scale: Scale,
    from: f64,
    to: f64,
}

impl Axis {
    /// Seconds of the measured window, from 0.
    pub(super) fn seconds(last: f64) -> Self {
        Self::linear("seconds of the measured window".to_owned(), 0.0, last.max(1.0), number)
    }

    /// Milliseconds from the first instant of a witness.
    pub(super) fn witness_ms(from: f64, to: f64) -> Self {
        let margin = (to - from).max(0.01) * 0.02;
        let title = "milliseconds since the first operation was sent".to_owned();
        Self::linear(title, from - margin, to + margin, number)
    }

    /// Whole numbers between two bounds.
    pub(super) fn numbers(title: &str, from: f64, to: f64) -> Self {
        Self::linear(title.to_owned(), from, to, number)
    }

    /// Places of a drawing, without a scale.
    pub(super) fn bare(from: f64, to: f64) -> Self {
        Self { title: String::new(), ticks: Vec::new(), scale: Scale::Linear, from, to }
    }

    /// The same axis by another name.
    pub(super) fn titled(self, title: &str) -> Self {
        Self { title: title.to_owned(), ..self }
    }

    /// Rows by their number, 0 on top, each with its label.
    pub(super) fn rows(labels: &[String]) -> Self {
        let ticks =
            labels.iter().enumerate().map(|(row, label)| (row as f64, label.clone())).collect();
        Self {
            title: String::new(),
            ticks,
            scale: Scale::Linear,
            from: labels.len() as f64 - 0.4,
            to: -0.6,
        }
    }

    /// Counts from 0. Where the lines' peaks lie far apart the axis is logarithmic, or the small
    /// ones would lie on the floor.
    pub(super) fn counts(title: &str, peaks: &[f64]) -> Self {
        /// Peaks further apart than this cannot be read on one even scale.
        const EVEN_SCALE_RATIO: f64 = 25.0;
        let highest = peaks.iter().copied().fold(1.0, f64::max);
        let lowest = peaks.iter().copied().filter(|peak| *peak > 0.0).fold(highest, f64::min);
        if highest / lowest <= EVEN_SCALE_RATIO {
            return Self::linear(title.to_owned(), 0.0, highest * 1.05, number);
        }
        let mut ticks = vec![(0.0, "0".to_owned())];
        ticks.extend(powers(1.0, highest).into_iter().map(|power| (power, number(power))));
        let title = format!("{title}, logarithmic");
        Self {
            title,
            ticks: sparse(ticks),
            scale: Scale::LogFromZero,
            from: 0.0,
            to: highest * 1.4,
        }
    }

    /// Latency in microseconds, logarithmic.
    pub(super) fn latency_us(lowest: f64, highest: f64) -> Self {
        let from = lowest.max(1.0) * 0.8;
        let to = (highest.max(1.0) * 1.25).max(from * 4.0);
        let factors: &[f64] = match to / from {
            ratio if ratio > 1_000.0 => &[1.0],
            ratio if ratio > 60.0 => &[1.0, 3.0],
            _ => &[1.0, 2.0, 5.0],
        };
        let ticks = powers(1.0, to)
            .into_iter()
            .flat_map(|power| factors.iter().map(move |factor| power * factor))
            .filter(|tick| (from..=to).contains(tick))
            .map(|tick| (tick, short_duration(tick)))
            .collect();
        Self {
            title: "latency, logarithmic".to_owned(),
            ticks: sparse(ticks),
            scale: Scale::Log,
            from,
            to,
        }
    }

    /// Quantiles by their nines, as far as that many operations can tell.
    pub(super) fn nines(operations: u64) -> Self {
        const TICKS: [(f64, &str); 7] = [
            (0.0, "0%"),
            (0.5, "50%"),
            (0.9, "90%"),
            (0.99, "99%"),
            (0.999, "99.9%"),
            (0.9999, "99.99%"),
            (0.99999, "99.999%"),
        ];
        let nines = (operations.max(1) as f64).log10().clamp(1.0, 5.0);
        let to = 1.0 - 10_f64.powf(-nines - 0.15);
        let ticks = TICKS.iter().skip(1).filter(|(quantile, _)| *quantile <= to);
        let ticks = ticks.map(|(quantile, label)| (*quantile, (*label).to_owned())).collect();
        Self {
            title: "percentile of operations".to_owned(),
            ticks,
            scale: Scale::Nines,
            from: 0.0,
            to,
        }
    }

    fn linear(title: String, from: f64, to: f64, label: fn(f64) -> String) -> Self {
        let to = if to > from { to } else { from + 1.0 };
        let ticks = even_ticks(from, to).into_iter().map(|tick| (tick, label(tick))).collect();
        Self { title, ticks, scale: Scale::Linear, from, to }
    }

    /// Where a value lies. Values beyond the axis lie on its ends.
    pub(super) fn place(&self, value: f64) -> f64 {
        let (low, high) =
            if self.from <= self.to { (self.from, self.to) } else { (self.to, self.from) };
        let value = if value.is_finite() { value.clamp(low, high) } else { low };
        match self.scale {
            Scale::Linear => value,
            Scale::Log => value.log10(),
            Scale::LogFromZero => (1.0 + value).log10(),
            Scale::Nines => -(1.0 - value).log10(),
        }
    }

    /// Both ends, placed.
    pub(super) fn ends(&self) -> (f64, f64) {
        (self.place(self.from), self.place(self.to))
    }
}

/// Multiples of 1, 2 or 5 times a power of ten: four to eight of them.
fn even_ticks(from: f64, to: f64) -> Vec<f64> {
    let rough = (to - from) / 8.0;
    let power = 10_f64.powf(rough.log10().floor());
    let step =
        [1.0, 2.0, 5.0, 10.0].into_iter().map(|factor| factor * power).find(|step| *step >= rough);
    let step = step.unwrap_or(10.0 * power);
    let first = (from / step).ceil();
    // Counted, not summed: at huge values a sum would never reach its end. Ten is more than eight
    // and a rounding.
    (0..10)
        .map(|index| (first + f64::from(index)) * step)
        .filter(|tick| (from..=to).contains(tick))
        .collect()
}

fn powers(from: f64, to: f64) -> Vec<f64> {
    std::iter::successors(Some(from), |power| Some(power * 10.0))
        .take_while(|power| *power <= to)
        .collect()
}

/// Every second, third, ... tick, so that no more than eight are left.
fn sparse(ticks: Vec<(f64, String)>) -> Vec<(f64, String)> {
    let step = ticks.len().div_ceil(8).max(1);
    ticks.into_iter().step_by(step).collect()
}

/// A tick's number: whole where it is whole, and `10k` or `2M` where digits would crowd.
fn number(value: f64) -> String {
    let size = value.abs();
    if size >= 1e15 {
        format!("{value:.0e}")
    } else if size >= 1e6 {
        format!("{}M", trimmed(value / 1e6))
    } else if size >= 1e4 {
        format!("{}k", trimmed(value / 1e3))
    } else if value == value.round() {
        quantity::signed(value as i64)
    } else {
        trimmed(value)
    }
}

fn trimmed(value: f64) -> String {
    let text = format!("{value:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A tick's duration: its one digit needs no others.
fn short_duration(us: f64) -> String {
    if us < 1e3 {
        format!("{us} µs")
    } else if us < 1e6 {
        format!("{} ms", us / 1e3)
    } else {
        format!("{} s", number(us / 1e6))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: &Axis) -> Vec<&str> {
        axis.ticks.iter().map(|(_, label)| label.as_str()).collect()
    }

    #[test]
    fn ticks_are_what_a_person_would_write() {
        assert_eq!(labels(&Axis::seconds(15.0)), ["0", "2", "4", "6", "8", "10", "12", "14"]);
        assert_eq!(
            labels(&Axis::latency_us(900.0, 30_000.0)),
            ["1 ms", "2 ms", "5 ms", "10 ms", "20 ms"]
        );
        assert_eq!(
            labels(&Axis::latency_us(90.0, 5e6)),
            ["100 µs", "1 ms", "10 ms", "100 ms", "1 s"]
        );
        assert_eq!(
            labels(&Axis::counts("", &[12_000.0, 3.0])),
            ["0", "1", "10", "100", "1,000", "10k"]
        );
        assert_eq!(labels(&Axis::numbers("", -40.0, 200.0)), ["0", "50", "100", "150", "200"]);
        assert_eq!(labels(&Axis::nines(5_000)), ["50%", "90%", "99%", "99.9%"]);
    }

    #[test]
    fn no_range_is_empty_and_no_value_falls_off() {
        let huge = u64::MAX as f64;
        let axes = [
            Axis::seconds(0.0),
            Axis::latency_us(0.0, 0.0),
            Axis::latency_us(huge, huge),
            Axis::counts("", &[]),
            Axis::counts("", &[huge, 1.0]),
            Axis::nines(0),
            Axis::nines(u64::MAX),
            Axis::numbers("", i64::MIN as f64, i64::MAX as f64),
            Axis::witness_ms(0.0, 0.0),
            Axis::rows(&[]),
        ];
        for axis in axes {
            let (from, to) = axis.ends();
            assert!(from != to && from.is_finite() && to.is_finite(), "{axis:?}");
            assert!(axis.ticks.len() <= 10, "{axis:?}");
            for value in [f64::NEG_INFINITY, -huge, 0.0, 1.0, huge, f64::INFINITY, f64::NAN] {
                let place = axis.place(value);
                assert!(
                    (from.min(to)..=from.max(to)).contains(&place),
                    "{value} at {place} on {axis:?}"
                );
            }
        }
    }
}
