//! Verdicts: what a run has shown, and the evidence.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{AuditRecord, BookingRow, Operation};

/// The answer to one question about one run. The order is the order of what is worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Checked, and it held.
    Upheld,
    /// The evidence does not decide; the reason is given.
    Unknown,
    /// It did not hold; a witness shows it.
    Violated,
}

impl Verdict {
    /// The name in files and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Upheld => "upheld",
            Self::Unknown => "unknown",
            Self::Violated => "violated",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

macro_rules! invariants {
    ($($variant:ident = $number:literal, $name:literal, $claim:literal;)+) => {
        /// The invariants, by their names. Files and reports say the numbers of the documentation.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Invariant {
            $(#[doc = $claim] #[serde(rename = $number)] $variant,)+
        }

        impl Invariant {
            /// Every invariant.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The number in files and reports, such as `I1`.
            pub fn number(self) -> &'static str {
                match self { $(Self::$variant => $number,)+ }
            }

            /// The name, in a few words.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// The property that it states, in one line.
            pub fn claim(self) -> &'static str {
                match self { $(Self::$variant => $claim,)+ }
            }
        }
    };
}

invariants! {
    NoOverbookingObserved = "I1", "no overbooking observed",
        "never more seats promised than the slot has, from what clients were told alone";
    NoOverbookingStored = "I2", "no overbooking stored",
        "never more seats taken than the slot has, in the audit log and in the final rows";
    NoLostBooking = "I3", "no lost booking",
        "no acknowledged booking is lost, or said to be gone, cancelled or expired while it is live";
    NoPhantom = "I4", "no phantom",
        "every row, confirm and cancel on record traces to an operation that some client sent";
    Idempotent = "I5", "idempotent",
        "one effect per idempotency key";
    LawfulLifecycle = "I6", "lawful lifecycle",
        "a booking goes from pending to confirmed, cancelled or expired, has one end, and no hold \
         expires before its time";
    SeatsConserved = "I7", "seats conserved",
        "available + pending + confirmed = capacity, in every read and at the end";
    HonestSoldOut = "I8", "honest sold-out",
        "sold_out was true at some instant of the call that was told so";
    PossibleReads = "I9", "possible reads",
        "a read is possible at some instant of its call";
    SessionOrder = "I10", "session order",
        "a client reads its own writes and never goes back in versions";
    NothingLeaked = "I11", "nothing leaked",
        "after the run settles, free seats can be bought and no hold has leaked";
    UniqueBookings = "I12", "unique bookings",
        "no booking id is given to two keys";
    OneOrder = "I13", "one order",
        "the audit log has no gap, replays to the final rows, and respects real time";
    AnnouncedOnce = "I14", "announced once",
        "each committed change is announced once, and nothing else is";
    RunCoverage = "I15", "run coverage",
        "the run sold slots out, resold seats, and kept its own schedule";
    LimitPerOwner = "I16", "limit per owner",
        "no owner has more live bookings in a period than the declared limit";
}

impl fmt::Display for Invariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.number())
    }
}

/// What was found about one invariant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Which invariant.
    pub invariant: Invariant,
    /// Whether it held.
    pub verdict: Verdict,
    /// One sentence with the numbers behind the verdict.
    pub summary: String,
    /// How many facts were examined. A check of nothing upholds nothing.
    pub examined: u64,
    /// How many of them violate the invariant.
    pub violations: u64,
    /// The first violation, shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub witness: Option<Witness>,
}

/// The smallest set of evidence that shows a violation; a person can check it by hand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Witness {
    /// The slot that it is about.
    pub slot: String,
    /// What the evidence shows, in a sentence or two.
    pub explanation: String,
    /// The instant at which it shows, on the history's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instant_ns: Option<u64>,
    /// The operations involved, in order of their return, with their line in the history (the first
    /// line is 1).
    pub operations: Vec<WitnessOperation>,
    /// Audit records involved.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub records: Vec<AuditRecord>,
    /// Final rows involved.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rows: Vec<BookingRow>,
}

/// An operation of a witness.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WitnessOperation {
    /// The operation's line in the history; the first is 1.
    pub line: u64,
    /// The operation.
    pub operation: Operation,
}

/// The whole judgement of a run: `verdict.json`. It depends on the run directory alone, so it can
/// be repeated byte for byte.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerdictReport {
    /// Version of this shape.
    pub schema_version: u32,
    /// The worst of the findings.
    pub verdict: Verdict,
    /// Operations in the history.
    pub operations: u64,
    /// One finding for each invariant that was judged, in their order.
    pub findings: Vec<Finding>,
    /// Invariants that this run was not judged by.
    pub not_judged: Vec<Invariant>,
}

impl VerdictReport {
    /// Version of the shape that this code writes.
    pub const SCHEMA_VERSION: u32 = 1;

    /// The worst finding decides; no findings decide nothing.
    pub fn new(operations: u64, mut findings: Vec<Finding>) -> Self {
        findings.sort_by_key(|finding| finding.invariant);
        let verdict =
            findings.iter().map(|finding| finding.verdict).max().unwrap_or(Verdict::Unknown);
        let judged =
            |invariant: &Invariant| findings.iter().any(|finding| finding.invariant == *invariant);
        let not_judged =
            Invariant::ALL.iter().copied().filter(|invariant| !judged(invariant)).collect();
        Self { schema_version: Self::SCHEMA_VERSION, verdict, operations, findings, not_judged }
    }

    /// Whether it is upheld by answers alone: what the service keeps was not judged.
    pub fn is_as_told(&self) -> bool {
        let stored = [Invariant::NoOverbookingStored, Invariant::NoPhantom];
        self.verdict == Verdict::Upheld && stored.iter().all(|it| self.not_judged.contains(it))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(invariant: Invariant, verdict: Verdict) -> Finding {
        Finding {
            invariant,
            verdict,
            summary: String::new(),
            examined: 1,
            violations: 0,
            witness: None,
        }
    }

    #[test]
    fn the_worst_finding_decides() {
        let verdicts = |all: &[Verdict]| {
            VerdictReport::new(
                9,
                all.iter()
                    .map(|verdict| finding(Invariant::NoOverbookingObserved, *verdict))
                    .collect(),
            )
            .verdict
        };
        assert_eq!(verdicts(&[Verdict::Upheld, Verdict::Upheld]), Verdict::Upheld);
        assert_eq!(verdicts(&[Verdict::Upheld, Verdict::Unknown]), Verdict::Unknown);
        assert_eq!(verdicts(&[Verdict::Violated, Verdict::Unknown]), Verdict::Violated);
        assert_eq!(verdicts(&[]), Verdict::Unknown, "no evidence upholds nothing");
    }

    #[test]
    fn the_shape_of_a_verdict_is_pinned() {
        let report = VerdictReport::new(
            2,
            vec![
                finding(Invariant::HonestSoldOut, Verdict::Upheld),
                finding(Invariant::NoOverbookingObserved, Verdict::Upheld),
            ],
        );
        insta::assert_json_snapshot!(report);
    }
}
