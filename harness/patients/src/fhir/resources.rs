//! Resources as the database has them and as clients see them, and the `OperationOutcome`.

use axum::{
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};
use sqlx::PgConnection;

use super::App;

/// What an appointment that is to be made says, as far as the server cares.
pub(super) struct New<'a> {
    pub(super) slot: i64,
    pub(super) identifier: Option<String>,
    pub(super) status: &'a str,
}

impl<'a> New<'a> {
    pub(super) fn parse(wanted: &'a Value) -> Result<Self, Refusal> {
        let status = wanted["status"].as_str().unwrap_or_default();
        if wanted["resourceType"] != "Appointment"
            || !["proposed", "pending", "booked"].contains(&status)
        {
            return Err(Refusal::invalid("that is no new Appointment"));
        }
        let reference = wanted["slot"][0]["reference"].as_str().unwrap_or_default();
        let slot = reference.strip_prefix("Slot/").unwrap_or_default();
        let part = |name: &str| wanted["identifier"][0][name].as_str();
        let identifier = part("system").zip(part("value"));
        Ok(Self {
            slot: slot.parse().map_err(|_| Refusal::invalid("slot.reference is no Slot"))?,
            identifier: identifier.map(|(system, value)| format!("{system}|{value}")),
            status,
        })
    }
}

pub(super) fn if_none_exist(headers: &HeaderMap) -> Result<Option<String>, Refusal> {
    let Some(query) = headers.get("If-None-Exist") else { return Ok(None) };
    let identifier = query.to_str().ok().and_then(|query| query.strip_prefix("identifier="));
    match identifier {
        Some(identifier) => Ok(Some(identifier.to_owned())),
        None => Err(Refusal::invalid("If-None-Exist is only known for an identifier")),
    }
}

pub(super) fn number(id: &str) -> Result<i64, Refusal> {
    id.parse().map_err(|_| Refusal::not_found())
}

#[derive(sqlx::FromRow)]
pub(super) struct SlotRow {
    id: i64,
    version: i64,
    resource: Value,
    capacity: i32,
    taken: i64,
}

impl SlotRow {
    pub(super) fn answer(mut self, app: &App, status: StatusCode) -> Response {
        let free = self.taken < i64::from(self.capacity);
        self.resource["status"] = json!(if free { "free" } else { "busy" });
        self.resource["id"] = json!(self.id.to_string());
        self.resource["meta"] = json!({ "versionId": self.version.to_string() });
        let location = format!("{}/Slot/{}/_history/{}", app.base, self.id, self.version);
        let etag = format!("W/\"{}\"", self.version);
        let headers = [(header::LOCATION, location), (header::ETAG, etag)];
        (headers, fhir(status, &self.resource)).into_response()
    }
}

#[derive(sqlx::FromRow)]
pub(super) struct AppointmentRow {
    pub(super) id: i64,
    pub(super) status: String,
    pub(super) version: i64,
    resource: Value,
}

impl AppointmentRow {
    pub(super) async fn of(
        connection: &mut PgConnection,
        identifier: &str,
    ) -> Result<Option<Self>, sqlx::Error> {
        let statement =
            "select id, status, version, resource from appointment where identifier = $1";
        sqlx::query_as(statement).bind(identifier).fetch_optional(connection).await
    }

    pub(super) fn etag(&self) -> String {
        format!("W/\"{}\"", self.version)
    }

    pub(super) fn resource(&self) -> Value {
        let mut resource = self.resource.clone();
        resource["id"] = json!(self.id.to_string());
        resource["meta"] = json!({ "versionId": self.version.to_string() });
        resource["status"] = json!(self.status);
        resource
    }

    pub(super) fn answer(&self, app: &App, status: StatusCode) -> Response {
        let location = format!("{}/Appointment/{}/_history/{}", app.base, self.id, self.version);
        let headers = [(header::LOCATION, location), (header::ETAG, self.etag())];
        (headers, fhir(status, &self.resource())).into_response()
    }
}

pub(super) type Answer = Result<Response, Refusal>;

pub(super) fn fhir(status: StatusCode, body: &Value) -> Response {
    let kind = [(header::CONTENT_TYPE, "application/fhir+json")];
    (status, kind, body.to_string()).into_response()
}

/// An `OperationOutcome`.
pub(super) struct Refusal {
    status: StatusCode,
    /// One of FHIR's issue types.
    code: &'static str,
    text: String,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, code: &'static str, text: &str) -> Self {
        Self { status, code, text: text.to_owned() }
    }

    pub(super) fn of(status: StatusCode, code: &'static str, text: &str) -> Response {
        Self::new(status, code, text).into_response()
    }

    pub(super) fn full() -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "conflict", "the slot is busy")
    }

    pub(super) fn invalid(text: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid", text)
    }

    pub(super) fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", "there is no such resource")
    }
}

impl From<sqlx::Error> for Refusal {
    fn from(error: sqlx::Error) -> Self {
        tracing::error!(%error, "the database refused");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "exception", "the database refused")
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let issue = json!({
            "severity": "error",
            "code": self.code,
            "details": { "text": self.text },
        });
        fhir(self.status, &json!({ "resourceType": "OperationOutcome", "issue": [issue] }))
    }
}
