//! `manifest.json`: size, SHA-256 and count of every file that a finished run was recorded in.
//!
//! It detects damage and edits of single files. It is no signature: who can write the directory can
//! write the manifest too.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Read},
};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use slotproof_vocabulary::{EndState, UsageError};

use crate::{LoadEnd, RunDirectory};

/// The name of the file.
const FILE_NAME: &str = "manifest.json";
/// Version of the shape that this code writes and reads.
const SCHEMA_VERSION: u32 = 1;
/// Bytes of a file that are read at once.
const BUFFER_BYTES: usize = 1 << 20;
/// What a run records before it is judged. Logs are not judged; verdict and reports are made anew.
const RECORDED: [&str; 17] = [
    "plan.json",
    "target.toml",
    "evidence.json",
    "environment.json",
    "schedule.json",
    "replay.json",
    "order.json",
    "shorter.json",
    "history.sph",
    // What versions before recorded.
    "history.jsonl.zst",
    "latency.hlog",
    "samples.jsonl",
    "faults.json",
    "audit.jsonl",
    "end_state.json",
    "load.json",
    "costs.json",
];

#[derive(Debug, Serialize, Deserialize)]
struct Manifest {
    schema_version: u32,
    files: BTreeMap<String, Recorded>,
}

/// A file as the run wrote it.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Recorded {
    bytes: u64,
    sha256: String,
    #[serde(flatten)]
    count: Option<Count>,
}

/// What a file has many of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Count {
    Operations(u64),
    Records(u64),
    Rows(u64),
}

/// Writes the manifest: the last file of a run before it is judged.
pub(crate) fn write(run: &RunDirectory) -> Result<()> {
    let mut files = BTreeMap::new();
    for name in RECORDED.into_iter().filter(|name| run.file(name).exists()) {
        let digest = Digested::of(run, name).with_context(|| format!("read {name}"))?;
        let count = match name {
            "history.sph" | "history.jsonl.zst" => {
                Some(Count::Operations(run.read_json::<LoadEnd>("load.json")?.load.operations))
            }
            "audit.jsonl" => Some(Count::Records(digest.lines)),
            "end_state.json" => {
                let end: EndState = run.read_json(name)?;
                Some(Count::Rows((end.slots.len() + end.bookings.len()) as u64))
            }
            _ => None,
        };
        let recorded = Recorded { bytes: digest.bytes, sha256: digest.sha256, count };
        files.insert(name.to_owned(), recorded);
    }
    run.write_json(FILE_NAME, &Manifest { schema_version: SCHEMA_VERSION, files })
}

/// Whether a finished run is what it recorded. A run that was cut off has no manifest, and nothing
/// to verify.
///
/// # Errors
/// Names the first file that is missing, has changed or was added.
pub(crate) fn verify(run: &RunDirectory) -> Result<(), UsageError> {
    if !run.file(FILE_NAME).exists() {
        return match run.file("load.json").exists() {
            true => refuse(format!(
                "{FILE_NAME} is missing in {}: it is written at the end of each run; restore it, \
                 or repeat the run",
                run.path().display()
            )),
            false => Ok(()),
        };
    }
    let manifest = read(run)?;
    if let Some(name) = manifest.files.keys().find(|name| !RECORDED.contains(&name.as_str())) {
        return refuse(format!("{FILE_NAME} lists {name:?}, which no run records"));
    }
    for name in RECORDED {
        match (manifest.files.get(name), run.file(name).exists()) {
            (None, false) => {}
            (None, true) => {
                return refuse(format!(
                    "{name} is not a file that the run wrote: {FILE_NAME} does not list it"
                ));
            }
            (Some(_), false) => {
                return refuse(format!("{name} is missing: {FILE_NAME} lists it"));
            }
            (Some(recorded), true) => unchanged(run, name, recorded)?,
        }
    }
    Ok(())
}

fn read(run: &RunDirectory) -> Result<Manifest, UsageError> {
    let damaged = |error: &dyn std::fmt::Display| {
        UsageError(format!("{} is damaged: {error}", run.file(FILE_NAME).display()))
    };
    let text = fs::read(run.file(FILE_NAME)).map_err(|error| damaged(&error))?;
    let manifest: Manifest = serde_json::from_slice(&text).map_err(|error| damaged(&error))?;
    match manifest.schema_version {
        SCHEMA_VERSION => Ok(manifest),
        version => refuse(format!(
            "{FILE_NAME} has schema version {version}; this slotproof reads version \
             {SCHEMA_VERSION}"
        )),
    }
}

fn unchanged(run: &RunDirectory, name: &str, recorded: &Recorded) -> Result<(), UsageError> {
    let unreadable = |error: io::Error| UsageError(format!("failed to read {name}: {error}"));
    let not_written =
        |how: String| refuse(format!("{name} is not the file that the run wrote: {how}"));
    // A wrong size is found without reading gigabytes.
    let bytes = fs::metadata(run.file(name)).map_err(unreadable)?.len();
    if bytes != recorded.bytes {
        return not_written(format!(
            "its size is {bytes} bytes, the manifest says {}",
            recorded.bytes
        ));
    }
    let sha256 = Digested::of(run, name).map_err(unreadable)?.sha256;
    if sha256 != recorded.sha256 {
        return not_written(format!(
            "its SHA-256 is {sha256}, the manifest says {}",
            recorded.sha256
        ));
    }
    Ok(())
}

