//! The database servers of the patients: private ones, or one that is given by its URL.

mod mariadb;
mod postgresql;

use anyhow::Result;
use axum::Router;
use slotproof_stack::{Environment, process::Process};
use sqlx::{mysql::MySqlConnectOptions, postgres::PgConnectOptions};

use crate::patient::{Patient, Place};

/// A server that runs already.
#[derive(Debug, clap::Args)]
pub(crate) struct Given {
    /// A server that runs already, by the URL of a role that may create databases and roles; a
    /// database is made in it, and dropped at the end [default: a private server]
    #[arg(long, value_name = "URL")]
    database_url: Option<String>,
}

/// A fresh database for one patient.
pub(crate) struct Database<O> {
    /// How its owner connects.
    pub(crate) owner: O,
    /// The URL of a role that can read everything in it and write nothing.
    pub(crate) reader_url: String,
    pub(crate) held: Held,
}

/// What must be ended with the patient.
pub(crate) enum Held {
    Nothing,
    PrivatePostgresql(Box<Environment>),
    PrivateMariadb(Box<Process>),
    GivenPostgresql { admin: Box<PgConnectOptions>, name: String },
    GivenMariadb { admin: Box<MySqlConnectOptions>, name: String },
}

impl Held {
    /// Ends a private server; in a given one, drops what was made.
    pub(crate) async fn end(self) {
        match self {
            Self::Nothing => {}
            Self::PrivatePostgresql(environment) => environment.stop().await,
            Self::PrivateMariadb(process) => process.stop(mariadb::STOP_WITHIN).await,
            Self::GivenPostgresql { admin, name } => postgresql::drop_database(&admin, &name).await,
            Self::GivenMariadb { admin, name } => mariadb::drop_database(&admin, &name).await,
        }
    }
}

/// The servers that can be started alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Kind {
    Postgresql,
    Mariadb,
}

/// A PostgreSQL database for the patient `name`.
pub(crate) async fn postgresql(
    name: &str,
    given: &Given,
    place: &Place<'_>,
) -> Result<Database<PgConnectOptions>> {
    postgresql::database(name, given.database_url.as_deref(), place).await
}

/// A MariaDB database for the patient `name`.
pub(crate) async fn mariadb(
    name: &str,
    given: &Given,
    place: &Place<'_>,
) -> Result<Database<MySqlConnectOptions>> {
    mariadb::database(name, given.database_url.as_deref(), place).await
}

/// A private server and no patient.
pub(crate) async fn alone(kind: Kind, place: &Place<'_>) -> Result<Patient> {
    let (url, held) = match kind {
        Kind::Postgresql => postgresql::start(place).await?,
        Kind::Mariadb => mariadb::start(place).await?,
    };
    Ok(Patient { router: Router::new(), variables: vec![("DATABASE_URL", url)], held })
}
