//! A month out of the database into files, and back.
//!
//! Bookings go first and slots after them, because a slot cannot go while a booking points at it;
//! on the way back it is the other way round. The month is closed before anything is copied, so that
//! the files hold all of it, and its partitions go when the files are on disk. A command that was
//! interrupted is run again, and goes on where it ended.

use std::{
    fs::{self, File},
    io::Read,
    path::Path,
};

use futures::TryStreamExt;
use serde::Serialize;
use slotproof_vocabulary::Month;
use sqlx::{AssertSqlSafe, Connection, PgConnection, Row};

use super::{ArchivedTable, Manifest, MonthsError, manifest::TableFile};
use crate::routing::month_key;

/// In the order in which they are copied back.
const TABLES: [&str; 3] = ["appointment_slots", "slot_seats", "bookings"];
/// What is read of a file at once.
const CHUNK_BYTES: usize = 64 * 1024;

/// A month of the database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Listed {
    /// The month: `2026-10`.
    pub month: String,
    /// `open`, `closed` or `archived`.
    pub state: String,
    /// Slots that start in it; 0 of an archived month, as in all that follow.
    pub slots: i64,
    /// Their bookings.
    pub bookings: i64,
    /// Those of them that are pending.
    pub holds: i64,
    /// Size of both partitions with their indexes.
    pub bytes: i64,
}

/// Which months may be archived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Archivable {
    /// Those that are over.
    Over,
    /// Others too, which are closed from then on.
    Closed,
}

/// The months, by time.
///
/// # Errors
/// See [`MonthsError`].
pub async fn list(url: &str) -> Result<Vec<Listed>, MonthsError> {
    let mut database = connect(url).await?;
    let rows = sqlx::query(
        "
        select to_char(slot_month, 'YYYY-MM') as month, state,
            (select count(*) from appointment_slots slot where slot.slot_month = months.slot_month) as slots,
            (select count(*) from bookings where bookings.slot_month = months.slot_month) as bookings,
            (select count(*) from bookings
                where bookings.slot_month = months.slot_month and status = 'pending') as holds,
            (select coalesce(sum(pg_total_relation_size(to_regclass(partition_of(parent, slot_month)))), 0)::bigint
                from unnest(array['appointment_slots', 'bookings']) parent) as bytes
        from months order by slot_month
        ",
    )
    .fetch_all(&mut database)
    .await?;
    let listed = rows.iter().map(|row| {
        Ok(Listed {
            month: row.try_get("month")?,
            state: row.try_get("state")?,
            slots: row.try_get("slots")?,
            bookings: row.try_get("bookings")?,
            holds: row.try_get("holds")?,
            bytes: row.try_get("bytes")?,
        })
    });
    listed.collect()
}

/// Writes a month to `into/2026-10/`, and takes it out of the database.
///
/// # Errors
/// See [`MonthsError`]. A month that is refused stays as it was. If it fails later, the month is
/// closed, and nothing of it is lost.
pub async fn archive(
    url: &str,
    month: Month,
    into: &Path,
    which: Archivable,
) -> Result<Manifest, MonthsError> {
    let mut database = connect(url).await?;
    let begun = close(&mut database, month, which).await?;
    let directory = into.join(month.to_string());
    let manifest = match (Manifest::is_in(&directory), begun) {
        (true, _) => Manifest::read(&directory)?,
        (false, Begun::Closed) => write(&mut database, month, &directory).await?,
        (false, Begun::Removed) => return Err(MonthsError::Interrupted(month)),
    };
    remove(&mut database, month, &manifest, &directory).await?;
    Ok(manifest)
}

/// How far the archive of a month has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Begun {
    /// All of it is in the database.
    Closed,
    /// Its files are complete, and some of it may be gone from the database.
    Removed,
}

/// Closes a month that may be archived, unless it is closed.
async fn close(
    database: &mut PgConnection,
    month: Month,
    which: Archivable,
) -> Result<Begun, MonthsError> {
    let row = sqlx::query(
        "
        select state, slot_month + interval '1 month' <= clock_timestamp() at time zone 'UTC' as is_over,
            (select count(*) from bookings
                where bookings.slot_month = months.slot_month and status = 'pending') as holds,
            to_regclass(partition_of('appointment_slots', slot_month)) is null as is_gone
        from months where slot_month = $1
        ",
    )
    .bind(month_key(month))
    .fetch_optional(&mut *database)
    .await?
    .ok_or(MonthsError::NoMonth(month))?;
    let (is_over, is_gone): (bool, bool) = (row.try_get("is_over")?, row.try_get("is_gone")?);
    match row.try_get("state")? {
        "archived" if is_gone => return Err(MonthsError::IsArchived(month)),
        "archived" => return Ok(Begun::Removed),
        "closed" => return Ok(Begun::Closed),
        _ if !is_over && which == Archivable::Over => return Err(MonthsError::NotOver(month)),
        _ => {}
    }
    let closing = sqlx::query_scalar("select close_month($1)").bind(month_key(month));
    let is_closed: bool = closing.fetch_one(database).await?;
    // It may have been closed by the service, or a hold may have come or gone, since it was read.
    let holds = row.try_get::<i64, _>("holds")?.max(1);
    if is_closed { Ok(Begun::Closed) } else { Err(MonthsError::HasHolds { month, holds }) }
}

