//! The workflows that teams copy: what they call exists.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::stack::slotproof;

fn workflows() -> Vec<(String, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(root().join("ci/workflows")).expect("a directory") {
        let path = entry.expect("an entry").path();
        let text = fs::read_to_string(&path).expect("a text");
        found.push((path.file_name().expect("a name").to_string_lossy().into_owned(), text));
    }
    assert!(found.len() >= 4, "{found:?}");
    found
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

#[test]
fn every_workflow_to_copy_is_yaml_with_jobs() {
    for (name, text) in workflows() {
        let workflow: serde_json::Value = yaml_serde::from_str(&text).expect(&name);
        let jobs = match name.contains("gitlab") {
            true => workflow["booking-gate"]["script"].as_array().map(Vec::len),
            false => workflow["jobs"]["gate"]["steps"].as_array().map(Vec::len),
        };
        assert!(jobs.is_some_and(|jobs| jobs > 1), "{name}: {workflow}");
    }
}

#[test]
fn every_command_of_a_workflow_has_the_flags_and_files_that_it_names() {
    let help = slotproof().args(["gate", "--help"]).output().expect("the binary runs").stdout;
    let help = String::from_utf8(help).expect("text");
    for (name, text) in workflows() {
        let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
        let commands: Vec<&str> =
            lines.filter_map(|line| Some(line.split_once("release/slotproof gate ")?.1)).collect();
        assert!(!commands.is_empty(), "{name}");
        for word in commands.iter().flat_map(|command| command.split_whitespace()) {
            let word = word.trim_end_matches(';');
            if word.starts_with("--") {
                assert!(help.contains(word), "{name}: {word}");
            }
            if word.starts_with("ci/") {
                assert!(root().join(word).is_file(), "{name}: {word}");
            }
        }
    }
}
