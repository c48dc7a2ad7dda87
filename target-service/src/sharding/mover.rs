//! Moves buckets from one shard to another, while bookings go on:
//!
//! 1. copy the bucket's rows, while they change;
//! 2. `moving`: the owner refuses changes from now on, once those under way have ended;
//! 3. copy what has changed since the first copy began;
//! 4. compare the copy with the original;
//! 5. `moved`: the owner is none any more;
//! 6. at the other shard: `owned`, one epoch later;
//! 7. the old rows go.
//!
//! No instant has two owners. A mover that dies after step 2 leaves a bucket that nobody changes, and
//! the next rebalance goes on where it ended. Buckets without doctors change their owner all at once.

use std::time::{Duration, Instant};

use serde::Serialize;
use slotproof_vocabulary::{DoctorId, ShardMode};
use sqlx::{AssertSqlSafe, Connection, PgConnection, PgTransaction};

use super::{
    PAST_THE_FENCE, ShardError, Site,
    bucket::{BUCKETS, bucket_of, home},
    connect,
    map::{Claim, ClaimState, Map, all_claims},
    table::{self, Rows, Table},
};

/// What is to be moved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// Each bucket to where it belongs among these shards: after one was added.
    Home,
    /// All buckets of this shard to the others: before it is taken out.
    Drain(String),
    /// The bucket of a doctor to this shard.
    Doctor(DoctorId, String),
}

/// What was moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Moved {
    /// Buckets.
    pub buckets: u32,
    /// Those of them with doctors.
    pub with_doctors: u32,
    /// Their rows, in all tables.
    pub rows: u64,
    /// For how long changes in one bucket were refused, at most.
    pub refused_ms_max: u64,
}

/// An advisory lock of the first shard: who moves buckets.
const REBALANCING: i64 = 0x5107_0002;
/// How the mover waits until no change of a bucket is under way. Writers that come meanwhile may keep
/// it from the bucket's row, so that it waits for the table in turn, whose lock is given in order;
/// but not for long, because they wait behind it.
const WAITS: [&str; 2] = [
    "set local lock_timeout = '100ms'",
    "set local lock_timeout = '500ms'; lock table shard_buckets in exclusive mode",
];
/// How often it waits in both ways.
const WAITS_MAX: u64 = 10;

/// One of two shards between which a bucket moves.
struct Side<'a> {
    site: &'a Site,
    database: &'a mut PgConnection,
}

impl Side<'_> {
    fn failed(&self) -> impl Fn(sqlx::Error) -> ShardError + use<> {
        let site = self.site.clone();
        move |error| site.failed(error)
    }
}

/// Moves what is wanted, one bucket after the other, and first what an interrupted rebalance has
/// left. `delay` comes between the copy and what follows: a large bucket takes so long to be copied.
/// `mode`: as it is right, or as in a negative control.
///
/// # Errors
/// See [`ShardError`]. Buckets that had been moved stay where they are.
pub async fn rebalance(
    sites: &[Site],
    wanted: &Wanted,
    mode: ShardMode,
    delay: Duration,
) -> Result<Moved, ShardError> {
    let mut sites = sites.to_vec();
    sites.sort_by(|one, other| one.name.cmp(&other.name));
    let mut databases = connect(&sites).await?;
    for (site, database) in sites.iter().zip(&mut databases) {
        is_of_shard(site, database).await?;
    }
    let names: Vec<&str> = sites.iter().map(|site| site.name.as_str()).collect();
    let lock = sqlx::query_scalar("select pg_try_advisory_lock($1)").bind(REBALANCING);
    let locked = lock.fetch_one(&mut databases[0]).await;
    if !locked.map_err(|error| sites[0].failed(error))? {
        return Err(ShardError::Rebalancing);
    }
    for (site, database) in sites.iter().zip(&mut databases) {
        give_up_moves(database, &names).await.map_err(|error| site.failed(error))?;
    }
    let claims = all_claims(&sites, &mut databases).await?;
    let mut moved = Moved::default();
    let mut steps = planned(&sites, &claims, wanted)?;
    if mode == ShardMode::Fenced {
        for (from, to) in
            (0..sites.len()).flat_map(|from| (0..sites.len()).map(move |to| (from, to)))
        {
            let of_pair = steps.iter().filter(|step| (step.from, step.to) == (from, to));
            let untouched = of_pair.filter(|step| step.state == ClaimState::Owned);
            let buckets: Vec<(u16, i64)> =
                untouched.map(|step| (step.bucket, step.epoch)).collect();
            if buckets.is_empty() {
                continue;
            }
            let (from, to) = sides(&sites, &mut databases, from, to);
            let empty = hand_over_empty(from, to, &buckets).await?;
            moved.buckets += u32::try_from(empty.len()).unwrap_or(u32::MAX);
            steps.retain(|step| !empty.contains(&step.bucket));
        }
    }
    for step in steps {
        let (from, to) = sides(&sites, &mut databases, step.from, step.to);
        step.carry_out(from, to, mode, delay, &mut moved).await?;
    }
    Ok(moved)
}

