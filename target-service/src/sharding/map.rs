//! Which shard owns each bucket, as the shards' own tables say.

use futures::future::try_join_all;
use sqlx::{PgConnection, PgExecutor};

use super::{
    ShardError, Site,
    bucket::{BUCKETS, home},
};

/// A row of `shard_buckets`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Claim {
    pub(super) bucket: u16,
    pub(super) state: ClaimState,
    pub(super) epoch: i64,
    /// Where it is moving to, or has moved to.
    pub(super) to_shard: Option<String>,
}

/// See the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ClaimState {
    Owned,
    Moving,
    Moved,
}

impl Claim {
    /// Whether the bucket's bookings are in this shard.
    fn is_here(&self) -> bool {
        self.state != ClaimState::Moved
    }
}

pub(super) async fn claims(database: impl PgExecutor<'_>) -> Result<Vec<Claim>, sqlx::Error> {
    let rows: Vec<(i32, String, i64, Option<String>)> =
        sqlx::query_as("select bucket, state, epoch, to_shard from shard_buckets order by bucket")
            .fetch_all(database)
            .await?;
    let claim = |(bucket, state, epoch, to_shard): (i32, String, i64, Option<String>)| Claim {
        bucket: u16::try_from(bucket).unwrap_or_default(),
        state: match state.as_str() {
            "owned" => ClaimState::Owned,
            "moving" => ClaimState::Moving,
            _ => ClaimState::Moved,
        },
        epoch,
        to_shard,
    };
    Ok(rows.into_iter().map(claim).collect())
}

/// The owner of a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Owner {
    /// Its place among the shards.
    pub(crate) shard: usize,
    pub(crate) epoch: i64,
}

/// The owner of each bucket; `None` of one that is changing its owner at this moment.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Map(Vec<Option<Owner>>);

impl Map {
    /// By the claims of each shard. Of two owners the one with the higher epoch counts: shards are
    /// not read at one instant.
    pub(super) fn of<'a>(claims: impl IntoIterator<Item = &'a [Claim]>) -> Self {
        let mut owners = vec![None::<Owner>; usize::from(BUCKETS)];
        for (shard, claims) in claims.into_iter().enumerate() {
            for claim in claims.iter().filter(|claim| claim.is_here()) {
                let owner = &mut owners[usize::from(claim.bucket)];
                if owner.is_none_or(|other| other.epoch < claim.epoch) {
                    *owner = Some(Owner { shard, epoch: claim.epoch });
                }
            }
        }
        Self(owners)
    }

    /// By newer claims; `None` of a shard that does not answer.
    pub(super) fn renewed<'a>(
        &self,
        claims: impl IntoIterator<Item = Option<&'a [Claim]>>,
    ) -> Self {
        let claims: Vec<Option<&[Claim]>> = claims.into_iter().collect();
        let Self(mut owners) = Self::of(claims.iter().map(|claims| claims.unwrap_or_default()));
        for (owner, before) in owners.iter_mut().zip(&self.0) {
            let Some(before) = before.filter(|before| claims[before.shard].is_none()) else {
                continue;
            };
            if owner.is_none_or(|owner| owner.epoch < before.epoch) {
                *owner = Some(before);
            }
        }
        Self(owners)
    }

    pub(crate) fn owner(&self, bucket: u16) -> Option<Owner> {
        self.0[usize::from(bucket)]
    }
}

