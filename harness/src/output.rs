//! Data for programs and lines for people. A closed stream is no reason to stop: a run whose reader
//! has gone away goes on, and its verdict decides the exit code. The macros of the standard library
//! would panic.

/// A line of data on standard output.
macro_rules! out {
    ($($arguments:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stdout(), $($arguments)*);
    }};
}

/// A line for people on standard error.
macro_rules! note {
    ($($arguments:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stderr(), $($arguments)*);
    }};
}
