//! Where slots come from: made by a request, found by a request, or named by hand.

use serde_json::Value;

use super::{
    captures::{available, id_of},
    document::{Document, Leaf},
    endpoint::Endpoint,
    page::{Page, captures},
    requests::{Purpose, RequestDraft, Requests},
    roles::{Pick, Roles},
    words::{CAPACITY_WORDS, has_any, words},
};

/// Where slots come from.
pub(super) enum SlotsDraft {
    /// A setup makes each.
    Made { request: RequestDraft, id: String, doubt: Option<String> },
    /// They are there, and a request lists them.
    Found {
        request: RequestDraft,
        title: String,
        items: String,
        capture: Vec<(&'static str, Value)>,
    },
    /// They are there, and nothing lists them.
    Named,
}

impl SlotsDraft {
    pub(super) fn find<'a>(
        document: &Document<'a>,
        endpoints: &[Endpoint<'a>],
        roles: &Roles<'_, 'a>,
        requests: &mut Requests<'_, 'a>,
    ) -> Self {
        if let Some(pick) = &roles.slot {
            return Self::made(document, pick, roles, requests);
        }
        let of_slots = |it: &&Endpoint<'a>| {
            it.method == "GET" && it.last_literal().is_some_and(|last| last == roles.slot_noun)
        };
        let lists =
            roles.read.iter().map(|pick| pick.endpoint).chain(endpoints.iter().filter(of_slots));
        for endpoint in lists {
            let leaves = document.leaves(endpoint.answer_schema(document));
            let Some((list, items)) = items_of(&leaves) else { continue };
            let Some(id) = items.iter().find(|leaf| is_id(leaf, &roles.slot_noun)) else {
                continue;
            };
            let mut capture = vec![("id", Value::from(id.path.clone()))];
            if let Some(free) = available(&items).or_else(|| capacity(&items)) {
                capture.push(("capacity", free.into()));
            }
            let request = requests.draft(endpoint, Purpose::Run);
            return Self::Found { request, title: endpoint.title(), items: list, capture };
        }
        Self::Named
    }

    fn made<'a>(
        document: &Document<'a>,
        pick: &Pick<'_, 'a>,
        roles: &Roles<'_, 'a>,
        requests: &mut Requests<'_, 'a>,
    ) -> Self {
        let request = requests.draft(pick.endpoint, Purpose::Slot);
        let wanted: Vec<&str> = [Some(&roles.reserve), roles.read.as_ref()]
            .into_iter()
            .flatten()
            .filter_map(|pick| pick.endpoint.nouns().pop())
            .filter(|(_, noun)| *noun == roles.slot_noun)
            .map(|(name, _)| name)
            .collect();
        let id = id_of(document, pick.endpoint, &wanted);
        let body = request.body.as_ref().map(|(_, body)| body.to_string()).unwrap_or_default();
        let without = (!body.contains("slot.capacity")).then(|| {
            "nothing in it sets a capacity: run with the capacity that such a slot has (--capacity)"
                .to_owned()
        });
        let taken = pick
            .doubt
            .as_ref()
            .map(|doubt| format!("{} was taken to make a slot; {doubt}", pick.endpoint.title()));
        let doubt = taken.or(without);
        Self::Made { request, id: id.unwrap_or_else(|| "$.id".to_owned()), doubt }
    }

    pub(super) fn write(&self, page: &mut Page) {
        page.line("");
        match self {
            Self::Made { request, id, doubt } => {
                if let Some(doubt) = doubt {
                    page.doubt("setup", doubt);
                }
                page.section("[[setup]]");
                page.pair("each", &"slot".into());
                page.request("setup", request);
                page.line(&format!("capture = {}", captures(&[("id", id.clone().into())])));
            }
            Self::Found { request, title, items, capture } => {
                page.doubt(
                    "slots",
                    &format!(
                        "no operation was found that makes a slot; those that {title} lists are \
                         used: narrow them to a few"
                    ),
                );
                page.section("[slots]");
                page.request("slots", request);
                page.pair("items", &items.clone().into());
                page.line(&format!("capture = {}", captures(capture)));
            }
            Self::Named => {
                page.doubt(
                    "slot",
                    "no operation was found that makes or lists slots: write the id and the \
                     capacity of one that exists",
                );
                page.section("[[slot]]");
                page.pair("id", &"1".into());
                page.pair("capacity", &1.into());
            }
        }
    }
}

/// The path of the first list in an answer, and the values of one item of it.
fn items_of<'a>(leaves: &[Leaf<'a>]) -> Option<(String, Vec<Leaf<'a>>)> {
    let list = leaves.iter().find_map(|leaf| leaf.path.split_once("[0]").map(|(list, _)| list))?;
    let start = format!("{list}[0]");
    let item = |leaf: &Leaf<'a>| {
        let path = format!("${}", leaf.path.strip_prefix(&start)?);
        Some(Leaf { path, ..leaf.clone() })
    };
    Some((format!("{list}[*]"), leaves.iter().filter_map(item).collect()))
}

fn is_id(leaf: &Leaf<'_>, slot_noun: &[String]) -> bool {
    let mut name = words(leaf.name());
    let last = name.pop().unwrap_or_default();
    let ends = ["id", "uid", "uuid"].contains(&last.as_str());
    ends && (name.is_empty() || name == slot_noun) && leaf.path.matches('.').count() == 1
}

fn capacity(leaves: &[Leaf<'_>]) -> Option<String> {
    let says = |leaf: &&Leaf<'_>| leaf.is_number() && has_any(&words(leaf.name()), &CAPACITY_WORDS);
    leaves.iter().find(says).map(|leaf| leaf.path.clone())
}