fn sides<'a>(
    sites: &'a [Site],
    databases: &'a mut [PgConnection],
    from: usize,
    to: usize,
) -> (Side<'a>, Side<'a>) {
    let between = databases.get_disjoint_mut([from, to]);
    let [source, target] = between.expect("a bucket moves between two shards");
    let from = Side { site: &sites[from], database: source };
    (from, Side { site: &sites[to], database: target })
}

/// Gives buckets away in which no doctor is, and takes them: answers with those. Locked rows keep a
/// doctor from being added, and the second look sees those that were.
async fn hand_over_empty(
    from: Side<'_>,
    to: Side<'_>,
    buckets: &[(u16, i64)],
) -> Result<Vec<u16>, ShardError> {
    let failed = from.failed();
    let mut transaction = from.database.begin().await.map_err(&failed)?;
    let numbers: Vec<i32> = buckets.iter().map(|(bucket, _)| i32::from(*bucket)).collect();
    sqlx::query("select from shard_buckets where bucket = any($1) order by bucket for update")
        .bind(&numbers)
        .execute(&mut *transaction)
        .await
        .map_err(&failed)?;
    let empty: Vec<i32> = sqlx::query_scalar(
        "
        update shard_buckets owned set state = 'moved', to_shard = $2
        where bucket = any($1) and state = 'owned'
            and not exists (select from doctors where shard_bucket(doctor_id) = owned.bucket)
        returning bucket
        ",
    )
    .bind(&numbers)
    .bind(&to.site.name)
    .fetch_all(&mut *transaction)
    .await
    .map_err(&failed)?;
    transaction.commit().await.map_err(&failed)?;
    let is_empty = |bucket: &u16| empty.contains(&i32::from(*bucket));
    let handed: Vec<_> = buckets.iter().filter(|(bucket, _)| is_empty(bucket)).copied().collect();
    take(to, &handed).await?;
    Ok(handed.into_iter().map(|(bucket, _)| bucket).collect())
}

/// Makes a shard the owner of buckets that had these epochs elsewhere.
async fn take(to: Side<'_>, buckets: &[(u16, i64)]) -> Result<(), ShardError> {
    let failed = to.failed();
    let numbers: Vec<i32> = buckets.iter().map(|(bucket, _)| i32::from(*bucket)).collect();
    let epochs: Vec<i64> = buckets.iter().map(|(_, epoch)| epoch + 1).collect();
    sqlx::query(
        "
        insert into shard_buckets as mine (bucket, state, epoch)
        select bucket, 'owned', epoch from unnest($1::integer[], $2::bigint[]) taken (bucket, epoch)
        on conflict (bucket) do update set state = 'owned', epoch = excluded.epoch, to_shard = null
        where mine.epoch < excluded.epoch
        ",
    )
    .bind(numbers)
    .bind(epochs)
    .execute(to.database)
    .await
    .map(drop)
    .map_err(failed)
}

