//! Which operation of a document is which of ours: candidates are scored by the words of their
//! paths, ids and summaries and by the shape of their bodies, and the best is taken.

use serde_json::Value;

use super::{
    DraftError,
    captures::{available, id_of, says_full},
    document::{Document, Field, choices, kind},
    endpoint::Endpoint,
    words::{
        BOOKING_NOUNS, CANCEL_VERBS, CAPACITY_WORDS, CONFIRM_VERBS, ID_WORDS, OTHER_WORDS,
        RESERVE_VERBS, SEAT_WORDS, SLOT_NOUNS, code, has_any, weight, words,
    },
};

/// A candidate below it is none.
const RESERVE_MIN: i32 = 5;
/// A candidate by its shape alone has at least this.
const SHAPE_MIN: i32 = 3;
const CONFIRM_MIN: i32 = 4;
const CANCEL_MIN: i32 = 4;
const READ_MIN: i32 = 7;
const BOOKING_MIN: i32 = 5;
const SLOT_MIN: i32 = 7;
/// A candidate below it is doubtful.
const SURE: i32 = 7;
/// A second so close to the best makes the best doubtful.
const CLOSE: i32 = 1;

/// The operation that was taken, and why that may be wrong.
#[derive(Debug)]
pub(super) struct Pick<'e, 'a> {
    pub(super) endpoint: &'e Endpoint<'a>,
    pub(super) doubt: Option<String>,
    /// For an update that confirms or cancels: the field of the status and its word.
    pub(super) status: Option<(&'a str, &'a str)>,
}

/// What was found.
#[derive(Debug)]
pub(super) struct Roles<'e, 'a> {
    pub(super) reserve: Pick<'e, 'a>,
    pub(super) confirm: Option<Pick<'e, 'a>>,
    pub(super) cancel: Option<Pick<'e, 'a>>,
    pub(super) read: Option<Pick<'e, 'a>>,
    pub(super) booking: Option<Pick<'e, 'a>>,
    /// What makes a slot.
    pub(super) slot: Option<Pick<'e, 'a>>,
    /// What has seats, as the reserve says it.
    pub(super) slot_noun: Vec<String>,
    pub(super) booking_noun: Vec<String>,
}

type Scored<'e, 'a> = (i32, &'e Endpoint<'a>, Option<(&'a str, &'a str)>);

/// # Errors
/// Nothing takes a seat, or what was named is not there.
pub(super) fn find<'e, 'a>(
    document: &Document<'a>,
    endpoints: &'e [Endpoint<'a>],
    named: Option<&str>,
) -> Result<Roles<'e, 'a>, DraftError> {
    let scored = |score: &dyn Fn(&Endpoint<'a>) -> i32| -> Vec<Scored<'e, 'a>> {
        endpoints.iter().map(|it| (score(it), it, None)).collect()
    };
    let reserve = match named {
        Some(name) => the_named(name, endpoints)?,
        None => pick(scored(&|it| reserves(document, it, endpoints)), RESERVE_MIN)
            .or_else(|| {
                let by_shape = pick(scored(&|it| reserves_by_shape(document, it, endpoints)), SHAPE_MIN)?;
                let doubt = "it was found by its shape alone: a POST below another resource that can \
                             answer 409; name another one with --reserve \"POST /path\"";
                Some(Pick { doubt: Some(doubt.to_owned()), ..by_shape })
            })
            .ok_or(DraftError::NoReserve(endpoints.len()))?,
    };
    let slot_noun = slot_noun(document, reserve.endpoint);
    let booking_noun = booking_noun(reserve.endpoint, endpoints);
    let acts = |verbs: &'static [(&'static str, i32)], deletes: i32, states: &[&str]| {
        let act = Act { verbs, deletes, states, noun: &booking_noun };
        let of = |it: &'e Endpoint<'a>| act.score(document, it, reserve.endpoint);
        endpoints.iter().filter_map(of).collect::<Vec<Scored<'e, 'a>>>()
    };
    let confirm = pick(acts(&CONFIRM_VERBS, 0, &["confirmed", "booked", "paid"]), CONFIRM_MIN);
    let cancel = pick(acts(&CANCEL_VERBS, 5, &["cancelled", "canceled"]), CANCEL_MIN);
    let read = pick(scored(&|it| reads(document, it, &slot_noun, &reserve)), READ_MIN);
    let booking = pick(scored(&|it| reads_booking(it, &booking_noun)), BOOKING_MIN);
    let slot = pick(scored(&|it| makes_slots(document, it, &slot_noun, &reserve)), SLOT_MIN);
    Ok(Roles { reserve, confirm, cancel, read, booking, slot, slot_noun, booking_noun })
}

