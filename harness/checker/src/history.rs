//! Reading a history: one operation a line, or frames of columns (`models/history`). Both are
//! decoded by as many threads as there are CPUs.

use std::{
    io::{self, BufRead},
    sync::Arc,
    thread,
};

use foldhash::HashSet;
use memchr::{memchr, memrchr};
use serde::{Deserialize, de::DeserializeSeed};
use slotproof_history::{
    Decoded, Frame, FrameError, FrameReader, MARK, Next, OperationRef, Operations,
};
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
    pub operations: Operations,
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

/// What is no history, or a damaged one.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// A line that is not an operation.
    #[error("line {line} is not an operation: {reason}")]
    Line {
        /// The line; the first is 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// A frame that is damaged.
    #[error("after line {line}: {error}")]
    Frame {
        /// The line before it.
        line: usize,
        /// What is wrong with it.
        error: FrameError,
    },
    /// Declarations that do not come first.
    #[error("after line {line}: declarations come before all operations")]
    LateDeclarations {
        /// The line before them.
        line: usize,
    },
}

impl History {
    /// A whole history of these operations, with nothing declared.
    pub fn of(operations: impl IntoIterator<Item = Operation>) -> Self {
        Self { operations: operations.into_iter().collect(), ..Self::default() }
    }

    /// Reads to the end, or to where the file breaks off: a last line without its end, a frame that
    /// is not whole, or a stream that ends in the middle. The first bytes say whether it is lines or
    /// frames.
    ///
    /// # Errors
    /// A whole line that is not an operation, or a frame that is damaged: the file is no history.
    pub fn read(mut source: impl BufRead) -> Result<Self, HistoryError> {
        // A source that fails at once fails again below.
        match source.fill_buf() {
            Ok(begin) if begin.first() == MARK.first() => Self::read_frames(source),
            _ => Self::read_lines(source),
        }
    }

    fn read_frames(source: impl BufRead) -> Result<Self, HistoryError> {
        let mut history = Self::default();
        let mut reader = FrameReader::new(source);
        let at_once = thread::available_parallelism().map_or(1, usize::from);
        let mut decoded: Vec<Result<Decoded, FrameError>> = Vec::new();
        let mut frames: Vec<Frame> = Vec::new();
        loop {
            let mut last = None;
            while frames.len() < at_once && last.is_none() {
                // What comes before a frame that is damaged must be whole too.
                match reader.read_next() {
                    Ok(Next::Operations(frame)) => frames.push(frame),
                    next => last = Some(next),
                }
            }
            // While these frames are decoded, those before them are kept.
            let (kept, next) = thread::scope(|scope| {
                let decode = |frame: Frame| scope.spawn(move || frame.decoded());
                let decoding: Vec<_> = frames.drain(..).map(decode).collect();
                let kept = decoded.drain(..).try_for_each(|frame| history.keep_frame(frame));
                let join = |it: thread::ScopedJoinHandle<'_, _>| it.join().expect("no panic");
                (kept, decoding.into_iter().map(join).collect())
            });
            kept?;
            decoded = next;
            let Some(last) = last else { continue };
            decoded.drain(..).try_for_each(|frame| history.keep_frame(frame))?;
            match last.map_err(|error| history.wrong(error))? {
                Next::Operations(_) => {}
                Next::Declarations(declared) => history.declare(declared)?,
                Next::End => return Ok(history),
                Next::TornEnd(reason) => return Ok(history.cut(&reason)),
            }
        }
    }

    fn keep_frame(&mut self, frame: Result<Decoded, FrameError>) -> Result<(), HistoryError> {
        self.operations.append_decoded(&frame.map_err(|error| self.wrong(error))?);
        Ok(())
    }

    fn wrong(&self, error: FrameError) -> HistoryError {
        HistoryError::Frame { line: self.operations.len() + self.lines_before, error }
    }

    fn declare(&mut self, declared: Declarations) -> Result<(), HistoryError> {
        let line = self.operations.len() + self.lines_before;
        if line > 0 {
            return Err(HistoryError::LateDeclarations { line });
        }
        (self.declarations, self.lines_before) = (declared, 1);
        Ok(())
    }

