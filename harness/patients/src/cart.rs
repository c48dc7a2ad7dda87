//! A ticket shop for people with a browser, on MariaDB.
//!
//! A visit begins at `GET /shop`, which sets a session cookie and hides a CSRF token in its HTML.
//! `POST /cart/items` puts seats aside and answers a cart position; `POST /checkout` makes an order
//! of it, which has another id and is ready a moment later, at the `check_url`; the order is paid
//! or cancelled. A position whose checkout failed keeps its seats until it is deleted. Refusals are
//! pages with prose (400), in the visitor's language, or 200 with `"success": false`.
//!
//! There is no idempotency: what a client intended is only known by its order's e-mail address.

mod orders;
mod visits;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::AtomicU64},
    time::{Duration, Instant},
};

use anyhow::Result;
use axum::{
    Form, Json, Router,
    extract::{Path, State},
    http::{HeaderMap, header},
    response::IntoResponse,
    routing::{delete, get, post},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde::Deserialize;
use serde_json::{Value, json};
use sqlx::{MySqlConnection, MySqlPool, mysql::MySqlPoolOptions};

use self::{
    orders::{Position, cancel, check, check_out, pay, show_order},
    visits::{Answer, Refusal, shop},
};
use crate::{
    patient::{Patient, Place, secret},
    servers::{self, Given},
};

const ADMIN: &str = "admin";
const CONNECTIONS: u32 = 24;
/// `cached_stock`: how old the number that it decides by may be.
const STOCK_CACHED: Duration = Duration::from_secs(1);

// The statements of this file are checked when they run: the crate builds without a database.
const SCHEMA: [&str; 3] = [
    "create table events (
        id bigint unsigned auto_increment primary key,
        name varchar(200) not null,
        seats int not null check (seats > 0)
    ) engine = InnoDB",
    "create table positions (
        id bigint unsigned auto_increment primary key,
        event bigint unsigned not null,
        session varchar(40) not null,
        seats int not null check (seats > 0),
        -- Of the cart or of an order that stands: it has its seats.
        state enum('held', 'released') not null,
        key positions_of_event (event, state),
        foreign key (event) references events (id)
    ) engine = InnoDB",
    "create table orders (
        id bigint unsigned auto_increment primary key,
        code varchar(40) not null unique,
        position bigint unsigned not null unique,
        event bigint unsigned not null,
        seats int not null,
        email varchar(200) not null,
        status enum('pending', 'paid', 'cancelled') not null,
        foreign key (position) references positions (id)
    ) engine = InnoDB",
];

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The bug that it has
    #[arg(long, value_name = "NAME")]
    broken: Option<Broken>,
    /// How long a checkout takes before its order is ready
    #[arg(long, value_name = "MS", default_value_t = 15)]
    checkout_ms: u64,
    /// Every so many checkouts one fails, and its position keeps its seats [default: none]
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    checkout_fails_every: u64,
    #[command(flatten)]
    server: Given,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "snake_case")]
enum Broken {
    /// Decides by a number of free seats that is up to a second old: overbooks (I1, I2). A shop may
    /// show such a number (pretix#2168); the one of microsoftarchive/cqrs-journey#484 sold by it,
    /// and 20 racers got 12 to 14 of 10 seats.
    CachedStock,
    /// Marks an order as paid whatever it was: a cancelled one comes back, and its seats may have
    /// been resold (I1, I2, I6). As in cal.diy#29958 and WooStripe PR 5720.
    PayRevives,
}

struct App {
    pool: MySqlPool,
    broken: Option<Broken>,
    checkout: Duration,
    checkout_fails_every: u64,
    checkouts: AtomicU64,
    admin: String,
    /// Session cookies and their CSRF tokens.
    sessions: Mutex<HashMap<String, String>>,
    /// Checkouts by the last part of their `check_url`; `None` until there is an answer.
    pending: Mutex<HashMap<String, Option<Value>>>,
    /// `cached_stock` alone: free seats by event, and since when.
    stock: Mutex<HashMap<u64, (i64, Instant)>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) async fn open(options: &Options, place: &Place<'_>) -> Result<Patient> {
    let database = servers::mariadb("cart", &options.server, place).await?;
    let pool = MySqlPoolOptions::new().max_connections(CONNECTIONS).after_connect(
        // A transaction reads what others have committed by now: InnoDB's default counts by a
        // snapshot that may be older than the lock.
        |connection, _| {
            Box::pin(async move {
                let level = "set session transaction isolation level read committed";
                sqlx::query(level).execute(connection).await.map(drop)
            })
        },
    );
    let pool = pool.connect_with(database.owner).await?;
    for table in SCHEMA {
        sqlx::query(table).execute(&pool).await?;
    }
    let password = secret();
    let app = Arc::new(App {
        pool,
        broken: options.broken,
        checkout: Duration::from_millis(options.checkout_ms),
        checkout_fails_every: options.checkout_fails_every,
        checkouts: AtomicU64::new(0),
        admin: format!("Basic {}", STANDARD.encode(format!("{ADMIN}:{password}"))),
        sessions: Mutex::default(),
        pending: Mutex::default(),
        stock: Mutex::default(),
    });
    let variables = vec![
        ("SHOP_URL", place.base.clone()),
        ("SHOP_ADMIN_PASSWORD", password),
        ("SHOP_DATABASE_URL", database.reader_url),
    ];
    let router = Router::new()
        .route("/admin/events", post(create_event))
        .route("/shop", get(shop))
        .route("/events/{id}", get(show_event))
        .route("/cart/items", post(add_to_cart))
        .route("/cart/items/{position}", delete(remove_from_cart))
        .route("/checkout", post(check_out))
        .route("/checkout/{task}", get(check))
        .route("/orders/{code}", get(show_order))
        .route("/orders/{code}/pay", post(pay))
        .route("/orders/{code}/cancel", post(cancel))
        .with_state(app);
    Ok(Patient { router, variables, held: database.held })
}