/// The operation that the user named: nothing of it is doubtful.
fn the_named<'e, 'a>(
    name: &str,
    endpoints: &'e [Endpoint<'a>],
) -> Result<Pick<'e, 'a>, DraftError> {
    let endpoint = endpoints.iter().find(|it| it.title() == name).ok_or_else(|| {
        let posts = endpoints.iter().filter(|it| it.method == "POST").map(|it| it.title());
        let posts: Vec<String> = posts.collect();
        DraftError::NoSuchOperation(name.to_owned(), posts.join(", "))
    })?;
    Ok(Pick { endpoint, doubt: None, status: None })
}

/// The best of the candidates, with the others that are as good.
fn pick<'e, 'a>(mut scored: Vec<Scored<'e, 'a>>, least: i32) -> Option<Pick<'e, 'a>> {
    scored.retain(|(score, ..)| *score >= least);
    // Of equals, the shorter path: it is the more general.
    scored.sort_by_key(|(score, endpoint, _)| (-score, endpoint.path.len()));
    let (best, endpoint, status) = scored.first().copied()?;
    let close: Vec<String> = scored[1..]
        .iter()
        .filter(|(score, ..)| score + CLOSE >= best)
        .map(|(_, it, _)| it.title())
        .take(3)
        .collect();
    let doubt = match (close.is_empty(), best < SURE) {
        (false, _) => Some(format!("it could also be {}", close.join(" or "))),
        (true, true) => Some("little speaks for it; check that it is the right one".to_owned()),
        (true, false) => None,
    };
    Some(Pick { endpoint, doubt, status })
}

fn is_other(endpoint: &Endpoint<'_>) -> bool {
    let id = endpoint.item.get("operationId").and_then(Value::as_str).unwrap_or_default();
    has_any(&endpoint.literals(), &OTHER_WORDS) || has_any(&words(id), &OTHER_WORDS)
}

/// Whether a path goes through a booking that exists already.
fn is_on_booking(endpoint: &Endpoint<'_>) -> bool {
    endpoint.nouns().iter().any(|(_, noun)| is_booking(noun))
}

fn is_booking(noun: &[String]) -> bool {
    weight(noun, &BOOKING_NOUNS) > 2
}

fn reserves<'a>(
    document: &Document<'a>,
    endpoint: &Endpoint<'a>,
    endpoints: &[Endpoint<'a>],
) -> i32 {
    let Some(last) = endpoint.last_literal().filter(|_| endpoint.method == "POST") else {
        return 0;
    };
    let ends = |verbs: &[(&str, i32)]| weight(&last, verbs) > 0;
    let said = endpoint.said();
    if is_other(endpoint) || is_on_booking(endpoint) || ends(&CANCEL_VERBS) {
        return 0;
    }
    let noun = weight(&last, &BOOKING_NOUNS);
    let verb = if has_any(&last, &RESERVE_VERBS) { 6 } else { 0 };
    if noun.max(verb) == 0 || weight(&said, &[("cancel", 1), ("confirm", 1)]) > 0 {
        return 0;
    }
    let fields = document.fields(document.schema(endpoint.request_body()));
    let names: Vec<Vec<String>> = fields.iter().map(|field| words(field.name)).collect();
    let below_slot = endpoint.nouns().iter().any(|(_, noun)| weight(noun, &SLOT_NOUNS) > 0);
    let names_slot = names.iter().any(|name| weight(name, &SLOT_NOUNS) > 0);
    let counts = names.iter().any(|name| has_any(name, &SEAT_WORDS));
    let has_id = id_of(document, endpoint, &[]).is_some();
    let verbs = ["create", "reserve", "book", "hold", "make", "new", "add", "place"];
    // What was made can be read or given back.
    let lives = has_members(&last, endpoints);
    noun.max(verb)
        + if below_slot { 3 } else { 0 }
        + if names_slot { 2 } else { 0 }
        + i32::from(counts)
        + i32::from(has_id)
        + i32::from(has_any(&said, &verbs))
        + i32::from(weight(&said, &BOOKING_NOUNS) > 0)
        + i32::from(lives)
}

