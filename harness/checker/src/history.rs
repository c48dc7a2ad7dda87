//! Reading a history: one operation a line. Lines are parsed by as many threads as there are CPUs.

use std::{
    io::{self, BufRead},
    sync::Arc,
    thread,
};

use foldhash::HashSet;
use memchr::{memchr, memrchr};
use serde::{Deserialize, de::DeserializeSeed};
use slotproof_vocabulary::{
    Declarations, Operation,
    operation::{OperationReader, SlotNames},
    verdict::WitnessOperation,
};

/// What is read before it is parsed.
const CHUNK_BYTES: usize = 8 << 20;
/// Less than this is parsed by one thread.
const PIECE_BYTES_LEAST: usize = 256 << 10;

/// The operations of a run, in the order of the file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct History {
    /// Operation `i` stands on line `i + 1`, or on the one after it if a line with declarations
    /// comes first.
    pub operations: Vec<Operation>,
    /// What the first line says of the service.
    pub declarations: Declarations,
    /// Lines before the first operation: 0 or 1.
    pub lines_before: usize,
    /// Why the end is missing, if it is. The missing operations could excuse or convict anything,
    /// so most invariants are then unknown.
    pub cut_off: Option<String>,
}

/// The first line of a history, if it is no operation.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DeclarationLine {
    declare: Declarations,
}

/// A line that is not an operation.
#[derive(Debug, thiserror::Error)]
#[error("line {line} is not an operation: {reason}")]
pub struct HistoryError {
    /// The line; the first is 1.
    pub line: usize,
    /// What is wrong with it.
    pub reason: String,
}

impl History {
    /// Reads to the end, or to where the file breaks off: a last line without its end, or a stream
    /// that ends in the middle.
    ///
    /// # Errors
    /// A whole line that is not an operation: the file is no history, or is damaged.
    pub fn read(mut source: impl BufRead) -> Result<Self, HistoryError> {
        let mut history = Self::default();
        let mut names =
            vec![Names::default(); thread::available_parallelism().map_or(1, usize::from)];
        let mut chunk = Vec::new();
        loop {
            let ended = fill(&mut source, &mut chunk);
            let whole = memrchr(b'\n', &chunk).map_or(0, |last| last + 1);
            history.read_lines(&chunk[..whole], &mut names)?;
            chunk.drain(..whole);
            match ended {
                Ok(Filled::ToTheBrim) => {}
                Ok(Filled::ToTheEnd) if chunk.is_empty() => return Ok(history),
                Ok(Filled::ToTheEnd) => return Ok(history.cut("the last line has no newline")),
                Err(error) => return Ok(history.cut(&error.to_string())),
            }
        }
    }

    /// Whole lines.
    fn read_lines(&mut self, lines: &[u8], names: &mut [Names]) -> Result<(), HistoryError> {
        let lines = self.without_declarations(lines)?;
        let pieces = names.len().min(lines.len() / PIECE_BYTES_LEAST + 1);
        let pieces = divided(lines, pieces);
        let parsed: Vec<Parsed> = thread::scope(|scope| {
            let (first, others) = pieces.split_first().expect("there is one, if it is empty");
            let (own, names) = names.split_first_mut().expect("there is a CPU");
            let others: Vec<_> = others
                .iter()
                .zip(names)
                .map(|(piece, names)| scope.spawn(move || Parsed::of(piece, names)))
                .collect();
            let first = Parsed::of(first, own);
            let join = |it: thread::ScopedJoinHandle<'_, Parsed>| it.join().expect("no panic");
            [first].into_iter().chain(others.into_iter().map(join)).collect()
        });
        for Parsed { mut operations, wrong } in parsed {
            self.operations.append(&mut operations);
            if let Some(reason) = wrong {
                let line = self.line_of(self.operations.len());
                return Err(HistoryError { line, reason });
            }
        }
        Ok(())
    }