async fn is_of_shard(site: &Site, database: &mut PgConnection) -> Result<(), ShardError> {
    let failed = |error| site.failed(error);
    let is_there = sqlx::query_scalar("select to_regclass('shard_buckets') is not null");
    if !is_there.fetch_one(&mut *database).await.map_err(failed)? {
        return Err(ShardError::NotSharded(site.name.clone()));
    }
    let name = sqlx::query_scalar("select name from shard").fetch_optional(&mut *database);
    let name: Option<String> = name.await.map_err(failed)?;
    match name {
        None => return Err(ShardError::NotSharded(site.name.clone())),
        Some(is) if is != site.name => {
            return Err(ShardError::OtherShard { given: site.name.clone(), is });
        }
        Some(_) => {}
    }
    // The rows of two shards are compared as text.
    let prepare = sqlx::raw_sql("set timezone = 'UTC'").execute(&mut *database);
    prepare.await.map(drop).map_err(failed)
}

/// A bucket that was moving to a shard that is not given is its owner's again: nothing was given away.
async fn give_up_moves(database: &mut PgConnection, to: &[&str]) -> Result<(), sqlx::Error> {
    sqlx::query(
        "
        update shard_buckets set state = 'owned', to_shard = null
        where state = 'moving' and to_shard <> all($1)
        ",
    )
    .bind(to)
    .execute(database)
    .await
    .map(drop)
}

/// A bucket that moves.
#[derive(Debug, PartialEq, Eq)]
struct Step {
    bucket: u16,
    from: usize,
    to: usize,
    /// Where it begins: of a bucket that an interrupted rebalance has left, not `Owned`.
    state: ClaimState,
    epoch: i64,
}

fn planned(
    sites: &[Site],
    claims: &[Vec<Claim>],
    wanted: &Wanted,
) -> Result<Vec<Step>, ShardError> {
    let names = || sites.iter().map(|site| site.name.as_str());
    let place = |name: &str| {
        names().position(|it| it == name).ok_or_else(|| ShardError::NoShard {
            name: name.to_owned(),
            shards: names().collect::<Vec<_>>().join(", "),
        })
    };
    if let [only] = sites {
        return Err(ShardError::OnlyShard(only.name.clone()));
    }
    let map = Map::of(claims.iter().map(Vec::as_slice));
    let mut begun = Vec::new();
    let mut steps = Vec::new();
    for bucket in 0..BUCKETS {
        // The owner, or the one that gave it away last.
        let last = claims.iter().enumerate().flat_map(|(from, claims)| {
            claims.iter().filter(|it| it.bucket == bucket).map(move |claim| (from, claim))
        });
        let owner = map.owner(bucket);
        let last = last.max_by_key(|(from, claim)| {
            (claim.epoch, owner.is_some_and(|owner| owner.shard == *from))
        });
        let Some((from, claim)) = last else {
            return Err(ShardError::NoOwner { bucket, moving: String::new() });
        };
        let (state, epoch) = (claim.state, claim.epoch);
        if let Some(to) = &claim.to_shard {
            begun.push(Step { bucket, from, to: place(to)?, state, epoch });
            continue;
        }
        let to = match wanted {
            Wanted::Home => home(bucket, names()).map(place).transpose()?,
            Wanted::Drain(shard) if place(shard)? == from => {
                home(bucket, names().filter(|name| name != shard)).map(place).transpose()?
            }
            Wanted::Doctor(doctor, shard) if bucket_of(*doctor) == bucket => Some(place(shard)?),
            Wanted::Drain(_) | Wanted::Doctor(..) => None,
        };
        if let Some(to) = to.filter(|to| *to != from) {
            steps.push(Step { bucket, from, to, state, epoch });
        }
    }
    begun.append(&mut steps);
    Ok(begun)
}

