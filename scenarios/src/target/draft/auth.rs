//! How requests are authorised, by the document's security schemes.

use serde_json::{Value, json};

use super::{document::Document, endpoint::Endpoint};

/// The `[auth]` section, headers beside it, and what to know about them.
#[derive(Debug, Default)]
pub(super) struct AuthDraft {
    pub(super) lines: Vec<(&'static str, Value)>,
    /// A header of every request.
    pub(super) header: Option<(String, String)>,
    pub(super) doubt: Option<String>,
    pub(super) comment: Option<String>,
}

impl AuthDraft {
    pub(super) fn find<'a>(document: &Document<'a>, reserve: &Endpoint<'a>) -> Self {
        let components = document.get("components");
        let schemes = components.get("securitySchemes").and_then(Value::as_object);
        let Some(schemes) = schemes.filter(|it| !it.is_empty()) else { return Self::default() };
        let asked = reserve.item.get("security").unwrap_or_else(|| document.get("security"));
        let asked: Vec<&str> = asked
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_object)
            .flat_map(|it| it.keys().map(String::as_str))
            .collect();
        // An operation that lists no scheme needs none, if others do.
        if reserve.item.get("security").is_some() && asked.is_empty() {
            return Self::default();
        }
        let of = |name: &str| schemes.get(name).map(|it| Self::of(document.resolve(it)));
        let mut drafts: Vec<Self> = asked.iter().filter_map(|name| of(name)).collect();
        if asked.is_empty() {
            let unasked = schemes.keys().filter_map(|name| of(name)).map(|draft| Self {
                doubt: draft.doubt.or_else(|| {
                    Some("no operation says that it needs it; remove it if so".to_owned())
                }),
                ..draft
            });
            drafts = unasked.collect();
        }
        let best = drafts.iter().position(|draft| draft.doubt.is_none()).unwrap_or(0);
        match drafts.is_empty() {
            true => Self::default(),
            false => drafts.swap_remove(best),
        }
    }

    fn of(scheme: &Value) -> Self {
        let text = |key: &str| scheme[key].as_str().unwrap_or_default().to_lowercase();
        let name = scheme["name"].as_str().unwrap_or_default();
        match (text("type").as_str(), text("scheme").as_str(), text("in").as_str()) {
            ("http", "basic", _) => Self {
                lines: vec![
                    ("kind", "basic".into()),
                    ("user", "user".into()),
                    ("password", json!({ "env": "TARGET_PASSWORD" })),
                ],
                comment: Some("CHECK: the name of the user".to_owned()),
                ..Self::default()
            },
            ("http", "bearer", _) => Self::bearer(None),
            ("apikey", _, "header") if name.eq_ignore_ascii_case("authorization") => Self {
                lines: vec![
                    ("kind", "header".into()),
                    ("name", name.into()),
                    ("value", json!({ "env": "TARGET_AUTHORIZATION" })),
                ],
                ..Self::default()
            },
            ("apikey", _, "header") => Self {
                lines: vec![
                    ("kind", "header".into()),
                    ("name", name.into()),
                    ("value", json!({ "env": "TARGET_API_KEY" })),
                ],
                ..Self::default()
            },
            ("apikey", _, "cookie") if !name.contains('{') => Self {
                header: Some(("Cookie".to_owned(), format!("{name}={{{{ env.TARGET_COOKIE }}}}"))),
                ..Self::default()
            },
            ("apikey", ..) => Self {
                doubt: Some(format!(
                    "the API wants its key as the query parameter {name}: add \
                     ?{name}={{{{ env.TARGET_API_KEY }}}} to each path"
                )),
                ..Self::default()
            },
            ("oauth2", ..) if scheme["flows"]["clientCredentials"].is_object() => {
                Self::client_credentials(&scheme["flows"]["clientCredentials"])
            }
            (kind, ..) => Self::bearer(Some(format!(
                "the document asks for {kind}: get a token by it, and set TARGET_TOKEN"
            ))),
        }
    }

    fn bearer(doubt: Option<String>) -> Self {
        let token = json!({ "env": "TARGET_TOKEN" });
        Self { lines: vec![("kind", "bearer".into()), ("token", token)], doubt, ..Self::default() }
    }

    fn client_credentials(flow: &Value) -> Self {
        let url = flow["tokenUrl"].as_str().unwrap_or_default();
        let scopes: Vec<&str> = flow["scopes"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(name, _)| name.as_str())
            .collect();
        let mut lines = vec![
            ("kind", "oauth2_client_credentials".into()),
            ("token_url", "{{ env.TARGET_TOKEN_URL }}".into()),
            ("client_id", "slotproof".into()),
            ("client_secret", json!({ "env": "TARGET_CLIENT_SECRET" })),
        ];
        if !scopes.is_empty() {
            lines.push(("scope", scopes.join(" ").into()));
        }
        let comment = format!("CHECK: the client's id. The document's token URL is {url}");
        Self { lines, comment: Some(comment), ..Self::default() }
    }
}
