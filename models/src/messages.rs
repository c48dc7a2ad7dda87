//! Every sentence that `slotproof model`, `replay` and `check --against-model` print from this
//! crate, in one snapshot: a change of wording shows in one place.

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};

use slotproof_vocabulary::{AuditRecord, StrategyKind};

use crate::{
    page::{Page, page_of},
    properties::properties,
    schedule::Schedule,
    sentences::scheduled_event,
    size::{Losses, Size},
    symmetry::fingerprint,
    trace::explain,
    transition::Transition,
    world::World,
};

/// States of each model, enough to see every sentence of every page.
const STATES_MAX: usize = 30_000;

/// The sentences of one model, as those of client 1.
#[derive(Default)]
struct Sentences {
    /// By pause point.
    steps: BTreeSet<String>,
    /// Events that are no step of a call.
    events: BTreeSet<String>,
    /// What clients get, and what changes about the seats.
    consequences: BTreeSet<String>,
}

fn sentences_of(page: &'static Page) -> Sentences {
    let mut found = Sentences::default();
    let begin = World::with_losses(page, Size { clients: 2, capacity: 1 }, Losses::AtMost(2));
    let mut seen = HashSet::from([fingerprint(&begin)]);
    let mut open = VecDeque::from([begin]);
    while let Some(world) = open.pop_front() {
        let mut offered = Vec::new();
        Transition::offer(&world, &mut offered);
        for transition in offered {
            let mut next = world.clone();
            if transition.take(&mut next).is_none() {
                continue;
            }
            found.note(&world, transition, &next);
            if seen.len() < STATES_MAX && seen.insert(fingerprint(&next)) {
                open.push_back(next);
            }
        }
    }
    found
}

impl Sentences {
    fn note(&mut self, before: &World, transition: Transition, after: &World) {
        let text = scheduled_event(before, transition, after).text;
        let (event, consequences) = text.split_once(": ").unwrap_or((&text, ""));
        let is_of_client_1 = |text: &&str| !text.is_empty() && !text.contains("client 2");
        self.consequences
            .extend(consequences.split(", ").filter(is_of_client_1).map(str::to_owned));
        match transition {
            Transition::Call { at, .. } => {
                let point = at.point();
                self.steps.insert(format!("{}: {}", point.name, point.sentence));
            }
            _ => self.events.extend(Some(event).filter(is_of_client_1).map(str::to_owned)),
        }
    }
}

fn refusals() -> Vec<String> {
    let kept = include_str!("../schedules/unprotected.json");
    let refusal = |from: &str, to: &str| {
        let text = kept.replacen(from, to, 1);
        assert_ne!(text, kept, "{from}");
        Schedule::from_json(&text).expect_err("it is not a schedule").to_string()
    };
    vec![
        refusal("\"schema_version\": 1", "\"schema_version\": 9"),
        refusal("\"clients\": 2", "\"clients\": 200"),
        refusal("\"client\": 2", "\"client\": 3"),
        refusal("\"call\": \"1.1\"", "\"call\": \"1.9\""),
    ]
}

/// What is said of a log whose second record the model cannot explain.
fn unexplained(version: i64, from: Option<&str>, to: &str, available: i64) -> Vec<String> {
    let record = |version, from: Option<&str>, to: &str, available| AuditRecord {
        slot: "monday-9".to_owned(),
        version,
        booking: "b1".to_owned(),
        from: from.map(|from| from.parse().expect("a status")),
        to: to.parse().expect("a status"),
        seats: 1,
        available,
    };
    let log = [record(1, None, "pending", 1), record(version, from, to, available)];
    let found = explain(StrategyKind::Conditional, 2, &log).unexplained.expect("not explained");
    [found.before].into_iter().chain(found.instead).collect()
}

#[test]
fn every_sentence_of_the_models_is_listed() {
    let mut steps = BTreeMap::new();
    let (mut events, mut consequences) = (BTreeSet::new(), BTreeSet::new());
    let mut judged = BTreeSet::new();
    for kind in StrategyKind::all() {
        let page = page_of(kind);
        let found = sentences_of(page);
        steps.insert(kind.name(), found.steps);
        events.extend(found.events);
        consequences.extend(found.consequences);
        judged.extend(properties(page).into_iter().map(|property| {
            let kind =
                if property.expectation.discovery_is_failure() { "always" } else { "sometimes" };
            format!("{kind}: {}", property.name)
        }));
    }
    let trace = BTreeMap::from([
        ("another counter", unexplained(2, Some("pending"), "cancelled", 1)),
        ("another version", unexplained(3, Some("pending"), "confirmed", 1)),
        ("another status", unexplained(2, Some("confirmed"), "cancelled", 2)),
    ]);
    insta::assert_json_snapshot!(serde_json::json!({
        "properties": judged,
        "steps": steps,
        "events": events,
        "consequences": consequences,
        "kinds of change": explain(StrategyKind::Conditional, 2, &[]).possible,
        "unexplained records": trace,
        "refused schedules": refusals(),
    }));
}
