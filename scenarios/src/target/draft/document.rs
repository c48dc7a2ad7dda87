//! An OpenAPI document as a draft looks at it: operations, and schemas without their references.

use serde_json::Value;

use super::{DraftError, endpoint::Endpoint};

pub(super) static NOTHING: Value = Value::Null;

/// References and alternatives that are followed one after another: more is a cycle.
const FOLLOWED_MAX: usize = 32;
/// Levels of an answer in which fields are looked for: deeper ones are not about the booking.
const LEVELS_MAX: usize = 4;
/// Fields of one answer that are looked at: a schema that has more is a whole catalogue.
const LEAVES_MAX: usize = 2_000;

/// A document of OpenAPI 3.
#[derive(Debug, Clone, Copy)]
pub(super) struct Document<'a> {
    root: &'a Value,
}

/// A field of an object.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field<'a> {
    pub(super) name: &'a str,
    pub(super) schema: &'a Value,
    pub(super) required: bool,
}

/// A value in an answer that is no object and no list.
#[derive(Debug, Clone)]
pub(super) struct Leaf<'a> {
    /// RFC 9535.
    pub(super) path: String,
    /// Names from the outside to the inside.
    pub(super) names: Vec<&'a str>,
    pub(super) schema: &'a Value,
}

impl<'a> Leaf<'a> {
    pub(super) fn name(&self) -> &'a str {
        self.names.last().copied().unwrap_or_default()
    }

    pub(super) fn is_number(&self) -> bool {
        matches!(kind(self.schema), "integer" | "number")
    }

    /// The words that a text can be.
    pub(super) fn choices(&self) -> Vec<&'a str> {
        choices(self.schema)
    }
}

/// The words that a text can be.
pub(super) fn choices(schema: &Value) -> Vec<&str> {
    let one = schema.get("const").and_then(Value::as_str);
    let listed = schema.get("enum").and_then(Value::as_array);
    one.into_iter().chain(listed.into_iter().flatten().filter_map(Value::as_str)).collect()
}

/// The type of a schema, guessed where it says none.
pub(super) fn kind(schema: &Value) -> &str {
    let has = |key| schema.get(key).is_some();
    match schema.get("type") {
        Some(Value::String(kind)) => kind,
        Some(Value::Array(kinds)) => {
            let kinds = kinds.iter().filter_map(Value::as_str);
            kinds.into_iter().find(|kind| *kind != "null").unwrap_or("null")
        }
        _ if has("properties") => "object",
        _ if has("items") => "array",
        _ if schema.get("const").is_some_and(Value::is_string) => "string",
        _ if has("enum") => "string",
        _ => "",
    }
}

impl<'a> Document<'a> {
    /// # Errors
    /// It is no document of OpenAPI 3, or has no paths.
    pub(super) fn new(root: &'a Value) -> Result<Self, DraftError> {
        if let Some(version) = root.get("swagger") {
            let version = version.as_str().map_or_else(|| version.to_string(), str::to_owned);
            return Err(DraftError::Swagger(version));
        }
        match root.get("openapi") {
            Some(Value::String(version)) if version.starts_with("3.") => {}
            Some(other) => return Err(DraftError::Version(other.to_string())),
            None => return Err(DraftError::NoOpenApi),
        }
        match root.get("paths").and_then(Value::as_object) {
            Some(paths) if !paths.is_empty() => Ok(Self { root }),
            _ => Err(DraftError::NoPaths),
        }
    }

