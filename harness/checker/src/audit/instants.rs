//! When the versions of a slot were written, as far as the answers that carry versions tell.
//!
//! A version was written no earlier than the last sending among the answers of this version and
//! those before it that wrote theirs, and no later than the first return among the answers of this
//! version and those after it.

use crate::slot_evidence::SlotEvidence;

/// Bounds of the instants at which versions were written.
#[derive(Debug, Default)]
pub(crate) struct Instants {
    /// Versions, rising, with the last sending of a writer up to each.
    not_before: Vec<(i64, u64)>,
    /// Versions, rising, with the first return from each on.
    not_after: Vec<(i64, u64)>,
}

impl Instants {
    pub(crate) fn of(slot: &SlotEvidence<'_>, wrote: impl Fn(usize) -> bool) -> Self {
        let (mut not_before, mut not_after) = (Vec::new(), Vec::new());
        for (index, operation) in slot.operations.iter() {
            let Some(version) =
                operation.seen.version.filter(|_| slot.freshness.is_fresh(&operation))
            else {
                continue;
            };
            if operation.moves_to().is_some() {
                continue;
            }
            not_after.push((version, operation.returned_ns));
            if wrote(index) {
                not_before.push((version, operation.sent_ns));
            }
        }
        not_before.sort_unstable();
        not_after.sort_unstable();
        let mut last_ns = 0;
        for (_, sent_ns) in &mut not_before {
            last_ns = last_ns.max(*sent_ns);
            *sent_ns = last_ns;
        }
        let mut first_ns = u64::MAX;
        for (_, returned_ns) in not_after.iter_mut().rev() {
            first_ns = first_ns.min(*returned_ns);
            *returned_ns = first_ns;
        }
        Self { not_before, not_after }
    }

    /// The version was not written before this instant.
    pub(crate) fn not_before(&self, version: i64) -> u64 {
        let known = self.not_before.partition_point(|(at, _)| *at <= version);
        known.checked_sub(1).map_or(0, |place| self.not_before[place].1)
    }

    /// The version was not written after this instant.
    pub(crate) fn not_after(&self, version: i64) -> u64 {
        let known = self.not_after.partition_point(|(at, _)| *at < version);
        self.not_after.get(known).map_or(u64::MAX, |(_, returned_ns)| *returned_ns)
    }
}
