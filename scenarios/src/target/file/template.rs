//! Templates: texts and JSON bodies with names in them, compiled once.

use std::collections::BTreeSet;

use minijinja::{Environment, Expression, Template, UndefinedBehavior};
use serde_json::Value;

use super::values::Values;

/// Compiles templates. It is made once for a target, whose templates live as long as the process.
#[derive(Debug, Clone, Copy)]
pub(super) struct Engine(&'static Environment<'static>);

/// A text with names in it: a path, a header.
#[derive(Debug)]
pub(super) enum Text {
    Fixed(String),
    /// Nothing but names, which are looked up; the engine says what is wrong where that fails.
    Names(Vec<Part>, Template<'static, 'static>),
    Template(Template<'static, 'static>),
}

/// A part of a text.
#[derive(Debug)]
pub(super) enum Part {
    Fixed(String),
    /// A value; in a path it is percent-encoded.
    Name(Vec<String>, Place),
}

/// Where a value stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Text,
    Path,
}

/// A JSON body with names in it. A text that is one expression and nothing else keeps the type of
/// its value: `"{{ seats }}"` is a number.
#[derive(Debug)]
pub(super) enum Body {
    Fixed(Value),
    /// A name, which is looked up; the engine says what is wrong where that fails.
    Name(Vec<String>, Expression<'static, 'static>),
    Expression(Expression<'static, 'static>),
    Text(Template<'static, 'static>),
    Array(Vec<Self>),
    Object(Vec<(String, Self)>),
    /// `{ repeat = "{{ seats }}", item = ... }`: a list of so many items.
    Repeat(Expression<'static, 'static>, Box<Self>),
}

/// The most items of a list that is repeated.
const REPEAT_MAX: i64 = 1_000;

impl Engine {
    pub(super) fn new() -> Self {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.add_filter("segment", segment);
        Self(Box::leak(Box::new(environment)))
    }

    /// # Errors
    /// The template cannot be parsed.
    pub(super) fn text(self, source: &str) -> Result<Text, String> {
        self.compiled(source, source, Place::Text)
    }

    /// A text that the engine knows as another one.
    fn compiled(self, source: &str, for_engine: &str, place: Place) -> Result<Text, String> {
        if !source.contains("{{") && !source.contains("{%") {
            return Ok(Text::Fixed(source.to_owned()));
        }
        let template = self.template(for_engine)?;
        Ok(match parts(source, place) {
            Some(parts) => Text::Names(parts, template),
            None => Text::Template(template),
        })
    }

    /// A path with its query. What is put into it stays in its place: it is percent-encoded, slashes
    /// included.
    ///
    /// # Errors
    /// The template cannot be parsed.
    pub(super) fn path(self, source: &str) -> Result<Text, String> {
        let segments = source.replace("{{", "{{ (").replace("}}", ") | segment }}");
        self.compiled(source, &segments, Place::Path)
    }

    fn template(self, source: &str) -> Result<Template<'static, 'static>, String> {
        let source: &'static str = Box::leak(source.to_owned().into_boxed_str());
        self.0.template_from_str(source).map_err(|error| format!("{source:?}: {error}"))
    }

    fn expression(self, source: &str) -> Result<Expression<'static, 'static>, String> {
        let source: &'static str = Box::leak(source.to_owned().into_boxed_str());
        self.0.compile_expression(source).map_err(|error| format!("{source:?}: {error}"))
    }

    /// # Errors
    /// A template in it cannot be parsed.
    pub(super) fn body(self, value: &Value) -> Result<Body, String> {
        Ok(match value {
            Value::String(text) if text.contains("{{") => match expression_of(text) {
                Some(expression) => {
                    let compiled = self.expression(expression)?;
                    match name(expression) {
                        Some(name) => Body::Name(name, compiled),
                        None => Body::Expression(compiled),
                    }
                }
                None => Body::Text(self.template(text)?),
            },
            Value::Object(fields) if fields.contains_key("repeat") => {
                let (Some(Value::String(times)), Some(item), 2) =
                    (fields.get("repeat"), fields.get("item"), fields.len())
                else {
                    return Err("a list is repeated by { repeat = \"{{ seats }}\", item = ... }, \
                                and nothing else"
                        .to_owned());
                };
                let expression = expression_of(times)
                    .ok_or_else(|| format!("repeat = {times:?} is no expression"))?;
                Body::Repeat(self.expression(expression)?, Box::new(self.body(item)?))
            }
            Value::Array(items) => {
                let items: Result<Vec<Body>, String> =
                    items.iter().map(|item| self.body(item)).collect();
                Body::Array(items?)
            }
            Value::Object(fields) => {
                let field =
                    |(name, value): (&String, &Value)| Ok((name.clone(), self.body(value)?));
                Body::Object(fields.iter().map(field).collect::<Result<_, String>>()?)
            }
            fixed => Body::Fixed(fixed.clone()),
        })
    }
}

