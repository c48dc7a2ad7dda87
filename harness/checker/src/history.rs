//! Reading a history: one operation a line.

use std::{io::BufRead, sync::Arc};

use foldhash::HashSet;
use serde::Deserialize;
use slotproof_vocabulary::{Action, Declarations, Operation, verdict::WitnessOperation};

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
        let mut line = Vec::new();
        let mut slots = SlotNames::default();
        loop {
            line.clear();
            match source.read_until(b'\n', &mut line) {
                Ok(0) => return Ok(history),
                Ok(_) if line.ends_with(b"\n") => {
                    history.read_line(&line, &mut slots).map_err(|reason| HistoryError {
                        line: history.line_of(history.operations.len()),
                        reason,
                    })?;
                }
                Ok(_) => return Ok(history.cut("the last line has no newline")),
                Err(error) => return Ok(history.cut(&error.to_string())),
            }
        }
    }

    fn read_line(&mut self, line: &[u8], slots: &mut SlotNames) -> Result<(), String> {
        let text = line.trim_ascii_start();
        // The parser saw one line only, and would call it the first.
        let reason = |error: serde_json::Error| {
            error.to_string().replace(" at line 1 column ", ", at column ")
        };
        if text.starts_with(BYTE_ORDER_MARK) {
            return Err("it begins with a byte order mark; write UTF-8 without one".to_owned());
        }
        if !text.starts_with(b"{") {
            return Err("not a JSON object".to_owned());
        }
        if self.operations.is_empty() && self.lines_before == 0 && is_declaration(text) {
            let DeclarationLine { declare } = serde_json::from_slice(line).map_err(reason)?;
            (self.declarations, self.lines_before) = (declare, 1);
            return Ok(());
        }
        let mut operation: Operation = serde_json::from_slice(line).map_err(reason)?;
        operation.slot = slots.shared(operation.slot);
        if let Action::Change { to, .. } = &mut operation.action {
            to.slot = to.slot.take().map(|slot| slots.shared(slot));
        }
        self.operations.push(operation);
        Ok(())
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
    text[1..].trim_ascii_start().starts_with(b"\"declare\"")
}

/// The names of slots, each kept once.
#[derive(Default)]
struct SlotNames(HashSet<Arc<str>>);

impl SlotNames {
    fn shared(&mut self, name: Arc<str>) -> Arc<str> {
        if let Some(kept) = self.0.get(&name) {
            return Arc::clone(kept);
        }
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
    fn a_line_that_is_not_an_operation_is_named() {
        let error = History::read(format!("{LINE}\nnot json\n{LINE}\n").as_bytes())
            .expect_err("line 2 is no operation");
        assert_eq!(error.line, 2);
    }

    #[test]
    fn a_stream_that_fails_is_a_history_that_breaks_off() {
        struct Failing;
        impl std::io::Read for Failing {
            fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
                Err(std::io::Error::other("incomplete frame"))
            }
        }
        let whole = format!("{LINE}\n");
        let source = std::io::BufReader::new(std::io::Read::chain(whole.as_bytes(), Failing));
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
