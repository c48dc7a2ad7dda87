//! What names mean: a draft knows an API by its words.

/// What the operations act on, with how sure one can be of it.
pub(super) const BOOKING_NOUNS: [(&str, i32); 16] = [
    ("booking", 6),
    ("reservation", 6),
    ("appointment", 6),
    ("hold", 5),
    ("order", 4),
    ("registration", 4),
    ("enrollment", 4),
    ("rsvp", 4),
    ("ticket", 3),
    ("cart", 3),
    ("checkout", 3),
    ("purchase", 3),
    ("rental", 3),
    ("attendee", 2),
    ("seat", 2),
    ("allocation", 2),
];
/// What has seats, the surest first.
pub(super) const SLOT_NOUNS: [(&str, i32); 20] = [
    ("slot", 6),
    ("timeslot", 6),
    ("availability", 5),
    ("event", 5),
    ("session", 5),
    ("departure", 5),
    ("show", 5),
    ("showtime", 5),
    ("screening", 5),
    ("performance", 5),
    ("class", 4),
    ("trip", 4),
    ("tour", 4),
    ("flight", 4),
    ("schedule", 3),
    ("course", 3),
    ("table", 3),
    ("room", 3),
    ("item", 2),
    ("product", 2),
];
/// Verbs of a reserve, where it is a verb.
pub(super) const RESERVE_VERBS: [&str; 5] = ["reserve", "book", "hold", "lock", "claim"];
pub(super) const CONFIRM_VERBS: [(&str, i32); 11] = [
    ("confirm", 6),
    ("confirmation", 5),
    ("commit", 5),
    ("complete", 5),
    ("finalize", 5),
    ("finalise", 5),
    ("book", 4),
    ("pay", 4),
    ("payment", 4),
    ("checkout", 4),
    ("accept", 3),
];
pub(super) const CANCEL_VERBS: [(&str, i32); 7] = [
    ("cancel", 7),
    ("cancellation", 6),
    ("release", 5),
    ("void", 4),
    ("abandon", 4),
    ("withdraw", 4),
    ("refund", 2),
];
/// Words of operations that are none of ours.
pub(super) const OTHER_WORDS: [&str; 24] = [
    "search",
    "list",
    "find",
    "query",
    "quote",
    "webhook",
    "update",
    "reschedule",
    "extend",
    "move",
    "decline",
    "import",
    "batch",
    "bulk",
    "note",
    "comment",
    "message",
    "callback",
    "calendar",
    "login",
    "token",
    "report",
    "validate",
    "batchavailabilitylookup",
];
/// Words that name nothing but that it is an id.
pub(super) const ID_WORDS: [&str; 9] =
    ["id", "uid", "uuid", "guid", "ref", "reference", "key", "code", "number"];
/// Numbers of a reserve that say how many.
pub(super) const SEAT_WORDS: [&str; 17] = [
    "seat",
    "quantity",
    "qty",
    "count",
    "party",
    "guest",
    "people",
    "person",
    "participant",
    "pax",
    "unit",
    "place",
    "spot",
    "player",
    "passenger",
    "traveller",
    "admission",
];
/// Numbers of a slot that say how many it has.
pub(super) const CAPACITY_WORDS: [&str; 12] = [
    "capacity",
    "seat",
    "place",
    "spot",
    "quota",
    "stock",
    "size",
    "quantity",
    "attendee",
    "participant",
    "player",
    "passenger",
];
/// Numbers of a slot that say how many are left.
pub(super) const AVAILABLE_WORDS: [&str; 9] = [
    "available",
    "free",
    "remaining",
    "vacancy",
    "vacant",
    "left",
    "unbooked",
    "availability",
    "unsold",
];
/// Words of a state in which nothing can be taken.
pub(super) const FULL_WORDS: [&str; 7] =
    ["busy", "full", "closed", "sold_out", "unavailable", "booked", "fully_booked"];