/// The expression of a text that is nothing else.
fn expression_of(text: &str) -> Option<&str> {
    let inner = text.trim().strip_prefix("{{")?.strip_suffix("}}")?;
    (!inner.contains("{{") && !inner.contains("}}")).then(|| inner.trim())
}

/// The parts of a text with nothing but names in it: `/slots/{{ slot.id }}`.
fn parts(source: &str, place: Place) -> Option<Vec<Part>> {
    // The engine takes a line break at the end away.
    let by_engine = ["{%", "{#"].iter().any(|tag| source.contains(tag));
    if by_engine || source.ends_with(['\n', '\r']) {
        return None;
    }
    let mut pieces = source.split("{{");
    let mut parts = vec![Part::Fixed(pieces.next()?.to_owned())];
    for piece in pieces {
        let (expression, rest) = piece.split_once("}}")?;
        parts.push(Part::Name(name(expression)?, place));
        // The engine takes the line break after a tag away.
        if rest.starts_with('\n') || rest.contains("}}") {
            return None;
        }
        parts.push(Part::Fixed(rest.to_owned()));
    }
    Some(parts)
}

/// The path of an expression that is a name, like `slot.id`.
fn name(expression: &str) -> Option<Vec<String>> {
    let path: Vec<String> = expression.trim().split('.').map(str::to_owned).collect();
    let first = |it: &str| it.starts_with(|letter: char| letter.is_ascii_alphabetic());
    let plain = |it: &String| {
        first(it) && it.bytes().all(|letter| letter.is_ascii_alphanumeric() || letter == b'_')
    };
    let word = ["true", "false", "none", "True", "False", "None", "loop", "self"];
    (path.iter().all(plain) && !word.contains(&path[0].as_str())).then_some(path)
}

impl Part {
    /// Adds it to a text; `None` if that needs the engine.
    fn push_to(&self, text: &mut String, names: &Values<'_>) -> Option<()> {
        match self {
            Self::Fixed(fixed) => text.push_str(fixed),
            Self::Name(path, Place::Text) => names.at(path)?.push_to(text),
            Self::Name(path, Place::Path) => {
                let begun = text.len();
                names.at(path)?.push_to(text);
                let segment = &text[begun..];
                if matches!(segment, "" | "." | "..") || !segment.bytes().all(stands_in_a_path) {
                    return None;
                }
            }
        }
        Some(())
    }
}

impl Text {
    /// # Errors
    /// A name has no value.
    pub(super) fn render(&self, names: &Values<'_>) -> Result<String, String> {
        let by_engine = |template: &Template<'static, 'static>| {
            template.render(names.whole()).map_err(|error| said(&error))
        };
        match self {
            Self::Fixed(text) => Ok(text.clone()),
            Self::Names(parts, template) => {
                let mut text = String::new();
                let pushed = parts.iter().try_for_each(|part| part.push_to(&mut text, names));
                pushed.map_or_else(|| by_engine(template), |()| Ok(text))
            }
            Self::Template(template) => by_engine(template),
        }
    }

    pub(super) fn names(&self) -> BTreeSet<String> {
        match self {
            Self::Fixed(_) => BTreeSet::new(),
            Self::Names(_, template) | Self::Template(template) => {
                template.undeclared_variables(true).into_iter().collect()
            }
        }
    }
}

impl Body {
    /// # Errors
    /// A name has no value.
    pub(super) fn render(&self, names: &Values<'_>) -> Result<Value, String> {
        let by_engine = |expression: &Expression<'static, 'static>| {
            let value = expression.eval(names.whole()).map_err(|error| said(&error))?;
            serde_json::to_value(&value).map_err(|error| error.to_string())
        };
        Ok(match self {
            Self::Fixed(value) => value.clone(),
            Self::Name(path, expression) => match names.at(path).and_then(|it| it.json()) {
                Some(value) => value,
                None => by_engine(expression)?,
            },
            Self::Expression(expression) => by_engine(expression)?,
            Self::Text(template) => {
                Value::String(template.render(names.whole()).map_err(|error| said(&error))?)
            }
            Self::Array(items) => {
                let items: Result<Vec<Value>, String> =
                    items.iter().map(|item| item.render(names)).collect();
                Value::Array(items?)
            }
            Self::Object(fields) => {
                let field = |(name, body): &(String, Self)| Ok((name.clone(), body.render(names)?));
                Value::Object(fields.iter().map(field).collect::<Result<_, String>>()?)
            }
            Self::Repeat(times, item) => {
                let times = times.eval(names.whole()).map_err(|error| said(&error))?;
                let times = times
                    .as_i64()
                    .filter(|times| (0..=REPEAT_MAX).contains(times))
                    .ok_or_else(|| format!("repeat: {times} is no number from 0 to 1,000"))?;
                let item = item.render(names)?;
                Value::Array((0..times).map(|_| item.clone()).collect())
            }
        })
    }

