//! The text of a draft: TOML with comments.

use serde_json::Value;

use super::{answers::RuleDraft, requests::RequestDraft};

/// Columns of a line, where it can be broken.
const COLUMNS: usize = 100;

/// The text so far, and what is doubtful in it.
#[derive(Debug, Default)]
pub(super) struct Page {
    pub(super) text: String,
    pub(super) doubts: Vec<String>,
}

impl Page {
    pub(super) fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }

    /// A comment, broken into lines.
    pub(super) fn comment(&mut self, text: &str) {
        self.indented_comment("", text);
    }

    fn indented_comment(&mut self, indent: &str, text: &str) {
        let text = printable(text);
        let mut line = format!("{indent}#");
        for word in text.split_whitespace() {
            if line.chars().count() + 1 + word.chars().count() > COLUMNS && line.len() > 6 {
                self.line(&line);
                line = format!("{indent}#");
            }
            line = format!("{line} {word}");
        }
        self.line(&line);
    }

    /// A guess, marked in the file and listed.
    pub(super) fn doubt(&mut self, of: &str, text: &str) {
        self.comment(&format!("DOUBTFUL: {text}"));
        self.list(of, text);
    }

    /// Lists what may be wrong, for a terminal.
    pub(super) fn list(&mut self, of: &str, text: &str) {
        self.doubts.push(printable(&format!("{of}: {text}")));
    }

    pub(super) fn section(&mut self, header: &str) {
        self.line(header);
    }

    pub(super) fn pair(&mut self, name: &str, value: &Value) {
        self.line(&format!("{} = {}", key(name), toml(value)));
    }

    /// A request, on one line if it is short and certain, else with a line for each value.
    pub(super) fn request(&mut self, of: &str, request: &RequestDraft) {
        let line = format!("request = {}", inline_request(request));
        if request.notes.is_empty() && line.chars().count() <= COLUMNS {
            self.line(&line);
            return;
        }
        self.noted(of, request, &["method"], &request.method.clone().into());
        self.noted(of, request, &["path"], &request.path.clone().into());
        for (name, value) in &request.headers {
            self.noted(of, request, &["headers", name], value);
        }
        if let Some((kind, body)) = &request.body {
            self.body(of, request, &mut vec![kind], body);
        }
    }

    fn body<'v>(
        &mut self,
        of: &str,
        request: &RequestDraft,
        at: &mut Vec<&'v str>,
        value: &'v Value,
    ) {
        match value {
            Value::Object(fields) if !fields.is_empty() && !fields.contains_key("repeat") => {
                for (name, value) in fields {
                    at.push(name);
                    self.body(of, request, at, value);
                    at.pop();
                }
            }
            _ => self.noted(of, request, &at.clone(), value),
        }
    }

    /// A value of a request, with what is to be checked of it. What is made up inside a list stands
    /// on the list's line.
    fn noted(&mut self, of: &str, request: &RequestDraft, at: &[&str], value: &Value) {
        let name: Vec<String> = at.iter().map(|name| key(name)).collect();
        let name = name.join(".");
        let line = format!("request.{name} = {}", toml(value));
        let below =
            |path: &[String]| path.len() >= at.len() && path.iter().zip(at).all(|(a, b)| a == b);
        let notes: Vec<&str> = request
            .notes
            .iter()
            .filter(|(path, _)| below(path))
            .map(|(_, wanted)| wanted.as_str())
            .collect();
        if notes.is_empty() {
            self.line(&line);
            return;
        }
        let wanted = notes.join("; ");
        self.list(of, &format!("check request.{name}: {wanted}"));
        let whole = format!("{line}  # CHECK: {wanted}");
        if whole.chars().count() <= COLUMNS {
            self.line(&whole);
            return;
        }
        self.comment(&format!("CHECK: {wanted}"));
        self.line(&line);
    }

    pub(super) fn rules(&mut self, of: &str, rules: &[RuleDraft]) {
        self.line("answers = [");
        for rule in rules {
            if let Some(doubt) = &rule.doubt {
                self.indented_comment("  ", &format!("DOUBTFUL: {doubt}"));
                self.list(of, doubt);
            }
            self.line(&format!("  {},", inline_rule(rule)));
        }
        self.line("]");
    }
}

fn printable(text: &str) -> String {
    text.chars().map(|it| if it.is_control() { ' ' } else { it }).collect()
}

fn inline_request(request: &RequestDraft) -> String {
    let mut pairs = vec![
        pair("method", &request.method.clone().into()),
        pair("path", &request.path.clone().into()),
    ];
    if !request.headers.is_empty() {
        let headers = request.headers.iter().map(|(name, value)| pair(name, value));
        pairs.push(format!("headers = {{ {} }}", headers.collect::<Vec<_>>().join(", ")));
    }
    if let Some((kind, body)) = &request.body {
        pairs.push(pair(kind, body));
    }
    format!("{{ {} }}", pairs.join(", "))
}

fn inline_rule(rule: &RuleDraft) -> String {
    let mut statuses = rule.statuses.clone();
    statuses.sort_unstable();
    statuses.dedup();
    let mut pairs = vec![match statuses.as_slice() {
        [one] => format!("status = {one}"),
        several => format!("status = {several:?}"),
    }];
    if !rule.when.is_empty() {
        pairs.push(pair("when", &rule.when.clone().into()));
    }
    pairs.push(format!("means = {}", quoted(rule.means)));
    if !rule.captures.is_empty() {
        pairs.push(format!("capture = {}", captures(&rule.captures)));
    }
    if let Some(reason) = &rule.reason {
        pairs.push(format!("reason = {}", quoted(reason)));
    }
    if let Some(poll) = &rule.poll {
        pairs.push(format!("request = {}", inline_request(poll)));
    }
    format!("{{ {} }}", pairs.join(", "))
}

/// Captures in the order in which they were found.
pub(super) fn captures<N: AsRef<str>>(captures: &[(N, Value)]) -> String {
    let pairs: Vec<String> =
        captures.iter().map(|(name, value)| pair(name.as_ref(), value)).collect();
    format!("{{ {} }}", pairs.join(", "))
}

fn pair(name: &str, value: &Value) -> String {
    format!("{} = {}", key(name), toml(value))
}

/// A key, quoted where it must be.
fn key(name: &str) -> String {
    let bare = |it: char| it.is_ascii_alphanumeric() || it == '_' || it == '-';
    match !name.is_empty() && name.chars().all(bare) {
        true => name.to_owned(),
        false => quoted(name),
    }
}

/// JSON's escapes are TOML's, but for one character.
fn quoted(text: &str) -> String {
    Value::from(text).to_string().replace('\u{7f}', "\\u007F")
}

/// A value on one line. TOML has no null, and no number above its 64 bits.
fn toml(value: &Value) -> String {
    match value {
        Value::Null => quoted(""),
        Value::String(text) => quoted(text),
        Value::Number(number) if number.is_u64() && number.as_i64().is_none() => {
            quoted(&number.to_string())
        }
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().filter(|it| !it.is_null()).map(toml).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Object(fields) if fields.is_empty() => "{}".to_owned(),
        Value::Object(fields) => {
            let mut fields: Vec<(&String, &Value)> =
                fields.iter().filter(|(_, value)| !value.is_null()).collect();
            // A list of so many items, and a word at a path, are read in this order.
            fields.sort_by_key(|(name, _)| !["repeat", "path"].contains(&name.as_str()));
            let pairs: Vec<String> =
                fields.into_iter().map(|(name, value)| pair(name, value)).collect();
            format!("{{ {} }}", pairs.join(", "))
        }
    }
}
