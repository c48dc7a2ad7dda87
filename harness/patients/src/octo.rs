//! A supplier of tours in the style of OCTO, on PostgreSQL.
//!
//! The reseller chooses the booking's `uuid`, which is its key and its id in one: the same `uuid`
//! again is the same booking. A booking is `ON_HOLD` until `utcExpiresAt`, and really expires then;
//! `confirm` makes it `CONFIRMED`. Availabilities exist: nothing makes them over the API, and their
//! ids are date-times. With `--status-only` the supplier keeps the number of vacancies to itself.

mod booking;
mod expiry;

use std::{sync::Arc, time::Duration};

use anyhow::Result;
use axum::{
    Json, Router,
    extract::{Path, Request, State},
    http::{StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::Deserialize;
use serde_json::{Value, json};
use sqlx::{PgPool, postgres::PgPoolOptions};
use time::{OffsetDateTime, format_description::well_known::Rfc3339, macros::datetime};
use uuid::Uuid;

use self::{
    booking::{BookingRow, Refusal},
    expiry::{expire, sweep},
};
use crate::{
    patient::{Patient, Place, secret},
    servers::{self, Given},
};

const PRODUCT: &str = "city-tour";
const FIRST_TOUR: OffsetDateTime = datetime!(2030-01-01 08:00 UTC);
const BETWEEN_TOURS: time::Duration = time::Duration::hours(1);
const CONNECTIONS: u32 = 24;
const HOLD_MINUTES_MAX: u32 = 60;
/// Few seats are left below this part of the capacity.
const LIMITED_BELOW: f64 = 0.3;

// The statements of this file are checked when they run: the crate builds without a database.
const SCHEMA: &str = "
create table availability (
    id text primary key,
    capacity integer not null constraint availability_has_seats check (capacity > 0)
);
create table booking (
    row bigint generated always as identity primary key,
    uuid uuid not null,
    availability text not null references availability,
    units jsonb not null,
    seats integer not null constraint booking_takes_seats check (seats > 0),
    status text not null constraint booking_status_known
        check (status in ('ON_HOLD', 'CONFIRMED', 'CANCELLED', 'EXPIRED')),
    expires_at timestamptz not null,
    reseller_reference text,
    updated_at timestamptz not null default clock_timestamp()
);
create index booking_of_availability on booking (availability);
create index booking_by_uuid on booking (uuid);
";
/// What makes the `uuid` a key; `key_books_twice` does not have it.
const ONE_ROW_PER_UUID: &str = "alter table booking add constraint booking_uuid_once unique (uuid)";

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The bug that it has
    #[arg(long, value_name = "NAME")]
    broken: Option<Broken>,
    /// How many availabilities there are
    #[arg(long, value_name = "N", default_value_t = 10)]
    slots: u32,
    /// How many seats each of them has
    #[arg(long, value_name = "N", default_value_t = 50)]
    capacity: u16,
    /// How long a hold lasts, whatever the reseller asks for [default: the minutes that are asked
    /// for, 10 unless any are]
    #[arg(long, value_name = "MS")]
    hold_ms: Option<u64>,
    /// Availabilities say a status and no number of vacancies
    #[arg(long)]
    status_only: bool,
    #[command(flatten)]
    server: Given,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "snake_case")]
enum Broken {
    /// Looks for the uuid before it locks, and no constraint makes it unique: sent twice at once,
    /// it takes seats twice (I5; what is seen of it: I7, I8, I9, I11). As in octotravel/spec PR 5
    /// and cal.diy#13360, where the first two racers got two bookings.
    KeyBooksTwice,
    /// Confirms a hold that has expired, although its seats may have been resold (I1, I2, I6). As
    /// in events-made-easy#496 and event-espresso#2281.
    ConfirmAfterExpiry,
}

struct App {
    pool: PgPool,
    broken: Option<Broken>,
    hold: Option<Duration>,
    status_only: bool,
    authorization: String,
}

