//! Histories from one format to another: lines of JSON, plain or compressed, binary frames, and
//! Parquet where that was built in.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::Path,
};

use anyhow::{Context, Result};
use serde_json::json;
use slotproof_checker::History;
use slotproof_history::{EXTENSION, OperationsFile};
use slotproof_vocabulary::{Declarations, UsageError};

use crate::check_run::read_history;

/// Fast rather than small.
const LEVEL: i32 = 1;

/// A format, as the name of a file says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Lines,
    CompressedLines,
    Frames,
    #[cfg(feature = "parquet")]
    Parquet,
}

/// How the name of a Parquet file ends.
const PARQUET: &str = ".parquet";

impl Format {
    fn of(path: &Path) -> Result<Self, UsageError> {
        let name = path.to_string_lossy();
        if name.ends_with(".jsonl.zst") {
            Ok(Self::CompressedLines)
        } else if name.ends_with(".jsonl") {
            Ok(Self::Lines)
        } else if name.ends_with(&format!(".{EXTENSION}")) {
            Ok(Self::Frames)
        } else if name.ends_with(PARQUET) {
            Self::parquet(&name)
        } else {
            Err(UsageError(format!(
                "{name} does not end in a format; write .jsonl, .jsonl.zst, .{EXTENSION} or {PARQUET}"
            )))
        }
    }

    #[cfg(feature = "parquet")]
    fn parquet(_: &str) -> Result<Self, UsageError> {
        Ok(Self::Parquet)
    }

    #[cfg(not(feature = "parquet"))]
    fn parquet(name: &str) -> Result<Self, UsageError> {
        Err(UsageError(format!(
            "{name}: this slotproof was built without Parquet; build it with \
             `cargo build --release --features parquet`, or use .jsonl"
        )))
    }
}

/// Writes a history in the format that the name of the new file says. Answers with the number of
/// operations.
///
/// # Errors
/// The name says no format, the history is damaged or breaks off, or the file is there already or
/// cannot be written: then there is no new file.
pub fn convert(from: &Path, to: &Path) -> Result<u64> {
    let format = Format::of(to)?;
    let history = read(from)?;
    if let Some(reason) = &history.cut_off {
        // The new file would look whole.
        return Err(
            UsageError(format!("{}: {reason}; it cannot be converted", from.display())).into()
        );
    }
    let file = File::create_new(to).map_err(|error| {
        UsageError(format!("failed to make {}: {error}; give another name", to.display()))
    })?;
    let written = write(&history, format, BufWriter::new(file));
    if written.is_err() {
        // Half a history would be cut off, and nobody would know where it came from.
        let _ = fs::remove_file(to);
    }
    written.with_context(|| format!("write {}", to.display()))?;
    Ok(history.operations.len() as u64)
}

/// A history in any format. Parquet is known by its name, the others by how they begin.
fn read(from: &Path) -> Result<History> {
    #[cfg(feature = "parquet")]
    if Format::of(from).is_ok_and(|format| format == Format::Parquet) {
        return crate::parquet_file::read(from);
    }
    if from.to_string_lossy().ends_with(PARQUET) {
        Format::of(from)?;
    }
    read_history(from)
}

fn write(history: &History, format: Format, mut file: impl Write + Send) -> Result<()> {
    match format {
        Format::Lines => write_lines(history, &mut file)?,
        Format::CompressedLines => {
            let mut compressed = zstd::Encoder::new(&mut file, LEVEL)?;
            write_lines(history, &mut compressed)?;
            compressed.finish()?;
        }
        Format::Frames => {
            let mut frames = OperationsFile::new(&mut file);
            if let Some(declared) = declared(history) {
                frames.declare(declared)?;
            }
            frames.write_all(&history.operations)?;
            frames.end()?;
        }
        #[cfg(feature = "parquet")]
        Format::Parquet => crate::parquet_file::write(history, &mut file)?,
    }
    Ok(file.flush()?)
}

