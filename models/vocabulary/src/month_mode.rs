//! How the reference service keeps the months of its partitions, where the topology has them: what
//! is right, and negative controls of it.

use serde::{Deserialize, Serialize};

/// How months are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MonthMode {
    /// A month is that of UTC everywhere, and is closed when it is over and no hold is left in it.
    #[default]
    Utc,
    /// The id of a booking carries the month of a local time zone (negative control).
    PartitionLocalTime,
    /// A month is archived by the age of its bookings, with holds in it (negative control).
    ArchiveLiveMonth,
}

impl MonthMode {
    /// Every way.
    pub const ALL: [Self; 3] = [Self::Utc, Self::PartitionLocalTime, Self::ArchiveLiveMonth];

    /// The name on the command line and in topology files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Utc => "utc",
            Self::PartitionLocalTime => "partition_local_time",
            Self::ArchiveLiveMonth => "archive_live_month",
        }
    }

    /// Whether it is broken on purpose.
    pub fn is_negative_control(self) -> bool {
        match self {
            Self::Utc => false,
            Self::PartitionLocalTime | Self::ArchiveLiveMonth => true,
        }
    }
}

crate::modes::read_and_shown_by_name!(MonthMode, "month mode");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_month_mode_has_one_name_on_the_command_line_and_in_files() {
        for mode in MonthMode::ALL {
            assert_eq!(mode.name().parse(), Ok(mode));
            assert_eq!(serde_json::to_value(mode).expect("a word"), mode.name());
        }
    }
}
