//! Which refusal says that nothing is left: by its code, by an example, or by a guess.

use serde_json::{Value, json};

use super::{
    answers::{Answers, Documented, RuleDraft},
    captures::{is_of_slot, of_decision, reason},
    document::{Leaf, kind},
    words::{code, says_sold_out},
};

/// Where a refusal of a full slot is likeliest.
const LIKELY_FULL: [u16; 5] = [409, 422, 400, 410, 403];
/// How people write that a slot is full.
const FULL_TEXT: &str =
    r"(?i)sold.?out|\bfull\b|fully|no.?capacity|not.?available|unavailable|not enough|no.*seats";

/// The condition that a path has one of some words.
pub(super) fn is_one_of(path: &str, words: &[&str]) -> Value {
    match words {
        [one] => json!([path, "==", one]),
        several => json!([path, "in", several]),
    }
}

impl<'a> Answers<'_, 'a> {
    pub(super) fn sold_out(&mut self) {
        let rules = self.sold_out_by_code(2).or_else(|| self.sold_out_by_example());
        let rules = rules.or_else(|| self.sold_out_by_code(1));
        let rules = rules.unwrap_or_else(|| vec![self.sold_out_by_guess()]);
        self.rules.extend(rules);
    }

    /// Codes of a refusal that say it by their names.
    fn sold_out_by_code(&self, least: u8) -> Option<Vec<RuleDraft>> {
        let mut found: Vec<(&Documented<'a>, &str, Vec<&str>)> = Vec::new();
        for refusal in &self.refusals {
            for (path, choices) in refusal.codes() {
                let says: Vec<&str> =
                    choices.into_iter().filter(|it| says_sold_out(it) >= least).collect();
                if !says.is_empty() {
                    found.push((refusal, path, says));
                }
            }
        }
        // One list of codes for all answers: the descriptions say which status has which.
        let described = |(refusal, _, says): &(&Documented<'a>, &str, Vec<&str>)| {
            says.iter().any(|it| code(refusal.said()).contains(&code(it)))
        };
        if found.iter().any(described) {
            found.retain(described);
        }
        let mut rules: Vec<RuleDraft> = Vec::new();
        for (refusal, path, says) in found {
            let when = is_one_of(path, &refusal.named(says));
            if let Some(same) = rules.iter_mut().find(|rule| rule.when.contains(&when)) {
                same.statuses.extend(&refusal.statuses);
                continue;
            }
            rules.push(RuleDraft {
                statuses: refusal.statuses.clone(),
                when: vec![when],
                means: "sold_out",
                captures: of_decision(&refusal.leaves),
                doubt: (least < 2).then(|| "is it this code that says sold out?".to_owned()),
                ..RuleDraft::default()
            });
        }
        (!rules.is_empty()).then_some(rules)
    }

    /// An example of a refusal, or a code in its description.
    fn sold_out_by_example(&self) -> Option<Vec<RuleDraft>> {
        let rules: Vec<RuleDraft> = self
            .refusals
            .iter()
            .filter_map(|refusal| {
                let leaf = reason(&refusal.leaves)?;
                let pointer = leaf.path.trim_start_matches('$').replace("[0]", ".0");
                let pointer = pointer.replace('.', "/");
                let of_example = self.examples(refusal.answer).into_iter().find_map(|example| {
                    let word = example.pointer(&pointer)?.as_str()?;
                    (says_sold_out(word) == 2 && !word.contains(' ')).then(|| word.to_owned())
                });
                let in_text = || {
                    let quoted = refusal.said().split('`').skip(1).step_by(2);
                    quoted.into_iter().find(|it| says_sold_out(it) == 2).map(str::to_owned)
                };
                let word = of_example.or_else(in_text)?;
                Some(RuleDraft {
                    statuses: refusal.statuses.clone(),
                    when: vec![json!([leaf.path, "==", word])],
                    means: "sold_out",
                    captures: of_decision(&refusal.leaves),
                    ..RuleDraft::default()
                })
            })
            .collect();
        (!rules.is_empty()).then_some(rules)
    }

    fn examples(&self, answer: &'a Value) -> Vec<&'a Value> {
        let Some((_, body)) = self.document.content(answer) else { return vec![] };
        let named = body.get("examples").and_then(Value::as_object).into_iter().flatten();
        let named = named.filter_map(|(_, it)| self.document.resolve(it).get("value"));
        let schema = self.document.schema(answer);
        body.get("example").into_iter().chain(named).chain(schema.get("example")).collect()
    }

    /// The usual case: no schema says it.
    fn sold_out_by_guess(&self) -> RuleDraft {
        let described = self.refusals.iter().find(|it| says_sold_out(it.said()) == 2);
        let has = |it: &u16, exact: bool| {
            let mut known = self.refusals.iter().filter(|known| known.statuses.contains(it));
            known.any(|known| (known.statuses.len() == 1) == exact)
        };
        // The likeliest of those that are named, and whatever `4XX` and `default` may be.
        let named = LIKELY_FULL.into_iter().find(|it| has(it, true));
        let others = LIKELY_FULL.into_iter().filter(|it| has(it, false));
        let mut statuses = match described {
            Some(described) => described.statuses.clone(),
            None => named.into_iter().chain(others).collect(),
        };
        if statuses.is_empty() {
            statuses = vec![400, 409, 422];
        }
        RuleDraft {
            statuses,
            when: vec![json!(["body", "matches", FULL_TEXT])],
            means: "sold_out",
            doubt: Some(
                "no schema says which refusal means sold out; `slotproof target try` shows the \
                 body of one"
                    .to_owned(),
            ),
            ..RuleDraft::default()
        }
    }

    /// A refusal under the status of a success.
    pub(super) fn refused_success(&mut self) {
        let mut rules = Vec::new();
        for success in &self.success {
            let rule = |when, means, doubt: &str| RuleDraft {
                statuses: success.statuses.clone(),
                when: vec![when],
                means,
                doubt: Some(doubt.to_owned()),
                ..RuleDraft::default()
            };
            let is_no = |it: &&Leaf<'_>| {
                kind(it.schema) == "boolean" && ["success", "ok", "accepted"].contains(&it.name())
            };
            if let Some(leaf) = success.leaves.iter().find(is_no) {
                let doubt = "a refusal that is answered as a success; if it says sold out, say so";
                rules.push(rule(json!([leaf.path, "==", false]), "rejected", doubt));
            }
            // The slot may well be sold out by the booking that is answered.
            let of_booking = success.leaves.iter().filter(|leaf| !is_of_slot(leaf));
            for leaf in of_booking {
                let (path, choices) = (leaf.path.as_str(), leaf.choices());
                let of = |any: &[&str]| -> Vec<&str> {
                    choices.iter().copied().filter(|it| any.contains(&code(it).as_str())).collect()
                };
                let full: Vec<&str> = choices
                    .iter()
                    .copied()
                    .filter(|it| says_sold_out(it) == 2 || code(it) == "rejected")
                    .collect();
                if !full.is_empty() {
                    let doubt = "a refusal that is answered as a success; is it sold out?";
                    rules.push(rule(is_one_of(path, &full), "sold_out", doubt));
                }
                // Among the states of a booking it is one that comes later.
                let lives = !of(&["confirmed", "booked", "cancelled", "pending"]).is_empty();
                let failed = of(&["error", "failed", "failure", "declined"]);
                if !failed.is_empty() && !lives {
                    let doubt = "a refusal that is answered as a success; if it says sold out, \
                                 say so";
                    rules.push(rule(is_one_of(path, &failed), "rejected", doubt));
                }
            }
        }
        self.rules.extend(rules);
    }
}