pub(crate) async fn open(options: &Options, place: &Place<'_>) -> Result<Patient> {
    let database = servers::postgresql("octo", &options.server, place).await?;
    let pool = PgPoolOptions::new().max_connections(CONNECTIONS);
    let pool = pool.connect_with(database.owner).await?;
    sqlx::raw_sql(SCHEMA).execute(&pool).await?;
    if options.broken != Some(Broken::KeyBooksTwice) {
        sqlx::raw_sql(ONE_ROW_PER_UUID).execute(&pool).await?;
    }
    for number in 0..options.slots {
        sqlx::query("insert into availability values ($1, $2)")
            .bind((FIRST_TOUR + BETWEEN_TOURS * number).format(&Rfc3339)?)
            .bind(i32::from(options.capacity))
            .execute(&pool)
            .await?;
    }
    tokio::spawn(sweep(pool.clone()));
    let token = secret();
    let app = Arc::new(App {
        pool,
        broken: options.broken,
        hold: options.hold_ms.map(Duration::from_millis),
        status_only: options.status_only,
        authorization: format!("Bearer {token}"),
    });
    let variables = vec![
        ("OCTO_URL", place.base.clone()),
        ("OCTO_TOKEN", token),
        ("OCTO_DATABASE_URL", database.reader_url),
    ];
    let router = Router::new()
        .route("/availability", post(availability))
        .route("/bookings", post(hold))
        .route("/bookings/{uuid}", get(read).delete(cancel))
        .route("/bookings/{uuid}/confirm", post(confirm))
        .route("/bookings/{uuid}/cancel", post(cancel))
        .route_layer(middleware::from_fn_with_state(Arc::clone(&app), authorize))
        .with_state(app);
    Ok(Patient { router, variables, held: database.held })
}

