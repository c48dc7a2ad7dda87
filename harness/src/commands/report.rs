//! `slotproof report`: draw reports again, and the index of a folder.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Result;
use serde::de::DeserializeOwned;
use slotproof_evidence::{RunDirectory, run_directory::write_whole};
use slotproof_experiments::trial;
use slotproof_reports::{
    Document, Format, RunReport,
    capacity::Capacity,
    comparison::Comparison,
    gate::Gate,
    index::{self, Entry},
};
use slotproof_vocabulary::UsageError;

use super::init_tracing;
use crate::exit_code::{self, Code};

const EXAMPLES: &str = "Examples:
  slotproof report runs/20261123T101500Z-flash_sale-pessimistic
      draws report.html, report.md and junit.xml from run.json again; the same for a comparison, a capacity search and a gate

  slotproof report --from-history runs/20261123T101500Z-flash_sale-pessimistic
      judges the history first and makes run.json anew, as a newer Slotproof would

  slotproof report runs
      writes runs/index.html, a page that lists every report of the folder";

/// Arguments of `slotproof report`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The directory of a run, a comparison, a capacity search or a gate, or a folder of such.
    #[arg(value_name = "DIRECTORY")]
    run: PathBuf,

    /// Make run.json anew from the history, instead of drawing from the one that is there.
    #[arg(long)]
    from_history: bool,
}

pub(crate) fn exec(args: Args) -> Result<Code> {
    init_tracing();
    let drawn = match args.from_history {
        true => {
            let run = RunDirectory::open(&args.run)?;
            trial::judge_and_report(&run)?;
            run.file(Format::Html.file_name())
        }
        false => draw(&args.run)?,
    };
    out!("{}", drawn.display());
    Ok(exit_code::UPHELD)
}

fn draw(path: &Path) -> Result<PathBuf> {
    if let Some(gate) = read::<Gate>(path, "gate.json")? {
        write_whole(&path.join("junit.xml"), &gate.junit()?)?;
        return write(path, &gate.document());
    }
    if let Some((_, document)) = of_several(path)? {
        return write(path, &document);
    }
    if path.join("run.json").is_file() || is_a_run(path) {
        let run = RunDirectory::open(path)?;
        let report = run_report(path)?;
        trial::write_reports(&run, &report)?;
        return Ok(run.file(Format::Html.file_name()));
    }
    draw_index(path)
}

/// A run that was not reported yet.
fn is_a_run(path: &Path) -> bool {
    ["history.sph", "history.jsonl.zst"].iter().any(|name| path.join(name).is_file())
}

fn write(path: &Path, document: &Document) -> Result<PathBuf> {
    let page = path.join("report.html");
    write_whole(&page, &document.html()?)?;
    write_whole(&path.join("report.md"), document.markdown().as_bytes())?;
    Ok(page)
}

fn run_report(path: &Path) -> Result<RunReport, UsageError> {
    let file = path.join("run.json");
    let text = fs::read(&file).map_err(|error| {
        UsageError(format!(
            "failed to read {}: {error}; --from-history makes it anew",
            file.display()
        ))
    })?;
    RunReport::from_json(&text).map_err(|error| UsageError(format!("{}: {error}", file.display())))
}

/// The report about several runs that a directory has, if it has one.
fn of_several(path: &Path) -> Result<Option<(&'static str, Document)>, UsageError> {
    if let Some(gate) = read::<Gate>(path, "gate.json")? {
        return Ok(Some(("gate", gate.document())));
    }
    if let Some(capacity) = read::<Capacity>(path, "capacity.json")? {
        return Ok(Some(("capacity", capacity.document())));
    }
    let comparison = read::<Comparison>(path, "comparison.json")?;
    Ok(comparison.map(|comparison| ("comparison", comparison.document())))
}

fn read<T: DeserializeOwned>(path: &Path, name: &str) -> Result<Option<T>, UsageError> {
    let file = path.join(name);
    let Ok(text) = fs::read(&file) else { return Ok(None) };
    serde_json::from_slice(&text).map(Some).map_err(|error| {
        UsageError(format!("{} is damaged, or of another version: {error}", file.display()))
    })
}

/// Every report of a folder. One that cannot be read is named, and keeps none of the others from
/// being listed.
fn draw_index(folder: &Path) -> Result<PathBuf> {
    let refused = |what: &str| {
        UsageError(format!(
            "{} {what}; give the directory of a run, a comparison, a capacity search or a gate, or a folder of such",
            folder.display()
        ))
    };
    let there =
        fs::read_dir(folder).map_err(|error| refused(&format!("cannot be read: {error}")))?;
    let mut directories: Vec<PathBuf> =
        there.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.is_dir()).collect();
    directories.sort();
    let (mut entries, mut unreadable) = (Vec::new(), Vec::new());
    for directory in directories {
        let name = directory
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        let entry = match of_several(&directory) {
            Ok(Some((kind, document))) => Ok(Entry::of(kind, &document)),
            Ok(None) if directory.join("run.json").is_file() => {
                run_report(&directory).map(|report| Entry::of_run(&report))
            }
            Ok(None) => continue,
            Err(error) => Err(error),
        };
        match entry {
            // A directory may have been renamed since: the link is to where it is.
            Ok(entry) => entries.push(Entry { name, ..entry }),
            Err(error) => unreadable.push(error.to_string()),
        }
    }
    if entries.is_empty() {
        return Err(refused("holds no reports").into());
    }
    let page = folder.join("index.html");
    write_whole(&page, &index::document(entries, &unreadable).html()?)?;
    Ok(page)
}
