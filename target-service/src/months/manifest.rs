//! What an archive says of itself, and its files.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::MonthsError;

const MANIFEST: &str = "manifest.json";

/// An archived month: what lies in its directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The month: `2026-10`.
    pub month: String,
    /// The newest migration of the database that it was taken from.
    pub schema_version: i64,
    /// A file for each table.
    pub tables: Vec<ArchivedTable>,
}

/// The rows of a month of one table: CSV with a header, compressed with zstd.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArchivedTable {
    /// The table.
    pub table: String,
    /// Its columns, in the order of the file.
    pub columns: Vec<String>,
    /// Rows.
    pub rows: u64,
    /// Bytes of the file.
    pub bytes: u64,
    /// SHA-256 of the file, in hexadecimal.
    pub sha256: String,
}

impl ArchivedTable {
    pub(super) fn path(&self, directory: &Path) -> PathBuf {
        path_of(directory, &self.table)
    }
}

fn path_of(directory: &Path, table: &str) -> PathBuf {
    directory.join(format!("{table}.csv.zst"))
}

impl Manifest {
    /// Whether an archive is complete: its manifest is written last.
    pub(super) fn is_in(directory: &Path) -> bool {
        directory.join(MANIFEST).exists()
    }

    /// Reads a manifest, and holds every file against it.
    pub(super) fn read(directory: &Path) -> Result<Self, MonthsError> {
        let path = directory.join(MANIFEST);
        let text = fs::read(&path).map_err(|error| MonthsError::file(&path, error))?;
        let manifest: Self = serde_json::from_slice(&text)
            .map_err(|error| MonthsError::Damaged { path, what: error.to_string() })?;
        for table in &manifest.tables {
            let path = table.path(directory);
            let mut sum = Summed::new(io::sink());
            File::open(&path)
                .and_then(|mut file| io::copy(&mut file, &mut sum))
                .map_err(|error| MonthsError::file(&path, error))?;
            let (_, bytes, sha256) = sum.end();
            if (bytes, &sha256) != (table.bytes, &table.sha256) {
                let what = format!("{bytes} bytes, SHA-256 {sha256}; the manifest has others");
                return Err(MonthsError::Damaged { path, what });
            }
        }
        Ok(manifest)
    }

    pub(super) fn write(&self, directory: &Path) -> Result<(), MonthsError> {
        let path = directory.join(MANIFEST);
        let text = serde_json::to_string_pretty(self).expect("it is made of texts and numbers");
        File::create(&path)
            .and_then(|mut file| {
                file.write_all(text.as_bytes())?;
                file.sync_all()
            })
            .map_err(|error| MonthsError::file(&path, error))
    }
}

/// The file of a table that is being written.
pub(super) struct TableFile {
    path: PathBuf,
    encoder: zstd::Encoder<'static, Summed<File>>,
}

impl TableFile {
    pub(super) fn create(directory: &Path, table: &str) -> Result<Self, MonthsError> {
        let path = path_of(directory, table);
        let file = File::create(&path).map_err(|error| MonthsError::file(&path, error))?;
        let encoder = zstd::Encoder::new(Summed::new(file), zstd::DEFAULT_COMPRESSION_LEVEL);
        let encoder = encoder.map_err(|error| MonthsError::file(&path, error))?;
        Ok(Self { path, encoder })
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), MonthsError> {
        self.encoder.write_all(bytes).map_err(|error| MonthsError::file(&self.path, error))
    }

    /// Its size and its sum, when it is on disk.
    pub(super) fn end(self) -> Result<(u64, String), MonthsError> {
        let Self { path, encoder } = self;
        let ended = encoder.finish().and_then(|sum| {
            let (file, bytes, sha256) = sum.end();
            file.sync_all().map(|()| (bytes, sha256))
        });
        ended.map_err(|error| MonthsError::file(&path, error))
    }
}

/// Counts and sums up what is written through it.
struct Summed<W> {
    to: W,
    bytes: u64,
    sum: Sha256,
}

impl<W: Write> Summed<W> {
    fn new(to: W) -> Self {
        Self { to, bytes: 0, sum: Sha256::new() }
    }

    fn end(self) -> (W, u64, String) {
        (self.to, self.bytes, format!("{:x}", self.sum.finalize()))
    }
}

impl<W: Write> Write for Summed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.to.write(bytes)?;
        self.sum.update(&bytes[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}