/// The words of a name: `availableSeats`, `available_seats` and `available-seats` alike, in lower
/// case and in the singular.
pub(super) fn words(name: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut word = String::new();
    let letters: Vec<char> = name.chars().collect();
    for (at, letter) in letters.iter().enumerate() {
        let before = at.checked_sub(1).and_then(|at| letters.get(at));
        let hump = letter.is_uppercase()
            && (before.is_some_and(|it| it.is_lowercase() || it.is_ascii_digit())
                || letters.get(at + 1).is_some_and(|it| it.is_lowercase()));
        if hump || !letter.is_alphanumeric() {
            found.push(std::mem::take(&mut word));
        }
        if letter.is_alphanumeric() {
            word.extend(letter.to_lowercase());
        }
    }
    found.push(word);
    found.retain(|word| !word.is_empty());
    found.iter().map(|word| singular(word)).collect()
}

fn singular(word: &str) -> String {
    if let Some(stem) = word.strip_suffix("ies").filter(|stem| stem.len() > 1) {
        return format!("{stem}y");
    }
    if let Some(stem) = word.strip_suffix("es").filter(|stem| stem.ends_with("ss")) {
        return stem.to_owned();
    }
    match word.strip_suffix('s') {
        Some(stem) if stem.len() > 2 && !stem.ends_with(['s', 'u', 'i']) => stem.to_owned(),
        _ => word.to_owned(),
    }
}

pub(super) fn has_any(words: &[String], any: &[&str]) -> bool {
    words.iter().any(|word| any.contains(&word.as_str()))
}

/// The weight of the surest word.
pub(super) fn weight(words: &[String], weights: &[(&str, i32)]) -> i32 {
    let of = |word: &String| weights.iter().find(|(known, _)| known == word).map(|(_, it)| *it);
    words.iter().filter_map(of).max().unwrap_or(0)
}

/// A code as words with an underscore between them: `SLOT_FULL`, `slot-full` and `slotFull` alike.
pub(super) fn code(text: &str) -> String {
    words(text).join("_")
}

/// How sure a code says that nothing is left: 2 by its name, 1 perhaps, 0 not.
pub(super) fn says_sold_out(text: &str) -> u8 {
    let code = code(text);
    let said = |parts: &[&str]| parts.iter().any(|part| code.contains(part));
    let sure = [
        "sold_out",
        "soldout",
        "full",
        "capacity",
        "no_seat",
        "no_vacanc",
        "no_place",
        "no_spot",
        "insufficient",
        "exhausted",
        "overbook",
        "out_of_stock",
        "no_stock",
        "not_available",
        "no_availability",
        "slot_unavailable",
        "taken",
        "none_left",
        "no_longer_available",
        "not_enough",
        "already_booked",
    ];
    match () {
        () if said(&sure) && !code.contains("successful") && !code.contains("fulfil") => 2,
        () if said(&["unavailable", "conflict"]) => 1,
        () => 0,
    }
}

/// Whether a code says: not now, and nothing was written.
pub(super) fn says_later(text: &str) -> bool {
    let words = words(text);
    has_any(&words, &["retry", "later", "throttled", "throttle", "overloaded", "overload", "busy"])
        || code(text).contains("rate_limit")
        || code(text).contains("too_many")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_every_style_have_the_same_words() {
        for (name, expected) in [
            ("availableSeats", "available seat"),
            ("available_seats", "available seat"),
            ("/v1/event-types", "v1 event type"),
            ("availabilities", "availability"),
            ("classes", "class"),
            ("status", "status"),
            ("eventTypeID", "event type id"),
            ("HTTPStatus", "http status"),
        ] {
            assert_eq!(words(name).join(" "), expected, "{name}");
        }
    }

    #[test]
    fn a_code_that_says_sold_out_is_known_by_its_name() {
        for (code, expected) in [
            ("sold_out", 2),
            ("SLOT_FULL", 2),
            ("NoCapacity", 2),
            ("slot-unavailable", 2),
            ("conflict", 1),
            ("unavailable", 1),
            ("FULFILLED", 0),
            ("hold_expired", 0),
        ] {
            assert_eq!(says_sold_out(code), expected, "{code}");
        }
    }
}
