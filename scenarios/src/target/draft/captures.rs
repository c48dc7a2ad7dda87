//! What is taken from answers, found by the names of their fields.

use serde_json::{Value, json};

use super::{
    document::{Document, Leaf, kind},
    endpoint::Endpoint,
    words::{
        AVAILABLE_WORDS, BOOKING_NOUNS, FULL_WORDS, ID_WORDS, SLOT_NOUNS, code, has_any, weight,
        words,
    },
};

/// What an answer is captured as, in the order in which it is written.
pub(super) type Captured = Vec<(&'static str, Value)>;

/// The field that is the id of what was made. `wanted` are the names of the parameters that it is
/// put into later.
pub(super) fn id_of<'a>(
    document: &Document<'a>,
    endpoint: &Endpoint<'a>,
    wanted: &[&str],
) -> Option<String> {
    let leaves = document.leaves(endpoint.answer_schema(document));
    let own = endpoint.last_literal().unwrap_or_default();
    let mut scored: Vec<(i32, &Leaf<'_>)> =
        leaves.iter().map(|leaf| (id_score(leaf, wanted, &own), leaf)).collect();
    scored.retain(|(score, _)| *score > 0);
    scored.sort_by_key(|(score, _)| -score);
    scored.first().map(|(_, leaf)| leaf.path.clone())
}

fn id_score(leaf: &Leaf<'_>, wanted: &[&str], own: &[String]) -> i32 {
    if !matches!(kind(leaf.schema), "string" | "integer" | "number" | "") {
        return 0;
    }
    let name = words(leaf.name());
    let last = name.last().map(String::as_str).unwrap_or_default();
    let is_wanted = wanted.contains(&leaf.name());
    let ends_as = wanted.iter().any(|it| words(it).last().is_some_and(|word| word == last));
    let noun = &name[..name.len().saturating_sub(1)];
    let of_own = noun.iter().all(|word| own.contains(word)) || weight(noun, &BOOKING_NOUNS) > 0;
    let base = match (last, noun.is_empty()) {
        _ if is_wanted => 12,
        ("id" | "uid" | "uuid" | "guid", true) if ends_as => 11,
        ("id", true) => 9,
        ("uid" | "uuid" | "guid", true) => 8,
        ("id" | "uid" | "uuid", false) if of_own => 8,
        ("reference" | "ref" | "code" | "number", false) if of_own => 5,
        ("reference" | "ref" | "token", true) => 3,
        _ => return 0,
    };
    // `$.slot.id` is the id of something else.
    let outer = leaf.names[..leaf.names.len() - 1].iter().map(|it| words(it));
    let foreign = outer.filter(|it| it != own && !is_envelope(it)).count();
    base - 4 * i32::try_from(foreign).unwrap_or(i32::MAX / 8)
        - i32::try_from(leaf.path.matches("[0]").count()).unwrap_or(0)
}

/// Names of what only wraps an answer.
fn is_envelope(name: &[String]) -> bool {
    let wraps = ["data", "result", "response", "payload", "item", "resource", "entry"];
    has_any(name, &wraps) || weight(name, &BOOKING_NOUNS) > 3
}

/// Whether a field is of the slot, inside an answer about a booking.
pub(super) fn is_of_slot(leaf: &Leaf<'_>) -> bool {
    leaf.names.iter().any(|name| weight(&words(name), &SLOT_NOUNS) > 3)
}

fn found<'l, 'a>(
    leaves: &'l [Leaf<'a>],
    holds: impl Fn(&Leaf<'a>, &[String]) -> bool,
) -> Option<&'l Leaf<'a>> {
    leaves.iter().find(|leaf| holds(leaf, &words(leaf.name())))
}

/// The number of free seats.
pub(super) fn available(leaves: &[Leaf<'_>]) -> Option<String> {
    let times = ["at", "time", "date", "from", "until", "day", "minute", "duration", "id"];
    let says = |leaf: &Leaf<'_>, name: &[String]| {
        leaf.is_number() && has_any(name, &AVAILABLE_WORDS) && !has_any(name, &times)
    };
    found(leaves, says).map(|leaf| leaf.path.clone())
}

/// A word or a yes that says only free or full: a capture that knows full alone.
pub(super) fn says_full(leaves: &[Leaf<'_>]) -> Option<Value> {
    leaves.iter().find_map(|leaf| {
        let choices = leaf.choices();
        let full: Vec<&str> =
            choices.into_iter().filter(|it| FULL_WORDS.contains(&code(it).as_str())).collect();
        let yes = kind(leaf.schema) == "boolean" && has_any(&words(leaf.name()), &["available"]);
        let full = if yes { vec!["false"] } else { full };
        let map: serde_json::Map<String, Value> =
            full.iter().map(|it| ((*it).to_owned(), 0.into())).collect();
        (!map.is_empty()).then(|| json!({ "path": leaf.path, "map": map }))
    })
}

/// What a read of a slot says.
pub(super) fn of_slot(leaves: &[Leaf<'_>]) -> Captured {
    let mut captured = Captured::new();
    let Some(free) = available(leaves).map(Value::from).or_else(|| says_full(leaves)) else {
        return captured;
    };
    captured.push(("available", free));
    let number = |any: &[&str]| {
        let holds = |leaf: &Leaf<'_>, name: &[String]| leaf.is_number() && has_any(name, any);
        found(leaves, holds).map(|leaf| Value::from(leaf.path.clone()))
    };
    let pending = number(&["pending", "held", "hold", "reserved"]);
    // `booked` counts holds too where nothing else does.
    let confirmed = pending.as_ref().and_then(|_| number(&["confirmed", "booked", "sold"]));
    let total = |leaf: &Leaf<'_>, name: &[String]| {
        let of_seats = has_any(name, &["seat", "place", "spot", "ticket"]);
        leaf.is_number()
            && !has_any(name, &AVAILABLE_WORDS)
            && (has_any(name, &["capacity", "quota"])
                || of_seats && has_any(name, &["total", "max", "maximum"]))
    };
    let capacity = found(leaves, total).map(|leaf| Value::from(leaf.path.clone()));
    let is_version = |leaf: &Leaf<'_>, name: &[String]| {
        leaf.is_number() && name.last().is_some_and(|it| it == "version" || it == "revision")
    };
    let version = found(leaves, is_version).map(|leaf| Value::from(leaf.path.clone()));
    for (name, value) in [
        ("pending", pending),
        ("confirmed", confirmed),
        ("capacity", capacity),
        ("version", version),
    ] {
        captured.extend(value.map(|value| (name, value)));
    }
    captured
}

/// What an answer about a booking says of its slot. A version without the slot's name is the
/// booking's own, and would be compared with those of other bookings.
pub(super) fn of_decision(leaves: &[Leaf<'_>]) -> Captured {
    let mut captured = Captured::new();
    let is_version = |leaf: &Leaf<'_>, name: &[String]| {
        leaf.is_number() && has_any(name, &["version", "revision"]) && is_of_slot(leaf)
    };
    if let Some(leaf) = found(leaves, is_version) {
        captured.push(("version", leaf.path.clone().into()));
    }
    if let Some(path) = available(leaves) {
        captured.push(("available", path.into()));
    }
    captured
}

/// How long a hold lasts, if the answer says it.
pub(super) fn of_hold(leaves: &[Leaf<'_>]) -> Option<(&'static str, Value)> {
    let lasts = |units: &'static [&'static str]| {
        let holds = |leaf: &Leaf<'_>, name: &[String]| {
            let held = has_any(name, &["hold", "held", "expire", "expiry", "expiration", "ttl"]);
            leaf.is_number() && held && has_any(name, units)
        };
        found(leaves, holds).map(|leaf| leaf.path.clone())
    };
    if let Some(path) = lasts(&["ms", "milli", "milliseconds", "millisecond"]) {
        return Some(("hold_ms", path.into()));
    }
    for (units, ms) in [(&["second", "sec"][..], 1_000), (&["minute"], 60_000)] {
        if let Some(path) = lasts(units) {
            return Some(("hold_ms", json!({ "path": path, "times": ms })));
        }
    }
    let until = |leaf: &Leaf<'_>, name: &[String]| {
        let held = ["hold", "held", "expire", "expiry", "expiration", "reserved"];
        let ends = has_any(name, &["expire", "expiry", "expiration"])
            || has_any(name, &held) && has_any(name, &["until", "to"]);
        ends && kind(leaf.schema) == "string"
            && !has_any(name, &ID_WORDS)
            && !has_any(name, &["reason"])
    };
    found(leaves, until).map(|leaf| ("hold_until", leaf.path.clone().into()))
}

/// The field of a refusal that says why, for programs; else the one for people.
pub(super) fn reason<'l, 'a>(leaves: &'l [Leaf<'a>]) -> Option<&'l Leaf<'a>> {
    let text = |leaf: &Leaf<'a>| matches!(kind(leaf.schema), "string" | "");
    let named = |name: &str| {
        let ends = |leaf: &&Leaf<'a>| {
            text(leaf) && words(leaf.name()).last().is_some_and(|last| last == name)
        };
        leaves.iter().find(ends)
    };
    let listed = |leaf: &&Leaf<'a>| {
        !leaf.choices().is_empty()
            && has_any(&words(leaf.name()), &["code", "error", "type", "reason", "cause"])
    };
    leaves
        .iter()
        .find(listed)
        .or_else(|| ["code", "error", "type", "reason", "message"].into_iter().find_map(named))
}