impl Step {
    async fn carry_out(
        &self,
        mut from: Side<'_>,
        mut to: Side<'_>,
        mode: ShardMode,
        delay: Duration,
        moved: &mut Moved,
    ) -> Result<(), ShardError> {
        let mut rows = 0;
        let mut refused = Duration::ZERO;
        if self.state != ClaimState::Moved {
            self.clear(&mut to).await?;
            let snapshot = self.copy(&mut from, &mut to, None, &mut rows).await?;
            if rows > 0 {
                tokio::time::sleep(delay).await;
            }
            let refusing = Instant::now();
            match mode {
                // The owner is not told.
                ShardMode::TwoOwners => {
                    self.copy(&mut from, &mut to, Some(&snapshot), &mut rows).await?;
                }
                ShardMode::Fenced | ShardMode::MoveWithoutTail | ShardMode::DefaultHasher => {
                    self.freeze(&mut from, &to).await?;
                    let ready = match mode {
                        ShardMode::MoveWithoutTail => Ok(()),
                        _ => self.catch_up(&mut from, &mut to, &snapshot, &mut rows).await,
                    };
                    if let Err(error) = ready {
                        self.thaw(&mut from).await?;
                        return Err(error);
                    }
                    self.give_away(&mut from).await?;
                }
            }
            take(to, &[(self.bucket, self.epoch)]).await?;
            refused = refusing.elapsed();
        } else {
            take(to, &[(self.bucket, self.epoch)]).await?;
        }
        if mode != ShardMode::TwoOwners {
            self.forget(&mut from).await?;
        }
        moved.buckets += 1;
        moved.with_doctors += u32::from(rows > 0);
        moved.rows += rows;
        if rows > 0 {
            let ms = u64::try_from(refused.as_millis()).unwrap_or(u64::MAX);
            moved.refused_ms_max = moved.refused_ms_max.max(ms);
        }
        Ok(())
    }

    /// Takes away what an earlier try has copied, of a bucket that is not the shard's own.
    async fn clear(&self, to: &mut Side<'_>) -> Result<(), ShardError> {
        let failed = to.failed();
        let mut transaction = to.database.begin().await.map_err(&failed)?;
        let state =
            sqlx::query_scalar("select state from shard_buckets where bucket = $1 for update");
        let state = state.bind(i32::from(self.bucket)).fetch_optional(&mut *transaction).await;
        let state: Option<String> = state.map_err(&failed)?;
        if state.is_some_and(|state| state != "moved") {
            // Another mover was quicker.
            return Err(ShardError::Rebalancing);
        }
        let doctors = self.doctors(&mut transaction).await.map_err(&failed)?;
        delete(&mut transaction, &doctors).await.map_err(&failed)?;
        transaction.commit().await.map_err(&failed)
    }

    async fn doctors(&self, database: &mut PgConnection) -> Result<Vec<i32>, sqlx::Error> {
        sqlx::query_scalar("select doctor_id from doctors where shard_bucket(doctor_id) = $1")
            .bind(i32::from(self.bucket))
            .fetch_all(database)
            .await
    }

    /// Copies the bucket as it is in one snapshot, or what that snapshot shows and an earlier one
    /// does not. Answers with the snapshot.
    async fn copy(
        &self,
        from: &mut Side<'_>,
        to: &mut Side<'_>,
        since: Option<&str>,
        rows: &mut u64,
    ) -> Result<String, ShardError> {
        let (from_failed, to_failed) = (from.failed(), to.failed());
        let begin = "begin isolation level repeatable read read only";
        let mut source = from.database.begin_with(begin).await.map_err(&from_failed)?;
        let snapshot = sqlx::query_scalar("select pg_current_snapshot()::text");
        let snapshot: String = snapshot.fetch_one(&mut *source).await.map_err(&from_failed)?;
        let doctors = self.doctors(&mut source).await.map_err(&from_failed)?;
        if !doctors.is_empty() {
            let wanted = Rows { doctors: &doctors, since };
            let mut copy = past_the_fence(to.database).await.map_err(&to_failed)?;
            for table in wanted.tables(&mut source).await.map_err(&from_failed)? {
                *rows += table.copy(from.site, &mut source, to.site, &mut copy, &wanted).await?;
            }
            copy.commit().await.map_err(&to_failed)?;
        }
        source.rollback().await.map_err(&from_failed)?;
        Ok(snapshot)
    }