    /// What follows a first line that is no operation.
    fn without_declarations<'a>(&mut self, lines: &'a [u8]) -> Result<&'a [u8], HistoryError> {
        let is_first = self.operations.is_empty() && self.lines_before == 0;
        if !is_first || !is_declaration(lines.trim_ascii_start()) {
            return Ok(lines);
        }
        let end = memchr(b'\n', lines).map_or(lines.len(), |end| end + 1);
        let wrong = |error| HistoryError { line: 1, reason: reason(&error) };
        let DeclarationLine { declare } = serde_json::from_slice(&lines[..end]).map_err(wrong)?;
        (self.declarations, self.lines_before) = (declare, 1);
        Ok(&lines[end..])
    }

    /// The line of an operation.
    pub fn line_of(&self, index: usize) -> usize {
        index + 1 + self.lines_before
    }

    /// The same history, known to be incomplete.
    pub fn cut(mut self, reason: &str) -> Self {
        self.cut_off = Some(format!(
            "the history breaks off after line {}: {reason}",
            self.operations.len() + self.lines_before
        ));
        self
    }

    /// Operations with their index.
    pub(crate) fn indexed(&self) -> impl Iterator<Item = (usize, &Operation)> {
        self.operations.iter().enumerate()
    }

    /// Operations as a witness shows them, in the order of their return.
    pub(crate) fn show(&self, indexes: impl IntoIterator<Item = usize>) -> Vec<WitnessOperation> {
        let mut shown: Vec<_> = indexes.into_iter().collect();
        shown.sort_unstable_by_key(|index| (self.operations[*index].returned_ns, *index));
        shown.dedup();
        let show = |index: usize| WitnessOperation {
            line: self.line_of(index) as u64,
            operation: self.operations[index].clone(),
        };
        shown.into_iter().map(show).collect()
    }
}

const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

fn is_declaration(text: &[u8]) -> bool {
    text.strip_prefix(b"{").is_some_and(|text| text.trim_ascii_start().starts_with(b"\"declare\""))
}

/// Why a chunk has no more.
enum Filled {
    ToTheBrim,
    ToTheEnd,
}

/// Appends as much as is parsed at once.
fn fill(source: &mut impl BufRead, chunk: &mut Vec<u8>) -> io::Result<Filled> {
    let full = chunk.len() + CHUNK_BYTES;
    while chunk.len() < full {
        let bytes = match source.fill_buf() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            bytes => bytes?,
        };
        if bytes.is_empty() {
            return Ok(Filled::ToTheEnd);
        }
        chunk.extend_from_slice(bytes);
        let read = bytes.len();
        source.consume(read);
    }
    Ok(Filled::ToTheBrim)
}

/// The lines in so many pieces of about the same length.
fn divided(mut lines: &[u8], pieces: usize) -> Vec<&[u8]> {
    let length = lines.len() / pieces;
    let mut divided = Vec::new();
    for _ in 1..pieces {
        let end = memchr(b'\n', &lines[length.min(lines.len())..])
            .map_or(lines.len(), |end| length + end + 1);
        let (piece, rest) = lines.split_at(end);
        divided.push(piece);
        lines = rest;
    }
    divided.push(lines);
    divided
}

/// The operations of a piece, up to the first line that is none.
struct Parsed {
    operations: Vec<Operation>,
    wrong: Option<String>,
}

impl Parsed {
    fn of(mut lines: &[u8], names: &mut Names) -> Self {
        let mut operations = Vec::new();
        while !lines.is_empty() {
            let end = memchr(b'\n', lines).map_or(lines.len(), |end| end + 1);
            match read_line(&lines[..end], names) {
                Ok(operation) => operations.push(operation),
                Err(reason) => return Self { operations, wrong: Some(reason) },
            }
            lines = &lines[end..];
        }
        Self { operations, wrong: None }
    }
}

fn read_line(line: &[u8], names: &mut Names) -> Result<Operation, String> {
    let text = line.trim_ascii_start();
    if text.starts_with(BYTE_ORDER_MARK) {
        return Err("it begins with a byte order mark; write UTF-8 without one".to_owned());
    }
    if !text.starts_with(b"{") {
        return Err("not a JSON object".to_owned());
    }
    let mut json = serde_json::Deserializer::from_slice(line);
    let operation = OperationReader(names).deserialize(&mut json);
    operation.and_then(|it| json.end().map(|()| it)).map_err(|error| reason(&error))
}

/// The parser saw one line only, and would call it the first.
fn reason(error: &serde_json::Error) -> String {
    error.to_string().replace(" at line 1 column ", ", at column ")
}

/// The names of slots, each kept once by each thread.
#[derive(Clone, Default)]
struct Names(HashSet<Arc<str>>);

