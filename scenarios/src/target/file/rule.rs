//! Rules: what an answer means.

use serde_json::Value;

use super::{
    at::At,
    capture::{self, Capture, Captures, Received},
    format::{Comparison, Meaning},
    request::RequestTemplate,
};

/// A rule of a step. The first that matches decides.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) statuses: Vec<u16>,
    pub(super) when: Vec<Condition>,
    pub(super) means: Meaning,
    pub(super) captures: Captures,
    pub(super) reason: Option<Capture>,
    pub(super) poll: Option<Poll>,
    pub(super) line: usize,
}

/// How a decision is asked for.
#[derive(Debug)]
pub(super) struct Poll {
    pub(super) request: RequestTemplate,
    /// What its answers mean; `None`: as those of the step.
    pub(super) rules: Option<Vec<Rule>>,
}

/// What a rule asks of an answer beside its status.
#[derive(Debug)]
pub(super) enum Condition {
    Is(At, Value),
    IsNot(At, Value),
    In(At, Vec<Value>),
    Matches(At, regex::Regex),
    Exists(At, bool),
    /// On the whole body, JSON or not.
    Body(regex::Regex),
    /// On a header.
    Header(String, regex::Regex),
}

impl Rule {
    /// Whether nothing is left for a later rule: it matches every status of that, whatever the
    /// body.
    pub(super) fn shadows(&self, later: &Self) -> bool {
        self.when.is_empty() && later.statuses.iter().all(|status| self.statuses.contains(status))
    }

    /// Whether a value is translated from words, some of which may stand for nothing.
    pub(super) fn maps(&self, name: &str) -> bool {
        let maps =
            |(of, capture): &(String, Capture)| of == name && matches!(capture, Capture::Map(..));
        self.captures.iter().any(maps)
    }

    /// A page is no success of an API, unless the rule looks at its text: it is that of a login, of a
    /// proxy or of maintenance.
    fn is_no_success_of(&self, received: &Received) -> bool {
        let success = matches!(self.means, Meaning::Ok | Meaning::Next);
        let page = received.bytes.trim_ascii_start().starts_with(b"<");
        let looks = |capture: &Capture| {
            matches!(capture, Capture::Text(_) | Capture::Header(..) | Capture::Cookie(_))
        };
        let looked_at = self.captures.iter().any(|(_, capture)| looks(capture));
        success && page && !looked_at && self.when.is_empty()
    }

    pub(super) fn matches(&self, received: &Received) -> bool {
        self.statuses.contains(&received.status)
            && !(self.is_no_success_of(received))
            && self.when.iter().all(|condition| condition.holds(received))
    }
}

impl Condition {
    /// # Errors
    /// Says what is wrong with it.
    pub(super) fn compile(
        path: &str,
        comparison: Comparison,
        value: &Value,
    ) -> Result<Self, String> {
        let text = || match (comparison, value) {
            (Comparison::Matches, Value::String(expression)) => capture::regex(expression),
            _ => Err(format!("write [\"{path}\", \"matches\", \"a regular expression\"]")),
        };
        if path == "body" {
            return Ok(Self::Body(text()?));
        }
        if let Some(name) = path.strip_prefix("header:") {
            return Ok(Self::Header(name.to_owned(), text()?));
        }
        let at = At::parse(path)?;
        Ok(match (comparison, value) {
            (Comparison::Is, value) => Self::Is(at, value.clone()),
            (Comparison::IsNot, value) => Self::IsNot(at, value.clone()),
            (Comparison::In, Value::Array(values)) => Self::In(at, values.clone()),
            (Comparison::Matches, Value::String(expression)) => {
                Self::Matches(at, capture::regex(expression)?)
            }
            (Comparison::Exists, Value::Bool(exists)) => Self::Exists(at, *exists),
            (Comparison::In, _) => {
                return Err(format!("write a list: [\"{path}\", \"in\", [...]]"));
            }
            (Comparison::Matches, _) => {
                return Err(format!(
                    "write a regular expression: [\"{path}\", \"matches\", \"...\"]"
                ));
            }
            (Comparison::Exists, _) => {
                return Err(format!("write true or false: [\"{path}\", \"exists\", true]"));
            }
        })
    }

    /// A body that is not JSON meets no condition but one on its text.
    pub(super) fn holds(&self, received: &Received) -> bool {
        match self {
            Self::Body(expression) => {
                return expression.is_match(&String::from_utf8_lossy(&received.bytes));
            }
            Self::Header(name, expression) => {
                let values = received.headers.get_all(name).iter();
                let mut texts = values.filter_map(|it| it.to_str().ok());
                return texts.any(|it| expression.is_match(it));
            }
            _ => {}
        }
        let Some(json) = &received.json else { return false };
        match self {
            Self::Body(_) | Self::Header(..) => false,
            Self::Is(path, value) => path.all(json).into_iter().any(|it| it == value),
            Self::IsNot(path, value) => path.all(json).into_iter().all(|it| it != value),
            Self::In(path, values) => path.all(json).into_iter().any(|it| values.contains(it)),
            Self::Matches(path, expression) => path
                .all(json)
                .into_iter()
                .filter_map(Value::as_str)
                .any(|it| expression.is_match(it)),
            Self::Exists(path, exists) => path.all(json).is_empty() != *exists,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_no_success_unless_the_rule_looks_at_its_text() {
        let rule = |means, captures: Captures| Rule {
            statuses: vec![200],
            when: Vec::new(),
            means,
            captures,
            reason: None,
            poll: None,
            line: 1,
        };
        let received = |bytes: &[u8]| Received {
            status: 200,
            headers: reqwest::header::HeaderMap::new(),
            bytes: bytes.to_vec(),
            json: serde_json::from_slice(bytes).ok(),
        };
        let page = received(b"\n<!doctype html><p>Sign in</p>");
        let plain = || rule(Meaning::Ok, Captures::new());
        assert!(!plain().matches(&page), "it is that of a login");
        assert!(plain().matches(&received(b"{}")) && plain().matches(&received(b"")));
        assert!(rule(Meaning::Rejected, Captures::new()).matches(&page), "a refusal may be a page");
        let text = Capture::Text(regex::Regex::new("<p>(.+)</p>").expect("an expression"));
        assert!(rule(Meaning::Ok, vec![("booking".to_owned(), text)]).matches(&page));
    }
}
