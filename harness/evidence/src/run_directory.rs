//! A run as a directory of files. Whatever happens after the load is a function of what is in here.

use std::{
    fs::{self, File},
    io::{self, BufRead, BufReader, BufWriter, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use slotproof_reports::Document;
use slotproof_stack::sampling::Sample;
use slotproof_vocabulary::{AuditRecord, LoadTotals, Plan, UsageError};

use crate::manifest;

/// The directory of one run.
#[derive(Debug, Clone)]
pub struct RunDirectory {
    path: PathBuf,
}

/// `load.json`: written once the load has ended in order. A run without it was cut off.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LoadEnd {
    /// The load, with the probes of the settled service among its operations.
    pub load: LoadTotals,
    /// The client number that the probes used.
    pub prober: u64,
    /// Whether the service was to announce what it committed.
    #[serde(default)]
    pub announces: bool,
}

impl RunDirectory {
    /// A fresh directory `<utc>-<scenario>-<strategy>` under `parent`.
    pub fn create(parent: &Path, plan: &Plan, now: time::OffsetDateTime) -> Result<Self> {
        let strategy = plan.strategy.map_or("external", |strategy| strategy.name());
        Self::create_named(parent, &format!("{}-{strategy}", plan.scenario), now)
    }

    /// A fresh directory `<utc>-<name>` under `parent`.
    pub fn create_named(parent: &Path, name: &str, now: time::OffsetDateTime) -> Result<Self> {
        let stamp = now
            .to_offset(time::UtcOffset::UTC)
            .format(time::macros::format_description!("[year][month][day]T[hour][minute][second]Z"))
            .context("format the time")?;
        fs::create_dir_all(parent).map_err(|error| {
            UsageError(format!(
                "failed to make the directory {}: {error}; --runs says where",
                parent.display()
            ))
        })?;
        for attempt in 1..1_000 {
            let suffix = if attempt == 1 { String::new() } else { format!("-{attempt}") };
            let path = parent.join(format!("{stamp}-{name}{suffix}"));
            match fs::create_dir(&path) {
                Ok(()) => {
                    let path = path.canonicalize()?;
                    fs::create_dir(path.join("logs"))?;
                    return Ok(Self { path });
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => {
                    return Err(error)
                        .with_context(|| format!("make the directory {}", path.display()));
                }
            }
        }
        anyhow::bail!("a thousand runs began in {} within one second", parent.display())
    }

    /// A directory that a run has left. If the run was finished, its files are what it recorded.
    ///
    /// # Errors
    /// It is no run, or a file is not what the manifest says: usage errors.
    pub fn open(path: &Path) -> Result<Self> {
        let run = Self { path: path.to_owned() };
        manifest::verify(&run)?;
        if run.file("plan.json").is_file() && run.history().is_file() {
            return Ok(run);
        }
        let what = match (path.exists(), path.is_dir()) {
            (false, _) => "does not exist",
            (true, true) => "has no plan.json and history.sph",
            (true, false) => "is not a directory",
        };
        Err(UsageError(format!(
            "{} is not a run: it {what}; give the directory that `slotproof run` printed",
            path.display()
        ))
        .into())
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The run's name.
    pub fn name(&self) -> String {
        let path = self.path.canonicalize().unwrap_or_else(|_| self.path.clone());
        path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    }

    /// A file of the run.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The history of the run: binary, or in lines of JSON where an older version recorded it.
    pub fn history(&self) -> PathBuf {
        let lines = self.file("history.jsonl.zst");
        if lines.is_file() { lines } else { self.file("history.sph") }
    }

    /// The directory of the logs.
    pub fn logs(&self) -> PathBuf {
        self.path.join("logs")
    }

    /// A log of the run.
    pub fn log(&self, name: &str) -> PathBuf {
        self.logs().join(format!("{name}.log"))
    }

    /// Writes a file whole or not at all.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        write_whole(&self.file(name), bytes)
    }

    /// Writes a value as JSON.
    pub fn write_json(&self, name: &str, value: &impl Serialize) -> Result<()> {
        let mut text = serde_json::to_vec_pretty(value)?;
        text.push(b'\n');
        self.write(name, &text)
    }

    /// Writes `manifest.json`, once all is recorded and before anything is judged.
    pub fn write_manifest(&self) -> Result<()> {
        manifest::write(self)
    }

    /// Writes `report.html` and `report.md`.
    pub fn write_document(&self, document: &Document) -> Result<()> {
        self.write("report.html", &document.html()?)?;
        self.write("report.md", document.markdown().as_bytes())
    }

    /// # Errors
    /// A file that is there and not what it should be is a usage error: the run is damaged.
    pub fn read_json<T: DeserializeOwned>(&self, name: &str) -> Result<T> {
        let path = self.file(name);
        let text = fs::read(&path)
            .map_err(|error| UsageError(format!("failed to read {}: {error}", path.display())))?;
        serde_json::from_slice(&text)
            .map_err(|error| UsageError(format!("{} is damaged: {error}", path.display())).into())
    }

    /// The same, where the file may be missing.
    pub fn read_json_if_there<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>> {
        if self.file(name).exists() { self.read_json(name).map(Some) } else { Ok(None) }
    }

    /// Writes the audit log.
    pub fn write_audit(&self, records: &[AuditRecord]) -> Result<()> {
        self.write_lines("audit.jsonl", records)
    }

    /// Reads the audit log, if there is one.
    pub fn read_audit(&self) -> Result<Option<Vec<AuditRecord>>> {
        self.read_lines("audit.jsonl")
    }

    /// Writes the samples of CPU and memory.
    pub fn write_samples(&self, samples: &[Sample]) -> Result<()> {
        self.write_lines("samples.jsonl", samples)
    }

    /// Reads the samples of CPU and memory; none if there is no file.
    pub fn read_samples(&self) -> Result<Vec<Sample>> {
        Ok(self.read_lines("samples.jsonl")?.unwrap_or_default())
    }

    fn write_lines(&self, name: &str, values: &[impl Serialize]) -> Result<()> {
        let (path, part) = (self.file(name), self.file(&format!("{name}.part")));
        let write = || -> Result<()> {
            let mut file = BufWriter::new(File::create(&part)?);
            for value in values {
                serde_json::to_writer(&mut file, value)?;
                file.write_all(b"\n")?;
            }
            file.flush()?;
            Ok(fs::rename(&part, &path)?)
        };
        whole_or_gone(&part, write()).with_context(|| format!("write {}", path.display()))
    }

    fn read_lines<T: DeserializeOwned>(&self, name: &str) -> Result<Option<Vec<T>>> {
        let path = self.file(name);
        if !path.exists() {
            return Ok(None);
        }
        let file =
            BufReader::new(File::open(&path).with_context(|| format!("read {}", path.display()))?);
        let parse = |(index, line): (usize, io::Result<String>)| {
            let line = line.map_err(|error| {
                UsageError(format!("line {} of {} is damaged: {error}", index + 1, path.display()))
            })?;
            serde_json::from_str(&line).map_err(|error| {
                UsageError(format!("line {} of {} is damaged: {error}", index + 1, path.display()))
                    .into()
            })
        };
        file.lines().enumerate().map(parse).collect::<Result<Vec<T>>>().map(Some)
    }
}

/// Writes a file whole or not at all.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    let written = fs::write(&part, bytes).and_then(|()| fs::rename(&part, path));
    whole_or_gone(Path::new(&part), written).with_context(|| format!("write {}", path.display()))
}

/// A full disk leaves no empty file behind.
fn whole_or_gone<E>(part: &Path, written: Result<(), E>) -> Result<(), E> {
    if written.is_err() {
        let _ = fs::remove_file(part);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_named_and_leaves_no_file() {
        let directory = tempfile::tempdir().expect("a directory");
        let run = RunDirectory { path: directory.path().to_owned() };
        let full = |name: &str| {
            let part = run.file(&format!("{name}.part"));
            std::os::unix::fs::symlink("/dev/full", part).expect("it can be made");
        };
        full("I1.jsonl");
        let evidence = run.write("I1.jsonl", b"{}\n").expect_err("the disk is full");
        full("samples.jsonl");
        let sample = Sample { at_ns: 0, group: "load".to_owned(), cpu_ms: 0, memory_bytes: 0 };
        let samples = run.write_samples(&[sample]).expect_err("the disk is full");
        for error in [evidence, samples] {
            assert!(format!("{error:#}").contains("No space left"), "{error:#}");
        }
        let left: Vec<_> = fs::read_dir(run.path()).expect("it is there").collect();
        assert!(left.is_empty(), "{left:?}");
    }
}
