//! The bucket of a doctor, and the shard on which a bucket lies at first.

use sha2::{Digest, Sha256};
use slotproof_vocabulary::DoctorId;

/// Buckets of all shards together: enough for shards of equal size, few enough to be moved one by
/// one.
pub(crate) const BUCKETS: u16 = 1_024;

/// Multiplicative hashing (Knuth, The Art of Computer Programming 6.4): neighbours lie far apart.
/// The function `shard_bucket` of the database computes the same.
pub(super) fn bucket_of(doctor: DoctorId) -> u16 {
    let product = u64::from(doctor.0) * 2_654_435_761;
    ((product & 0xffff_ffff) >> 22) as u16
}

/// The shard on which a bucket lies unless somebody moved it, by rendezvous hashing: a new shard
/// takes buckets from every other one, and none moves between those.
pub(super) fn home<'a>(bucket: u16, shards: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let weight = |shard: &str| {
        let hash = Sha256::new().chain_update(bucket.to_be_bytes()).chain_update(shard);
        hash.finalize()
    };
    shards.into_iter().max_by_key(|shard| weight(shard))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn a_doctor_has_the_bucket_that_the_database_computes() {
        let buckets = [0, 1, 2, 3, 1_000_000, 2_147_483_647].map(|id| bucket_of(DoctorId(id)));
        assert_eq!(buckets, [0, 632, 241, 874, 1_010, 903], "shard_bucket gives the same");
        assert!(bucket_of(DoctorId(u32::MAX)) < BUCKETS);
    }

    #[test]
    fn each_shard_is_the_home_of_its_share_of_the_buckets() {
        let mut homes: BTreeMap<&str, u32> = BTreeMap::new();
        for bucket in 0..BUCKETS {
            *homes.entry(home(bucket, ["a", "b", "c"]).expect("a shard")).or_default() += 1;
        }
        assert!(homes.values().all(|buckets| (290..=390).contains(buckets)), "{homes:?}");
        assert_eq!(homes.len(), 3);
    }

    #[test]
    fn a_new_shard_takes_buckets_and_none_moves_between_the_others() {
        let mut moved = 0;
        for bucket in 0..BUCKETS {
            let (before, after) = (home(bucket, ["a", "b"]), home(bucket, ["b", "c", "a"]));
            if before != after {
                assert_eq!(after, Some("c"));
                moved += 1;
            }
        }
        assert!((290..=390).contains(&moved), "{moved}");
    }
}