/// Where no word is known: a thing that is made below another one, and that may be refused because
/// of the state of it.
fn reserves_by_shape<'a>(
    document: &Document<'a>,
    endpoint: &Endpoint<'a>,
    endpoints: &[Endpoint<'a>],
) -> i32 {
    let Some(last) = endpoint.last_literal().filter(|_| endpoint.method == "POST") else {
        return 0;
    };
    let below = !endpoint.nouns().is_empty();
    let conflicts = endpoint.answers(document).iter().any(|(status, _)| *status == "409");
    if !below || !conflicts || is_other(endpoint) || weight(&last, &CANCEL_VERBS) > 0 {
        return 0;
    }
    let leaves = document.leaves(document.schema(endpoint.request_body()));
    let lives = has_members(&last, endpoints);
    // As sure as the surest guess by shape is, it remains doubtful.
    SHAPE_MIN
        + i32::from(lives)
        + i32::from(leaves.iter().any(|leaf| leaf.is_number()))
        + i32::from(id_of(document, endpoint, &[]).is_some())
}

/// Whether `.../things/{id}` exists.
fn has_members(noun: &[String], endpoints: &[Endpoint<'_>]) -> bool {
    endpoints.iter().any(|it| it.nouns().iter().any(|(_, of)| of == noun))
}

/// What has seats: the last thing that the path goes through, or the surest reference of the body.
fn slot_noun<'a>(document: &Document<'a>, reserve: &Endpoint<'a>) -> Vec<String> {
    if let Some((_, noun)) = reserve.nouns().pop() {
        return noun;
    }
    let fields = document.fields(document.schema(reserve.request_body()));
    let mut nouns: Vec<(i32, Vec<String>)> = fields
        .iter()
        .filter(|field| refers(document, field))
        .map(|field| noun_of(field.name))
        .map(|noun| (weight(&noun, &SLOT_NOUNS), noun))
        .filter(|(weight, _)| *weight > 0)
        .collect();
    nouns.sort_by_key(|(weight, _)| -weight);
    nouns.into_iter().next().map(|(_, noun)| noun).unwrap_or_default()
}

/// A name without the words that say that it is an id.
pub(super) fn noun_of(name: &str) -> Vec<String> {
    let mut noun = words(name);
    if noun.len() > 1 {
        noun.retain(|word| !ID_WORDS.contains(&word.as_str()));
    }
    noun
}

/// Whether a field names another thing: by an id, or by an object that has a reference or an id.
pub(super) fn refers<'a>(document: &Document<'a>, field: &Field<'a>) -> bool {
    let schema = document.plain(field.schema);
    let ends = words(field.name).pop().is_some_and(|it| ID_WORDS.contains(&it.as_str()));
    let inner = match kind(schema) {
        "array" => schema.get("items").map(|items| document.plain(items)),
        _ => Some(schema),
    };
    let Some(inner) = inner else { return false };
    let fields = document.fields(inner);
    match fields.is_empty() {
        true => ends || weight(&words(field.name), &SLOT_NOUNS) > 3,
        false => fields.iter().any(|field| ["id", "reference"].contains(&field.name)),
    }
}

/// What a booking is called in paths: the collection that the reserve posts to, or nothing.
fn booking_noun(reserve: &Endpoint<'_>, endpoints: &[Endpoint<'_>]) -> Vec<String> {
    let is_noun =
        |last: &Vec<String>| weight(last, &BOOKING_NOUNS) > 0 || has_members(last, endpoints);
    reserve.last_literal().filter(is_noun).unwrap_or_default()
}

/// How a kind of change of a booking is recognised.
struct Act<'w> {
    verbs: &'static [(&'static str, i32)],
    /// What a DELETE of a booking is worth.
    deletes: i32,
    /// The words of the status that an update sets.
    states: &'w [&'w str],
    noun: &'w [String],
}

