//! Rows or changes by a query, with a role that can only read: a mistake in a query, or in this
//! program, must not change what is judged.

use serde_json::{Map, Value};
use slotproof_scenarios::target::file::SqlList;
use sqlx::{Column, Connection, Executor, MySqlConnection, PgConnection, SqlSafeStr};

/// What a query is to give.
#[derive(Debug, Clone, Copy)]
pub(super) struct Columns {
    /// The section of the file.
    section: &'static str,
    needed: &'static [&'static str],
    /// A column that it may have beside them.
    optional: &'static str,
}

/// The columns of bookings. `key` tells which reserve made one.
pub(super) const ROWS: Columns = Columns {
    section: "[rows.sql]",
    needed: &["booking", "slot", "seats", "status"],
    optional: "key",
};
/// The columns of changes. `available` are the seats that were left after one.
pub(super) const LOG: Columns = Columns {
    section: "[log.sql]",
    needed: &["slot", "version", "booking", "status", "seats"],
    optional: "available",
};

/// What a query gives.
///
/// # Errors
/// The database does not answer, the role can write, or the query does not have the columns.
pub(super) async fn read(
    SqlList { url, query }: &SqlList,
    columns: Columns,
) -> Result<Vec<Map<String, Value>>, String> {
    read_texts(url, query, columns).await.map_err(|error| format!("{}: {error}", columns.section))
}

async fn read_texts(
    url: &str,
    query: &str,
    columns: Columns,
) -> Result<Vec<Map<String, Value>>, String> {
    let scheme = url.split(':').next().unwrap_or_default();
    let texts = match scheme {
        "postgres" | "postgresql" => postgres(url, query, columns).await,
        "mysql" | "mariadb" => mysql(url, query, columns).await,
        _ => {
            Err(format!("a URL of {scheme:?} is not known; it begins with postgres:// or mysql://"))
        }
    }?;
    let object =
        |text: String| serde_json::from_str(&text).map_err(|error| format!("{text}: {error}"));
    texts.into_iter().map(object).collect()
}

async fn postgres(url: &str, query: &str, of: Columns) -> Result<Vec<String>, String> {
    let failed = |error: sqlx::Error| error.to_string();
    let mut connection = PgConnection::connect(url).await.map_err(failed)?;
    let writable: Option<String> = sqlx::query_scalar(
        "
        select oid::regclass::text from pg_class
        where relkind in ('r', 'p', 'v', 'f') and relpersistence = 'p'
            and relnamespace not in ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)
            and (
                has_table_privilege(oid, 'insert, update, delete, truncate')
                or has_any_column_privilege(oid, 'insert, update')
            )
        limit 1
        ",
    )
    .fetch_optional(&mut connection)
    .await
    .map_err(failed)?;
    if let Some(table) = writable {
        return Err(can_write(&format!("the table {table}")));
    }
    let described =
        (&mut connection).describe(sqlx::AssertSqlSafe(query.to_owned()).into_sql_str()).await;
    let described = described.map_err(failed)?;
    of.optional_is_in(described.columns.iter().map(Column::name))?;
    // One statement, and no other: it stands in brackets.
    let whole = format!("select row_to_json(row)::text from ({query}) row");
    let mut transaction = connection.begin_with("begin read only").await.map_err(failed)?;
    sqlx::query_scalar(sqlx::AssertSqlSafe(whole))
        .fetch_all(&mut *transaction)
        .await
        .map_err(failed)
}