    /// From here on the owner refuses changes. Waits for those under way.
    async fn freeze(&self, from: &mut Side<'_>, to: &Side<'_>) -> Result<(), ShardError> {
        let (failed, begun) = (from.failed(), Instant::now());
        for _ in 0..WAITS_MAX {
            for wait in WAITS {
                let mut transaction = from.database.begin().await.map_err(&failed)?;
                match self.freeze_once(&mut transaction, wait, &to.site.name).await {
                    // It belongs to the owner of this epoch, or to another mover by now.
                    Ok(false) => return Err(ShardError::Rebalancing),
                    Ok(true) => return transaction.commit().await.map_err(&failed),
                    Err(error) if has_no_lock(&error) => {
                        transaction.rollback().await.map_err(&failed)?;
                    }
                    Err(error) => return Err(failed(error)),
                }
            }
        }
        let (bucket, shard) = (self.bucket, from.site.name.clone());
        Err(ShardError::Busy { bucket, shard, waited: begun.elapsed().as_secs() })
    }

    async fn freeze_once(
        &self,
        database: &mut PgConnection,
        wait: &'static str,
        to: &str,
    ) -> Result<bool, sqlx::Error> {
        sqlx::raw_sql(wait).execute(&mut *database).await?;
        let frozen = sqlx::query(
            "
            update shard_buckets set state = 'moving', to_shard = $2
            where bucket = $1 and epoch = $3 and state <> 'moved'
            ",
        )
        .bind(i32::from(self.bucket))
        .bind(to)
        .bind(self.epoch)
        .execute(database)
        .await?;
        Ok(frozen.rows_affected() == 1)
    }

    /// Copies what has changed, and compares.
    async fn catch_up(
        &self,
        from: &mut Side<'_>,
        to: &mut Side<'_>,
        snapshot: &str,
        rows: &mut u64,
    ) -> Result<(), ShardError> {
        self.copy(from, to, Some(snapshot), rows).await?;
        let doctors = self.doctors(from.database).await.map_err(from.failed())?;
        if doctors.is_empty() {
            return Ok(());
        }
        let (here, there) = tokio::join!(
            table::digests(from.database, &doctors),
            table::digests(to.database, &doctors)
        );
        let (here, there) = (here.map_err(from.failed())?, there.map_err(to.failed())?);
        for ((table, here), there) in table::ALL.iter().zip(here).zip(there) {
            if here != there {
                let (bucket, to) = (self.bucket, to.site.name.clone());
                return Err(ShardError::CopyDiffers { bucket, to, table: table.name, here, there });
            }
        }
        Ok(())
    }

    /// The owner goes on as before.
    async fn thaw(&self, from: &mut Side<'_>) -> Result<(), ShardError> {
        sqlx::query(
            "
            update shard_buckets set state = 'owned', to_shard = null
            where bucket = $1 and epoch = $2 and state = 'moving'
            ",
        )
        .bind(i32::from(self.bucket))
        .bind(self.epoch)
        .execute(&mut *from.database)
        .await
        .map(drop)
        .map_err(from.failed())
    }

    async fn give_away(&self, from: &mut Side<'_>) -> Result<(), ShardError> {
        sqlx::query("update shard_buckets set state = 'moved' where bucket = $1 and epoch = $2")
            .bind(i32::from(self.bucket))
            .bind(self.epoch)
            .execute(&mut *from.database)
            .await
            .map(drop)
            .map_err(from.failed())
    }

    /// Deletes the rows that were copied.
    async fn forget(&self, from: &mut Side<'_>) -> Result<(), ShardError> {
        let failed = from.failed();
        let mut transaction = from.database.begin().await.map_err(&failed)?;
        let doctors = self.doctors(&mut transaction).await.map_err(&failed)?;
        delete(&mut transaction, &doctors).await.map_err(&failed)?;
        transaction.commit().await.map_err(&failed)
    }
}

