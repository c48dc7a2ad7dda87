//! Requests: paths, headers and bodies filled with the names that a target file knows, and the
//! setup that makes what they refer to.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{
    captures::id_of,
    document::{Document, Field, choices, kind},
    endpoint::{Endpoint, Segment},
    idempotency::Idempotency,
    roles::{Roles, noun_of, refers},
    values::{Filled, text_of},
    words::{BOOKING_NOUNS, CAPACITY_WORDS, ID_WORDS, SEAT_WORDS, has_any, weight, words},
};

/// Things that must be made before a slot or a booking: a longer chain is a cycle of nouns.
const SETUPS_MAX: usize = 8;
/// Objects in objects that a body is filled to.
const LEVELS_MAX: usize = 5;

/// A request as it is written.
#[derive(Debug, Clone, Default)]
pub(super) struct RequestDraft {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) headers: Vec<(String, Value)>,
    /// `json` or `form`, and what is in it.
    pub(super) body: Option<(&'static str, Value)>,
    /// Where a value was made up, and what is wanted there.
    pub(super) notes: Vec<(Vec<String>, String)>,
}

/// A setup as it is written.
#[derive(Debug)]
pub(super) struct SetupDraft {
    pub(super) each: &'static str,
    pub(super) request: RequestDraft,
    pub(super) capture: (String, String),
}

/// What a request is for: which names have a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Made once, before there are slots.
    Run,
    /// Makes a slot.
    Slot,
    Reserve,
    /// About a booking that exists.
    Booking,
    /// About a slot that exists.
    Read,
}

/// Where in a body a value stands.
#[derive(Default)]
struct Place {
    path: Vec<String>,
    in_list: bool,
}

/// Drafts requests, and gathers the setup that they need.
pub(super) struct Requests<'e, 'a> {
    document: Document<'a>,
    endpoints: &'e [Endpoint<'a>],
    roles: &'e Roles<'e, 'a>,
    key: Option<&'e Idempotency>,
    /// What setup has captured for the run, by noun; `None` while it is being made.
    captured: BTreeMap<String, Option<String>>,
    pub(super) setups: Vec<SetupDraft>,
}

