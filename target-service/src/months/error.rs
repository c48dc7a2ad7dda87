//! Why a month is not archived or restored.

use std::{
    io,
    path::{Path, PathBuf},
};

use slotproof_vocabulary::Month;

/// Why a month is not archived or restored.
#[derive(Debug, thiserror::Error)]
pub enum MonthsError {
    /// The database failed.
    #[error("the database failed: {0}; run the same command again")]
    Database(#[from] sqlx::Error),
    /// A file or a directory cannot be read or written.
    #[error("{}: {error}", path.display())]
    File {
        /// Which one.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The tables are not partitioned.
    #[error(
        "the database is not partitioned by month; a service that is started with --months-ahead \
         partitions an empty one"
    )]
    NotPartitioned,
    /// The month was never made.
    #[error("{0} has no partition; slotproof months list shows the months")]
    NoMonth(Month),
    /// Clients may still book in it.
    #[error("{0} is not over (UTC); --closed archives a month that is closed before its end")]
    NotOver(Month),
    /// Seats are held in it.
    #[error("{month} has {holds} holds, which an archive would lose; wait until they have ended")]
    HasHolds {
        /// The month.
        month: Month,
        /// Pending bookings.
        holds: i64,
    },
    /// There is nothing left to archive.
    #[error("{0} is archived already")]
    IsArchived(Month),
    /// There is nothing to restore.
    #[error("{month} is {state} in this database, and only an archived month can be restored")]
    IsNotArchived {
        /// The month.
        month: String,
        /// `open`, `closed`, or `unknown`.
        state: String,
    },
    /// The archive of a month was begun and not ended.
    #[error(
        "the archive of {0} was interrupted; run slotproof months archive again, with the same --into"
    )]
    Interrupted(Month),
    /// A file is not what was written.
    #[error("{} is damaged: {what}; restore it from a backup", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// The archive was taken from a database with other migrations.
    #[error(
        "the archive has schema version {archive} and the database {database}; restore it into a \
         database of its version"
    )]
    OtherSchema {
        /// Of the archive.
        archive: i64,
        /// Of the database.
        database: i64,
    },
}

impl MonthsError {
    pub(super) fn file(path: &Path, error: io::Error) -> Self {
        Self::File { path: path.to_owned(), error }
    }

    /// Whether it is the request that is wrong, and not the machine.
    pub fn is_refusal(&self) -> bool {
        match self {
            Self::Database(_) | Self::File { .. } => false,
            Self::NotPartitioned
            | Self::NoMonth(_)
            | Self::NotOver(_)
            | Self::HasHolds { .. }
            | Self::IsArchived(_)
            | Self::IsNotArchived { .. }
            | Self::Interrupted(_)
            | Self::Damaged { .. }
            | Self::OtherSchema { .. } => true,
        }
    }
}