    fn read_lines(mut source: impl BufRead) -> Result<Self, HistoryError> {
        let mut history = Self::default();
        let mut names =
            vec![Names::default(); thread::available_parallelism().map_or(1, usize::from)];
        let (mut chunk, mut rest) = (Vec::new(), Vec::new());
        let mut ended = fill(&mut source, &mut chunk);
        let mut parsed: Vec<Parsed> = Vec::new();
        let mut begins = true;
        loop {
            let whole = memrchr(b'\n', &chunk).map_or(0, |last| last + 1);
            rest.clear();
            rest.extend_from_slice(&chunk[whole..]);
            let mut lines = &chunk[..whole];
            if whole > 0 && std::mem::take(&mut begins) {
                lines = history.without_declarations(lines)?;
            }
            let more = matches!(ended, Ok(Filled::ToTheBrim));
            // While these lines are parsed, the operations before them are kept, and the lines after
            // them are read.
            let (pieces, next) = thread::scope(|scope| {
                let pieces = Parsed::begin(scope, lines, &mut names);
                let kept = parsed.drain(..).try_for_each(|piece| history.keep(piece));
                let next = match more {
                    true => fill(&mut source, &mut rest),
                    false => Ok(Filled::ToTheEnd),
                };
                let pieces: Vec<Parsed> = pieces.into_iter().map(Piece::end).collect();
                kept.map(|()| (pieces, next))
            })?;
            parsed = pieces;
            if !more {
                parsed.drain(..).try_for_each(|piece| history.keep(piece))?;
                return Ok(match ended {
                    Ok(_) if rest.is_empty() => history,
                    Ok(_) => history.cut("the last line has no newline"),
                    Err(error) => history.cut(&error.to_string()),
                });
            }
            std::mem::swap(&mut chunk, &mut rest);
            ended = next;
        }
    }

    /// Adds the operations of a piece.
    fn keep(&mut self, Parsed { operations, wrong }: Parsed) -> Result<(), HistoryError> {
        self.operations.append(operations);
        match wrong {
            None => Ok(()),
            Some(reason) => {
                Err(HistoryError::Line { line: self.line_of(self.operations.len()), reason })
            }
        }
    }

    /// What follows a first line that is no operation.
    fn without_declarations<'a>(&mut self, lines: &'a [u8]) -> Result<&'a [u8], HistoryError> {
        if !is_declaration(lines.trim_ascii_start()) {
            return Ok(lines);
        }
        let end = memchr(b'\n', lines).map_or(lines.len(), |end| end + 1);
        let wrong = |error| HistoryError::Line { line: 1, reason: reason(&error) };
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
    pub(crate) fn indexed(&self) -> impl Iterator<Item = (usize, OperationRef<'_>)> {
        self.operations.iter().enumerate()
    }

    /// Operations as a witness shows them, in the order of their return.
    pub(crate) fn show(&self, indexes: impl IntoIterator<Item = usize>) -> Vec<WitnessOperation> {
        let mut shown: Vec<_> = indexes.into_iter().collect();
        shown.sort_unstable_by_key(|index| (self.operations.at(*index).returned_ns, *index));
        shown.dedup();
        let show = |index: usize| WitnessOperation {
            line: self.line_of(index) as u64,
            operation: self.operations.at(index).to_operation(),
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
    operations: Operations,
    wrong: Option<String>,
}

/// A piece that is parsed, or is about to be.
enum Piece<'scope> {
    Begun(thread::ScopedJoinHandle<'scope, Parsed>),
    Parsed(Parsed),
}

impl Piece<'_> {
    fn end(self) -> Parsed {
        match self {
            Self::Begun(thread) => thread.join().expect("no panic"),
            Self::Parsed(parsed) => parsed,
        }
    }
}

