//! The JSON Schema of target files, derived from their words: editors complete and check by it.

use schemars::{JsonSchema, Schema, generate::SchemaSettings, transform::RecursiveTransform};
use serde_json::Value;

use super::format::Words;

/// Their words for each of our statuses.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "names the keys of a map to the schema")]
pub(super) struct Statuses {
    pending: Option<Vec<String>>,
    confirmed: Option<Vec<String>>,
    cancelled: Option<Vec<String>>,
    expired: Option<Vec<String>>,
    failed: Option<Vec<String>>,
}

/// The schema, as draft 7: the editors of TOML know that one.
pub fn schema() -> Value {
    let settings = SchemaSettings::draft07().with_transform(RecursiveTransform(without_null));
    settings.into_generator().into_root_schema_for::<Words>().to_value()
}

/// TOML has no null: what is optional is left out.
fn without_null(schema: &mut Schema) {
    let null = Value::from("null");
    if let Some(Value::Array(types)) = schema.get_mut("type") {
        types.retain(|it| *it != null);
        if let [only] = &types[..] {
            let only = only.clone();
            schema.insert("type".to_owned(), only);
        }
    }
    if let Some(Value::Array(any)) = schema.get_mut("anyOf") {
        any.retain(|it| it.get("type") != Some(&null));
        if any.len() == 1 {
            // Draft 7 ignores what stands beside a reference, a description say.
            let only = schema.remove("anyOf").unwrap_or_default();
            schema.insert("allOf".to_owned(), only);
        }
    }
    if schema.get("default") == Some(&Value::Null) {
        schema.remove("default");
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::{super::rows::OWN_STATUSES, *};

    const KEPT: &str = include_str!("../../../../ci/targets/target.schema.json");

    #[test]
    fn the_kept_schema_is_that_of_the_words() {
        let kept: Value = serde_json::from_str(KEPT).expect("JSON");
        assert!(kept == schema(), "slotproof target schema > ci/targets/target.schema.json");
    }

    #[test]
    fn it_names_every_status() {
        let schema = schema();
        let named = schema["definitions"]["Statuses"]["properties"].as_object().expect("statuses");
        let own = OWN_STATUSES.map(|status| status.name());
        assert_eq!(named.len(), own.len());
        assert!(own.iter().all(|status| named.contains_key(*status)));
    }

    #[test]
    fn every_kept_target_file_is_valid_and_names_it() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../ci/targets");
        let mut files = 0;
        for entry in fs::read_dir(folder).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.extension().is_none_or(|extension| extension != "toml") {
                continue;
            }
            let text = fs::read_to_string(&path).expect("a text");
            let name = path.display();
            assert!(text.starts_with("#:schema ./target.schema.json\n"), "{name}");
            assert_eq!(mistakes(&text), Vec::<String>::new(), "{name}");
            files += 1;
        }
        assert!(files >= 6, "{files}");
    }

    #[test]
    fn a_mistake_is_seen_where_it_is() {
        let text = include_str!("../../../../ci/targets/reference.toml");
        let cases = [
            ("base = ", "basis = ", "/target"),
            ("each = \"slot\"", "each = \"day\"", "/setup/0/each"),
            ("status = 429", "status = 42", "/reserve/step/0/answers"),
            (
                "means = \"sold_out\"",
                "means = \"full\"",
                "/reserve/step/0/answers/1/answers/1/means",
            ),
            ("\"==\", \"retry_later\"", "\"=\", \"retry_later\"", "/reserve/step/0/answers/3/when"),
            ("[idempotency]", "[claims]\nreplays = 1\n[idempotency]", "/claims/replays"),
        ];
        for (right, wrong, at) in cases {
            assert!(text.contains(right), "{right}");
            let found = mistakes(&text.replacen(right, wrong, 1));
            assert!(found.iter().any(|it| it.starts_with(at)), "{wrong}: {found:?}");
        }
    }

    fn mistakes(text: &str) -> Vec<String> {
        let file: Value = toml::from_str(text).expect("TOML");
        let root = schema();
        let mut found = Vec::new();
        Validator { root: &root }.check(&root, &file, "", &mut found);
        found
    }

    /// As much of draft 7 as the schema uses; any other keyword ends the test.
    struct Validator<'a> {
        root: &'a Value,
    }

    impl Validator<'_> {
        fn holds(&self, schema: &Value, value: &Value) -> bool {
            let mut found = Vec::new();
            self.check(schema, value, "", &mut found);
            found.is_empty()
        }

        fn check(&self, schema: &Value, value: &Value, at: &str, found: &mut Vec<String>) {
            let Value::Object(keywords) = schema else {
                assert_eq!(*schema, Value::Bool(true), "{at}");
                return;
            };
            for (keyword, of) in keywords {
                let right = match keyword.as_str() {
                    "$schema" | "title" | "description" | "default" | "format" | "definitions" => {
                        true
                    }
                    "$ref" => {
                        let pointer = of.as_str().expect("a reference").trim_start_matches('#');
                        let schema = self.root.pointer(pointer).expect("a definition");
                        self.check(schema, value, at, found);
                        true
                    }
                    "type" => has_type(value, of.as_str().expect("one type")),
                    "const" => value == of,
                    "enum" => items(of).contains(value),
                    "anyOf" => items(of).iter().any(|it| self.holds(it, value)),
                    "oneOf" => items(of).iter().filter(|it| self.holds(it, value)).count() == 1,
                    "allOf" => {
                        items(of).iter().for_each(|it| self.check(it, value, at, found));
                        true
                    }
                    "minimum" => value.as_f64().is_none_or(|it| Some(it) >= of.as_f64()),
                    "maximum" => value.as_f64().is_none_or(|it| Some(it) <= of.as_f64()),
                    "minItems" => value
                        .as_array()
                        .is_none_or(|it| it.len() as u64 >= of.as_u64().unwrap_or(0)),
                    "maxItems" => value
                        .as_array()
                        .is_none_or(|it| it.len() as u64 <= of.as_u64().unwrap_or(0)),
                    "items" => {
                        for (index, item) in items(value).iter().enumerate() {
                            let schema = if of.is_array() { &of[index] } else { of };
                            self.check(schema, item, &format!("{at}/{index}"), found);
                        }
                        true
                    }
                    "required" => value.as_object().is_none_or(|value| {
                        items(of).iter().all(|it| value.contains_key(it.as_str().expect("a key")))
                    }),
                    "properties" | "additionalProperties" => {
                        self.keys(keyword, keywords, value, at, found);
                        true
                    }
                    other => panic!("{at}: the test does not know the keyword {other}"),
                };
                if !right {
                    found.push(format!("{at}: {keyword} {of}"));
                }
            }
        }

        fn keys(
            &self,
            keyword: &str,
            schema: &serde_json::Map<String, Value>,
            value: &Value,
            at: &str,
            found: &mut Vec<String>,
        ) {
            let Value::Object(value) = value else { return };
            let properties = schema.get("properties").and_then(Value::as_object);
            for (key, value) in value {
                let at = format!("{at}/{key}");
                match (properties.and_then(|it| it.get(key)), keyword) {
                    (Some(schema), "properties") => self.check(schema, value, &at, found),
                    (None, "additionalProperties") => match &schema[keyword] {
                        Value::Bool(false) => found.push(format!("{at}: unknown key")),
                        schema => self.check(schema, value, &at, found),
                    },
                    _ => {}
                }
            }
        }
    }

    fn items(value: &Value) -> &[Value] {
        value.as_array().map_or(&[], Vec::as_slice)
    }

    fn has_type(value: &Value, name: &str) -> bool {
        match name {
            "object" => value.is_object(),
            "array" => value.is_array(),
            "string" => value.is_string(),
            "boolean" => value.is_boolean(),
            "integer" => value.is_i64() || value.is_u64(),
            "number" => value.is_number(),
            other => panic!("the test does not know the type {other}"),
        }
    }
}
