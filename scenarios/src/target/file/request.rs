//! Requests with names in them.

use std::collections::BTreeSet;

use bytes::Bytes;
use http::{
    Method, Request, Uri,
    header::{CONTENT_TYPE, HeaderName, HeaderValue},
};
use reqwest::Url;
use serde_json::{Map, Value};

use super::{
    format::Repeatable,
    template::{Body, Text},
    values::Values,
};

/// Headers that a request gets beside those of its file: what it carries and takes, its host, its
/// key, its token.
const HEADERS_MORE: usize = 6;

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
    ) -> Result<Request<Bytes>, String> {
        let path = self.path.render(context)?;
        // The URL of a next page is whole.
        let url = if path.starts_with('/') { [base_url, &path].concat() } else { path };
        let mut url = as_sent(url)?;
        let mut in_body = None;
        let mut in_header = None;
        if let Some(Idempotency { place, value, .. }) = key {
            let value = value.render(context)?;
            match place {
                KeyPlace::Header(name) => in_header = Some((name, value)),
                KeyPlace::Body(field) => in_body = Some((field, value)),
                KeyPlace::Query(name) => {
                    url.push(if url.contains('?') { '&' } else { '?' });
                    url.push_str(&form([(name, &value)]));
                }
            }
        }
        let uri = Uri::try_from(&url).map_err(|error| format!("{url:?}: {error}"))?;
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
        let mut request = Request::new(Bytes::new());
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = uri;
        let its_headers = request.headers_mut();
        its_headers.reserve(headers.len() + self.headers.len() + HEADERS_MORE);
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
            *request.body_mut() = body.into();
        }
        Ok(request)
    }
}

/// A URL as it is sent.
///
/// # Errors
/// It is no URL.
fn as_sent(url: String) -> Result<String, String> {
    // Parsing it costs more than the rest of a request, and most need no change.
    if needs_no_change(&url) {
        return Ok(url);
    }
    let mut url = Url::parse(&url).map_err(|error| format!("{url:?}: {error}"))?;
    url.set_fragment(None);
    Ok(url.into())
}

/// Whether parsing leaves it as it is: nothing to encode, no dots to resolve, no upper case in the
/// host, no port that goes without saying.
fn needs_no_change(url: &str) -> bool {
    let Some((scheme, rest)) = url.split_once("://") else { return false };
    let Some((host, path)) = rest.split_once('/') else { return false };
    let usual_port = match scheme {
        "http" => ":80",
        "https" => ":443",
        _ => return false,
    };
    let in_host =
        |it: u8| it.is_ascii_lowercase() || it.is_ascii_digit() || matches!(it, b'.' | b'-' | b':');
    let in_path = |it: u8| it.is_ascii_alphanumeric() || b"-_~.:/,?&=+!$()*;@".contains(&it);
    !host.is_empty()
        && host.bytes().all(in_host)
        && !host.ends_with([':', '.'])
        && !host.ends_with(usual_port)
        && path.bytes().all(in_path)
        && !path.starts_with('.')
        && !path.contains("/.")
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

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    #[test]
    fn a_url_is_sent_as_parsing_writes_it() {
        for url in [
            "http://127.0.0.1:8080/slots/1?a=b&c=d,e",
            "http://[::1]:8080/slots/1",
            "http://Example.test:80/Slots",
            "https://example.test:443/slots",
            "http://example.test",
            "http://example.test/a b/../c/./d?q=\"x\"#part",
            "http://example.test/.hidden",
            "http://example.test/a/%2e%2e/b",
            "http://example.test/ö?ü='",
            "http://bücher.test/a",
        ] {
            let mut parsed = Url::parse(url).expect(url);
            parsed.set_fragment(None);
            assert_eq!(as_sent(url.to_owned()).as_deref(), Ok(parsed.as_str()), "{url}");
        }
        assert!(as_sent("no url".to_owned()).is_err());
        assert!(needs_no_change("http://127.0.0.1:8080/slots/1?a=b&c=d,e"));
    }

    #[test]
    fn what_needs_no_change_is_not_changed_by_parsing() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let alphabet: Vec<char> = "ab9.-:/?&=+!$()*;@%'\"<>{}|\\^`~_, Z2eé#[]\t".chars().collect();
        let mut left_alone = 0;
        for _ in 0..200_000 {
            let length = rng.random_range(0..8);
            let rest: String =
                (0..length).map(|_| alphabet[rng.random_range(0..alphabet.len())]).collect();
            for url in [format!("http://a{rest}"), format!("http://a.b:81/{rest}")] {
                if needs_no_change(&url) {
                    left_alone += 1;
                    // A host or a port that is none is refused later.
                    if let Ok(parsed) = Url::parse(&url) {
                        assert_eq!(parsed.as_str(), url);
                    }
                }
            }
        }
        assert!(left_alone > 1_000, "{left_alone}");
    }
}