/// Copies the closed month to a directory, which has its name when it is complete.
async fn write(
    database: &mut PgConnection,
    month: Month,
    directory: &Path,
) -> Result<Manifest, MonthsError> {
    let partial = directory.with_extension("partial");
    if partial.exists() {
        fs::remove_dir_all(&partial).map_err(|error| MonthsError::file(&partial, error))?;
    }
    fs::create_dir_all(&partial).map_err(|error| MonthsError::file(&partial, error))?;
    let mut tables = Vec::new();
    for table in TABLES {
        tables.push(copy_out(database, month, table, &partial).await?);
    }
    let schema_version = schema_version(database).await?;
    let manifest = Manifest { month: month.to_string(), schema_version, tables };
    manifest.write(&partial)?;
    let renamed = fs::rename(&partial, directory);
    let parent = directory.parent().filter(|it| !it.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new("."));
    let renamed = renamed.and_then(|()| File::open(parent)).and_then(|it| it.sync_all());
    renamed.map_err(|error| MonthsError::file(directory, error))?;
    Ok(manifest)
}

async fn copy_out(
    database: &mut PgConnection,
    month: Month,
    table: &str,
    directory: &Path,
) -> Result<ArchivedTable, MonthsError> {
    let columns: Vec<String> = sqlx::query_scalar(
        "
        select attname::text from pg_attribute
        where attrelid = to_regclass($1) and attnum > 0 and not attisdropped order by attnum
        ",
    )
    .bind(table)
    .fetch_all(&mut *database)
    .await?;
    let rows = rows_of(database, table, month).await?;
    let mut file = TableFile::create(directory, table)?;
    // The first columns are those of the key.
    let copy = format!(
        "copy (select {} from {table} where slot_month = '{}' order by 1, 2, 3, 4) to stdout (format csv, header)",
        columns.join(", "),
        month_key(month)
    );
    let mut chunks = database.copy_out_raw(&copy).await?;
    while let Some(chunk) = chunks.try_next().await? {
        file.write(&chunk)?;
    }
    let (bytes, sha256) = file.end()?;
    Ok(ArchivedTable { table: table.to_owned(), columns, rows, bytes, sha256 })
}

async fn rows_of(
    database: &mut PgConnection,
    table: &str,
    month: Month,
) -> Result<u64, MonthsError> {
    let count = format!("select count(*) from {table} where slot_month = $1");
    let count = sqlx::query_scalar(AssertSqlSafe(count)).bind(month_key(month));
    let rows: i64 = count.fetch_one(database).await?;
    Ok(rows.unsigned_abs())
}

/// Takes the partitions out, whose rows are in the files.
async fn remove(
    database: &mut PgConnection,
    month: Month,
    manifest: &Manifest,
    directory: &Path,
) -> Result<(), MonthsError> {
    for table in &manifest.tables {
        let rows = rows_of(database, &table.table, month).await?;
        // None are left where an archive goes on that was interrupted.
        if rows != 0 && rows != table.rows {
            let what = format!("it has {} rows and the database {rows}", table.rows);
            return Err(MonthsError::Damaged { path: table.path(directory), what });
        }
    }
    // From now on clients are told so, whatever they find.
    sqlx::query("update months set state = 'archived' where slot_month = $1")
        .bind(month_key(month))
        .execute(&mut *database)
        .await?;
    detach(database, "bookings", month).await?;
    sqlx::query("delete from slot_seats where slot_month = $1")
        .bind(month_key(month))
        .execute(&mut *database)
        .await?;
    detach(database, "appointment_slots", month).await
}

/// Detaches and drops a partition. Concurrently: it waits for those who use it, and keeps nobody
/// else waiting; so it cannot be in a transaction.
async fn detach(database: &mut PgConnection, table: &str, month: Month) -> Result<(), MonthsError> {
    let partition = partition_of(database, table, month).await?;
    let is_pending = sqlx::query_scalar(
        "select inhdetachpending from pg_inherits where inhrelid = to_regclass($1)",
    );
    let is_pending: Option<bool> =
        is_pending.bind(&partition).fetch_optional(&mut *database).await?;
    if let Some(is_pending) = is_pending {
        let how = if is_pending { "finalize" } else { "concurrently" };
        let detach = format!("alter table {table} detach partition {partition} {how}");
        sqlx::raw_sql(AssertSqlSafe(detach)).execute(&mut *database).await?;
    }
    let drop = format!("drop table if exists {partition}");
    sqlx::raw_sql(AssertSqlSafe(drop)).execute(database).await?;
    Ok(())
}

async fn partition_of(
    database: &mut PgConnection,
    table: &str,
    month: Month,
) -> Result<String, MonthsError> {
    let name = sqlx::query_scalar("select partition_of($1, $2)").bind(table).bind(month_key(month));
    Ok(name.fetch_one(database).await?)
}

