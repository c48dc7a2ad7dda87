//! Target files: any HTTP booking API, described by a file.
//!
//! The file says how an operation becomes requests and what each answer means. It is read whole,
//! and refused with the line of its mistake, before anything is sent.

mod access;
mod at;
mod by_hand;
mod capture;
mod compile;
mod dry_run;
mod exchange;
mod format;
mod inline;
mod interpreter;
mod log;
mod made_slots;
mod making;
mod meaning;
mod request;
mod rows;
mod rule;
mod schema;
mod scope;
mod secrets;
mod setup;
mod template;
mod values;

pub use compile::FileTarget;
pub use dry_run::DryRequest;
pub use exchange::Exchanged;
pub use format::{Claims, FaultWords, Meaning, Replays, RowsEach, StackWords};
pub use interpreter::{Made, OperationKind, Ready, Release};
pub use log::Log;
pub use rows::{HttpList, Rows, Source, SqlList, key};
pub use schema::schema;
pub use scope::{Place, PlaceNames, Scope, Session};
pub use setup::{Prepared, SetUp, TargetError};

#[cfg(test)]
pub(in crate::target) use capture::Received;

/// Reads the text of a target file, with the environment that a test wants.
#[cfg(test)]
pub(in crate::target) fn parsed(
    text: &str,
    environment: impl Fn(&str) -> Option<String>,
) -> Result<FileTarget, String> {
    FileTarget::parse(text, std::path::Path::new(""), &[], environment)
}