impl SlotNames for Names {
    fn name(&mut self, name: &str) -> Arc<str> {
        if let Some(kept) = self.0.get(name) {
            return Arc::clone(kept);
        }
        let name: Arc<str> = name.into();
        self.0.insert(Arc::clone(&name));
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str =
        r#"{"client":1,"slot":"s","op":"read","sent_ns":1,"returned_ns":2,"outcome":"ok"}"#;

    #[test]
    fn whole_lines_are_read_and_a_missing_end_is_noticed() {
        let whole = History::read(format!("{LINE}\n{LINE}\n").as_bytes()).expect("two operations");
        assert_eq!((whole.operations.len(), whole.cut_off), (2, None));

        let cut = History::read(format!("{LINE}\n{}", &LINE[..40]).as_bytes())
            .expect("one operation and a half");
        assert_eq!(cut.operations.len(), 1);
        assert!(cut.cut_off.expect("it breaks off").contains("after line 1"));
    }

    #[test]
    fn a_long_history_is_read_in_its_order_and_its_wrong_line_is_named() {
        // More than a chunk, and each line in a place of its own.
        let lines = 90_000_u64;
        let line =
            |client: u64| LINE.replace("\"client\":1", &format!("\"client\":{client}")) + "\n";
        let text: String = (0..lines).map(line).collect();
        assert!(text.len() > CHUNK_BYTES / 2);
        let text = text.repeat(2);
        let read = History::read(text.as_bytes()).expect("operations");
        assert!(read.operations.iter().map(|it| it.client).eq((0..lines).chain(0..lines)));
        for wrong in [1, 45_000, 89_999, 150_000] {
            let mut lines: Vec<&str> = text.lines().collect();
            lines[wrong] = "{}";
            let error =
                History::read((lines.join("\n") + "\n").as_bytes()).expect_err("no operation");
            assert_eq!(error.line, wrong + 1);
        }
    }

    #[test]
    fn a_line_that_is_not_an_operation_is_named() {
        let error = History::read(format!("{LINE}\nnot json\n{LINE}\n").as_bytes())
            .expect_err("line 2 is no operation");
        assert_eq!(error.line, 2);
    }

    #[test]
    fn a_stream_that_fails_is_a_history_that_breaks_off() {
        struct Failing;
        impl io::Read for Failing {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("incomplete frame"))
            }
        }
        let whole = format!("{LINE}\n");
        let source = io::BufReader::new(io::Read::chain(whole.as_bytes(), Failing));
        let read = History::read(source).expect("one operation");
        assert_eq!(read.operations.len(), 1);
        assert!(read.cut_off.is_some_and(|reason| reason.contains("incomplete frame")));
    }

    #[test]
    fn declarations_stand_on_the_first_line_and_nowhere_else() {
        let declare = r#"{"declare":{"keys":"client"}}"#;
        let read = History::read(format!("{declare}\n{LINE}\n").as_bytes()).expect("a history");
        assert_eq!((read.operations.len(), read.line_of(0)), (1, 2));
        let late = History::read(format!("{LINE}\n{declare}\n").as_bytes());
        assert_eq!(late.expect_err("it is no operation").line, 2);
        let misspelt = History::read(b"{\"declare\":{\"kees\":\"client\"}}\n".as_slice());
        assert!(misspelt.expect_err("no such field").reason.contains("kees"));
    }

    #[test]
    fn a_byte_order_mark_is_named_and_line_ends_of_both_kinds_are_read() {
        let marked = History::read(format!("\u{feff}{LINE}\n").as_bytes());
        assert!(marked.expect_err("a mark").reason.contains("byte order mark"));
        let mixed = History::read(format!("{LINE}\r\n{LINE}\n").as_bytes()).expect("a history");
        assert_eq!(mixed.operations.len(), 2);
    }

    #[test]
    fn a_number_that_is_none_is_refused_and_a_long_key_is_read() {
        let nan = LINE.replace("\"ok\"}", "\"ok\",\"available\":NaN}");
        assert_eq!(History::read(format!("{nan}\n").as_bytes()).expect_err("NaN").line, 1);
        let key = "k".repeat(1 << 20);
        let reserve = format!(
            "{{\"client\":1,\"slot\":\"s\",\"op\":\"reserve\",\"seats\":1,\"key\":\"{key}\",\
             \"sent_ns\":1,\"returned_ns\":2,\"outcome\":\"sold_out\"}}\n"
        );
        assert_eq!(History::read(reserve.as_bytes()).expect("a history").operations.len(), 1);
    }
}