/// Brings an archived month back from its directory, as a closed one: all of it or nothing.
///
/// # Errors
/// See [`MonthsError`]. The database is then as it was.
pub async fn restore(url: &str, directory: &Path) -> Result<Manifest, MonthsError> {
    let manifest = Manifest::read(directory)?;
    let unreadable = |_| MonthsError::Damaged {
        path: directory.to_owned(),
        what: format!("{:?} is not a month", manifest.month),
    };
    let month: Month = manifest.month.parse().map_err(unreadable)?;
    let mut database = connect(url).await?;
    let version = schema_version(&mut database).await?;
    if version != manifest.schema_version {
        return Err(MonthsError::OtherSchema {
            archive: manifest.schema_version,
            database: version,
        });
    }
    let mut transaction = database.begin().await?;
    let state = sqlx::query_scalar("select state from months where slot_month = $1 for update");
    let state: Option<String> =
        state.bind(month_key(month)).fetch_optional(&mut *transaction).await?;
    let state = state.unwrap_or_else(|| "unknown".to_owned());
    if state != "archived" {
        return Err(MonthsError::IsNotArchived { month: manifest.month, state });
    }
    let slots = partition_of(&mut transaction, "appointment_slots", month).await?;
    let bookings = partition_of(&mut transaction, "bookings", month).await?;
    let is_there = sqlx::query_scalar("select to_regclass($1) is not null").bind(&slots);
    if is_there.fetch_one(&mut *transaction).await? {
        return Err(MonthsError::Interrupted(month));
    }
    // Copied before they are attached: the parents are locked from then on.
    for (table, partition, storage) in
        [("appointment_slots", &slots, "with (fillfactor = 50)"), ("bookings", &bookings, "")]
    {
        let make = sqlx::query("select make_partition($1, $2, $3)");
        let make = make.bind(table).bind(month_key(month)).bind(storage);
        make.execute(&mut *transaction).await?;
        copy_in(&mut transaction, &manifest, table, partition, directory).await?;
        // With this check PostgreSQL need not read the rows again to attach them.
        let check = format!(
            "alter table {partition} add constraint in_month check (slot_month = '{}')",
            month_key(month)
        );
        sqlx::raw_sql(AssertSqlSafe(check)).execute(&mut *transaction).await?;
    }
    for (table, partition) in [("appointment_slots", &slots), ("bookings", &bookings)] {
        let attach = sqlx::query("select attach_partition($1, $2)").bind(table);
        attach.bind(month_key(month)).execute(&mut *transaction).await?;
        let drop = format!("alter table {partition} drop constraint in_month");
        sqlx::raw_sql(AssertSqlSafe(drop)).execute(&mut *transaction).await?;
    }
    copy_in(&mut transaction, &manifest, "slot_seats", "slot_seats", directory).await?;
    let close = sqlx::query("select refuse_changes($1), refuse_changes($2)");
    close.bind(&slots).bind(&bookings).execute(&mut *transaction).await?;
    sqlx::query("update months set state = 'closed' where slot_month = $1")
        .bind(month_key(month))
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await?;
    Ok(manifest)
}

async fn copy_in(
    database: &mut PgConnection,
    manifest: &Manifest,
    table: &str,
    into: &str,
    directory: &Path,
) -> Result<(), MonthsError> {
    let archived = manifest.tables.iter().find(|it| it.table == table);
    let archived = archived.ok_or_else(|| MonthsError::Damaged {
        path: directory.to_owned(),
        what: format!("the manifest has no {table}"),
    })?;
    let path = archived.path(directory);
    let file = |error| MonthsError::file(&path, error);
    let mut decoder = File::open(&path).and_then(zstd::Decoder::new).map_err(file)?;
    let copy =
        format!("copy {into} ({}) from stdin (format csv, header)", archived.columns.join(", "));
    let mut copying = database.copy_in_raw(&copy).await?;
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        match decoder.read(&mut chunk).map_err(file)? {
            0 => break,
            bytes => copying.send(&chunk[..bytes]).await?,
        };
    }
    let rows = copying.finish().await?;
    if rows != archived.rows {
        let what = format!("it has {rows} rows and the manifest {}", archived.rows);
        return Err(MonthsError::Damaged { path, what });
    }
    Ok(())
}

async fn schema_version(database: &mut PgConnection) -> Result<i64, MonthsError> {
    let newest = sqlx::query_scalar("select max(version) from _sqlx_migrations where success");
    Ok(newest.fetch_one(database).await?)
}

async fn connect(url: &str) -> Result<PgConnection, MonthsError> {
    let mut database = PgConnection::connect(url).await?;
    let is_partitioned = sqlx::query_scalar("select to_regclass('months') is not null");
    if !is_partitioned.fetch_one(&mut database).await? {
        return Err(MonthsError::NotPartitioned);
    }
    // Requests queue up behind whoever waits for a lock.
    sqlx::raw_sql("set lock_timeout = '10s'").execute(&mut database).await?;
    Ok(database)
}