/// Whether these are all the shards, and each bucket has one owner. One that a mover has left
/// between two shards has none, and is moved on by the next rebalance.
///
/// # Errors
/// The first bucket with two owners, or without any.
pub(super) fn checked(sites: &[Site], claims: &[Vec<Claim>]) -> Result<Map, ShardError> {
    let map = Map::of(claims.iter().map(Vec::as_slice));
    for bucket in 0..BUCKETS {
        let of_bucket = || {
            let all = sites.iter().zip(claims);
            all.flat_map(|(site, claims)| claims.iter().map(move |claim| (site, claim)))
                .filter(|(_, claim)| claim.bucket == bucket)
        };
        let mut here: Vec<_> = of_bucket().filter(|(_, claim)| claim.is_here()).collect();
        here.sort_by_key(|(_, claim)| claim.epoch);
        if let [.., (older, older_claim), (newer, newer_claim)] = here.as_slice() {
            return Err(ShardError::TwoOwners {
                bucket,
                newer: newer.name.clone(),
                newer_epoch: newer_claim.epoch,
                older: older.name.clone(),
                older_epoch: older_claim.epoch,
            });
        }
        let left = of_bucket().max_by_key(|(_, claim)| claim.epoch);
        let to = left.and_then(|(_, claim)| claim.to_shard.as_deref());
        let is_between = to.is_some_and(|to| sites.iter().any(|site| site.name == to));
        if here.is_empty() && !is_between {
            let moving = to.map(|to| format!(", which has moved to shard {to}"));
            return Err(ShardError::NoOwner { bucket, moving: moving.unwrap_or_default() });
        }
    }
    Ok(map)
}

/// Names the shards and gives each its buckets, once: of processes that start together, one does.
/// Shards that have buckets already keep them, and a new one gets none: a rebalance moves some
/// there. One that was interrupted is repeated.
///
/// # Errors
/// See [`ShardError`].
pub(super) async fn found(
    sites: &[Site],
    databases: &mut [PgConnection],
) -> Result<(), ShardError> {
    // In the shard that is the first one for every process.
    let first = (0..sites.len()).min_by_key(|place| &sites[*place].name).expect("two or more");
    let lock = sqlx::query("select pg_advisory_lock($1)").bind(FOUNDING);
    let locked = lock.execute(&mut databases[first]).await;
    locked.map_err(|error| sites[first].failed(error))?;
    let founded = found_alone(sites, databases).await;
    let unlock = sqlx::query("select pg_advisory_unlock($1)").bind(FOUNDING);
    let unlocked = unlock.execute(&mut databases[first]).await;
    founded?;
    unlocked.map(drop).map_err(|error| sites[first].failed(error))
}

/// An advisory lock of the first shard: who names shards and gives them buckets.
const FOUNDING: i64 = 0x5107_0001;

async fn found_alone(sites: &[Site], databases: &mut [PgConnection]) -> Result<(), ShardError> {
    let mut are_founded = false;
    for (site, database) in sites.iter().zip(&mut *databases) {
        let (name, is_founded) =
            named(&site.name, database).await.map_err(|error| site.failed(error))?;
        if name != site.name {
            return Err(ShardError::OtherShard { given: site.name.clone(), is: name });
        }
        are_founded |= is_founded;
    }
    if !are_founded {
        for (site, database) in sites.iter().zip(&mut *databases) {
            let is_home = |bucket: &u16| {
                let names = sites.iter().map(|it| it.name.as_str());
                home(*bucket, names) == Some(site.name.as_str())
            };
            let buckets: Vec<i32> = (0..BUCKETS).filter(is_home).map(i32::from).collect();
            sqlx::query(
                "
                insert into shard_buckets (bucket, state, epoch)
                select unnest($1::integer[]), 'owned', 1 on conflict do nothing
                ",
            )
            .bind(buckets)
            .execute(database)
            .await
            .map_err(|error| site.failed(error))?;
        }
    }
    // When all have their buckets, and not before.
    for (site, database) in sites.iter().zip(databases) {
        let founded = sqlx::query("update shard set founded = true where not founded");
        founded.execute(database).await.map_err(|error| site.failed(error))?;
    }
    Ok(())
}