/// A transaction that may write rows of a bucket that the shard does not own.
async fn past_the_fence(database: &mut PgConnection) -> Result<PgTransaction<'_>, sqlx::Error> {
    let mut transaction = database.begin().await?;
    let (setting, value) = PAST_THE_FENCE;
    sqlx::query("select set_config($1, $2, true)")
        .bind(setting)
        .bind(value)
        .execute(&mut *transaction)
        .await?;
    Ok(transaction)
}

async fn delete(database: &mut PgConnection, doctors: &[i32]) -> Result<(), sqlx::Error> {
    if doctors.is_empty() {
        return Ok(());
    }
    for Table { name, .. } in table::ALL.iter().rev() {
        let delete = format!("delete from {name} where doctor_id = any($1)");
        sqlx::query(AssertSqlSafe(delete)).bind(doctors).execute(&mut *database).await?;
    }
    Ok(())
}

/// `lock_not_available`.
fn has_no_lock(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|error| error.code().as_deref() == Some("55P03"))
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

    fn all_of_the_first(shards: usize) -> Vec<Vec<Claim>> {
        let mut claims = vec![Vec::new(); shards];
        claims[0] = (0..BUCKETS).map(|it| claim(it, ClaimState::Owned, 1, None)).collect();
        claims
    }

    #[test]
    fn a_new_shard_gets_what_belongs_to_it_and_a_drained_one_keeps_nothing() {
        let (sites, claims) = (sites(&["a", "b", "c"]), all_of_the_first(3));
        let home = planned(&sites, &claims, &Wanted::Home).expect("a plan");
        assert!((580..=780).contains(&home.len()), "two thirds: {}", home.len());
        let drained = planned(&sites, &claims, &Wanted::Drain("a".to_owned())).expect("a plan");
        assert_eq!(drained.len(), usize::from(BUCKETS));
        assert!(drained.iter().all(|step| step.to != 0));
        let none = planned(&sites, &claims, &Wanted::Drain("b".to_owned())).expect("a plan");
        assert_eq!(none, []);
    }

    #[test]
    fn one_doctor_takes_all_of_his_bucket_along() {
        let (sites, claims) = (sites(&["a", "b"]), all_of_the_first(2));
        let wanted = Wanted::Doctor(DoctorId(1), "b".to_owned());
        let expected = Step { bucket: 632, from: 0, to: 1, state: ClaimState::Owned, epoch: 1 };
        assert_eq!(planned(&sites, &claims, &wanted).expect("a plan"), [expected]);
    }

    #[test]
    fn what_was_interrupted_comes_first_and_goes_where_it_was_going() {
        let (sites, mut claims) = (sites(&["a", "b", "c"]), all_of_the_first(3));
        claims[0][9] = claim(9, ClaimState::Moved, 1, Some("b"));
        claims[0][8] = claim(8, ClaimState::Moving, 1, Some("c"));
        // It has arrived: what its last owner says of it is old.
        claims[0][7] = claim(7, ClaimState::Moved, 1, Some("b"));
        claims[1] = vec![claim(7, ClaimState::Owned, 2, None)];
        let steps = planned(&sites, &claims, &Wanted::Drain("b".to_owned())).expect("a plan");
        let steps: Vec<_> = steps.iter().map(|it| (it.bucket, it.from, it.state)).collect();
        let expected =
            [(8, 0, ClaimState::Moving), (9, 0, ClaimState::Moved), (7, 1, ClaimState::Owned)];
        assert_eq!(steps, expected);
    }

    #[test]
    fn a_shard_that_is_not_there_is_refused_by_name() {
        let claims = all_of_the_first(2);
        let drain = Wanted::Drain("c".to_owned());
        let refused = planned(&sites(&["a", "b"]), &claims, &drain).expect_err("no c");
        assert_eq!(refused.to_string(), "no shard is named c; there are a, b");
        let only = planned(&sites(&["a"]), &claims[..1], &Wanted::Home).expect_err("one");
        assert!(only.is_refusal(), "{only}");
    }
}