async fn authorize(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    match request.headers().get(header::AUTHORIZATION) {
        Some(value) if value.as_bytes() == app.authorization.as_bytes() => next.run(request).await,
        _ => Refusal(StatusCode::FORBIDDEN, "UNAUTHORIZED", "unknown token").into_response(),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AvailabilityRequest {
    product_id: String,
    /// These only; without them, all.
    availability_ids: Option<Vec<String>>,
}

async fn availability(
    State(app): State<Arc<App>>,
    Json(request): Json<AvailabilityRequest>,
) -> Result<Response, Refusal> {
    if request.product_id != PRODUCT {
        return Err(Refusal(StatusCode::BAD_REQUEST, "INVALID_PRODUCT_ID", "no such product"));
    }
    // One statement, so one state.
    let found: Vec<(String, i32, i64)> = sqlx::query_as(
        "select id, capacity, capacity - coalesce((
             select sum(seats) from booking
             where availability = availability.id and status in ('ON_HOLD', 'CONFIRMED')
         ), 0)
         from availability where $1::text[] is null or id = any($1) order by id",
    )
    .bind(&request.availability_ids)
    .fetch_all(&app.pool)
    .await?;
    let availabilities = found.into_iter().map(|(id, capacity, vacancies)| {
        let status = match vacancies {
            ..=0 => "SOLD_OUT",
            // As in any shop: "only a few left".
            few if (few as f64) < f64::from(capacity) * LIMITED_BELOW => "LIMITED",
            _ => "AVAILABLE",
        };
        let mut availability = json!({
            "id": id,
            "localDateTimeStart": id,
            "available": vacancies > 0,
            "status": status,
            "capacity": capacity,
        });
        if !app.status_only {
            availability["vacancies"] = json!(vacancies);
        }
        availability
    });
    Ok(Json(availabilities.collect::<Vec<_>>()).into_response())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct HoldRequest {
    uuid: Uuid,
    product_id: String,
    availability_id: String,
    unit_items: Vec<Value>,
    expiration_minutes: Option<u32>,
}

async fn hold(
    State(app): State<Arc<App>>,
    Json(request): Json<HoldRequest>,
) -> Result<Response, Refusal> {
    let seats = i32::try_from(request.unit_items.len()).unwrap_or(0);
    if request.product_id != PRODUCT || seats == 0 {
        return Err(Refusal(StatusCode::BAD_REQUEST, "BAD_REQUEST", "no product or no units"));
    }
    let minutes = request.expiration_minutes.unwrap_or(10).clamp(1, HOLD_MINUTES_MAX);
    let hold = app.hold.unwrap_or(Duration::from_secs(60 * u64::from(minutes)));
    let mut transaction = app.pool.begin().await?;
    let looks_first = app.broken == Some(Broken::KeyBooksTwice);
    if looks_first && let Some(there) = BookingRow::of(&mut transaction, request.uuid).await? {
        return Ok(there.answer());
    }
    let capacity: Option<i32> =
        sqlx::query_scalar("select capacity from availability where id = $1 for update")
            .bind(&request.availability_id)
            .fetch_optional(&mut *transaction)
            .await?;
    let Some(capacity) = capacity else {
        return Err(Refusal(StatusCode::BAD_REQUEST, "INVALID_AVAILABILITY_ID", "no such tour"));
    };
    if !looks_first && let Some(there) = BookingRow::of(&mut transaction, request.uuid).await? {
        return there.again(&request, seats);
    }
    expire(&mut transaction, &request.availability_id).await?;
    let taken: i64 = sqlx::query_scalar(
        "select coalesce(sum(seats), 0) from booking
         where availability = $1 and status in ('ON_HOLD', 'CONFIRMED')",
    )
    .bind(&request.availability_id)
    .fetch_one(&mut *transaction)
    .await?;
    if taken + i64::from(seats) > i64::from(capacity) {
        transaction.commit().await?;
        return Err(Refusal(StatusCode::BAD_REQUEST, "UNPROCESSABLE_ENTITY", "sold out"));
    }
    let made: Result<BookingRow, _> = sqlx::query_as(
        "insert into booking (uuid, availability, units, seats, status, expires_at)
         values ($1, $2, $3, $4, 'ON_HOLD', clock_timestamp() + $5 * interval '1 millisecond')
         returning *",
    )
    .bind(request.uuid)
    .bind(&request.availability_id)
    .bind(Value::Array(request.unit_items.clone()))
    .bind(seats)
    .bind(i64::try_from(hold.as_millis()).unwrap_or(i64::MAX))
    .fetch_one(&mut *transaction)
    .await;
    match made {
        Ok(made) => {
            transaction.commit().await?;
            Ok(made.answer())
        }
        // The uuid was booked on another tour meanwhile.
        Err(sqlx::Error::Database(error)) if error.is_unique_violation() => {
            drop(transaction);
            let there = BookingRow::of(&mut *app.pool.acquire().await?, request.uuid).await?;
            there.ok_or(Refusal::UNKNOWN_UUID)?.again(&request, seats)
        }
        Err(error) => Err(error.into()),
    }
}

async fn confirm(
    State(app): State<Arc<App>>,
    Path(uuid): Path<Uuid>,
    Json(body): Json<Value>,
) -> Result<Response, Refusal> {
    let mut transaction = app.pool.begin().await?;
    let now = BookingRow::locked(&mut transaction, uuid).await?;
    match now.status.as_str() {
        "CONFIRMED" => return Ok(now.answer()),
        "ON_HOLD" => {}
        "EXPIRED" if app.broken == Some(Broken::ConfirmAfterExpiry) => {}
        _ => {
            transaction.commit().await?;
            let text = "the booking is not on hold";
            return Err(Refusal(StatusCode::BAD_REQUEST, "UNPROCESSABLE_ENTITY", text));
        }
    }
    let after: BookingRow = sqlx::query_as(
        "update booking
         set status = 'CONFIRMED', reseller_reference = $2, updated_at = clock_timestamp()
         where row = $1 returning *",
    )
    .bind(now.row)
    .bind(body["resellerReference"].as_str())
    .fetch_one(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(after.answer())
}

/// Cancelled again is well; a hold that has expired has nothing left to cancel.
async fn cancel(State(app): State<Arc<App>>, Path(uuid): Path<Uuid>) -> Result<Response, Refusal> {
    let mut transaction = app.pool.begin().await?;
    let now = BookingRow::locked(&mut transaction, uuid).await?;
    match now.status.as_str() {
        "CANCELLED" => return Ok(now.answer()),
        "EXPIRED" => {
            transaction.commit().await?;
            let text = "the booking has expired";
            return Err(Refusal(StatusCode::BAD_REQUEST, "UNPROCESSABLE_ENTITY", text));
        }
        _ => {}
    }
    let after: BookingRow = sqlx::query_as(
        "update booking set status = 'CANCELLED', updated_at = clock_timestamp()
         where row = $1 returning *",
    )
    .bind(now.row)
    .fetch_one(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(after.answer())
}

async fn read(State(app): State<Arc<App>>, Path(uuid): Path<Uuid>) -> Result<Response, Refusal> {
    let found = BookingRow::of(&mut *app.pool.acquire().await?, uuid).await?;
    Ok(found.ok_or(Refusal::UNKNOWN_UUID)?.answer())
}
