//! How the reference service uses a cache where the topology has one: what is right, and negative
//! controls of it.

use serde::{Deserialize, Serialize};

/// How the cache is filled, and what of it is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CacheMode {
    /// A read fills the cache, a change leaves a tombstone, and both compare versions. An entry is
    /// believed if it has the version that the client has seen and is no older than declared.
    #[default]
    Aside,
    /// A fill replaces whatever is there, a change deletes it, and an entry is believed until it
    /// expires (negative control).
    CacheAsideRace,
    /// An entry of a booking outlives its hold, and no expiry of a hold drops it (negative
    /// control).
    CacheOutlivesHold,
    /// The cache decides whether seats are left (negative control).
    CacheDecides,
    /// That a booking does not exist is cached (negative control).
    NegativeCache,
    /// A change writes the slot to the cache, by version; everything else is as in `aside`.
    Through,
    /// A change writes the slot to the cache, whatever is there, and an entry is believed until it
    /// expires (negative control).
    CacheThroughReorder,
    /// A change writes the slot to the cache later, and no answer waits for it; everything else is as
    /// in `through`.
    Behind,
    /// A booking is written to the cache and acknowledged, and to the database later (negative
    /// control).
    CacheBehindBookings,
}

impl CacheMode {
    /// Every mode.
    pub const ALL: [Self; 9] = [
        Self::Aside,
        Self::CacheAsideRace,
        Self::CacheOutlivesHold,
        Self::CacheDecides,
        Self::NegativeCache,
        Self::Through,
        Self::CacheThroughReorder,
        Self::Behind,
        Self::CacheBehindBookings,
    ];

    /// The name on the command line and in topology files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Aside => "aside",
            Self::CacheAsideRace => "cache_aside_race",
            Self::CacheOutlivesHold => "cache_outlives_hold",
            Self::CacheDecides => "cache_decides",
            Self::NegativeCache => "negative_cache",
            Self::Through => "through",
            Self::CacheThroughReorder => "cache_through_reorder",
            Self::Behind => "behind",
            Self::CacheBehindBookings => "cache_behind_bookings",
        }
    }

    /// The mode that is right where this one is broken on purpose; itself if it is right.
    pub fn right_twin(self) -> Self {
        match self {
            Self::Aside
            | Self::CacheAsideRace
            | Self::CacheOutlivesHold
            | Self::CacheDecides
            | Self::NegativeCache => Self::Aside,
            Self::Through | Self::CacheThroughReorder => Self::Through,
            Self::Behind | Self::CacheBehindBookings => Self::Behind,
        }
    }

    /// Whether it is broken on purpose.
    pub fn is_negative_control(self) -> bool {
        self != self.right_twin()
    }
}

crate::modes::read_and_shown_by_name!(CacheMode, "cache mode");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mode_has_one_name_on_the_command_line_and_in_files() {
        for mode in CacheMode::ALL {
            assert_eq!(mode.name().parse(), Ok(mode));
            assert_eq!(serde_json::to_value(mode).expect("a word"), mode.name());
            assert!(!mode.right_twin().is_negative_control(), "{mode}");
        }
    }
}
