//! An operation of a document, and the words of its path.

use serde_json::Value;

use super::{
    document::{Document, NOTHING},
    words::{ID_WORDS, has_any, words},
};

/// An operation of the document: a method of a path.
#[derive(Debug)]
pub(super) struct Endpoint<'a> {
    /// In upper case.
    pub(super) method: String,
    pub(super) path: &'a str,
    pub(super) item: &'a Value,
    pub(super) parameters: Vec<&'a Value>,
}

/// A part of a path between two slashes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Segment<'a> {
    Literal(&'a str),
    Parameter(&'a str),
}

impl<'a> Endpoint<'a> {
    /// How people know it.
    pub(super) fn title(&self) -> String {
        format!("{} {}", self.method, self.path)
    }

    pub(super) fn segments(&self) -> Vec<Segment<'a>> {
        let mut segments = Vec::new();
        for part in self.path.split('/').filter(|part| !part.is_empty()) {
            // `{id}:cancel` is a parameter and a verb.
            match part.split_once('{').and_then(|(_, rest)| rest.split_once('}')) {
                Some((name, rest)) => {
                    segments.push(Segment::Parameter(name));
                    segments.extend(rest.strip_prefix(':').map(Segment::Literal));
                }
                None => segments.push(Segment::Literal(part)),
            }
        }
        segments
    }

    /// The words of the last literal part, if the path ends with it.
    pub(super) fn last_literal(&self) -> Option<Vec<String>> {
        match self.segments().last() {
            Some(Segment::Literal(text)) => Some(words(text)),
            _ => None,
        }
    }

    /// The words of all literal parts.
    pub(super) fn literals(&self) -> Vec<String> {
        let literal = |segment: &Segment<'a>| match segment {
            Segment::Literal(text) => words(text),
            Segment::Parameter(_) => vec![],
        };
        self.segments().iter().flat_map(literal).collect()
    }

    /// Each parameter of the path with the noun that it names.
    pub(super) fn nouns(&self) -> Vec<(&'a str, Vec<String>)> {
        let segments = self.segments();
        let mut nouns = Vec::new();
        for (at, segment) in segments.iter().enumerate() {
            let Segment::Parameter(name) = segment else { continue };
            let mut noun = words(name);
            noun.retain(|word| !ID_WORDS.contains(&word.as_str()));
            if noun.is_empty()
                && let Some(Segment::Literal(before)) =
                    at.checked_sub(1).and_then(|before| segments.get(before))
            {
                noun = words(before);
            }
            nouns.push((*name, noun));
        }
        nouns
    }

    /// The words of the collection whose member the path goes through last: `tee times` of
    /// `/tee-times/{tee}/parties`.
    pub(super) fn collection(&self) -> Option<Vec<String>> {
        let segments = self.segments();
        let at = segments.iter().rposition(|it| matches!(it, Segment::Parameter(_)))?;
        match segments.get(at.checked_sub(1)?) {
            Some(Segment::Literal(text)) => Some(words(text)),
            _ => None,
        }
    }

    /// The noun of the parameter that the path ends with.
    pub(super) fn last_noun(&self) -> Option<Vec<String>> {
        match self.segments().last() {
            Some(Segment::Parameter(_)) => self.nouns().pop().map(|(_, noun)| noun),
            _ => None,
        }
    }

    /// Words of its id and summary.
    pub(super) fn said(&self) -> Vec<String> {
        let text = |key| self.item.get(key).and_then(Value::as_str).unwrap_or_default();
        words(text("operationId")).into_iter().chain(words(text("summary"))).collect()
    }

    pub(super) fn says(&self, any: &[&str]) -> bool {
        has_any(&self.said(), any)
    }

    /// Parameters of a place: `path`, `query` or `header`.
    pub(super) fn parameters(&self, place: &str) -> impl Iterator<Item = &'a Value> {
        self.parameters.iter().copied().filter(move |it| it["in"].as_str() == Some(place))
    }

    pub(super) fn request_body(&self) -> &'a Value {
        self.item.get("requestBody").unwrap_or(&NOTHING)
    }

    /// The answers: status (`201`, `4XX`, `default`) and what is said of it.
    pub(super) fn answers(&self, document: &Document<'a>) -> Vec<(&'a str, &'a Value)> {
        let answers = self.item.get("responses").and_then(Value::as_object);
        let answers = answers.into_iter().flatten();
        answers.map(|(status, answer)| (status.as_str(), document.resolve(answer))).collect()
    }

    /// The schema of its success.
    pub(super) fn answer_schema(&self, document: &Document<'a>) -> &'a Value {
        let answers = self.answers(document);
        let success = |(status, _): &&(&str, &Value)| status.starts_with('2') && *status != "202";
        let found = answers.iter().find(success).map(|(_, answer)| document.schema(answer));
        found.unwrap_or(&NOTHING)
    }
}