    pub(super) fn names(&self) -> BTreeSet<String> {
        match self {
            Self::Fixed(_) => BTreeSet::new(),
            Self::Name(_, expression) | Self::Expression(expression) => {
                expression.undeclared_variables(true).into_iter().collect()
            }
            Self::Text(template) => template.undeclared_variables(true).into_iter().collect(),
            Self::Array(items) => items.iter().flat_map(Self::names).collect(),
            Self::Object(fields) => fields.iter().flat_map(|(_, body)| body.names()).collect(),
            Self::Repeat(times, item) => {
                times.undeclared_variables(true).into_iter().chain(item.names()).collect()
            }
        }
    }
}

/// A value as one segment of a path.
fn segment(value: &minijinja::Value) -> Result<String, minijinja::Error> {
    let text = value.to_string();
    if matches!(text.as_str(), "" | "." | "..") {
        return Err(minijinja::Error::new(
            minijinja::ErrorKind::InvalidOperation,
            format!("{text:?} cannot stand in a path"),
        ));
    }
    Ok(percent_encoded(&text))
}

/// A text as it stands in a path.
pub(super) fn percent_encoded(text: &str) -> String {
    let encoded = text.bytes().map(|byte| match stands_in_a_path(byte) {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    });
    encoded.collect()
}

/// Whether a byte needs no encoding there.
fn stands_in_a_path(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b':' | b',')
}

fn said(error: &minijinja::Error) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::file::values::Named;

    #[test]
    fn a_list_is_repeated_and_a_number_stays_one() {
        let engine = Engine::new();
        let words = serde_json::json!({
            "items": { "repeat": "{{ seats }}", "item": { "unit": "adult", "n": "{{ seats }}" } },
        });
        let body = engine.body(&words).expect("a body");
        let rendered = body.render(&Values::pairs(vec![("seats", Named::Number(2))]));
        let item = serde_json::json!({ "unit": "adult", "n": 2 });
        assert_eq!(rendered, Ok(serde_json::json!({ "items": [item, item] })));
        assert!(body.names().contains("seats"));
        let wrong = engine.body(&serde_json::json!({ "repeat": 3, "item": 1 }));
        assert!(wrong.is_err_and(|error| error.contains("a list is repeated by")));
    }

    #[test]
    fn what_is_put_into_a_path_stays_in_its_segment() {
        let path = Engine::new().path("/bookings/{{ booking }}?seats={{ seats }}").expect("a path");
        let rendered = |booking: &str| {
            let named = vec![("booking", Named::Text(booking)), ("seats", Named::Number(2))];
            path.render(&Values::pairs(named))
        };
        assert_eq!(rendered("b-1").as_deref(), Ok("/bookings/b-1?seats=2"));
        assert_eq!(rendered("../x/1?#%").as_deref(), Ok("/bookings/..%2Fx%2F1%3F%23%25?seats=2"));
        assert!(rendered("..").is_err_and(|error| error.contains("cannot stand in a path")));
    }

    #[test]
    fn a_name_that_is_looked_up_is_what_the_engine_says() {
        let slot = serde_json::json!({ "id": "s-1", "number": 7, "odd": "a b", "gone": null });
        let half = serde_json::json!(0.5);
        let names = || {
            let slot = Named::Value(super::super::scope::value(&slot));
            let named = vec![("slot", slot), ("seats", Named::Number(2))];
            let more = [("key", Named::Text("k")), ("price", Named::Json(&half))];
            Values::pairs(named.into_iter().chain(more).collect())
        };
        let engine = Engine::new();
        for source in [
            "{{ slot.id }}/{{slot.number}} of {{ seats }}: {{ key }}",
            "{{ price }}",
            "{{ slot.odd }}",
            "{{ slot.gone }}",
            "{{ slot.none }}",
            "{{ true }}",
            "{{ seats }}\n{{ key }}",
            "{{ nobody }}",
            "a {{ key }} b\n",
            "{{ slot }}",
        ] {
            let looked_up = engine.text(source).expect(source).render(&names());
            let template = Text::Template(engine.template(source).expect(source));
            assert_eq!(looked_up, template.render(&names()), "{source}");
            let path = engine.path(source).expect(source).render(&names());
            let segments = source.replace("{{", "{{ (").replace("}}", ") | segment }}");
            let template = Text::Template(engine.template(&segments).expect(source));
            assert_eq!(path, template.render(&names()), "{source}");
            let body = engine.body(&Value::String(source.to_owned())).expect(source);
            if let (Body::Name(..), Some(expression)) = (&body, expression_of(source)) {
                let slow = Body::Expression(engine.expression(expression).expect(source));
                assert_eq!(body.render(&names()), slow.render(&names()), "{source}");
            }
        }
        let fast = |source| matches!(engine.text(source), Ok(Text::Names(..)));
        assert!(fast("/slots/{{ slot.id }}/bookings") && !fast("{{ slot.number + 1 }}"));
    }
}