fn refuse<T>(reason: String) -> Result<T, UsageError> {
    Err(UsageError(reason))
}

/// What reading a file once tells.
struct Digested {
    bytes: u64,
    lines: u64,
    sha256: String,
}

impl Digested {
    fn of(run: &RunDirectory, name: &str) -> io::Result<Self> {
        let mut file = File::open(run.file(name))?;
        let (mut hasher, mut bytes, mut lines) = (Sha256::new(), 0, 0);
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            let read = match file.read(&mut buffer) {
                Ok(0) => break,
                Ok(length) => &buffer[..length],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            hasher.update(read);
            bytes += read.len() as u64;
            lines += read.iter().filter(|byte| **byte == b'\n').count() as u64;
        }
        Ok(Self { bytes, lines, sha256: format!("{:x}", hasher.finalize()) })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use slotproof_vocabulary::LoadTotals;

    use super::*;

    /// A run with a history of two operations, an audit log of three records and one final row.
    fn recorded() -> (tempfile::TempDir, RunDirectory) {
        let directory = tempfile::tempdir().expect("a directory");
        let run = cut_off(directory.path());
        run.write("audit.jsonl", b"{}\n{}\n{}\n").expect("it is written");
        let slot = json!({"slot": "s", "capacity": 1, "available": 0, "version": 1});
        run.write_json("end_state.json", &json!({"slots": [slot], "bookings": []}))
            .expect("it is written");
        let load =
            LoadTotals { operations: 2, measured_from_ns: 0, measured_until_ns: 9, arrivals: None };
        run.write_json("load.json", &LoadEnd { load, prober: 7, announces: false })
            .expect("it is written");
        write(&run).expect("it is written");
        (directory, run)
    }

    /// A run without its end.
    fn cut_off(path: &std::path::Path) -> RunDirectory {
        fs::write(path.join("plan.json"), "{}").expect("it is written");
        fs::write(path.join("history.sph"), "two operations").expect("it is written");
        RunDirectory::open(path).expect("a run")
    }

    fn refusal(run: &RunDirectory) -> String {
        let error = RunDirectory::open(run.path()).expect_err("it is refused");
        error.downcast::<UsageError>().expect("a usage error").0
    }

    #[test]
    fn the_manifest_has_size_digest_and_count() {
        let (_directory, run) = recorded();
        let manifest: serde_json::Value = run.read_json(FILE_NAME).expect("it is there");
        assert_eq!(
            manifest["files"]["plan.json"],
            json!({
                "bytes": 2,
                "sha256": "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
            })
        );
        let count = |name: &str, of: &str| manifest["files"][name][of].as_u64();
        assert_eq!(count("history.sph", "operations"), Some(2));
        assert_eq!(count("audit.jsonl", "records"), Some(3));
        assert_eq!(count("end_state.json", "rows"), Some(1));
        assert_eq!(manifest["schema_version"], SCHEMA_VERSION);
        RunDirectory::open(run.path()).expect("nothing has changed");
    }

    #[test]
    fn a_file_that_is_missing_has_changed_or_was_added_is_named() {
        let (_directory, run) = recorded();
        for name in ["plan.json", "history.sph", "audit.jsonl", "end_state.json", "load.json"] {
            let whole = fs::read(run.file(name)).expect("it is there");
            fs::remove_file(run.file(name)).expect("it is there");
            assert_eq!(refusal(&run), format!("{name} is missing: manifest.json lists it"));

            let mut edited = whole.clone();
            edited[0] ^= 1;
            fs::write(run.file(name), &edited).expect("it is written");
            let said = refusal(&run);
            let begins = format!("{name} is not the file that the run wrote: its SHA-256 is ");
            assert!(said.starts_with(&begins), "{said}");

            fs::write(run.file(name), [&whole[..], b" "].concat()).expect("it is written");
            let size = whole.len();
            assert_eq!(
                refusal(&run),
                format!(
                    "{name} is not the file that the run wrote: its size is {} bytes, the \
                     manifest says {size}",
                    size + 1
                )
            );
            fs::write(run.file(name), &whole).expect("it is written");
            RunDirectory::open(run.path()).expect("it is whole again");
        }
        fs::write(run.file("replay.json"), "{}").expect("it is written");
        assert!(refusal(&run).starts_with("replay.json is not a file that the run wrote"));
    }

    #[test]
    fn a_finished_run_needs_its_manifest_and_one_that_was_cut_off_has_none() {
        let (_directory, run) = recorded();
        fs::remove_file(run.file(FILE_NAME)).expect("it is there");
        assert!(refusal(&run).starts_with("manifest.json is missing"), "{}", refusal(&run));
        fs::remove_file(run.file("load.json")).expect("it is there");
        RunDirectory::open(run.path()).expect("a run that was cut off");

        fs::write(run.file(FILE_NAME), "{").expect("it is written");
        assert!(refusal(&run).contains("manifest.json is damaged"), "{}", refusal(&run));
        fs::write(run.file(FILE_NAME), r#"{"schema_version": 9, "files": {}}"#)
            .expect("it is written");
        assert!(refusal(&run).contains("schema version 9"), "{}", refusal(&run));
        fs::write(
            run.file(FILE_NAME),
            r#"{"schema_version": 1, "files": {"/etc/passwd": {"bytes": 1, "sha256": ""}}}"#,
        )
        .expect("it is written");
        assert!(refusal(&run).contains("which no run records"), "{}", refusal(&run));
    }
}
