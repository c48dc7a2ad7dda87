//! What Citus asks of tables that it distributes, asked of ours: PostgreSQL's catalogue knows it. No
//! Citus runs here.

use std::collections::BTreeSet;

use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::stack::{Service, eventually, fresh_database};

const MIGRATION: &str =
    include_str!("../../../target-service/migrations/distributed/3001_citus.sql");

/// Functions of Citus's names, which write down what they are called for.
const STAND_INS: &str = "
    create table called (relation regclass not null primary key, distributed_by text, colocated_with regclass);
    create function create_reference_table(regclass) returns void
        language sql begin atomic insert into called values ($1); end;
    create function create_distributed_table(regclass, text, colocate_with text default null) returns void
        language sql begin atomic insert into called values ($1, $2, to_regclass($3)); end;
";

async fn all(database: &mut PgConnection, question: &'static str) -> BTreeSet<String> {
    let rows: Vec<String> = sqlx::query_scalar(question).fetch_all(database).await.expect("rows");
    rows.into_iter().collect()
}

#[tokio::test]
async fn the_tables_are_as_citus_asks_and_the_migration_says_each_once() {
    let url = fresh_database().await;
    let service =
        Service::start_with("conditional", &[("SLOTPROOF_DATABASE_URL", url.as_str())]).await;
    eventually("the schema is there", async || service.get("/readyz").await.status() == 200).await;
    let mut database = PgConnection::connect(&url).await.expect("the database answers");
    let tables = all(
        &mut database,
        "select relname::text from pg_class where relkind = 'r' \
         and relnamespace = 'public'::regnamespace",
    )
    .await;

    let mut transaction = database.begin().await.expect("a transaction");
    sqlx::raw_sql(STAND_INS).execute(&mut *transaction).await.expect("stand-ins");
    let migration = MIGRATION.replace("create extension if not exists citus;", "");
    assert_ne!(migration, MIGRATION);
    sqlx::raw_sql(AssertSqlSafe(migration))
        .execute(&mut *transaction)
        .await
        .expect("each table once");

    let said = all(&mut transaction, "select relation::text from called").await;
    let left: BTreeSet<_> = tables.difference(&said).map(String::as_str).collect();
    assert_eq!(left, BTreeSet::from(["_sqlx_migrations", "primary_heartbeat"]));
    let apart = "select relation::text from called where distributed_by is not null \
         and (distributed_by <> 'doctor_id' \
              or colocated_with is distinct from nullif('appointment_slots', relation::text)::regclass)";
    assert_eq!(all(&mut transaction, apart).await, BTreeSet::new(), "all lie where the slot lies");

    let keys = "
        select indexrelid::regclass::text from pg_index
        join called on relation = indrelid and distributed_by is not null
        where indisunique
            and (select attnum from pg_attribute where attrelid = indrelid and attname = distributed_by) <> all (indkey)";
    assert_eq!(all(&mut transaction, keys).await, BTreeSet::new(), "unique keys have it");

    let references = "
        select conname::text from pg_constraint
        left join called here on here.relation = conrelid
        left join called there on there.relation = confrelid
        where contype = 'f' and (
            here.relation is null or there.relation is null
            or here.distributed_by is null and there.distributed_by is not null
            or there.distributed_by is not null and not (
                (select attname from pg_attribute where attrelid = conrelid and attnum = conkey[1]) = here.distributed_by
                and (select attname from pg_attribute where attrelid = confrelid and attnum = confkey[1]) = there.distributed_by
            )
        )";
    assert_eq!(all(&mut transaction, references).await, BTreeSet::new(), "rows and what they name");

    let numbers = "
        select attrelid::regclass || '.' || attname from pg_attribute
        join called on relation = attrelid and distributed_by is not null
        where attidentity <> '' and atttypid <> 'bigint'::regtype";
    assert_eq!(all(&mut transaction, numbers).await, BTreeSet::new(), "numbers of 64 bits");

    let triggers = "
        select distinct tgfoid::regproc::text from pg_trigger
        join called on relation = tgrelid where not tgisinternal";
    let harmless = BTreeSet::from(["set_updated_at".to_owned()]);
    assert_eq!(all(&mut transaction, triggers).await, harmless, "they change their own row only");
}
