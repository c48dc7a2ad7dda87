//! Answer rules from the answers that a document describes.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{
    captures::{Captured, id_of, of_decision, of_hold, of_slot, reason},
    document::{Document, Leaf},
    endpoint::Endpoint,
    requests::{Purpose, RequestDraft, Requests},
    roles::Roles,
    sold_out::is_one_of,
    words::{code, says_later, words},
};

/// Refusals that an API may answer where its document has only `4XX` or `default`.
const REFUSALS: [u16; 4] = [400, 404, 409, 422];
/// Not about the operation: no permission, too slow, too many.
const NO_REFUSALS: [u16; 3] = [401, 408, 429];
/// A rule as it is written.
#[derive(Debug, Default)]
pub(super) struct RuleDraft {
    pub(super) statuses: Vec<u16>,
    pub(super) when: Vec<Value>,
    pub(super) means: &'static str,
    pub(super) captures: Captured,
    pub(super) reason: Option<String>,
    pub(super) poll: Option<RequestDraft>,
    pub(super) doubt: Option<String>,
}

/// A documented answer.
pub(super) struct Documented<'a> {
    pub(super) statuses: Vec<u16>,
    pub(super) answer: &'a Value,
    pub(super) leaves: Vec<Leaf<'a>>,
}

impl<'a> Documented<'a> {
    pub(super) fn said(&self) -> &'a str {
        self.answer.get("description").and_then(Value::as_str).unwrap_or_default()
    }

    /// Fields that say why, and the words that they can be.
    pub(super) fn codes(&self) -> impl Iterator<Item = (&str, Vec<&'a str>)> {
        let listed = self.leaves.iter().map(|leaf| (leaf.path.as_str(), leaf.choices()));
        listed.filter(|(_, choices)| !choices.is_empty())
    }

    /// Of some codes, those that the description names; all of them if it names none.
    pub(super) fn named<'c>(&self, codes: Vec<&'c str>) -> Vec<&'c str> {
        let said = code(self.said());
        let named: Vec<&str> =
            codes.iter().copied().filter(|it| said.contains(&code(it))).collect();
        if named.is_empty() { codes } else { named }
    }
}

/// The rules of an operation.
pub(super) struct Answers<'d, 'a> {
    pub(super) document: &'d Document<'a>,
    pub(super) endpoint: &'d Endpoint<'a>,
    pub(super) success: Vec<Documented<'a>>,
    accepted: Option<Documented<'a>>,
    pub(super) refusals: Vec<Documented<'a>>,
    throttled: Vec<Documented<'a>>,
    pub(super) rules: Vec<RuleDraft>,
}

impl<'d, 'a> Answers<'d, 'a> {
    pub(super) fn of(document: &'d Document<'a>, endpoint: &'d Endpoint<'a>) -> Self {
        let mut answers = Self {
            document,
            endpoint,
            success: vec![],
            accepted: None,
            refusals: vec![],
            throttled: vec![],
            rules: vec![],
        };
        let mut known: BTreeSet<u16> = BTreeSet::new();
        let documented = endpoint.answers(document);
        known.extend(documented.iter().filter_map(|(status, _)| status.parse::<u16>().ok()));
        for (status, answer) in documented {
            let statuses: Vec<u16> = match (status.parse::<u16>(), status) {
                (Ok(status), _) => vec![status],
                (_, "2XX" | "2xx") => vec![200, 201],
                (_, "4XX" | "4xx" | "default") => REFUSALS.to_vec(),
                _ => continue,
            };
            let exact = status.parse::<u16>().is_ok();
            let statuses: Vec<u16> =
                statuses.into_iter().filter(|it| exact || !known.contains(it)).collect();
            let Some(first) = statuses.first().copied() else { continue };
            let leaves = document.leaves(document.schema(answer));
            let documented = Documented { statuses, answer, leaves };
            match first {
                202 => answers.accepted = Some(documented),
                200..300 => answers.success.push(documented),
                429 | 503 => answers.throttled.push(documented),
                it if (400..500).contains(&it) && !NO_REFUSALS.contains(&it) => {
                    answers.refusals.push(documented);
                }
                _ => {}
            }
        }
        answers
    }

    /// Those of a reserve, and whether they say how long a hold lasts.
    pub(super) fn reserve(
        mut self,
        requests: &mut Requests<'_, 'a>,
        roles: &Roles<'_, 'a>,
    ) -> Vec<RuleDraft> {
        self.refused_success();
        let wanted: Vec<&str> = [&roles.cancel, &roles.confirm, &roles.booking]
            .into_iter()
            .flatten()
            .filter_map(|pick| pick.endpoint.nouns().pop())
            .map(|(name, _)| name)
            .collect();
        let leaves = self.document.leaves(self.endpoint.answer_schema(self.document));
        let (booking, doubt) = match id_of(self.document, self.endpoint, &wanted) {
            Some(path) => (path, None),
            None => self.id_elsewhere(),
        };
        let mut captures: Captured = vec![("booking", booking.into())];
        captures.extend(of_decision(&leaves));
        captures.extend(of_hold(&leaves));
        self.succeeds(captures, doubt, &[200, 201]);
        self.polls(requests, roles);
        self.sold_out();
        self.throttles();
        self.rejects();
        self.rules
    }

