//! A variant beside the best of its setting: by how much they differ, and whether that is decided.

use serde::{Deserialize, Serialize};

use super::{
    load::{Load, Offered},
    metric::Metric,
};
use crate::estimate::Estimate;

/// What variants are compared by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Aspect {
    /// Confirmed bookings per second of clients that never pause.
    Throughput,
    /// Response p99 of reserves at a rate that every upheld variant can serve.
    Latency,
    /// CPU of the service and its servers per confirmed booking, of clients that never pause.
    Cost,
}

impl Aspect {
    /// Every aspect, the one that decides most first.
    pub const ALL: [Self; 3] = [Self::Throughput, Self::Latency, Self::Cost];

    /// The load under which it is measured.
    pub fn offered(self) -> Offered {
        match self {
            Self::Throughput | Self::Cost => Offered::Saturating,
            Self::Latency => Offered::OfSlowest,
        }
    }

    /// What is measured.
    pub fn metric(self) -> Metric {
        match self {
            Self::Throughput => Metric::Goodput,
            Self::Latency => Metric::ResponseUsP99,
            Self::Cost => Metric::CpuUsPerBooking,
        }
    }

    /// Whether more of it is better.
    pub fn more_is_better(self) -> bool {
        self == Self::Throughput
    }

    /// As a column or in a sentence.
    pub fn name(self) -> &'static str {
        match self {
            Self::Throughput => "throughput",
            Self::Latency => "p99 at equal load",
            Self::Cost => "CPU per booking",
        }
    }
}

/// A variant beside the best one of its setting, in one aspect.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Contrast {
    /// The setting's load.
    pub load: Load,
    /// The setting's clients.
    pub clients: u32,
    /// What is compared.
    pub aspect: Aspect,
    /// Which variant.
    pub variant: String,
    /// The variant that is best by its median.
    pub best: String,
    /// Its value divided by that of the best, round by round: the geometric mean and a t interval
    /// that holds at 95 % for all contrasts of the comparison together. Absent of one round.
    pub ratio: Option<Estimate>,
}

/// What a contrast says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// The whole interval lies within the margin: no difference that matters.
    Equal,
    /// The whole interval lies beyond the margin, on the worse side.
    Worse,
    /// The interval lies on both sides of a margin: these rounds do not tell.
    Undecided,
}

impl Contrast {
    /// What it says. Ratios from 1 / (1 + margin) to 1 + margin are no difference that matters.
    pub fn decision(&self, margin: f64) -> Decision {
        let (least, most) = (1.0 / (1.0 + margin), 1.0 + margin);
        let Some(ratio) = self.ratio else { return Decision::Undecided };
        let worse = match self.aspect.more_is_better() {
            true => ratio.high < least,
            false => ratio.low > most,
        };
        match worse {
            true => Decision::Worse,
            false if ratio.low >= least && ratio.high <= most => Decision::Equal,
            false => Decision::Undecided,
        }
    }
}