    pub(super) fn text_at(&self, pointer: &str) -> Option<&'a str> {
        self.root.pointer(pointer).and_then(Value::as_str)
    }

    pub(super) fn get(&self, key: &str) -> &'a Value {
        self.root.get(key).unwrap_or(&NOTHING)
    }

    /// What a reference stands for. One that leads nowhere, into a cycle or into another file
    /// stands for nothing.
    pub(super) fn resolve(&self, value: &'a Value) -> &'a Value {
        let mut value = value;
        for _ in 0..FOLLOWED_MAX {
            let Some(reference) = value.get("$ref").and_then(Value::as_str) else { return value };
            let Some(pointer) = reference.strip_prefix('#') else { return &NOTHING };
            let pointer = pointer.replace("%7B", "{").replace("%7D", "}");
            match self.root.pointer(&pointer) {
                Some(found) => value = found,
                None => return &NOTHING,
            }
        }
        &NOTHING
    }

    /// A file that the document refers to, and that is not read.
    pub(super) fn other_file(&self) -> Option<&'a str> {
        fn search(value: &Value) -> Option<&str> {
            match value {
                Value::Object(fields) => {
                    let own = fields.get("$ref").and_then(Value::as_str);
                    own.filter(|reference| !reference.starts_with('#'))
                        .or_else(|| fields.values().find_map(search))
                }
                Value::Array(items) => items.iter().find_map(search),
                _ => None,
            }
        }
        search(self.root)
    }

    /// All operations, in the order of the document.
    pub(super) fn endpoints(&self) -> Vec<Endpoint<'a>> {
        let mut endpoints = Vec::new();
        for (path, item) in self.get("paths").as_object().into_iter().flatten() {
            let item = self.resolve(item);
            // Braces in braces would be a template in the target file.
            if path.contains("{{") {
                continue;
            }
            for method in ["get", "post", "put", "patch", "delete"] {
                let Some(operation) = item.get(method).filter(|it| it.is_object()) else {
                    continue;
                };
                let parameters = self.parameters(operation, item);
                endpoints.push(Endpoint {
                    method: method.to_uppercase(),
                    path,
                    item: operation,
                    parameters,
                });
            }
        }
        endpoints
    }

    /// Those of an operation, before those of its path.
    fn parameters(&self, operation: &'a Value, item: &'a Value) -> Vec<&'a Value> {
        let mut found: Vec<&Value> = Vec::new();
        for owner in [operation, item] {
            for parameter in owner.get("parameters").and_then(Value::as_array).into_iter().flatten()
            {
                let parameter = self.resolve(parameter);
                let same = |it: &&Value| {
                    it.get("name") == parameter.get("name") && it.get("in") == parameter.get("in")
                };
                let name = parameter.get("name").and_then(Value::as_str).unwrap_or_default();
                if !found.iter().any(same) && !name.is_empty() && !name.contains('{') {
                    found.push(parameter);
                }
            }
        }
        found
    }

    /// One schema of alternatives, without references.
    pub(super) fn plain(&self, schema: &'a Value) -> &'a Value {
        let mut schema = self.resolve(schema);
        for _ in 0..FOLLOWED_MAX {
            if !kind(schema).is_empty() {
                return schema;
            }
            let Some(next) = self.alternatives(schema).next() else { return schema };
            schema = next;
        }
        schema
    }

    fn alternatives(&self, schema: &'a Value) -> impl Iterator<Item = &'a Value> {
        let parts = ["allOf", "oneOf", "anyOf"].into_iter().filter_map(|key| schema.get(key));
        let parts = parts.filter_map(Value::as_array).flatten();
        let document = *self;
        parts.map(move |part| document.resolve(part)).filter(|part| kind(part) != "null")
    }

    /// The fields of an object: all of `allOf`, the first of `oneOf` and `anyOf`.
    pub(super) fn fields(&self, schema: &'a Value) -> Vec<Field<'a>> {
        let mut fields = Vec::new();
        let mut required = Vec::new();
        self.collect(schema, &mut Vec::new(), &mut fields, &mut required);
        for field in &mut fields {
            field.required = required.contains(&field.name);
        }
        fields
    }

    fn collect(
        &self,
        schema: &'a Value,
        seen: &mut Vec<*const Value>,
        fields: &mut Vec<Field<'a>>,
        required: &mut Vec<&'a str>,
    ) {
        let schema = self.resolve(schema);
        if seen.contains(&std::ptr::from_ref(schema)) {
            return;
        }
        seen.push(schema);
        let names = schema.get("required").and_then(Value::as_array).into_iter().flatten();
        required.extend(names.filter_map(Value::as_str));
        for (name, schema) in
            schema.get("properties").and_then(Value::as_object).into_iter().flatten()
        {
            if !fields.iter().any(|field| field.name == name) {
                fields.push(Field { name, schema, required: false });
            }
        }
        for part in schema.get("allOf").and_then(Value::as_array).into_iter().flatten() {
            self.collect(part, seen, fields, required);
        }
        for key in ["oneOf", "anyOf"] {
            let parts = schema.get(key).and_then(Value::as_array).into_iter().flatten();
            if let Some(first) = parts.into_iter().find(|part| kind(self.resolve(part)) != "null") {
                self.collect(first, seen, fields, required);
            }
        }
    }

    /// The values of an answer, the outer ones first.
    pub(super) fn leaves(&self, schema: &'a Value) -> Vec<Leaf<'a>> {
        let mut leaves = Vec::new();
        self.leaves_below(
            schema,
            &Leaf { path: "$".to_owned(), names: vec![], schema },
            &mut leaves,
        );
        leaves.sort_by_key(|leaf| leaf.names.len() + leaf.path.matches("[0]").count());
        leaves
    }

    fn leaves_below(&self, schema: &'a Value, at: &Leaf<'a>, leaves: &mut Vec<Leaf<'a>>) {
        let levels = at.names.len() + at.path.matches("[0]").count();
        if levels > LEVELS_MAX || leaves.len() > LEAVES_MAX {
            return;
        }
        let fields = self.fields(schema);
        for field in &fields {
            let mut names = at.names.clone();
            names.push(field.name);
            let path = match field.name.chars().all(|it| it.is_ascii_alphanumeric() || it == '_')
                && !field.name.starts_with(|it: char| it.is_ascii_digit())
            {
                true => format!("{}.{}", at.path, field.name),
                false => format!("{}['{}']", at.path, field.name.replace('\'', "\\'")),
            };
            let schema = self.plain(field.schema);
            self.leaves_below(schema, &Leaf { path, names, schema }, leaves);
        }
        if !fields.is_empty() {
            return;
        }
        let schema = self.plain(schema);
        match kind(schema) {
            "array" => {
                let items = schema.get("items").unwrap_or(&NOTHING);
                let (path, names) = (format!("{}[0]", at.path), at.names.clone());
                self.leaves_below(items, &Leaf { path, names, schema: items }, leaves);
            }
            "object" => {}
            _ if at.names.is_empty() => {}
            _ => leaves.push(Leaf { schema, ..at.clone() }),
        }
    }

    /// The body of a request or an answer: JSON, or whatever there is. With its media type.
    pub(super) fn content(&self, of: &'a Value) -> Option<(&'a str, &'a Value)> {
        let content = self.resolve(of).get("content")?.as_object()?;
        let json = content.iter().find(|(media, _)| media.contains("json"));
        let (media, body) = json.or_else(|| content.iter().next())?;
        Some((media, body))
    }

    /// The schema of a request's or an answer's body.
    pub(super) fn schema(&self, of: &'a Value) -> &'a Value {
        let schema = self.content(of).and_then(|(_, body)| body.get("schema"));
        schema.map_or(&NOTHING, |schema| self.resolve(schema))
    }
}