#[derive(Deserialize)]
struct NewEvent {
    name: String,
    seats: i32,
}

async fn create_event(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Json(event): Json<NewEvent>,
) -> Answer {
    let login = headers.get(header::AUTHORIZATION);
    if login.is_none_or(|login| login.as_bytes() != app.admin.as_bytes()) {
        return Err(Refusal::Forbidden);
    }
    let made = sqlx::query("insert into events (name, seats) values (?, ?)")
        .bind(&event.name)
        .bind(event.seats)
        .execute(&app.pool)
        .await?;
    Ok(Json(json!({ "event": made.last_insert_id(), "seats": event.seats })).into_response())
}

async fn show_event(State(app): State<Arc<App>>, Path(id): Path<u64>) -> Answer {
    // One statement, so one state.
    let found: Option<(String, i32, i64)> = sqlx::query_as(
        "select name, seats, cast(seats - coalesce((
             select sum(seats) from positions where event = events.id and state = 'held'
         ), 0) as signed)
         from events where id = ?",
    )
    .bind(id)
    .fetch_optional(&app.pool)
    .await?;
    let (name, seats, left) = found.ok_or(Refusal::Missing)?;
    Ok(Json(json!({ "event": id, "name": name, "seats": seats, "left": left })).into_response())
}

#[derive(Deserialize)]
struct NewPosition {
    event: u64,
    seats: i32,
}

/// Step 1: puts seats aside.
async fn add_to_cart(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Form(wanted): Form<NewPosition>,
) -> Answer {
    let session = app.session(&headers)?;
    if wanted.seats < 1 {
        return Err(Refusal::Prose("Please choose at least one ticket".into()));
    }
    // Before a connection is held for the transaction: whoever holds one must not wait for another.
    let cached = match app.broken {
        Some(Broken::CachedStock) => Some(app.cached_seats_left(wanted.event).await?),
        Some(Broken::PayRevives) | None => None,
    };
    let mut transaction = app.pool.begin().await?;
    let left = match cached {
        Some(left) => left,
        None => {
            sqlx::query("select id from events where id = ? for update")
                .bind(wanted.event)
                .execute(&mut *transaction)
                .await?;
            seats_left(&mut transaction, wanted.event).await?
        }
    };
    match left {
        left if left < 1 => return Err(Refusal::sold_out(&headers)),
        // Some, and not enough: the page stays, and its script shows the message.
        left if left < i64::from(wanted.seats) => {
            let message = format!("Only {left} tickets left");
            return Ok(Json(json!({ "success": false, "message": message })).into_response());
        }
        _ => {}
    }
    let made = sqlx::query(
        "insert into positions (event, session, seats, state) values (?, ?, ?, 'held')",
    )
    .bind(wanted.event)
    .bind(&session)
    .bind(wanted.seats)
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(Json(json!({ "success": true, "position": made.last_insert_id() })).into_response())
}

async fn seats_left(connection: &mut MySqlConnection, event: u64) -> Result<i64, Refusal> {
    let left: Option<i64> = sqlx::query_scalar(
        "select cast(seats - coalesce((
             select sum(seats) from positions where event = events.id and state = 'held'
         ), 0) as signed)
         from events where id = ?",
    )
    .bind(event)
    .fetch_optional(connection)
    .await?;
    left.ok_or(Refusal::Missing)
}

/// Gives a position back, unless there is an order of it.
async fn remove_from_cart(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Path(position): Path<u64>,
) -> Answer {
    let session = app.session(&headers)?;
    let mut transaction = app.pool.begin().await?;
    let found = Position::locked(&mut transaction, position, &session).await?;
    let ordered: Option<u64> = sqlx::query_scalar("select id from orders where position = ?")
        .bind(position)
        .fetch_optional(&mut *transaction)
        .await?;
    if ordered.is_some() {
        return Err(Refusal::Prose("This ticket has been ordered".into()));
    }
    found.release(&mut transaction).await?;
    transaction.commit().await?;
    Ok(Json(json!({ "success": true })).into_response())
}

impl App {
    /// `cached_stock`: what was left up to a second ago.
    async fn cached_seats_left(&self, event: u64) -> Result<i64, Refusal> {
        let cached = locked(&self.stock).get(&event).copied();
        match cached {
            Some((left, since)) if since.elapsed() < STOCK_CACHED => Ok(left),
            Some(_) | None => {
                let left = seats_left(&mut *self.pool.acquire().await?, event).await?;
                locked(&self.stock).insert(event, (left, Instant::now()));
                Ok(left)
            }
        }
    }
}
