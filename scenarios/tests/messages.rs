//! Every message of this crate that a user reads, in one snapshot: a change of voice shows in one
//! diff.

use std::{collections::BTreeSet, io};

use slotproof_scenarios::{LoadError, target::file::TargetError};

/// The name of a variant. It does not compile when a variant is missing.
fn variant(error: &LoadError) -> &'static str {
    match error {
        LoadError::Target(_) => "Target",
        LoadError::Nothing(_) => "Nothing",
        LoadError::OpenFiles { .. } => "OpenFiles",
        LoadError::History(_) => "History",
        LoadError::Lost { .. } => "Lost",
        LoadError::Pacer(_) => "Pacer",
        LoadError::Goose(_) => "Goose",
        LoadError::Hatching(_) => "Hatching",
    }
}

#[test]
fn load_errors() {
    let io = || io::Error::other("the disk is full");
    let errors = [
        LoadError::Target(TargetError::File("their.toml: line 3: wrong".to_owned())),
        LoadError::Nothing("slots"),
        LoadError::Nothing("targets"),
        LoadError::OpenFiles { clients: 9_000, needed: 9_200, hard: 4_096 },
        LoadError::History(io()),
        LoadError::Lost { written: 7, recorded: 9 },
        LoadError::Pacer(io()),
        LoadError::Goose(Box::new(goose::GooseError::Io(io()))),
        LoadError::Hatching(9_000),
    ];
    let variants: BTreeSet<&str> = errors.iter().map(variant).collect();
    assert_eq!(variants.len(), 8, "a variant has no example: {variants:?}");
    let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
    insta::assert_snapshot!(lines.join("\n"));
}
