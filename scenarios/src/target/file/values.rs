//! What the names in a template stand for.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use super::{
    compile::FileTarget,
    scope::{Scope, value},
};

/// The names of a request and their values.
#[derive(Debug)]
pub(super) enum Values<'a> {
    /// Those of an operation, where they lie: it is made often.
    Operation(OfOperation<'a>),
    /// Any others.
    Pairs(Vec<(&'a str, Named<'a>)>),
}

/// Where the values of an operation lie.
#[derive(Debug, Clone, Copy)]
pub(super) struct OfOperation<'a> {
    pub(super) target: &'a FileTarget,
    pub(super) scope: &'a Scope<'a>,
    pub(super) client: &'a minijinja::Value,
    pub(super) visit: &'a minijinja::Value,
    /// What earlier steps have captured, and what the reserve of the booking has.
    pub(super) captured: &'a Map<String, Value>,
}

/// What a name stands for.
#[derive(Debug, Clone)]
pub(super) enum Named<'a> {
    /// A scope, an object of the template engine.
    Scope(&'a minijinja::Value),
    /// A value of the template engine.
    Value(minijinja::Value),
    /// A value that was captured.
    Json(&'a Value),
    Text(&'a str),
    Number(i64),
}

impl OfOperation<'_> {
    /// Every name that is no captured one.
    const NAMES: [&'static str; 9] =
        ["booking", "slot", "seats", "key", "seen_version", "run", "client", "visit", "env"];

    fn get(&self, name: &str) -> Option<Named<'_>> {
        let Scope { place, seats, key, booking, seen_version, .. } = self.scope;
        match name {
            // Of a reserve it is what an earlier step has captured, if anything.
            "booking" if booking.is_some() => booking.map(Named::Text),
            "slot" => Some(Named::Scope(&place.slot)),
            "seats" => Some(Named::Number((*seats).into())),
            "seen_version" => Some(Named::Number(*seen_version)),
            "key" => Some(Named::Text(key)),
            "run" => Some(Named::Scope(&place.run)),
            "client" => Some(Named::Scope(self.client)),
            "visit" => Some(Named::Scope(self.visit)),
            "env" => Some(Named::Scope(&self.target.environment)),
            captured => self.captured.get(captured).map(Named::Json),
        }
    }
}

impl<'a> Values<'a> {
    pub(super) fn operation(of: OfOperation<'a>) -> Self {
        Self::Operation(of)
    }

    /// Of two pairs with one name, the first counts.
    pub(super) fn pairs(pairs: Vec<(&'a str, Named<'a>)>) -> Self {
        Self::Pairs(pairs)
    }

    /// Of values that are kept.
    pub(super) fn of(owned: &'a [(String, minijinja::Value)]) -> Self {
        let named = |(name, of): &'a (String, minijinja::Value)| (name.as_str(), Named::Scope(of));
        Self::Pairs(owned.iter().map(named).collect())
    }

    /// To be kept.
    pub(super) fn owned(&self) -> Vec<(String, minijinja::Value)> {
        self.all().into_iter().map(|(name, of)| (name.to_owned(), of.into())).collect()
    }

    /// All of them, for the template engine.
    pub(super) fn whole(&self) -> minijinja::Value {
        let pairs = self.all().into_iter().rev();
        minijinja::Value::from_pairs(pairs.map(|(name, of)| (name, minijinja::Value::from(of))))
    }

    fn all(&self) -> Vec<(&str, Named<'_>)> {
        match self {
            Self::Pairs(pairs) => pairs.iter().map(|(name, of)| (*name, of.clone())).collect(),
            Self::Operation(of) => {
                let captured = of.captured.keys().map(String::as_str);
                let names = OfOperation::NAMES.into_iter().chain(captured);
                names.filter_map(|name| Some((name, of.get(name)?))).collect()
            }
        }
    }

    fn get(&self, name: &str) -> Option<Named<'_>> {
        match self {
            Self::Operation(of) => of.get(name),
            Self::Pairs(pairs) => {
                pairs.iter().find(|(of, _)| *of == name).map(|(_, named)| named.clone())
            }
        }
    }

    /// The value of a path like `slot.id`; `None` if there is none, or it is no text and no number.
    pub(super) fn at(&self, path: &[String]) -> Option<Named<'_>> {
        let (first, rest) = path.split_first()?;
        let within = |of: &minijinja::Value| {
            let mut found = of.get_attr(rest.first()?).ok()?;
            for name in &rest[1..] {
                found = found.get_attr(name).ok()?;
            }
            let plain = found.is_number() || found.as_str().is_some();
            plain.then_some(Named::Value(found))
        };
        match (self.get(first)?, rest) {
            (Named::Scope(of), _) => within(of),
            (Named::Value(of), _) => within(&of),
            (Named::Json(Value::String(text)), []) => Some(Named::Text(text)),
            (named @ (Named::Json(Value::Number(_)) | Named::Text(_) | Named::Number(_)), []) => {
                Some(named)
            }
            _ => None,
        }
    }
}

impl From<Named<'_>> for minijinja::Value {
    fn from(named: Named<'_>) -> Self {
        match named {
            Named::Scope(of) => of.clone(),
            Named::Value(of) => of,
            Named::Json(of) => value(of),
            Named::Text(of) => of.into(),
            Named::Number(of) => of.into(),
        }
    }
}

impl Named<'_> {
    /// Adds it to a text, as the template engine does.
    pub(super) fn push_to(&self, text: &mut String) {
        let written = match self {
            Self::Scope(of) => write!(text, "{of}"),
            Self::Value(of) => match of.as_str() {
                Some(of) => {
                    text.push_str(of);
                    Ok(())
                }
                None => write!(text, "{of}"),
            },
            Self::Json(of) => write!(text, "{of}"),
            Self::Text(of) => {
                text.push_str(of);
                Ok(())
            }
            Self::Number(of) => write!(text, "{of}"),
        };
        written.expect("a text takes every write");
    }

    /// As a value of a JSON body; `None` of what no JSON has.
    pub(super) fn json(&self) -> Option<Value> {
        match self {
            Self::Scope(of) => serde_json::to_value(of).ok(),
            Self::Value(of) => serde_json::to_value(of).ok(),
            Self::Json(of) => Some((*of).clone()),
            Self::Text(of) => Some((*of).into()),
            Self::Number(of) => Some((*of).into()),
        }
    }
}
