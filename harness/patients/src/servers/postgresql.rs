//! PostgreSQL: Slotproof's own stack starts a private server.

use std::str::FromStr;

use anyhow::{Context, Result};
use slotproof_stack::{EnvironmentSpec, StackSpec, Topology, provision};
use sqlx::{AssertSqlSafe, ConnectOptions, Executor, PgConnection, postgres::PgConnectOptions};

use super::{Database, Held};
use crate::patient::{Place, secret};

/// One server and nothing beside it.
const TOPOLOGY: &str = r#"
name = "patient"
summary = "one PostgreSQL"
components = [{ name = "postgresql", kind = "postgresql" }]
service = { database = "postgresql" }
"#;

/// Starts a private server and says its URL.
pub(super) async fn start(place: &Place<'_>) -> Result<(String, Held)> {
    let topology: Topology = toml::from_str(TOPOLOGY).context("read the topology")?;
    let spec = StackSpec { topology, ..StackSpec::single(EnvironmentSpec::Native) };
    let environment = provision(&spec, place.directory, place.guard).await?;
    let url = environment.endpoints.postgres_url().to_owned();
    Ok((url, Held::PrivatePostgresql(Box::new(environment))))
}

pub(super) async fn database(
    patient: &str,
    given: Option<&str>,
    place: &Place<'_>,
) -> Result<Database<PgConnectOptions>> {
    let (url, private) = match given {
        Some(url) => (url.to_owned(), None),
        None => start(place).await.map(|(url, held)| (url, Some(held)))?,
    };
    let admin = PgConnectOptions::from_str(&url).context("read the database URL")?;
    // Patients that share a server share nothing else.
    let name = format!("patient_{patient}_{}", &secret()[..8]);
    let password = secret();
    let mut server = admin.connect().await.context("connect to PostgreSQL")?;
    let held = private.unwrap_or_else(|| Held::GivenPostgresql {
        admin: Box::new(admin.clone()),
        name: name.clone(),
    });
    execute(&mut server, format!("create database {name}")).await?;
    let owner = admin.database(&name);
    let mut own = owner.connect().await?;
    for statement in [
        format!("create role {name}_reader login password '{password}'"),
        format!("alter role {name}_reader set default_transaction_read_only = on"),
        format!("revoke all on database {name} from public"),
        format!("grant connect on database {name} to {name}_reader"),
        "revoke all on schema public from public".to_owned(),
        format!("grant usage on schema public to {name}_reader"),
        format!(
            "alter default privileges in schema public grant select on tables to {name}_reader"
        ),
    ] {
        execute(&mut own, statement).await?;
    }
    let (host, port) = (owner.get_host(), owner.get_port());
    let reader_url = format!("postgres://{name}_reader:{password}@{host}:{port}/{name}");
    Ok(Database { owner, reader_url, held })
}

pub(super) async fn drop_database(admin: &PgConnectOptions, name: &str) {
    let dropped = async {
        let mut server = admin.connect().await?;
        execute(&mut server, format!("drop database {name} with (force)")).await?;
        execute(&mut server, format!("drop role {name}_reader")).await
    };
    if let Err(error) = dropped.await {
        tracing::warn!(%error, name, "failed to drop the patient's database");
    }
}

/// Names and passwords are ours, of letters and digits: statements of this kind take no parameters.
async fn execute(connection: &mut PgConnection, statement: String) -> Result<()> {
    connection.execute(AssertSqlSafe(statement)).await?;
    Ok(())
}
