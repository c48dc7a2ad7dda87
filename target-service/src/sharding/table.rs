//! Rows of doctors, copied from one shard to another.

use futures::TryStreamExt;
use sqlx::{AssertSqlSafe, PgConnection};

use super::{ShardError, Site};

/// A table whose rows belong to doctors.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) name: &'static str,
    /// Rows are deleted from it: what an earlier copy has may be gone.
    forgets: bool,
}

const fn keeps(name: &'static str) -> Table {
    Table { name, forgets: false }
}

/// Those that others point at come first.
pub(super) const ALL: [Table; 10] = [
    keeps("doctors"),
    keeps("appointment_slots"),
    keeps("slot_seats"),
    keeps("bookings"),
    keeps("booking_audit"),
    keeps("idempotency_keys"),
    Table { name: "outbox", forgets: true },
    keeps("applied_events"),
    keeps("notifications"),
    keeps("analytics"),
];

/// The columns of a table.
#[derive(Debug)]
struct Columns {
    all: String,
    /// Those that are no part of its key.
    values: Vec<String>,
}

/// Which rows are copied.
pub(super) struct Rows<'a> {
    /// Of these doctors.
    pub(super) doctors: &'a [i32],
    /// Those of them that this snapshot does not show; all without one.
    pub(super) since: Option<&'a str>,
}

impl Rows<'_> {
    fn of_doctors(&self) -> String {
        let doctors: Vec<_> = self.doctors.iter().map(i32::to_string).collect();
        format!("doctor_id = any('{{{}}}')", doctors.join(","))
    }

    /// A condition. Of a table that forgets rows all are wanted.
    fn of(&self, table: &Table) -> String {
        match self.since.filter(|_| !table.forgets) {
            Some(snapshot) => format!("{} and not is_shown(xmin, '{snapshot}')", self.of_doctors()),
            None => self.of_doctors(),
        }
    }

    /// The tables that have such rows. Most have not changed since a snapshot, and a table to copy
    /// into costs more than this look at all of them.
    pub(super) async fn tables(
        &self,
        source: &mut PgConnection,
    ) -> Result<Vec<&'static Table>, sqlx::Error> {
        let exists = ALL
            .iter()
            .map(|table| format!("exists (select from {} where {})", table.name, self.of(table)));
        let look = format!("select array[{}]", exists.collect::<Vec<_>>().join(", "));
        let have: Vec<bool> = sqlx::query_scalar(AssertSqlSafe(look)).fetch_one(source).await?;
        let wanted = ALL.iter().zip(have).filter(|(table, has)| *has || table.forgets);
        Ok(wanted.map(|(table, _)| table).collect())
    }
}

/// How many rows of these doctors each table has, and the sum of their hashes.
pub(super) async fn digests(
    database: &mut PgConnection,
    doctors: &[i32],
) -> Result<Vec<String>, sqlx::Error> {
    let digests = ALL.iter().enumerate().map(|(number, table)| {
        format!(
            "
            select {number} as number,
                count(*) || ' rows, hash ' || coalesce(sum(hashtextextended(rows::text, 0)::numeric), 0) as digest
            from {} rows where doctor_id = any($1)
            ",
            table.name
        )
    });
    let all = digests.collect::<Vec<_>>().join(" union all ");
    sqlx::query_scalar(AssertSqlSafe(format!("select digest from ({all}) digests order by number")))
        .bind(doctors)
        .fetch_all(database)
        .await
}

impl Table {
    /// Copies rows. Answers with how many.
    pub(super) async fn copy(
        &self,
        from: &Site,
        source: &mut PgConnection,
        to: &Site,
        copy: &mut PgConnection,
        rows: &Rows<'_>,
    ) -> Result<u64, ShardError> {
        let (from, to) = (|error| from.failed(error), |error| to.failed(error));
        let name = self.name;
        let Columns { all, values } = self.columns(source).await.map_err(from)?;
        if self.forgets {
            let delete = format!("delete from {name} where {}", rows.of_doctors());
            sqlx::raw_sql(AssertSqlSafe(delete)).execute(&mut *copy).await.map_err(to)?;
        }
        let make =
            AssertSqlSafe(format!("create temp table incoming (like {name}) on commit drop"));
        sqlx::raw_sql(make).execute(&mut *copy).await.map_err(to)?;
        let select = format!("copy (select {all} from {name} where {}) to stdout", rows.of(self));
        let mut chunks = source.copy_out_raw(&select).await.map_err(from)?;
        let into = format!("copy incoming ({all}) from stdin");
        let mut incoming = copy.copy_in_raw(&into).await.map_err(to)?;
        while let Some(chunk) = chunks.try_next().await.map_err(from)? {
            incoming.send(chunk).await.map_err(to)?;
        }
        drop(chunks);
        let copied = incoming.finish().await.map_err(to)?;
        if copied > 0 {
            let set = match values.is_empty() {
                true => "nothing".to_owned(),
                false => {
                    let value = |column: &String| format!("{column} = excluded.{column}");
                    let values: Vec<_> = values.iter().map(value).collect();
                    format!("update set {}", values.join(", "))
                }
            };
            let insert = AssertSqlSafe(format!(
                "insert into {name} ({all}) overriding system value select {all} from incoming
                on conflict on constraint {name}_pkey do {set}"
            ));
            sqlx::raw_sql(insert).execute(&mut *copy).await.map_err(to)?;
        }
        sqlx::raw_sql("drop table incoming").execute(&mut *copy).await.map_err(to)?;
        Ok(copied)
    }

    async fn columns(&self, database: &mut PgConnection) -> Result<Columns, sqlx::Error> {
        let columns: Vec<(String, bool)> = sqlx::query_as(
            "
            select attname::text, attnum = any(indkey)
            from pg_attribute join pg_index on indrelid = attrelid and indisprimary
            where attrelid = to_regclass($1) and attnum > 0 and not attisdropped order by attnum
            ",
        )
        .bind(self.name)
        .fetch_all(database)
        .await?;
        let all: Vec<&str> = columns.iter().map(|(name, _)| name.as_str()).collect();
        let all = all.join(", ");
        let values = columns.into_iter().filter(|(_, is_key)| !is_key).map(|(name, _)| name);
        Ok(Columns { all, values: values.collect() })
    }
}
