//! Partitions: slots by the hash of their name. A history can be judged one partition at a time,
//! because slots are independent.

/// Partitions of a history. A power of two, so that two of them, or four, are a partition of a
/// coarser division.
pub const PARTITIONS: u16 = 16;

/// The partition of a slot: FNV-1a over its name, 64 bits, folded to 32, modulo [`PARTITIONS`].
/// Files depend on it, so it never changes.
pub fn partition_of(slot: &str) -> u16 {
    let hash = slot.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    });
    (((hash ^ (hash >> 32)) as u32) % u32::from(PARTITIONS)) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_stays_in_its_partition() {
        assert_eq!(["", "s", "monday-9"].map(partition_of), [1, 14, 13]);
    }

    #[test]
    fn slots_are_spread_over_all_partitions() {
        let mut slots = [0; PARTITIONS as usize];
        for number in 0..1_600 {
            slots[usize::from(partition_of(&format!("00000001-0142-8100-8000-{number:012x}")))] +=
                1;
        }
        assert!(slots.iter().all(|slots| (60..140).contains(slots)), "{slots:?}");
    }
}
