//! A FHIR R4 server of `Slot` and `Appointment`, on PostgreSQL.
//!
//! A FHIR `Slot` is one place, or a `Schedule` has as many of them as seats. Here one `Slot` has an
//! extension with its capacity ([`CAPACITY`]), and an `Appointment` takes one seat of it. What a
//! client reads of a slot is only whether it is `free` or `busy`, as FHIR says it.
//!
//! `If-None-Exist` makes creation conditional on the business identifier (201, or 200 with what was
//! there), every change of an appointment goes through `If-Match` (412 when the ETag is old),
//! errors are `OperationOutcome`s, lists are Bundles with a `next` link, and access tokens expire
//! after a few seconds.

mod resources;
mod tokens;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::Result;
use axum::{
    Json, Router,
    extract::{Path, Query, State},
    http::{HeaderMap, StatusCode, header},
    middleware,
    routing::{get, post},
};
use serde::Deserialize;
use serde_json::{Value, json};
use sqlx::{PgConnection, PgPool, postgres::PgPoolOptions};

use self::{
    resources::{Answer, AppointmentRow, New, Refusal, SlotRow, fhir, if_none_exist, number},
    tokens::{Tokens, authorize, token},
};
use crate::{
    patient::{Patient, Place, secret},
    servers::{self, Given},
};

/// The extension that says how many appointments a slot takes.
const CAPACITY: &str = "urn:slotproof:slot-capacity";
const CONNECTIONS: u32 = 24;
/// The longest page of a Bundle.
const PAGE_MAX: i64 = 100;

// The statements of this file are checked when they run: the crate builds without a database.
const SCHEMA: &str = "
create table slot (
    id bigint generated always as identity primary key,
    capacity integer not null constraint slot_has_places check (capacity > 0),
    version bigint not null default 1,
    resource jsonb not null
);
create table appointment (
    id bigint generated always as identity primary key,
    slot bigint not null references slot,
    -- `system|value`: what If-None-Exist asks for must be there once.
    identifier text constraint appointment_identifier_once unique,
    status text not null
        constraint appointment_status_known
        check (status in ('proposed', 'pending', 'booked', 'cancelled')),
    version bigint not null default 1,
    resource jsonb not null
);
create index appointment_of_slot on appointment (slot);
";

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The bug that it has
    #[arg(long, value_name = "NAME")]
    broken: Option<Broken>,
    /// How long an access token is good for, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    token_seconds: u64,
    #[command(flatten)]
    server: Given,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "snake_case")]
enum Broken {
    /// Counts, then inserts, and locks nothing: overbooks (I1, I2). As in cal.com (cal.diy#13397),
    /// easyappointments#31 and LibreBooking#147.
    CheckThenInsert,
    /// A cancelled appointment keeps its place: sold out although seats are free (I8, I11). As in
    /// Hi.Events PR 468 and pretix#1405.
    CancelReturnsNone,
}

struct App {
    pool: PgPool,
    base: String,
    broken: Option<Broken>,
    tokens: Tokens,
}

pub(crate) async fn open(options: &Options, place: &Place<'_>) -> Result<Patient> {
    let database = servers::postgresql("fhir", &options.server, place).await?;
    let pool = PgPoolOptions::new().max_connections(CONNECTIONS);
    let pool = pool.connect_with(database.owner).await?;
    sqlx::raw_sql(SCHEMA).execute(&pool).await?;
    let app = Arc::new(App {
        pool,
        base: place.base.clone(),
        broken: options.broken,
        tokens: Tokens {
            client_secret: secret(),
            life: Duration::from_secs(options.token_seconds),
            given: Mutex::default(),
        },
    });
    let variables = vec![
        ("FHIR_URL", app.base.clone()),
        ("FHIR_TOKEN_URL", format!("{}/token", app.base)),
        ("FHIR_CLIENT_SECRET", app.tokens.client_secret.clone()),
        ("FHIR_DATABASE_URL", database.reader_url),
    ];
    let router = Router::new()
        .route("/Slot", post(create_slot))
        .route("/Slot/{id}", get(read_slot))
        .route("/Appointment", post(create_appointment).get(search_appointments))
        .route("/Appointment/{id}", get(read_appointment).patch(patch_appointment))
        .route_layer(middleware::from_fn_with_state(Arc::clone(&app), authorize))
        .route("/token", post(token))
        .with_state(app);
    Ok(Patient { router, variables, held: database.held })
}

