//! What is simulated: the slots, the clients, and how they behave.

use crate::Bug;

/// A run, without its seed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Slots, named `slot-1` and so on.
    pub slots: u32,
    /// Seats of each slot at the beginning.
    pub capacity: u32,
    /// Clients, numbered from 1.
    pub clients: u32,
    /// Operations of all clients together, without the probes.
    pub operations: u32,
    /// A reserve asks for 1 to this many seats.
    pub seats_max: u32,
    /// How long a hold lasts; absent: bookings need no confirm, and do not expire.
    pub hold_ms: Option<u64>,
    /// What answers say.
    pub telling: Telling,
    /// Of 1,000 operations, how many are resizes.
    pub resizes_per_mille: u32,
    /// Of 1,000 calls, how many are not answered.
    pub lost_per_mille: u32,
    /// Of 1,000 calls, how many take 40 to 300 ms; the others take 0.3 to 12 ms.
    pub slow_per_mille: u32,
    /// A client waits for twice this long at most before it goes on.
    pub think_ms: u64,
    /// Whether the service stops once in the middle of the load, and breaks every call off.
    pub crash: Crash,
    /// What the service does wrong.
    pub bug: Option<Bug>,
}

/// Whether the service stops once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crash {
    /// It does not.
    None,
    /// When three fifths of the operations were sent.
    Once,
}

/// What answers say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Telling {
    /// Reads say how many seats are left; nothing else is said.
    SeatsInReads,
    /// As `SeatsInReads`, and reads say pending and confirmed seats and the capacity too.
    PartsInReads,
    /// Every answer says how many seats are left, and the slot's version.
    Versions,
    /// As `Versions`, and reads say pending and confirmed seats and the capacity too.
    VersionsAndParts,
}

impl Telling {
    /// Whether answers carry versions, and writes say how many seats are left.
    pub fn versions(self) -> bool {
        match self {
            Self::SeatsInReads | Self::PartsInReads => false,
            Self::Versions | Self::VersionsAndParts => true,
        }
    }

    /// Whether reads say pending and confirmed seats and the capacity.
    pub fn parts(self) -> bool {
        match self {
            Self::SeatsInReads | Self::Versions => false,
            Self::PartsInReads | Self::VersionsAndParts => true,
        }
    }
}

/// A kind of run without a bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// One slot, answers with versions, one seat each.
    Versions,
    /// One slot, answers without versions.
    Unversioned,
    /// Two slots, bookings of one to three seats.
    Weights,
    /// Five slots, 80 clients, no versions.
    ManySlots,
    /// Holds of 60 ms, and calls that wait for longer.
    ShortHolds,
    /// Slots that grow and shrink, and reads that say all of their numbers.
    Resizes,
    /// Many lost answers and retries, holds, and a crash that loses nothing.
    Unsure,
}

impl Shape {
    /// Every shape.
    pub const ALL: [Self; 7] = [
        Self::Versions,
        Self::Unversioned,
        Self::Weights,
        Self::ManySlots,
        Self::ShortHolds,
        Self::Resizes,
        Self::Unsure,
    ];

    /// The settings of a run of this shape.
    pub fn settings(self) -> Settings {
        let plain = Settings {
            slots: 1,
            capacity: 12,
            clients: 40,
            operations: 1_500,
            seats_max: 1,
            hold_ms: None,
            telling: Telling::Versions,
            resizes_per_mille: 0,
            lost_per_mille: 40,
            slow_per_mille: 20,
            think_ms: 12,
            crash: Crash::None,
            bug: None,
        };
        match self {
            Self::Versions => plain,
            Self::Unversioned => {
                Settings { clients: 25, operations: 1_000, telling: Telling::SeatsInReads, ..plain }
            }
            Self::Weights => Settings { slots: 2, seats_max: 3, capacity: 20, ..plain },
            Self::ManySlots => Settings {
                slots: 5,
                capacity: 6,
                clients: 80,
                operations: 2_500,
                telling: Telling::PartsInReads,
                think_ms: 20,
                ..plain
            },
            Self::ShortHolds => {
                Settings { slots: 2, hold_ms: Some(60), slow_per_mille: 40, ..plain }
            }
            Self::Resizes => Settings {
                slots: 2,
                resizes_per_mille: 30,
                hold_ms: Some(150),
                telling: Telling::VersionsAndParts,
                ..plain
            },
            Self::Unsure => Settings {
                slots: 2,
                clients: 30,
                hold_ms: Some(100),
                lost_per_mille: 90,
                crash: Crash::Once,
                ..plain
            },
        }
    }
}

impl Settings {
    /// A run in which a bug has its chance: two slots with few seats, holds, cancels and retries.
    pub fn of_bug(bug: Bug, telling: Telling) -> Self {
        let crash = if bug == Bug::LostAfterCrash { Crash::Once } else { Crash::None };
        Self {
            slots: 2,
            capacity: 8,
            clients: 25,
            operations: 1_000,
            hold_ms: Some(100),
            telling,
            crash,
            bug: Some(bug),
            ..Shape::Versions.settings()
        }
    }
}
