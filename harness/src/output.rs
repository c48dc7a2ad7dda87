//! Data for programs and lines for people. A closed stream is no reason to stop: a run whose reader
//! has gone away goes on, and its verdict decides the exit code. Data that cannot be written because
//! the disk is full stops no run either, but its exit code is that of an error: who reads the file
//! must not take a part for the whole. The macros of the standard library would panic.
//!
//! Names of slots, bookings and keys come from the service under test. Here they become harmless:
//! no terminal obeys them, and no CI runner.

use std::{
    io::{self, ErrorKind, Write as _, stderr, stdout},
    sync::OnceLock,
};

use slotproof_reports::printable::one_line;

/// Lines of data on standard output.
macro_rules! out {
    ($($arguments:tt)*) => { crate::output::data(&format!($($arguments)*)) };
}

/// A line for people on standard error.
macro_rules! note {
    () => { crate::output::line("") };
    ($($arguments:tt)*) => { crate::output::line(&format!($($arguments)*)) };
}

/// What `out!` writes: its line breaks are kept, for in JSON a name has none.
pub(crate) fn data(text: &str) {
    let lines: Vec<String> = text.split('\n').map(one_line).collect();
    written(writeln!(stdout(), "{}", lines.join("\n")));
}

/// The first error of standard output.
static FAILURE: OnceLock<io::Error> = OnceLock::new();

/// Remembers that data could not be written. That nobody reads on is no error.
pub(crate) fn written(result: io::Result<()>) {
    if let Err(error) = result.and_then(|()| stdout().flush())
        && error.kind() != ErrorKind::BrokenPipe
    {
        let _ = FAILURE.set(error);
    }
}

/// Why data is missing on standard output.
pub(crate) fn failure() -> Option<&'static io::Error> {
    FAILURE.get()
}

/// What `note!` writes.
pub(crate) fn line(text: &str) {
    let _ = writeln!(stderr(), "{}", no_command(&one_line(text)));
}

/// Several lines for people on standard error.
pub(crate) fn lines(text: &str) {
    text.lines().for_each(line);
}

/// GitHub Actions obeys a line that begins with `::`, and `##[` anywhere: the tail of a log may have
/// such a line.
fn no_command(line: &str) -> String {
    let line = line.replace("##[", "#\\u0023[");
    match line.trim_start().strip_prefix("::") {
        Some(command) => format!("\\u003a:{command}"),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_line_is_a_command_of_a_ci_runner() {
        assert_eq!(no_command("  ::error::x"), "\\u003a:error::x");
        assert_eq!(no_command("slot ##[error]x"), "slot #\\u0023[error]x");
        assert_eq!(no_command("  I1   upheld a::b # 3"), "  I1   upheld a::b # 3");
    }
}
