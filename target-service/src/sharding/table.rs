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
struct Columns {
    all: String,
    /// Those that are no part of its key.
    values: Vec<String>,
}

impl Table {
    /// Copies the rows of these doctors, or those of them that a snapshot does not show. Answers
    /// with how many.
    pub(super) async fn copy(
        &self,
        from: &Site,
        source: &mut PgConnection,
        to: &Site,
        copy: &mut PgConnection,
        doctors: &[i32],
        since: Option<&str>,
    ) -> Result<u64, ShardError> {
        let (from, to) = (|error| from.failed(error), |error| to.failed(error));
        let name = self.name;
        let Columns { all, values } = self.columns(source).await.map_err(from)?;
        let doctors: Vec<_> = doctors.iter().map(i32::to_string).collect();
        let of_doctors = format!("doctor_id = any('{{{}}}')", doctors.join(","));
        let changed = match since.filter(|_| !self.forgets) {
            Some(snapshot) => format!(" and not is_shown(xmin, '{snapshot}')"),
            None => String::new(),
        };
        // Most tables have not changed, and a table to copy into costs more than a look.
        let any = AssertSqlSafe(format!(
            "select exists (select from {name} where {of_doctors}{changed})"
        ));
        let any: bool = sqlx::query_scalar(any).fetch_one(&mut *source).await.map_err(from)?;
        if !any && !self.forgets {
            return Ok(0);
        }
        if self.forgets {
            let delete = AssertSqlSafe(format!("delete from {name} where {of_doctors}"));
            sqlx::raw_sql(delete).execute(&mut *copy).await.map_err(to)?;
        }
        let make =
            AssertSqlSafe(format!("create temp table incoming (like {name}) on commit drop"));
        sqlx::raw_sql(make).execute(&mut *copy).await.map_err(to)?;
        let select =
            format!("copy (select {all} from {name} where {of_doctors}{changed}) to stdout");
        let mut chunks = source.copy_out_raw(&select).await.map_err(from)?;
        let into = format!("copy incoming ({all}) from stdin");
        let mut incoming = copy.copy_in_raw(&into).await.map_err(to)?;
        while let Some(chunk) = chunks.try_next().await.map_err(from)? {
            incoming.send(chunk).await.map_err(to)?;
        }
        drop(chunks);
        let rows = incoming.finish().await.map_err(to)?;
        if rows > 0 {
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
        Ok(rows)
    }

    /// How many rows of these doctors there are, and the sum of their hashes.
    pub(super) async fn digest(
        &self,
        database: &mut PgConnection,
        doctors: &[i32],
    ) -> Result<String, sqlx::Error> {
        let digest = format!(
            "
            select count(*) || ' rows, hash ' || coalesce(sum(hashtextextended(rows::text, 0)::numeric), 0)
            from {} rows where doctor_id = any($1)
            ",
            self.name
        );
        sqlx::query_scalar(AssertSqlSafe(digest)).bind(doctors).fetch_one(database).await
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