impl Parsed {
    /// Begins to parse lines, with as many threads as there are CPUs; a few are parsed at once.
    fn begin<'scope, 'a: 'scope>(
        scope: &'scope thread::Scope<'scope, '_>,
        lines: &'a [u8],
        names: &'a mut [Names],
    ) -> Vec<Piece<'scope>> {
        if lines.len() < PIECE_BYTES_LEAST {
            return vec![Piece::Parsed(Self::of(lines, &mut names[0]))];
        }
        let pieces = names.len().min(lines.len() / PIECE_BYTES_LEAST + 1);
        let pieces = divided(lines, pieces).into_iter().zip(names);
        let begin = |(piece, names)| Piece::Begun(scope.spawn(move || Self::of(piece, names)));
        pieces.map(begin).collect()
    }

    fn of(mut lines: &[u8], names: &mut Names) -> Self {
        let mut operations = Operations::default();
        while !lines.is_empty() {
            let end = memchr(b'\n', lines).map_or(lines.len(), |end| end + 1);
            match read_line(&lines[..end], names) {
                Ok(operation) => operations.push(&operation),
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

    fn line_of(error: &HistoryError) -> usize {
        match error {
            HistoryError::Line { line, .. } => *line,
            other => panic!("{other}"),
        }
    }

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
            assert_eq!(line_of(&error), wrong + 1);
        }
    }

    #[test]
    fn a_line_that_is_not_an_operation_is_named() {
        let error = History::read(format!("{LINE}\nnot json\n{LINE}\n").as_bytes())
            .expect_err("line 2 is no operation");
        assert_eq!(line_of(&error), 2);
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
        assert_eq!(line_of(&late.expect_err("it is no operation")), 2);
        let misspelt = History::read(b"{\"declare\":{\"kees\":\"client\"}}\n".as_slice());
        assert!(misspelt.expect_err("no such field").to_string().contains("kees"));
    }

    #[test]
    fn a_byte_order_mark_is_named_and_line_ends_of_both_kinds_are_read() {
        let marked = History::read(format!("\u{feff}{LINE}\n").as_bytes());
        assert!(marked.expect_err("a mark").to_string().contains("byte order mark"));
        let mixed = History::read(format!("{LINE}\r\n{LINE}\n").as_bytes()).expect("a history");
        assert_eq!(mixed.operations.len(), 2);
    }

    #[test]
    fn a_number_that_is_none_is_refused_and_a_long_key_is_read() {
        let nan = LINE.replace("\"ok\"}", "\"ok\",\"available\":NaN}");
        assert_eq!(line_of(&History::read(format!("{nan}\n").as_bytes()).expect_err("NaN")), 1);
        let key = "k".repeat(1 << 20);
        let reserve = format!(
            "{{\"client\":1,\"slot\":\"s\",\"op\":\"reserve\",\"seats\":1,\"key\":\"{key}\",\
             \"sent_ns\":1,\"returned_ns\":2,\"outcome\":\"sold_out\"}}\n"
        );
        assert_eq!(History::read(reserve.as_bytes()).expect("a history").operations.len(), 1);
    }

    /// A history in frames, with declarations before them.
    fn frames(text: &str) -> Vec<u8> {
        let history = History::read(text.as_bytes()).expect("lines");
        let mut file = slotproof_history::OperationsFile::new(Vec::new());
        if history.lines_before > 0 {
            file.declare(history.declarations).expect("it is written");
        }
        for operation in &history.operations {
            file.write(&operation.to_operation()).expect("it is written");
            file.end_frame().expect("it is written");
        }
        file.end().expect("it is written");
        file.into_inner()
    }

    #[test]
    fn frames_say_what_lines_say() {
        let declare = r#"{"declare":{"keys":"client"}}"#;
        let text = format!("{declare}\n{LINE}\n{LINE}\n");
        let bytes = frames(&text);
        let read = History::read(&*bytes).expect("frames");
        assert_eq!(read, History::read(text.as_bytes()).expect("lines"));
        assert_eq!(read.line_of(1), 3);
        let end = slotproof_history::FrameWriter::end(0).len();
        let unended = History::read(&bytes[..bytes.len() - end]).expect("both operations");
        assert_eq!(unended.operations.len(), 2);
        let reason = unended.cut_off.expect("nobody knows whether there were more");
        assert!(reason.ends_with("still being written: its end is missing"), "{reason}");
        let torn = &bytes[..bytes.len() - end - 1];
        let torn = History::read(torn).expect("one operation and a half");
        assert_eq!(torn.operations.len(), 1);
        let reason = torn.cut_off.expect("it breaks off");
        assert_eq!(reason, "the history breaks off after line 2: the last frame is not whole");
    }

    #[test]
    fn a_damaged_frame_is_refused_with_the_line_before_it() {
        let bytes = frames(&format!("{LINE}\n{LINE}\n"));
        let mut damaged = bytes.clone();
        let last = damaged.len() - slotproof_history::FrameWriter::end(0).len() - 1;
        damaged[last] ^= 1;
        let error = History::read(&*damaged).expect_err("it is damaged").to_string();
        assert!(error.starts_with("after line 1: partition "), "{error}");
        let late = [&*bytes, &frames("{\"declare\":{\"keys\":\"client\"}}\n")].concat();
        let error = History::read(&*late).expect_err("declarations come first").to_string();
        assert!(error.contains("after line 2: declarations"), "{error}");
    }
}