async fn create_slot(State(app): State<Arc<App>>, Json(slot): Json<Value>) -> Answer {
    if slot["resourceType"] != "Slot" || slot["status"] != "free" {
        return Err(Refusal::invalid("a Slot is made with the status free"));
    }
    let capacity = match capacity_of(&slot) {
        None => 1,
        Some(value) => value.as_i64().and_then(|value| i32::try_from(value).ok()).unwrap_or(0),
    };
    if capacity < 1 {
        return Err(Refusal::invalid("the capacity is a number of at least 1"));
    }
    let made: SlotRow = sqlx::query_as(
        "insert into slot (capacity, resource) values ($1, $2)
         returning id, version, resource, capacity, 0::bigint as taken",
    )
    .bind(capacity)
    .bind(&slot)
    .fetch_one(&app.pool)
    .await?;
    Ok(made.answer(&app, StatusCode::CREATED))
}

fn capacity_of(slot: &Value) -> Option<&Value> {
    let extensions = slot["extension"].as_array()?;
    Some(&extensions.iter().find(|extension| extension["url"] == CAPACITY)?["valueInteger"])
}

async fn read_slot(State(app): State<Arc<App>>, Path(id): Path<String>) -> Answer {
    // One statement, so one state: status and version belong together.
    let slot: Option<SlotRow> = sqlx::query_as(
        "select id, version, resource, capacity, (
             select count(*) from appointment
             where slot = slot.id and (status <> 'cancelled' or $2)
         ) as taken
         from slot where id = $1",
    )
    .bind(number(&id)?)
    .bind(app.broken == Some(Broken::CancelReturnsNone))
    .fetch_optional(&app.pool)
    .await?;
    Ok(slot.ok_or_else(Refusal::not_found)?.answer(&app, StatusCode::OK))
}

/// Takes a place, unless an appointment with the identifier of `If-None-Exist` is there.
async fn create_appointment(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Json(wanted): Json<Value>,
) -> Answer {
    let asked = New::parse(&wanted)?;
    let unless = if_none_exist(&headers)?;
    let mut transaction = app.pool.begin().await?;
    let lock = match app.broken {
        Some(Broken::CheckThenInsert) => "select capacity from slot where id = $1",
        Some(Broken::CancelReturnsNone) | None => {
            "select capacity from slot where id = $1 for update"
        }
    };
    let slot: Option<i32> =
        sqlx::query_scalar(lock).bind(asked.slot).fetch_optional(&mut *transaction).await?;
    let capacity = slot.ok_or_else(|| Refusal::invalid("there is no such slot"))?;
    if let Some(identifier) = &unless
        && let Some(there) = AppointmentRow::of(&mut transaction, identifier).await?
    {
        return Ok(there.answer(&app, StatusCode::OK));
    }
    let taken: i64 = sqlx::query_scalar(
        "select count(*) from appointment where slot = $1 and (status <> 'cancelled' or $2)",
    )
    .bind(asked.slot)
    .bind(app.broken == Some(Broken::CancelReturnsNone))
    .fetch_one(&mut *transaction)
    .await?;
    if taken >= i64::from(capacity) {
        return Err(Refusal::full());
    }
    let made: Option<AppointmentRow> = sqlx::query_as(
        "insert into appointment (slot, identifier, status, resource) values ($1, $2, $3, $4)
         on conflict on constraint appointment_identifier_once do nothing
         returning id, status, version, resource",
    )
    .bind(asked.slot)
    .bind(&asked.identifier)
    .bind(asked.status)
    .bind(&wanted)
    .fetch_optional(&mut *transaction)
    .await?;
    // Another request with the identifier, for another slot, was quicker.
    let Some(made) = made else {
        let there = match &unless {
            Some(identifier) => AppointmentRow::of(&mut transaction, identifier).await?,
            None => None,
        };
        return there
            .map(|there| there.answer(&app, StatusCode::OK))
            .ok_or_else(|| Refusal::new(StatusCode::CONFLICT, "duplicate", "identifier is taken"));
    };
    changed(&mut transaction, asked.slot).await?;
    transaction.commit().await?;
    Ok(made.answer(&app, StatusCode::CREATED))
}

async fn read_appointment(State(app): State<Arc<App>>, Path(id): Path<String>) -> Answer {
    let found: Option<AppointmentRow> =
        sqlx::query_as("select id, status, version, resource from appointment where id = $1")
            .bind(number(&id)?)
            .fetch_optional(&app.pool)
            .await?;
    Ok(found.ok_or_else(Refusal::not_found)?.answer(&app, StatusCode::OK))
}