    /// Those of a confirm or a cancel.
    pub(super) fn change(mut self) -> Vec<RuleDraft> {
        let leaves = self.document.leaves(self.endpoint.answer_schema(self.document));
        self.succeeds(of_decision(&leaves), None, &[200, 204]);
        if let Some(accepted) = &self.accepted {
            self.rules.push(RuleDraft {
                statuses: accepted.statuses.clone(),
                means: "unknown",
                doubt: Some("202 says that it will be decided later; a poll may ask".to_owned()),
                ..RuleDraft::default()
            });
        }
        self.throttles();
        self.rejects();
        self.rules
    }

    /// Those of a read of a slot.
    pub(super) fn read(mut self) -> Vec<RuleDraft> {
        let leaves = self.document.leaves(self.endpoint.answer_schema(self.document));
        self.succeeds(of_slot(&leaves), None, &[200]);
        self.throttles();
        self.rejects();
        self.rules
    }

    /// Those of a read of a booking.
    pub(super) fn booking(mut self) -> Vec<RuleDraft> {
        let leaves = self.document.leaves(self.endpoint.answer_schema(self.document));
        let named = |leaf: &&Leaf<'_>| {
            words(leaf.name()).last().is_some_and(|last| last == "status" || last == "state")
        };
        let status = leaves.iter().filter(named).max_by_key(|leaf| leaf.choices().len());
        let captures = status.map(|leaf| ("status", leaf.path.clone().into())).into_iter();
        self.succeeds(captures.collect(), None, &[200]);
        self.throttles();
        self.rejects();
        self.rules
    }

    /// The id of a booking that stands in no field: in `Location`, or nobody knows where.
    fn id_elsewhere(&self) -> (String, Option<String>) {
        let header = |it: &Documented<'a>| {
            let headers = it.answer.get("headers").and_then(Value::as_object);
            headers.is_some_and(|it| it.keys().any(|name| name.eq_ignore_ascii_case("location")))
        };
        match self.success.iter().any(header) {
            true => ("header:Location:/([^/?]+)/?$".to_owned(), None),
            false => ("$.id".to_owned(), Some("no answer is documented that has an id".to_owned())),
        }
    }

    fn succeeds(&mut self, captures: Captured, doubt: Option<String>, usual: &[u16]) {
        let mut statuses: Vec<u16> =
            self.success.iter().flat_map(|it| it.statuses.iter().copied()).collect();
        let undocumented = statuses.is_empty() && self.accepted.is_none();
        let missing = || "no success is documented".to_owned();
        let doubt = doubt.or_else(|| undocumented.then(missing));
        if statuses.is_empty() {
            statuses = usual.to_vec();
        }
        self.rules.push(RuleDraft {
            statuses,
            means: "ok",
            captures,
            doubt,
            ..RuleDraft::default()
        });
    }

    /// The decision comes later: the same path may be asked for it.
    fn polls(&mut self, requests: &mut Requests<'_, 'a>, roles: &Roles<'_, 'a>) {
        let Some(accepted) = &self.accepted else { return };
        let asks = requests.at(self.endpoint.path, "GET").filter(|it| {
            let again = it.answers(self.document).iter().any(|(status, _)| *status == "202");
            let schema = it.answer_schema(self.document);
            again || std::ptr::eq(schema, self.endpoint.answer_schema(self.document))
        });
        let statuses = accepted.statuses.clone();
        let rule = match (asks, &roles.booking) {
            (Some(asks), _) => RuleDraft {
                statuses,
                means: "poll",
                poll: Some(requests.draft(asks, Purpose::Reserve)),
                ..RuleDraft::default()
            },
            (None, booking) => {
                let by =
                    booking.as_ref().map_or("its Location".to_owned(), |it| it.endpoint.title());
                let doubt = format!(
                    "202 says that it will be decided later; write means = \"poll\" with the \
                     request that asks for it, perhaps {by}"
                );
                RuleDraft { statuses, means: "unknown", doubt: Some(doubt), ..RuleDraft::default() }
            }
        };
        self.rules.push(rule);
    }

    /// 429, and a 503 whose code says that nothing was written. Any other 503 is unknown.
    fn throttles(&mut self) {
        let mut rules = Vec::new();
        for throttled in &self.throttled {
            let reason = reason(&throttled.leaves).map(|leaf| leaf.path.clone());
            let statuses = throttled.statuses.clone();
            if throttled.statuses.contains(&429) {
                rules.push(RuleDraft {
                    statuses,
                    means: "throttled",
                    reason,
                    ..RuleDraft::default()
                });
                continue;
            }
            for (path, choices) in throttled.codes() {
                let later: Vec<&str> = choices.into_iter().filter(|it| says_later(it)).collect();
                if later.is_empty() {
                    continue;
                }
                let when = is_one_of(path, &throttled.named(later));
                rules.push(RuleDraft {
                    statuses: statuses.clone(),
                    when: vec![when],
                    means: "throttled",
                    reason: reason.clone(),
                    ..RuleDraft::default()
                });
                break;
            }
        }
        self.rules.extend(rules);
    }

    fn rejects(&mut self) {
        let mut rules: Vec<RuleDraft> = Vec::new();
        for refusal in &self.refusals {
            let reason = reason(&refusal.leaves).map(|leaf| leaf.path.clone());
            match rules.iter_mut().find(|rule| rule.reason == reason) {
                Some(rule) => rule.statuses.extend(&refusal.statuses),
                None => rules.push(RuleDraft {
                    statuses: refusal.statuses.clone(),
                    means: "rejected",
                    reason,
                    ..RuleDraft::default()
                }),
            }
        }
        self.rules.extend(rules);
    }
}