/// The name of the shard, and whether buckets were given out. A database that had doctors before it
/// became a shard has them all.
async fn named(name: &str, database: &mut PgConnection) -> Result<(String, bool), sqlx::Error> {
    sqlx::query("insert into shard (name) values ($1) on conflict do nothing")
        .bind(name)
        .execute(&mut *database)
        .await?;
    sqlx::query_as("select name, founded or (select count(*) from shard_buckets) = $1 from shard")
        .bind(i64::from(BUCKETS))
        .fetch_one(database)
        .await
}

/// The claims of all shards.
pub(super) async fn all_claims(
    sites: &[Site],
    databases: &mut [PgConnection],
) -> Result<Vec<Vec<Claim>>, ShardError> {
    let reads = sites
        .iter()
        .zip(databases)
        .map(async |(site, database)| claims(database).await.map_err(|error| site.failed(error)));
    try_join_all(reads).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sites(names: &[&str]) -> Vec<Site> {
        let site = |name: &&str| Site { name: (*name).to_owned(), url: String::new() };
        names.iter().map(site).collect()
    }

    fn claim(bucket: u16, state: ClaimState, epoch: i64, to: Option<&str>) -> Claim {
        Claim { bucket, state, epoch, to_shard: to.map(str::to_owned) }
    }

    fn owned(epoch: i64) -> Vec<Claim> {
        (0..BUCKETS).map(|bucket| claim(bucket, ClaimState::Owned, epoch, None)).collect()
    }

    #[test]
    fn the_owner_is_the_shard_with_the_highest_epoch() {
        let claims = [owned(1), vec![claim(7, ClaimState::Owned, 2, None)]];
        let map = Map::of(claims.iter().map(Vec::as_slice));
        assert_eq!(map.owner(7), Some(Owner { shard: 1, epoch: 2 }));
        assert_eq!(map.owner(8), Some(Owner { shard: 0, epoch: 1 }));
    }

    #[test]
    fn of_a_shard_that_does_not_answer_what_was_known_is_kept() {
        let moved = [claim(7, ClaimState::Owned, 2, None)];
        let before = Map::of([owned(1).as_slice(), &[]]);
        let renewed = before.renewed([None, Some(moved.as_slice())]);
        assert_eq!(renewed.owner(7), Some(Owner { shard: 1, epoch: 2 }), "it says so itself");
        assert_eq!(renewed.owner(8), Some(Owner { shard: 0, epoch: 1 }));
        let gone = before.renewed([Some(&[][..]), None]);
        assert_eq!(gone.owner(8), None, "it answers, and has it no more");
    }

    #[test]
    fn a_bucket_that_is_moving_is_read_where_it_was() {
        let mut first = owned(1);
        first[7] = claim(7, ClaimState::Moving, 1, Some("b"));
        let map = checked(&sites(&["a", "b"]), &[first, Vec::new()]).expect("one owner each");
        assert_eq!(map.owner(7), Some(Owner { shard: 0, epoch: 1 }));
    }

    #[test]
    fn a_shard_from_a_backup_and_a_shard_that_is_missing_are_named() {
        let restored = vec![claim(7, ClaimState::Owned, 3, None)];
        let two = checked(&sites(&["a", "b"]), &[owned(1), restored]).expect_err("two owners");
        let text = two.to_string();
        assert!(text.contains("bucket 7 is owned by shard b (epoch 3) and by shard a"), "{text}");

        let mut gone = owned(1);
        gone[7] = claim(7, ClaimState::Moved, 1, Some("c"));
        let missing = checked(&sites(&["a", "b"]), &[gone.clone(), Vec::new()]);
        let text = missing.expect_err("c is not given").to_string();
        assert!(text.contains("no shard owns bucket 7, which has moved to shard c"), "{text}");
        let half: Vec<_> = owned(1).into_iter().take(512).collect();
        assert!(checked(&sites(&["a"]), &[half]).is_err(), "a shard is missing");

        let between = checked(&sites(&["a", "c"]), &[gone, Vec::new()]).expect("it goes on");
        assert_eq!(between.owner(7), None);
    }
}
