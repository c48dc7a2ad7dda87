//! A booking as the database has it and as the reseller sees it, and OCTO's error.

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};
use sqlx::PgConnection;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use uuid::Uuid;

use super::{HoldRequest, PRODUCT, expiry::expire};

#[derive(sqlx::FromRow)]
pub(super) struct BookingRow {
    pub(super) row: i64,
    uuid: Uuid,
    availability: String,
    units: Value,
    seats: i32,
    pub(super) status: String,
    expires_at: OffsetDateTime,
    reseller_reference: Option<String>,
    updated_at: OffsetDateTime,
}

impl BookingRow {
    pub(super) async fn of(
        connection: &mut PgConnection,
        uuid: Uuid,
    ) -> Result<Option<Self>, sqlx::Error> {
        let statement = "select * from booking where uuid = $1 order by row limit 1";
        sqlx::query_as(statement).bind(uuid).fetch_optional(connection).await
    }

    /// Locks the availability, as every change does, and reads the booking after that.
    pub(super) async fn locked(connection: &mut PgConnection, uuid: Uuid) -> Result<Self, Refusal> {
        let availability: Option<String> = sqlx::query_scalar(
            "select id from availability
             where id = (select availability from booking where uuid = $1 limit 1) for update",
        )
        .bind(uuid)
        .fetch_optional(&mut *connection)
        .await?;
        expire(connection, &availability.ok_or(Refusal::UNKNOWN_UUID)?).await?;
        Self::of(connection, uuid).await?.ok_or(Refusal::UNKNOWN_UUID)
    }

    /// The same uuid with another wish is a mistake of the reseller.
    pub(super) fn again(&self, request: &HoldRequest, seats: i32) -> Result<Response, Refusal> {
        if self.availability == request.availability_id && self.seats == seats {
            Ok(self.answer())
        } else {
            let text = "the uuid belongs to another booking";
            Err(Refusal(StatusCode::BAD_REQUEST, "INVALID_BOOKING_UUID", text))
        }
    }

    pub(super) fn answer(&self) -> Response {
        let instant = |at: OffsetDateTime| at.format(&Rfc3339).expect("a year of four digits");
        Json(json!({
            "id": self.uuid,
            "uuid": self.uuid,
            "productId": PRODUCT,
            "availabilityId": self.availability,
            "status": self.status,
            "utcExpiresAt": instant(self.expires_at),
            "utcUpdatedAt": instant(self.updated_at),
            "resellerReference": self.reseller_reference,
            "unitItems": self.units,
        }))
        .into_response()
    }
}

/// OCTO's error: a code and a sentence.
pub(super) struct Refusal(pub(super) StatusCode, pub(super) &'static str, pub(super) &'static str);

impl Refusal {
    pub(super) const UNKNOWN_UUID: Self =
        Self(StatusCode::BAD_REQUEST, "INVALID_BOOKING_UUID", "there is no such booking");
}

impl From<sqlx::Error> for Refusal {
    fn from(error: sqlx::Error) -> Self {
        tracing::error!(%error, "the database refused");
        Self(StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL_SERVER_ERROR", "the database refused")
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.0, Json(json!({ "error": self.1, "errorMessage": self.2 }))).into_response()
    }
}
