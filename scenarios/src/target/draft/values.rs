//! Values that a schema gives of its own: its examples and defaults, else one of its type.

use serde_json::{Value, json};

use super::{
    document::kind,
    words::{ID_WORDS, code, has_any, words},
};

/// What is put into a field.
pub(super) enum Filled {
    Known(Value),
    /// Made up, and what is wanted there.
    Made(Value, String),
}

impl Filled {
    /// A value by the schema alone: what the document gives as one, else one of the type.
    pub(super) fn of(name: &str, schema: &Value, owner: &Value) -> Self {
        // A text of the document must not become a template: it could name a secret.
        let plain = |it: &&Value| {
            let text = it.to_string();
            !it.is_null() && !["{{", "{%", "{#"].iter().any(|opens| text.contains(opens))
        };
        let given = |key: &str| {
            let owners = [schema, owner].into_iter();
            owners.filter_map(|it| it.get(key)).find(plain).cloned()
        };
        let is_id = words(name).last().is_some_and(|it| ID_WORDS.contains(&it.as_str()));
        let first = |value: Option<Value>| match value {
            Some(Value::Array(items)) => items.into_iter().next(),
            _ => None,
        };
        if let Some(value) = given("const").or_else(|| given("default")) {
            return Filled::Known(value);
        }
        let example = given("example").or_else(|| first(given("examples")));
        if let Some(value) = example {
            return match is_id {
                true => Filled::Made(value, format!("write an existing {name}")),
                false => Filled::Known(value),
            };
        }
        if let Some(Value::Array(choices)) = given("enum")
            && let Some(choice) = likely(&choices)
        {
            let all: Vec<String> = choices.iter().map(text_of).collect();
            return match all.as_slice() {
                [_] => Filled::Known(choice.clone()),
                several => Filled::Made(choice.clone(), format!("one of {}", several.join(", "))),
            };
        }
        let least = schema.get("minimum").cloned().unwrap_or_else(|| 1.into());
        // Some generators write 1.0 as the minimum of an integer.
        let whole = least.as_f64().filter(|it| it.fract() == 0.0 && kind(schema) == "integer");
        let number = whole.map_or(least, |it| Value::from(it as i64));
        let value = match kind(schema) {
            "integer" | "number" => number,
            "boolean" => true.into(),
            "array" => json!([]),
            "object" => json!({}),
            _ => text_by_format(schema, name).into(),
        };
        let wanted = match is_id {
            true => format!("write an existing {name}"),
            false if has_any(&words(name), &["end", "until"]) => {
                "made up; the end is after the start".to_owned()
            }
            false => "made up".to_owned(),
        };
        Filled::Made(value, wanted)
    }
}

/// The choice that a new thing has: a slot is free, a booking is pending.
fn likely(choices: &[Value]) -> Option<&Value> {
    let new = ["free", "available", "open", "active", "published", "scheduled", "pending"];
    let is_new = |it: &&Value| it.as_str().is_some_and(|it| new.contains(&code(it).as_str()));
    choices.iter().find(is_new).or_else(|| choices.iter().find(|it| !it.is_null()))
}

fn text_by_format(schema: &Value, name: &str) -> String {
    let short = match schema["format"].as_str().unwrap_or_default() {
        "date-time" => "2030-01-01T09:00:00Z",
        "date" => "2030-01-01",
        "time" => "09:00:00",
        "email" => "slotproof@example.org",
        "uri" | "url" => "https://example.org",
        "uuid" => "00000000-0000-4000-8000-000000000000",
        _ => match words(name).last().map(String::as_str).unwrap_or_default() {
            "email" => "slotproof@example.org",
            "phone" => "+10000000000",
            "timezone" | "zone" => "Etc/UTC",
            _ => name,
        },
    };
    let least = schema.get("minLength").and_then(Value::as_u64).unwrap_or(0);
    let least = usize::try_from(least).unwrap_or(0).min(200);
    let missing = least.saturating_sub(short.chars().count());
    [short, &"x".repeat(missing)].concat()
}

pub(super) fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
