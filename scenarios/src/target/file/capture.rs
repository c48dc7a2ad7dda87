//! Captures: values taken from an answer.

use std::{borrow::Cow, collections::BTreeMap};

use regex::Regex;
use serde_json::{Map, Value};

use super::{at::At, format::CaptureWords};

/// An answer, as far as captures and conditions look at it.
#[derive(Debug)]
pub(in crate::target) struct Received {
    pub(in crate::target) status: u16,
    pub(in crate::target) headers: reqwest::header::HeaderMap,
    pub(in crate::target) bytes: Vec<u8>,
    /// The body, if it is JSON.
    pub(in crate::target) json: Option<Value>,
}

/// Where a value is taken from.
#[derive(Debug)]
pub(super) enum Capture {
    /// The value at a path, by RFC 9535.
    Path(At),
    /// The text at a path, and the first group of an expression in it.
    TextAt(At, Regex),
    /// A header, and the first group of an expression in it.
    Header(String, Option<Regex>),
    /// The word at a path, translated.
    Map(At, BTreeMap<String, Value>),
    /// How many values a path has.
    Count(At),
    /// The sum of the numbers at some paths.
    Sum(Vec<At>),
    /// A number at a path, in another unit.
    Times(At, i64),
    /// A cookie that the answer sets.
    Cookie(String),
    /// The first group of an expression in the text of the body.
    Text(Regex),
    /// A number that does not depend on the answer.
    Fixed(i64),
}

pub(super) type Captures = Vec<(String, Capture)>;

/// What the captures take from an answer. What it does not have is left out.
pub(super) fn captured(captures: &Captures, received: &Received) -> Map<String, Value> {
    let value = |(name, capture): &(String, Capture)| {
        Some((name.clone(), capture.of(received)?.into_owned()))
    };
    captures.iter().filter_map(value).collect()
}

/// # Errors
/// Says what is wrong with the expression.
pub(super) fn regex(text: &str) -> Result<Regex, String> {
    Regex::new(text).map_err(|error| format!("{text:?} is no regular expression: {error}"))
}

impl Capture {
    /// # Errors
    /// Says what is wrong with it.
    pub(super) fn compile(words: &CaptureWords) -> Result<Self, String> {
        match words {
            CaptureWords::Map(words) => Ok(Self::Map(At::parse(&words.path)?, words.map.clone())),
            CaptureWords::Count(words) => Ok(Self::Count(At::parse(&words.count)?)),
            CaptureWords::Sum(words) => {
                let paths: Result<Vec<At>, String> =
                    words.sum.iter().map(|it| At::parse(it)).collect();
                Ok(Self::Sum(paths?))
            }
            CaptureWords::Times(words) => Ok(Self::Times(At::parse(&words.path)?, words.times)),
            CaptureWords::Fixed(number) => Ok(Self::Fixed(*number)),
            CaptureWords::Text(text) => Self::of_text(text),
        }
    }

    fn of_text(text: &str) -> Result<Self, String> {
        if let Some(rest) = text.strip_prefix("header:") {
            return Ok(match rest.split_once(':') {
                None => Self::Header(rest.to_owned(), None),
                Some((name, expression)) => {
                    Self::Header(name.to_owned(), Some(one_group(expression)?))
                }
            });
        }
        if let Some(name) = text.strip_prefix("cookie:") {
            return Ok(Self::Cookie(name.to_owned()));
        }
        if let Some(expression) = text.strip_prefix("body:") {
            return Ok(Self::Text(one_group(expression)?));
        }
        if let Some(rest) = text.strip_prefix("regex:") {
            let (at, expression) = rest.split_once(':').ok_or_else(|| {
                format!("{text:?} has no expression; write regex:$.path:Slot/(.+)")
            })?;
            return Ok(Self::TextAt(At::parse(at)?, one_group(expression)?));
        }
        if text.starts_with('$') {
            return Ok(Self::Path(At::parse(text)?));
        }
        Err(format!(
            "{text:?} is no capture; write \"$.path\", \"header:Name\", \"header:Name:regex\", \
             \"regex:$.path:regex\", \"cookie:NAME\" or \"body:regex\""
        ))
    }

    /// The value; `None` where the answer has none.
    pub(super) fn of<'r>(&self, received: &'r Received) -> Option<Cow<'r, Value>> {
        match self {
            Self::Header(name, expression) => {
                let value = received.headers.get(name)?.to_str().ok()?;
                match expression {
                    None => Some(Cow::Owned(value.into())),
                    Some(expression) => group(expression, value).map(Cow::Owned),
                }
            }
            Self::Cookie(name) => received
                .headers
                .get_all(reqwest::header::SET_COOKIE)
                .iter()
                .filter_map(|it| it.to_str().ok())
                .find_map(|it| cookie(it, name))
                .map(Cow::Owned),
            Self::Text(expression) => {
                group(expression, &String::from_utf8_lossy(&received.bytes)).map(Cow::Owned)
            }
            Self::Path(path) => {
                let found = path.first(received.json.as_ref()?);
                found.filter(|it| !it.is_null()).map(Cow::Borrowed)
            }
            _ => self.of_json(received.json.as_ref()).map(Cow::Owned),
        }
    }

    /// The value in a part of a body; `None` where it has none.
    pub(super) fn of_json(&self, json: Option<&Value>) -> Option<Value> {
        let json = || json;
        match self {
            Self::Fixed(number) => Some((*number).into()),
            Self::Path(path) => path.first(json()?).filter(|it| !it.is_null()).cloned(),
            Self::TextAt(path, expression) => group(expression, path.first(json()?)?.as_str()?),
            Self::Map(path, map) => {
                let word = match path.first(json()?)? {
                    Value::String(word) => word.clone(),
                    other => other.to_string(),
                };
                map.get(&word).cloned()
            }
            Self::Count(path) => Some(path.all(json()?).len().into()),
            Self::Sum(paths) => {
                let numbers = paths.iter().map(|path| number(path, json()?));
                Some(numbers.sum::<Option<i64>>()?.into())
            }
            Self::Times(path, times) => Some(number(path, json()?)?.checked_mul(*times)?.into()),
            Self::Header(..) | Self::Cookie(_) | Self::Text(_) => None,
        }
    }
}

fn number(path: &At, json: &Value) -> Option<i64> {
    integer(path.first(json)?)
}

/// A number, or a text that is one.
pub(super) fn integer(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64().or_else(|| whole(number.as_f64()?)),
        Value::String(text) => text.parse().ok().or_else(|| whole(text.parse().ok()?)),
        _ => None,
    }
}

/// A number without a fraction: `2.0`.
fn whole(number: f64) -> Option<i64> {
    (number.fract() == 0.0 && number.abs() < 1e15).then_some(number as i64)
}

/// The value of a cookie in a `Set-Cookie` header.
fn cookie(header: &str, name: &str) -> Option<Value> {
    let (its_name, rest) = header.split_once('=')?;
    let value = rest.split(';').next()?;
    (its_name.trim() == name).then(|| Value::String(value.trim().to_owned()))
}

fn one_group(expression: &str) -> Result<Regex, String> {
    let compiled = regex(expression)?;
    match compiled.captures_len() {
        2 => Ok(compiled),
        _ => Err(format!("{expression:?} needs one group: the part that is taken")),
    }
}

fn group(expression: &Regex, text: &str) -> Option<Value> {
    Some(Value::String(expression.captures(text)?.get(1)?.as_str().to_owned()))
}
