//! Requests with names in them.

use std::collections::BTreeSet;

use reqwest::{
    Method, Url,
    header::{CONTENT_TYPE, HeaderName, HeaderValue},
};
use serde_json::{Map, Value};

use super::{
    format::Repeatable,
    template::{Body, Text},
    values::Values,
};

/// A request, and what it is filled with.
#[derive(Debug)]
pub(super) struct RequestTemplate {
    pub(super) method: Method,
    pub(super) path: Text,
    pub(super) headers: Vec<(HeaderName, Text)>,
    pub(super) content: Content,
}

/// What a request carries.
#[derive(Debug)]
pub(super) enum Content {
    Nothing,
    Json(Body),
    Form(Vec<(String, Text)>),
}

/// Where the key of a logical operation goes.
#[derive(Debug)]
pub(super) struct Idempotency {
    pub(super) place: KeyPlace,
    pub(super) value: Text,
    /// What may be sent again without one.
    pub(super) repeatable: Vec<Repeatable>,
}

/// The part of a request that has the key.
#[derive(Debug)]
pub(super) enum KeyPlace {
    Header(HeaderName),
    Body(String),
    Query(String),
}

impl RequestTemplate {
    /// A request for a whole URL.
    pub(super) fn get(url: Url) -> Self {
        let path = Text::Fixed(url.into());
        Self { method: Method::GET, path, headers: Vec::new(), content: Content::Nothing }
    }

    /// The names that it uses.
    pub(super) fn names(&self) -> BTreeSet<String> {
        let headers = self.headers.iter().flat_map(|(_, value)| value.names());
        let content = match &self.content {
            Content::Nothing => BTreeSet::new(),
            Content::Json(body) => body.names(),
            Content::Form(fields) => fields.iter().flat_map(|(_, value)| value.names()).collect(),
        };
        self.path.names().into_iter().chain(headers).chain(content).collect()
    }

    /// The request, with the headers of every request and the key, if it has one.
    ///
    /// # Errors
    /// A name has no value, or a value cannot stand where it is put.
    pub(super) fn render(
        &self,
        base_url: &str,
        headers: &[(HeaderName, Text)],
        context: &Values<'_>,
        key: Option<&Idempotency>,
    ) -> Result<reqwest::Request, String> {
        let path = self.path.render(context)?;
        // The URL of a next page is whole.
        let url = if path.starts_with('/') { [base_url, &path].concat() } else { path };
        let mut url = Url::parse(&url).map_err(|error| format!("{url:?}: {error}"))?;
        let mut in_body = None;
        let mut in_header = None;
        if let Some(Idempotency { place, value, .. }) = key {
            let value = value.render(context)?;
            match place {
                KeyPlace::Header(name) => in_header = Some((name, value)),
                KeyPlace::Body(field) => in_body = Some((field, value)),
                KeyPlace::Query(name) => {
                    url.query_pairs_mut().append_pair(name, &value);
                }
            }
        }
        let mut request = reqwest::Request::new(self.method.clone(), url);
        let body = match &self.content {
            Content::Nothing => in_body.map(|(field, value)| {
                let body = Map::from_iter([(field.clone(), Value::String(value))]);
                ("application/json", Value::Object(body).to_string())
            }),
            Content::Json(body) => {
                let mut json = body.render(context)?;
                if let Some((field, value)) = in_body {
                    let object = json.as_object_mut().ok_or("the body is no object for the key")?;
                    object.insert(field.clone(), value.into());
                }
                Some(("application/json", json.to_string()))
            }
            Content::Form(fields) => {
                let mut rendered = Vec::new();
                for (name, value) in fields {
                    rendered.push((name, value.render(context)?));
                }
                rendered.extend(in_body);
                Some((FORM, form(rendered)))
            }
        };
        let its_headers = request.headers_mut();
        if let Some((content_type, _)) = &body {
            its_headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        }
        for (name, value) in headers.iter().chain(&self.headers) {
            its_headers.insert(name, header_value(&value.render(context)?)?);
        }
        if let Some((name, value)) = in_header {
            its_headers.insert(name, header_value(&value)?);
        }
        if let Some((_, body)) = body {
            *request.body_mut() = Some(body.into());
        }
        Ok(request)
    }
}

/// The content type of a form.
pub(super) const FORM: &str = "application/x-www-form-urlencoded";

/// A form, encoded.
pub(super) fn form(fields: impl IntoIterator<Item = (impl AsRef<str>, impl AsRef<str>)>) -> String {
    let mut encoder = url::form_urlencoded::Serializer::new(String::new());
    encoder.extend_pairs(fields);
    encoder.finish()
}

pub(super) fn header_value(text: &str) -> Result<HeaderValue, String> {
    // Without the text: it may be a secret.
    HeaderValue::from_str(text)
        .map_err(|_| "a header has a value with a line break in it".to_owned())
}
