//! Tables of the service that are partitioned by month.

use serde::Deserialize;
use slotproof_vocabulary::MonthMode;

/// Slots and bookings lie in partitions, each of which holds a month (UTC).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Months {
    /// How many months after the current one have partitions.
    pub ahead: u32,
    /// How months are kept; anything but `utc` is a negative control.
    #[serde(default)]
    pub mode: MonthMode,
}

impl Months {
    /// The negative control that this is, if it is one.
    pub(super) fn negative_control(self) -> Option<&'static str> {
        self.mode.is_negative_control().then_some(self.mode.name())
    }

    /// The same months, kept as they should be.
    pub(super) fn right_twin(self) -> Self {
        Self { mode: MonthMode::Utc, ..self }
    }
}