impl<'e, 'a> Requests<'e, 'a> {
    pub(super) fn new(
        document: Document<'a>,
        endpoints: &'e [Endpoint<'a>],
        roles: &'e Roles<'e, 'a>,
        key: Option<&'e Idempotency>,
    ) -> Self {
        Self { document, endpoints, roles, key, captured: BTreeMap::new(), setups: Vec::new() }
    }

    /// The operation of a path.
    pub(super) fn at(&self, path: &str, method: &str) -> Option<&'e Endpoint<'a>> {
        self.endpoints.iter().find(|it| it.path == path && it.method == method)
    }

    pub(super) fn draft(&mut self, endpoint: &Endpoint<'a>, purpose: Purpose) -> RequestDraft {
        let mut request = RequestDraft { method: endpoint.method.clone(), ..Default::default() };
        request.path = self.path(endpoint, purpose, &mut request.notes);
        for parameter in endpoint.parameters("header") {
            let name = parameter["name"].as_str().unwrap_or_default();
            if parameter["required"].as_bool() != Some(true) || self.is_set_elsewhere(name) {
                continue;
            }
            let value = match name.eq_ignore_ascii_case("if-match") {
                true => Filled::Made("*".into(), "the version that was read".to_owned()),
                false => Filled::of(name, self.document.plain(&parameter["schema"]), parameter),
            };
            let value = noted(value, &["headers", name], &mut request.notes);
            request.headers.push((name.to_owned(), Value::String(text_of(&value))));
        }
        if let Some((media, _)) = self.document.content(endpoint.request_body()) {
            let kind = if media.contains("form") { "form" } else { "json" };
            let mut at = Place { path: vec![kind.to_owned()], in_list: false };
            let schema = self.document.schema(endpoint.request_body());
            let body = self.object(schema, purpose, &mut at, &mut request.notes);
            let is_needed = self.document.resolve(endpoint.request_body())["required"] == true;
            if is_needed || body.as_object().is_some_and(|fields| !fields.is_empty()) {
                request.body = Some((kind, body));
            }
        }
        request
    }

    fn is_set_elsewhere(&self, header: &str) -> bool {
        let own = ["authorization", "accept", "content-type", "user-agent"];
        let is_key = self.key.is_some_and(|key| key.names.iter().any(|it| it == header));
        own.contains(&header.to_lowercase().as_str()) || is_key
    }

    /// The path with its required query.
    fn path(
        &mut self,
        endpoint: &Endpoint<'a>,
        purpose: Purpose,
        notes: &mut Vec<(Vec<String>, String)>,
    ) -> String {
        let mut path = endpoint.path.to_owned();
        let nouns = endpoint.nouns();
        let last = nouns.len();
        for (at, (name, noun)) in (1..).zip(nouns) {
            let value = match self.id(&noun, purpose) {
                Some(template) => template,
                None if at == last && purpose == Purpose::Booking => "{{ booking }}".to_owned(),
                None if at == last && matches!(purpose, Purpose::Reserve | Purpose::Read) => {
                    "{{ slot.id }}".to_owned()
                }
                None => {
                    notes.push((vec!["path".to_owned()], format!("write an existing {name}")));
                    name.to_owned()
                }
            };
            path = path.replace(&format!("{{{name}}}"), &value);
        }
        let mut query = Vec::new();
        for parameter in endpoint.parameters("query") {
            let name = parameter["name"].as_str().unwrap_or_default();
            let required = parameter["required"].as_bool() == Some(true);
            let field = Field { name, schema: &parameter["schema"], required };
            let known = self.recognised(&field, purpose);
            let value = match (known, required) {
                (Some(value), true) => value,
                (Some(value), false) if purpose == Purpose::Read && last == 0 => value,
                (_, false) => continue,
                (None, true) => {
                    let schema = self.document.plain(&parameter["schema"]);
                    noted(Filled::of(name, schema, parameter), &["path"], notes)
                }
            };
            query.push(format!("{name}={}", text_of(&value)));
        }
        match query.is_empty() {
            true => path,
            false => format!("{path}?{}", query.join("&")),
        }
    }

    /// The template of the id of a thing, made by setup where nothing else has it.
    fn id(&mut self, noun: &[String], purpose: Purpose) -> Option<String> {
        let is_booking = noun == self.roles.booking_noun || weight(noun, &BOOKING_NOUNS) > 3;
        if purpose == Purpose::Booking && is_booking {
            return Some("{{ booking }}".to_owned());
        }
        let has_slot = !matches!(purpose, Purpose::Run | Purpose::Slot);
        if has_slot && !noun.is_empty() && noun == self.roles.slot_noun {
            return Some("{{ slot.id }}".to_owned());
        }
        self.made(noun)
    }

    /// A thing that is made once for the run.
    fn made(&mut self, noun: &[String]) -> Option<String> {
        let name = noun.join("_");
        if let Some(known) = self.captured.get(&name) {
            return known.clone();
        }
        let roles = self.roles;
        let own = [Some(&roles.reserve), roles.slot.as_ref(), roles.read.as_ref()];
        let creates = |it: &&Endpoint<'a>| {
            it.method == "POST"
                && it.last_literal().is_some_and(|last| last == noun)
                && !own.iter().flatten().any(|pick| std::ptr::eq(pick.endpoint, *it))
        };
        let endpoint = self.endpoints.iter().filter(creates).min_by_key(|it| it.nouns().len())?;
        if noun.is_empty() || self.captured.len() >= SETUPS_MAX {
            return None;
        }
        // Whatever asks for it while it is being made is a cycle, and gets a made-up value.
        self.captured.insert(name.clone(), None);
        let request = self.draft(endpoint, Purpose::Run);
        let id = id_of(&self.document, endpoint, &[]).unwrap_or_else(|| "$.id".to_owned());
        self.setups.push(SetupDraft { each: "run", request, capture: (name.clone(), id) });
        let template = format!("{{{{ run.{name} }}}}");
        self.captured.insert(name, Some(template.clone()));
        Some(template)
    }

    fn object(
        &mut self,
        schema: &'a Value,
        purpose: Purpose,
        at: &mut Place,
        notes: &mut Vec<(Vec<String>, String)>,
    ) -> Value {
        let fields = self.document.fields(schema);
        // Where nothing is said to be required, all that is recognised is sent.
        let nothing_required = !fields.iter().any(|field| field.required);
        let mut object = Map::new();
        for field in fields {
            if self.key.is_some_and(|key| key.body && key.names.iter().any(|it| it == field.name)) {
                continue;
            }
            let known = self.recognised(&field, purpose);
            let wanted = field.required || nothing_required && known.is_some();
            let matters = |value: &Value| {
                let text = value.to_string();
                ["{{ seats }}", "{{ slot.id }}", "{{ slot.capacity }}", "{{ booking }}"]
                    .iter()
                    .any(|name| text.contains(name))
            };
            let sets_capacity = || purpose == Purpose::Slot && self.has_capacity(field.schema);
            if !wanted && !known.as_ref().is_some_and(matters) && !sets_capacity() {
                continue;
            }
            at.path.push(field.name.to_owned());
            let value = match known {
                Some(value) => value,
                None => self.unrecognised(&field, purpose, at, notes),
            };
            at.path.pop();
            object.insert(field.name.to_owned(), value);
        }
        Value::Object(object)
    }

    /// Whether there is a capacity somewhere in an object.
    fn has_capacity(&self, schema: &'a Value) -> bool {
        let leaves = self.document.leaves(schema);
        leaves.iter().any(|leaf| leaf.is_number() && has_any(&words(leaf.name()), &CAPACITY_WORDS))
    }

    /// The value of a field whose name says what it is.
    fn recognised(&mut self, field: &Field<'a>, purpose: Purpose) -> Option<Value> {
        let schema = self.document.plain(field.schema);
        let name = words(field.name);
        let last = name.last().map(String::as_str).unwrap_or_default();
        let number = matches!(kind(schema), "integer" | "number");
        let text = kind(schema) == "string" && choices(schema).is_empty();
        let unit = has_any(&name, &["minute", "hour", "day", "price", "amount", "min", "minimum"]);
        match purpose {
            Purpose::Reserve if number && !unit && has_any(&name, &SEAT_WORDS) => {
                let is_id = ID_WORDS.contains(&last);
                return (!is_id).then(|| "{{ seats }}".into());
            }
            Purpose::Slot if number && !unit && has_any(&name, &CAPACITY_WORDS) => {
                return Some("{{ slot.capacity }}".into());
            }
            Purpose::Reserve if text && (last == "email" || schema["format"] == "email") => {
                return Some("{{ key }}@example.org".into());
            }
            Purpose::Reserve
                if text && name.len() > 1 && has_any(&name, &["reseller", "external"]) =>
            {
                return Some("{{ key }}".into());
            }
            _ => {}
        }
        if refers(&self.document, field)
            && let Some(template) = self.id(&noun_of(field.name), purpose)
        {
            return Some(self.reference(field, schema, &template));
        }
        let starts = has_any(&name, &["start", "begin", "from", "scheduled", "when", "datetime"])
            || name.iter().any(|it| it == "date" || it == "at")
                && !has_any(&name, &["end", "created"]);
        if matches!(purpose, Purpose::Slot | Purpose::Reserve)
            && text
            && (schema["format"] == "date-time" || has_any(&name, &["start"]))
            && starts
            && !has_any(&name, &["end", "until", "expire"])
        {
            return Some("{{ slot.starts_at }}".into());
        }
        // What setup makes is told apart by its name.
        let number = match purpose {
            Purpose::Run => Some("{{ run.id }}"),
            Purpose::Slot => Some("{{ run.id }}-{{ slot.number }}"),
            Purpose::Reserve | Purpose::Booking | Purpose::Read => None,
        };
        match (last, number) {
            ("slug", Some(number)) if text => Some(format!("slotproof-{number}").into()),
            ("name" | "title", Some(number)) if text => Some(format!("Slotproof {number}").into()),
            ("name" | "title", None) if text => Some("Slotproof".into()),
            _ => None,
        }
    }

    /// An id in the shape that the field has: alone, in an object, or in a list.
    fn reference(&self, field: &Field<'a>, schema: &'a Value, template: &str) -> Value {
        if kind(schema) == "array" {
            let items = schema.get("items").unwrap_or(field.schema);
            let items = self.document.plain(items);
            return json!([self.reference(field, items, template)]);
        }
        let fields = self.document.fields(schema);
        let has = |name: &str| fields.iter().any(|field| field.name == name);
        match () {
            () if has("id") && !has("reference") => json!({ "id": template }),
            () if has("reference") => {
                let noun = noun_of(field.name);
                let written = self.endpoints.iter().find_map(|it| {
                    it.segments().into_iter().find_map(|segment| match segment {
                        Segment::Literal(text) if words(text) == noun => Some(text),
                        _ => None,
                    })
                });
                json!({ "reference": format!("{}/{template}", written.unwrap_or(field.name)) })
            }
            () => template.into(),
        }
    }

    /// The value of a field that nothing is known of but its schema.
    fn unrecognised(
        &mut self,
        field: &Field<'a>,
        purpose: Purpose,
        at: &mut Place,
        notes: &mut Vec<(Vec<String>, String)>,
    ) -> Value {
        let schema = self.document.plain(field.schema);
        let (has_fields, array) =
            (!self.document.fields(schema).is_empty(), kind(schema) == "array");
        if at.path.len() > LEVELS_MAX || !(has_fields || array) {
            let filled = Filled::of(field.name, schema, field.schema);
            return self.note_at(filled, at, notes);
        }
        if has_fields {
            return self.object(field.schema, purpose, at, notes);
        }
        let Some(items) = schema.get("items") else { return json!([]) };
        let seats = purpose == Purpose::Reserve && is_list_of_seats(field.name);
        let few = schema.get("minItems").and_then(Value::as_u64) == Some(0);
        if few && !seats {
            return json!([]);
        }
        let was = std::mem::replace(&mut at.in_list, true);
        let inner = Field { name: field.name, schema: items, required: true };
        let item = match self.recognised(&inner, purpose) {
            Some(item) => item,
            None => self.unrecognised(&inner, purpose, at, notes),
        };
        at.in_list = was;
        match seats {
            true => json!({ "repeat": "{{ seats }}", "item": item }),
            false => json!([item]),
        }
    }

    fn note_at(&self, filled: Filled, at: &Place, notes: &mut Vec<(Vec<String>, String)>) -> Value {
        match filled {
            Filled::Known(value) => value,
            Filled::Made(value, wanted) => {
                let name = at.path.last().cloned().unwrap_or_default();
                let wanted = if at.in_list { format!("{name}: {wanted}") } else { wanted };
                notes.push((at.path.clone(), wanted));
                value
            }
        }
    }
}

/// Whether each item of a list takes a seat.
fn is_list_of_seats(name: &str) -> bool {
    let items = [
        "seat",
        "unit",
        "ticket",
        "guest",
        "attendee",
        "passenger",
        "pax",
        "line",
        "traveler",
        "traveller",
        "item",
    ];
    has_any(&words(name), &items)
}

fn noted(filled: Filled, at: &[&str], notes: &mut Vec<(Vec<String>, String)>) -> Value {
    match filled {
        Filled::Known(value) => value,
        Filled::Made(value, wanted) => {
            let wanted = match at {
                ["path"] => format!("the query: {wanted}"),
                _ => wanted,
            };
            notes.push((at.iter().map(|it| (*it).to_owned()).collect(), wanted));
            value
        }
    }
}
