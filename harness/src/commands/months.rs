//! `slotproof months`: the months of a partitioned database, in it and in files.

use std::path::PathBuf;

use anyhow::Result;
use slotproof_target_service::months::{self, Archivable, Manifest};
use slotproof_vocabulary::Month;

use super::{init_tracing, interruptible, runtime};
use crate::exit_code::{self, Code};

const EXAMPLES: &str = "Examples:
  slotproof months list --database-url postgres://me@127.0.0.1/booking
      one line of JSON for each month: open, closed or archived, its slots, bookings and holds

  slotproof months archive 2026-10 --into archive --database-url postgres://me@127.0.0.1/booking
      writes a month that is over to archive/2026-10, and takes it out of the database

  slotproof months restore archive/2026-10 --database-url postgres://me@127.0.0.1/booking
      brings it back, to be read";

/// Subcommands of `slotproof months`.
#[derive(Debug, clap::Subcommand)]
#[command(after_help = EXAMPLES)]
pub(crate) enum Command {
    /// List the months, by time.
    #[command(after_help = EXAMPLES)]
    List(Database),
    /// Write a month to files and take it out of the database. A month that is not over, or that has
    /// holds, is refused.
    #[command(after_help = EXAMPLES)]
    Archive(ArchiveArgs),
    /// Bring an archived month back, as a closed one.
    #[command(after_help = EXAMPLES)]
    Restore(RestoreArgs),
}

/// Where the months are.
#[derive(Debug, clap::Args)]
pub(crate) struct Database {
    /// The database of a service that was started with --months-ahead.
    #[arg(long, env = "SLOTPROOF_DATABASE_URL", hide_env_values = true)]
    database_url: String,
}

/// Arguments of `slotproof months archive`.
#[derive(Debug, clap::Args)]
pub(crate) struct ArchiveArgs {
    /// The month, in UTC: 2026-10
    month: Month,

    /// The directory in which it gets one of its name: a CSV file per table, compressed with zstd, and
    /// a manifest.
    #[arg(long, value_name = "DIRECTORY")]
    into: PathBuf,

    /// Close the month first, although it is not over.
    #[arg(long)]
    closed: bool,

    #[command(flatten)]
    database: Database,
}

/// Arguments of `slotproof months restore`.
#[derive(Debug, clap::Args)]
pub(crate) struct RestoreArgs {
    /// The directory of the month.
    directory: PathBuf,

    #[command(flatten)]
    database: Database,
}

pub(crate) fn exec(command: Command) -> Result<Code> {
    init_tracing();
    runtime()?.block_on(interruptible(async {
        match &command {
            Command::List(Database { database_url }) => {
                for month in months::list(database_url).await? {
                    out!("{}", serde_json::to_string(&month)?);
                }
            }
            Command::Archive(ArchiveArgs { month, into, closed, database }) => {
                let which = if *closed { Archivable::Closed } else { Archivable::Over };
                let url = &database.database_url;
                show("archived", &months::archive(url, *month, into, which).await?)?;
            }
            Command::Restore(RestoreArgs { directory, database }) => {
                show("restored", &months::restore(&database.database_url, directory).await?)?;
            }
        }
        Ok(exit_code::UPHELD)
    }))
}

fn show(done: &str, manifest: &Manifest) -> Result<()> {
    out!("{}", serde_json::to_string(manifest)?);
    let rows: u64 = manifest.tables.iter().map(|table| table.rows).sum();
    let bytes: u64 = manifest.tables.iter().map(|table| table.bytes).sum();
    note!("{} {done}: {rows} rows, {bytes} bytes compressed", manifest.month);
    Ok(())
}
