//! How operations become requests, and what their answers mean.

use std::collections::BTreeMap;

use reqwest::Method;
use serde_json::Value;
use slotproof_vocabulary::span::Span;
use toml::Spanned;

use super::{Compiler, Names, OperationPlan, Pauses, Step, header_name};
use crate::target::file::{
    capture::{Capture, Captures},
    format::{
        CaptureWords, Comparison, IdempotencyWords, Meaning, OperationWords, RequestWords,
        RuleWords, StepWords,
    },
    inline,
    request::{Content, Idempotency, KeyPlace, RequestTemplate},
    rule::{Condition, Poll, Rule},
    template::{Body, Text},
};

/// Names that the requests of an operation may use.
fn names_of(operation: &str) -> &'static [&'static str] {
    match operation {
        "reserve" => &["client.number", "key", "seats", "seen_version"],
        "confirm" | "cancel" | "booking" => &["booking", "client.number", "seen_version"],
        _ => &["client.number", "seen_version"],
    }
}

/// What the answer to a successful operation must say.
fn needed(operation: &str) -> Option<&'static str> {
    match operation {
        "reserve" => Some("booking"),
        "read" => Some("available"),
        "booking" => Some("status"),
        _ => None,
    }
}

impl Compiler<'_> {
    pub(super) fn idempotency(
        &self,
        words: Spanned<IdempotencyWords>,
    ) -> Result<Idempotency, String> {
        let line = self.line(words.span().start);
        let IdempotencyWords { header, body, query, value, repeatable } = words.into_inner();
        let at = |reason: String| format!("line {line}: {reason}");
        let place = match (header, body, query) {
            (Some(name), None, None) => KeyPlace::Header(header_name(&name).map_err(at)?),
            (None, Some(field), None) => KeyPlace::Body(field),
            (None, None, Some(name)) => KeyPlace::Query(name),
            _ => {
                return Err(at("[idempotency] has either a header, a body field or a query \
                               parameter"
                    .to_owned()));
            }
        };
        let known = Names::from(["key".to_owned()]);
        let value = self.known(value.as_deref().unwrap_or("{{ key }}"), &known).map_err(at)?;
        Ok(Idempotency { place, value, repeatable })
    }

    pub(super) fn operation(
        &self,
        operation: &str,
        words: Option<OperationWords>,
        names: &Names,
    ) -> Result<OperationPlan, String> {
        let Some(OperationWords { step, on_abort, released_when }) = words else {
            return Ok(OperationPlan::default());
        };
        let mut names = names.clone();
        names.extend(names_of(operation).iter().map(|name| (*name).to_owned()));
        let last = step.len();
        let mut steps = Vec::new();
        for (number, words) in (1..).zip(step) {
            let line = self.line(words.span().start);
            steps.push(
                self.step(operation, words.into_inner(), number == last, &mut names).map_err(
                    |reason| match reason.starts_with("line ") {
                        true => reason,
                        false => format!("line {line}: {operation}: {reason}"),
                    },
                )?,
            );
        }
        if on_abort.is_some() && operation != "reserve" {
            return Err(format!(
                "{operation}: only a reserve takes seats that on_abort gives back"
            ));
        }
        let on_abort = on_abort.map(|words| self.request(&words, &names)).transpose();
        let on_abort = on_abort.map_err(|reason| format!("{operation}: on_abort: {reason}"))?;
        let released_when = released_when.map(|all| self.conditions(&all)).transpose();
        let released_when =
            released_when.map_err(|reason| format!("{operation}: released_when: {reason}"))?;
        refuse_lost_seats(&steps).map_err(|reason| format!("{operation}: {reason}"))?;
        Ok(OperationPlan { steps, on_abort, released_when })
    }

    /// A step. What its rules capture is known to the steps after it.
    pub(super) fn step(
        &self,
        operation: &str,
        words: StepWords,
        last: bool,
        names: &mut Names,
    ) -> Result<Step, String> {
        let goes_on = words.answers.iter().any(|it| it.get_ref().means == Meaning::Next);
        let takes_seats = match words.takes_seats {
            None if operation == "reserve" && goes_on => {
                return Err(
                    "say takes_seats = true if an answer that means next has set the seats \
                            aside, takes_seats = false if not: what a later step refuses is judged \
                            by it"
                        .to_owned(),
                );
            }
            said => said.unwrap_or(false),
        };
        let request = self.request(&words.request, names)?;
        let every = words.every.as_deref().map_or(Ok(Pauses::default()), pauses)?;
        let mut rules: Vec<Rule> = Vec::new();
        for words in words.answers {
            let line = self.line(words.span().start);
            let at = |reason: String| format!("line {line}: {operation}: {reason}");
            let rule = self.rule(words, names, line).map_err(at)?;
            let has = |name: &&str| {
                rule.captures.iter().any(|(own, _)| own == name) || names.contains(*name)
            };
            if rule.means == Meaning::Ok
                && let Some(name) = needed(operation).filter(|name| !has(name))
            {
                return Err(at(format!("means = \"ok\" needs the capture {name}")));
            }
            if rule.means == Meaning::Next && last {
                return Err(at("there is no next step".to_owned()));
            }
            if let Some(earlier) = rules.iter().find(|earlier| earlier.shadows(&rule)) {
                return Err(at(format!(
                    "this rule can never match: the one on line {} matches all that it does",
                    earlier.line
                )));
            }
            names.extend(rule.captures.iter().map(|(name, _)| name.clone()));
            rules.push(rule);
        }
        Ok(Step { takes_seats, request, rules, every })
    }

    pub(super) fn rule(
        &self,
        words: Spanned<RuleWords>,
        names: &Names,
        line: usize,
    ) -> Result<Rule, String> {
        let words = words.into_inner();
        if let Some(status) = words.status.all().iter().find(|it| !(100..600).contains(*it)) {
            return Err(format!("{status} is no HTTP status; write 100 to 599"));
        }
        let when = self.conditions(&words.when)?;
        let captures = self.captures(&words.capture)?;
        let poll = match (words.means, &words.request) {
            (Meaning::Poll, Some(request)) => {
                let own = captures.iter().map(|(name, _)| name.clone());
                let names = names.iter().cloned().chain(own).collect();
                let request = self.request(request, &names)?;
                let rules = words.answers.map(|all| self.poll_rules(all, &names)).transpose()?;
                Some(Poll { request, rules })
            }
            (Meaning::Poll, None) => {
                return Err(
                    "means = \"poll\" needs a request that asks for the decision".to_owned()
                );
            }
            (_, Some(_)) => return Err("only means = \"poll\" has a request".to_owned()),
            (_, None) => None,
        };
        Ok(Rule {
            statuses: words.status.all().to_vec(),
            when,
            means: words.means,
            captures,
            reason: words.reason.as_ref().map(Capture::compile).transpose()?,
            poll,
            line,
        })
    }

    /// What the answers to a poll mean.
    pub(super) fn poll_rules(
        &self,
        words: Vec<Spanned<RuleWords>>,
        names: &Names,
    ) -> Result<Vec<Rule>, String> {
        let mut rules = Vec::new();
        for words in words {
            let line = self.line(words.span().start);
            let rule = self.rule(words, names, line)?;
            if matches!(rule.means, Meaning::Poll | Meaning::Next | Meaning::Again) {
                return Err(format!(
                    "line {line}: an answer to a poll cannot mean {}; write ok, sold_out, rejected, \
                     throttled or unknown",
                    rule.means.name()
                ));
            }
            rules.push(rule);
        }
        Ok(rules)
    }

    pub(super) fn conditions(
        &self,
        words: &[(String, Comparison, Value)],
    ) -> Result<Vec<Condition>, String> {
        let compiled = |(path, comparison, value): &(String, Comparison, Value)| {
            Condition::compile(path, *comparison, value)
        };
        words.iter().map(compiled).collect()
    }

    pub(super) fn captures(
        &self,
        words: &BTreeMap<String, CaptureWords>,
    ) -> Result<Captures, String> {
        words.iter().map(|(name, words)| Ok((name.clone(), Capture::compile(words)?))).collect()
    }

    pub(super) fn request(
        &self,
        words: &RequestWords,
        names: &Names,
    ) -> Result<RequestTemplate, String> {
        let method = Method::from_bytes(words.method.to_uppercase().as_bytes())
            .map_err(|_| format!("{:?} is no HTTP method", words.method))?;
        if !words.path.starts_with('/') {
            return Err(format!("the path {:?} must begin with a slash", words.path));
        }
        let mut headers = Vec::new();
        for (name, value) in &words.headers {
            headers.push((header_name(name)?, self.known(value, names)?));
        }
        let content = match (&words.json, &words.json_file, &words.form) {
            (None, None, None) => Content::Nothing,
            (Some(json), None, None) => Content::Json(self.body(json, names)?),
            (None, Some(name), None) => {
                let json = serde_json::from_str(&inline::read(&self.folder, name)?)
                    .map_err(|error| format!("{name} is no JSON: {error}"))?;
                Content::Json(self.body(&json, names)?)
            }
            (None, None, Some(form)) => {
                let field = |(name, value): (&String, &String)| {
                    Ok((name.clone(), self.known(value, names)?))
                };
                Content::Form(form.iter().map(field).collect::<Result<_, String>>()?)
            }
            _ => return Err("a request has one of json, json_file and form".to_owned()),
        };
        let path = self.engine.path(&words.path)?;
        self.all_known(path.names(), names)?;
        Ok(RequestTemplate { method, path, headers, content })
    }

    pub(super) fn body(&self, json: &Value, names: &Names) -> Result<Body, String> {
        let body = self.engine.body(json)?;
        self.all_known(body.names(), names)?;
        Ok(body)
    }

    /// A text all of whose names are known.
    pub(super) fn known(&self, source: &str, names: &Names) -> Result<Text, String> {
        let text = self.engine.text(source)?;
        self.all_known(text.names(), names)?;
        Ok(text)
    }

    pub(super) fn all_known(&self, used: Names, names: &Names) -> Result<(), String> {
        self.variables(&used)?;
        for name in used.iter().filter_map(|name| name.strip_prefix("env.")) {
            self.shown_as_stars(name);
        }
        let unknown = used.iter().find(|name| !name.starts_with("env.") && !names.contains(*name));
        match unknown {
            None => Ok(()),
            Some(name) => {
                let known: Vec<&str> = names.iter().map(String::as_str).collect();
                let known = if known.is_empty() { "env.NAME".to_owned() } else { known.join(", ") };
                Err(format!("{{{{ {name} }}}} has no value here; known are {known}"))
            }
        }
    }
}

/// An operation that begins again would take its seats twice.
fn refuse_lost_seats(steps: &[Step]) -> Result<(), String> {
    let taken = steps.iter().position(|step| step.takes_seats).unwrap_or(steps.len());
    let later = steps.iter().skip(taken + 1).flat_map(|step| &step.rules);
    match later.into_iter().find(|rule| rule.means == Meaning::Again) {
        Some(rule) => Err(format!(
            "line {}: the operation cannot begin again after a step with takes_seats: it would \
             take them twice",
            rule.line
        )),
        None => Ok(()),
    }
}

/// `"10ms..640ms"`.
fn pauses(text: &str) -> Result<Pauses, String> {
    let parsed = text.split_once("..").and_then(|(first, longest)| {
        let (first, longest): (Span, Span) = (first.parse().ok()?, longest.parse().ok()?);
        Some(Pauses { first: first.0, longest: longest.0 })
    });
    parsed
        .filter(|it| !it.first.is_zero() && it.first <= it.longest)
        .ok_or_else(|| format!("every = {text:?}: write the first and the longest pause, 10ms..1s"))
}