async fn mysql(url: &str, query: &str, of: Columns) -> Result<Vec<String>, String> {
    let failed = |error: sqlx::Error| error.to_string();
    let url = url.replacen("mariadb:", "mysql:", 1);
    let mut connection = MySqlConnection::connect(&url).await.map_err(failed)?;
    let grants: Vec<String> =
        sqlx::query_scalar("show grants").fetch_all(&mut connection).await.map_err(failed)?;
    if let Some(grant) = grants.iter().find(|grant| grants_writing(grant)) {
        return Err(can_write(&format!("by the grant {}", without_secret(grant))));
    }
    let described =
        (&mut connection).describe(sqlx::AssertSqlSafe(query.to_owned()).into_sql_str()).await;
    let described = described.map_err(failed)?;
    let more = of.optional_is_in(described.columns.iter().map(Column::name))?;
    let fields: Vec<String> = of
        .needed
        .iter()
        .copied()
        .chain(more.then_some(of.optional))
        .map(|name| format!("'{name}', found.`{name}`"))
        .collect();
    let whole =
        format!("select cast(json_object({}) as char) from ({query}) found", fields.join(", "));
    let mut transaction =
        connection.begin_with("start transaction read only").await.map_err(failed)?;
    sqlx::query_scalar(sqlx::AssertSqlSafe(whole))
        .fetch_all(&mut *transaction)
        .await
        .map_err(failed)
}

impl Columns {
    /// Whether the query has the optional column too.
    fn optional_is_in<'a>(self, names: impl Iterator<Item = &'a str>) -> Result<bool, String> {
        let names: Vec<&str> = names.collect();
        match self.needed.iter().find(|needed| !names.contains(needed)) {
            Some(missing) => Err(format!(
                "the query has no column {missing}; it has {}. It needs {}, and may have {}",
                names.join(", "),
                self.needed.join(", "),
                self.optional
            )),
            None => Ok(names.contains(&self.optional)),
        }
    }
}

fn can_write(what: &str) -> String {
    format!(
        "the database role can write ({what}); give a role that can only read, so that \
         nothing here can change what is judged"
    )
}

/// Whether a grant of MySQL or MariaDB allows more than reading.
fn grants_writing(grant: &str) -> bool {
    let allowed = grant.strip_prefix("GRANT ").and_then(|rest| rest.split(" ON ").next());
    let reading = ["USAGE", "SELECT", "SHOW VIEW", "SHOW DATABASES", "PROCESS", "BINLOG MONITOR"];
    let allowed = allowed.unwrap_or_default().split(',').map(str::trim);
    // `SELECT (column, column)` is a grant on columns.
    let mut rights = allowed.map(|right| right.split(" (").next().unwrap_or(right));
    rights.any(|right| !reading.contains(&right) && !right.ends_with(')'))
}

/// MariaDB shows the hash of a password in its grants.
fn without_secret(grant: &str) -> &str {
    grant.split(" IDENTIFIED ").next().unwrap_or(grant)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grant_that_allows_more_than_reading_is_found() {
        for reading in [
            "GRANT USAGE ON *.* TO `r`@`%` IDENTIFIED BY PASSWORD '*2470C0C06DEE42FD'",
            "GRANT SELECT ON `shop`.* TO `r`@`%`",
            "GRANT SELECT, SHOW VIEW ON `shop`.* TO `r`@`%`",
            "GRANT SELECT (`id`, `event`) ON `shop`.`orders` TO `r`@`%`",
        ] {
            assert!(!grants_writing(reading), "{reading}");
        }
        for writing in [
            "GRANT ALL PRIVILEGES ON *.* TO `root`@`localhost` WITH GRANT OPTION",
            "GRANT SELECT, INSERT ON `shop`.* TO `r`@`%`",
            "GRANT DELETE ON `shop`.`orders` TO `r`@`%`",
        ] {
            assert!(grants_writing(writing), "{writing}");
        }
        let grant = "GRANT ALL ON *.* TO `r`@`%` IDENTIFIED BY PASSWORD '*24'";
        assert!(!can_write(without_secret(grant)).contains("*24"));
    }

    #[test]
    fn a_query_without_a_column_of_rows_is_refused_by_its_name() {
        let row = ["booking", "slot", "seats", "status"];
        assert_eq!(ROWS.optional_is_in(row.into_iter()), Ok(false));
        assert_eq!(ROWS.optional_is_in(["key"].into_iter().chain(row)), Ok(true));
        let error = ROWS.optional_is_in(row.into_iter().filter(|it| *it != "seats"));
        let error = error.expect_err("seats");
        assert!(error.contains("no column seats; it has booking, slot, status"), "{error}");
    }
}