#[derive(Deserialize)]
struct JsonPatch {
    op: String,
    path: String,
    value: String,
}

/// Confirms (`booked`) or cancels: the one thing that can be patched is the status.
async fn patch_appointment(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: axum::body::Bytes,
) -> Answer {
    let id = number(&id)?;
    let patch: Vec<JsonPatch> =
        serde_json::from_slice(&body).map_err(|_| Refusal::invalid("that is no JSON Patch"))?;
    let status = match patch.as_slice() {
        [JsonPatch { op, path, value }] if op == "replace" && path == "/status" => value.as_str(),
        _ => return Err(Refusal::invalid("only /status can be replaced")),
    };
    let mut transaction = app.pool.begin().await?;
    // The slot is locked before its appointments, here as in creation.
    let slot: Option<i64> = sqlx::query_scalar(
        "select slot.id from slot where id = (select slot from appointment where id = $1)
         for update",
    )
    .bind(id)
    .fetch_optional(&mut *transaction)
    .await?;
    let slot = slot.ok_or_else(Refusal::not_found)?;
    let now: AppointmentRow =
        sqlx::query_as("select id, status, version, resource from appointment where id = $1")
            .bind(id)
            .fetch_one(&mut *transaction)
            .await?;
    let expected = headers.get(header::IF_MATCH).and_then(|value| value.to_str().ok());
    if expected.is_some_and(|etag| etag != now.etag()) {
        let text = format!("the appointment is at version {}", now.version);
        return Err(Refusal::new(StatusCode::PRECONDITION_FAILED, "conflict", &text));
    }
    match (now.status.as_str(), status) {
        (before, after) if before == after => return Ok(now.answer(&app, StatusCode::OK)),
        ("proposed" | "pending", "booked") | ("proposed" | "pending" | "booked", "cancelled") => {}
        (before, after) => {
            let text = format!("{before} cannot become {after}");
            return Err(Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, "business-rule", &text));
        }
    }
    let after: AppointmentRow = sqlx::query_as(
        "update appointment set status = $2, version = version + 1 where id = $1
         returning id, status, version, resource",
    )
    .bind(id)
    .bind(status)
    .fetch_one(&mut *transaction)
    .await?;
    changed(&mut transaction, slot).await?;
    transaction.commit().await?;
    Ok(after.answer(&app, StatusCode::OK))
}

#[derive(Deserialize)]
struct Search {
    /// `system|value`, or `system|` for all of the system.
    identifier: String,
    #[serde(rename = "_count", default = "page_default")]
    count: i64,
    /// Ours: a page goes on after this id. Clients follow the link and do not make it.
    #[serde(rename = "_after", default)]
    after: i64,
}

fn page_default() -> i64 {
    20
}

async fn search_appointments(State(app): State<Arc<App>>, Query(search): Query<Search>) -> Answer {
    let count = search.count.clamp(1, PAGE_MAX);
    let mut found: Vec<AppointmentRow> = sqlx::query_as(
        "select id, status, version, resource from appointment
         where id > $2
           and case when $1 like '%|' then starts_with(identifier, $1) else identifier = $1 end
         order by id limit $3 + 1",
    )
    .bind(&search.identifier)
    .bind(search.after)
    .bind(count)
    .fetch_all(&app.pool)
    .await?;
    let page = usize::try_from(count).expect("a page is between 1 and its longest");
    let more = found.len() > page;
    found.truncate(page);
    let url = format!("{}/Appointment?identifier={}&_count={count}", app.base, search.identifier);
    let mut links = vec![json!({ "relation": "self", "url": url })];
    if let Some(last) = found.last().filter(|_| more) {
        links.push(json!({ "relation": "next", "url": format!("{url}&_after={}", last.id) }));
    }
    let entry = |row: &AppointmentRow| {
        let url = format!("{}/Appointment/{}", app.base, row.id);
        json!({ "fullUrl": url, "resource": row.resource() })
    };
    let entries: Vec<_> = found.iter().map(entry).collect();
    let bundle =
        json!({ "resourceType": "Bundle", "type": "searchset", "link": links, "entry": entries });
    Ok(fhir(StatusCode::OK, &bundle))
}

/// A slot's version is that of all that can be read of it.
async fn changed(connection: &mut PgConnection, slot: i64) -> Result<(), sqlx::Error> {
    let update = sqlx::query("update slot set version = version + 1 where id = $1");
    update.bind(slot).execute(connection).await.map(drop)
}