impl Act<'_> {
    fn score<'e, 'a>(
        &self,
        document: &Document<'a>,
        endpoint: &'e Endpoint<'a>,
        reserve: &Endpoint<'a>,
    ) -> Option<Scored<'e, 'a>> {
        if std::ptr::eq(endpoint, reserve) || endpoint.method == "GET" {
            return None;
        }
        let nouns = endpoint.nouns();
        let same = nouns.iter().any(|(_, noun)| noun == self.noun);
        let close = if same { 3 } else { 0 };
        let on_booking = same || nouns.iter().any(|(_, noun)| is_booking(noun));
        if !on_booking {
            // `POST /cancelBooking` names the booking in its body.
            let last = endpoint.last_literal()?;
            let flat = nouns.is_empty() && weight(&last, &BOOKING_NOUNS) > 0;
            let score = if flat { weight(&last, self.verbs) } else { 0 };
            return Some((score, endpoint, None));
        }
        if let Some(last) = endpoint.last_literal() {
            let score = match weight(&last, self.verbs) {
                0 => 0,
                verb => verb + close + i32::from(endpoint.method == "POST"),
            };
            return Some((score, endpoint, None));
        }
        if endpoint.method == "DELETE" {
            let score = if self.deletes > 0 { self.deletes + close } else { 0 };
            return Some((score, endpoint, None));
        }
        let status = self.status(document, endpoint)?;
        let patch = i32::from(endpoint.method == "PATCH");
        Some((2 + close + patch, endpoint, Some(status)))
    }

    /// The field of an update that sets the status, and the word for it.
    fn status<'a>(
        &self,
        document: &Document<'a>,
        endpoint: &Endpoint<'a>,
    ) -> Option<(&'a str, &'a str)> {
        let fields = document.fields(document.schema(endpoint.request_body()));
        let field = fields.iter().find(|field| ["status", "state"].contains(&field.name))?;
        let choices = choices(document.plain(field.schema));
        let word = choices.into_iter().find(|it| self.states.contains(&code(it).as_str()))?;
        Some((field.name, word))
    }
}

fn reads<'a>(
    document: &Document<'a>,
    endpoint: &Endpoint<'a>,
    slot_noun: &[String],
    reserve: &Pick<'_, 'a>,
) -> i32 {
    let last = endpoint.last_literal();
    let asks = last.as_deref().is_some_and(|last| has_any(last, &["availability", "available"]));
    // Some ask for availability with a body.
    let by_post = endpoint.method == "POST" && asks && !std::ptr::eq(endpoint, reserve.endpoint);
    if (endpoint.method != "GET" && !by_post) || is_on_booking(endpoint) {
        return 0;
    }
    let leaves = document.leaves(endpoint.answer_schema(document));
    let says = match available(&leaves) {
        Some(_) => 6,
        None if says_full(&leaves).is_some() => 3,
        None => return 0,
    };
    let listed = leaves.first().is_some_and(|leaf| leaf.path.contains("[0]"));
    let noun = endpoint.last_noun().unwrap_or_default();
    let of_slot = match () {
        () if !noun.is_empty() && noun == slot_noun => 6,
        () if weight(&noun, &SLOT_NOUNS) > 0 => 4,
        () if asks && endpoint.nouns().iter().any(|(_, noun)| noun == slot_noun) => 6,
        () if asks && last.as_deref() == Some(slot_noun) => 6,
        () if asks => 4,
        () if last.is_some_and(|last| last == slot_noun) => 2,
        () => 0,
    };
    says + of_slot - if listed { 3 } else { 0 } - i32::from(by_post)
}

fn reads_booking(endpoint: &Endpoint<'_>, booking_noun: &[String]) -> i32 {
    let Some(noun) = endpoint.last_noun().filter(|_| endpoint.method == "GET") else { return 0 };
    match noun == booking_noun {
        true => 8,
        false if is_booking(&noun) => 5,
        false => 0,
    }
}

fn makes_slots<'a>(
    document: &Document<'a>,
    endpoint: &Endpoint<'a>,
    slot_noun: &[String],
    reserve: &Pick<'_, 'a>,
) -> i32 {
    let Some(last) = endpoint.last_literal().filter(|_| endpoint.method == "POST") else {
        return 0;
    };
    let own = std::ptr::eq(endpoint, reserve.endpoint);
    if own || is_other(endpoint) || is_on_booking(endpoint) || endpoint.says(&["check", "search"]) {
        return 0;
    }
    let leaves = document.leaves(document.schema(endpoint.request_body()));
    let has_capacity = leaves.iter().any(|leaf| {
        leaf.is_number() && leaf.names.iter().any(|it| has_any(&words(it), &CAPACITY_WORDS))
    });
    let noun = match () {
        () if !slot_noun.is_empty() && last == slot_noun => 9,
        () if reserve.endpoint.collection().is_some_and(|of| of == last) => 9,
        () => weight(&last, &SLOT_NOUNS),
    };
    // A search is answered with a list.
    let answered = document.leaves(endpoint.answer_schema(document));
    let lists = answered.first().is_some_and(|leaf| leaf.path.starts_with("$[0]"));
    match noun == 0 || lists {
        true => 0,
        false => noun + if has_capacity { 5 } else { 0 },
    }
}