/// What the first line says, if it is no operation.
fn declared(history: &History) -> Option<Declarations> {
    (history.lines_before > 0).then_some(history.declarations)
}

fn write_lines(history: &History, out: &mut impl Write) -> io::Result<()> {
    if let Some(declared) = declared(history) {
        writeln!(out, "{}", json!({ "declare": declared }))?;
    }
    for operation in &history.operations {
        serde_json::to_writer(&mut *out, &operation.to_operation())?;
        out.write_all(b"\n")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use slotproof_vocabulary::operation_builder::{cancel, change, read, reserve, resize};

    use super::*;

    fn text() -> String {
        let operations = [
            reserve("monday-9").by(1).key("k1").at(10, 90).scheduled(5).hold_ms(900).booked("b1"),
            change("monday-9", "b1").to_slot("tuesday-9").seats(2).at(100, 200).ok(),
            cancel("tuesday-9", "b1").process(1_001).at(300, 400).unknown(),
            read("monday-9").by(u64::MAX).at(500, 600).version(i64::MIN).available(-3).ok(),
            resize("monday-9", 0).at(700, 800).attempts(300).rejected("not_found"),
        ];
        let lines = operations.map(|it| serde_json::to_string(&it).expect("an operation") + "\n");
        r#"{"declare":{"keys":"client"}}"#.to_owned() + "\n" + &lines.concat()
    }

    #[test]
    fn a_history_is_the_same_through_every_format() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = |name: &str| directory.path().join(name);
        fs::write(path("a.jsonl"), text()).expect("it is written");
        for names in ["a.jsonl", "b.sph", "c.jsonl.zst", "d.sph", "e.jsonl"].windows(2) {
            let converted = convert(&path(names[0]), &path(names[1])).expect("it is converted");
            assert_eq!(converted, 5, "{names:?}");
        }
        let whole = read_history(&path("a.jsonl")).expect("a history");
        assert_eq!(whole, read_history(&path("d.sph")).expect("a history"));
        assert_eq!(whole, read_history(&path("e.jsonl")).expect("a history"));
        assert_eq!((whole.operations.len(), whole.lines_before), (5, 1));
    }

    #[cfg(feature = "parquet")]
    #[test]
    fn a_history_is_the_same_through_parquet() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = |name: &str| directory.path().join(name);
        fs::write(path("a.jsonl"), text()).expect("it is written");
        for names in ["a.jsonl", "b.parquet", "c.sph"].windows(2) {
            let converted = convert(&path(names[0]), &path(names[1])).expect("it is converted");
            assert_eq!(converted, 5, "{names:?}");
        }
        let [whole, through] =
            ["a.jsonl", "c.sph"].map(|name| read_history(&path(name)).expect("a history"));
        assert_eq!(whole, through);
        let bytes = fs::read(path("b.parquet")).expect("it is there");
        fs::write(path("half.parquet"), &bytes[..bytes.len() - 9]).expect("it is written");
        let error = convert(&path("half.parquet"), &path("d.sph")).expect_err("it is damaged");
        assert!(error.to_string().contains("is damaged"), "{error}");
    }

    #[test]
    fn a_name_without_a_format_a_file_that_is_there_and_half_a_history_are_refused() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = |name: &str| directory.path().join(name);
        fs::write(path("a.jsonl"), text()).expect("it is written");
        fs::write(path("half.jsonl"), &text()[..150]).expect("it is written");
        let refused = |from: &str, to: &str| {
            let error = convert(&path(from), &path(to)).expect_err("it is refused");
            error.downcast::<UsageError>().expect("a usage error").0
        };
        assert!(refused("a.jsonl", "b.csv").contains("write .jsonl, .jsonl.zst, .sph or .parquet"));
        assert!(refused("a.jsonl", "half.jsonl").contains("give another name"));
        assert!(refused("half.jsonl", "b.sph").contains("breaks off after line"));
        assert!(!path("b.sph").exists());
    }
}
