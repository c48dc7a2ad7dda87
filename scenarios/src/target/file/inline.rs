//! A target file with the files that it names: a run keeps one file.

use std::{fs, path::Path};

use serde_json::Value as Json;
use toml::{Table, Value};

/// Puts the files that a target file names into its text. Certificates stay where they are, for
/// one of them has a private key in it.
///
/// # Errors
/// Says which file cannot be read.
pub(super) fn inline(text: &str, folder: &Path) -> Result<String, String> {
    if !["json_file", "query_file", "[tls]"].iter().any(|key| text.contains(key)) {
        return Ok(text.to_owned());
    }
    let mut table: Table = toml::from_str(text).map_err(|error| error.to_string())?;
    of_table(&mut table, folder)?;
    if let Some(Value::Table(tls)) = table.get_mut("tls") {
        for (_, path) in tls.iter_mut() {
            let Value::String(name) = path else { continue };
            let whole = fs::canonicalize(folder.join(&*name))
                .map_err(|error| format!("failed to read {name}: {error}"))?;
            *name = whole.display().to_string();
        }
    }
    toml::to_string(&table).map_err(|error| format!("the files it names cannot be kept: {error}"))
}

fn of_table(table: &mut Table, folder: &Path) -> Result<(), String> {
    if let Some(Value::String(name)) = table.get("json_file") {
        let json: Json = serde_json::from_str(&read(folder, name)?)
            .map_err(|error| format!("{name} is no JSON: {error}"))?;
        let json = Value::try_from(&json)
            .map_err(|_| format!("{name} has a null, which a run cannot keep; leave it out"))?;
        table.remove("json_file");
        table.insert("json".to_owned(), json);
    }
    if let Some(Value::String(name)) = table.get("query_file") {
        let query = read(folder, name)?;
        table.remove("query_file");
        table.insert("query".to_owned(), Value::String(query));
    }
    for (_, value) in table.iter_mut() {
        of_value(value, folder)?;
    }
    Ok(())
}

fn of_value(value: &mut Value, folder: &Path) -> Result<(), String> {
    match value {
        Value::Table(table) => of_table(table, folder),
        Value::Array(items) => items.iter_mut().try_for_each(|item| of_value(item, folder)),
        _ => Ok(()),
    }
}

/// The text of a file beside the target file.
///
/// # Errors
/// It cannot be read.
pub(super) fn read(folder: &Path, name: &str) -> Result<String, String> {
    fs::read_to_string(folder.join(name))
        .map_err(|error| format!("failed to read {name}, beside the target file: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_that_a_target_file_names_become_a_part_of_it() {
        let folder = tempfile::tempdir().expect("a directory");
        fs::write(folder.path().join("b.json"), r#"{"a":[{"n":"{{ seats }}"}]}"#).expect("a file");
        fs::write(folder.path().join("q.sql"), "select 1").expect("a file");
        let text = "[[x.step]]\nrequest = { json_file = \"b.json\" }\n[rows]\n\
                    sql = { query_file = \"q.sql\" }\n";
        let table: Table = inline(text, folder.path())
            .and_then(|text| toml::from_str(&text).map_err(|error| error.to_string()))
            .expect("one file");
        let request = &table["x"]["step"][0]["request"];
        assert_eq!(request["json"]["a"][0]["n"].as_str(), Some("{{ seats }}"));
        assert_eq!(table["rows"]["sql"]["query"].as_str(), Some("select 1"));
        let missing = inline("a = { json_file = \"none.json\" }", folder.path());
        assert!(missing.is_err_and(|error| error.contains("none.json")));
        assert_eq!(inline("a = 1 # as it is", folder.path()).as_deref(), Ok("a = 1 # as it is"));
    }
}
