//! A booking server in the style of Maps Booking v3, in memory with a journal.
//!
//! Every call is a POST and is answered 200, also when there is no seat: the body then has a
//! `booking_failure`. A booking that was made is returned again for its `idempotency_token`; a
//! refusal is not kept, and the same token may succeed later. Availability comes in feeds (here
//! `POST /admin/feed`). There is no confirmation.
//!
//! All state lies behind one lock. What is decided is written to the journal in the order of the
//! decisions, and an answer waits until the journal is on disk. The journal is read at the start.

mod book;
mod journal;

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result};
use axum::{
    Json, Router,
    extract::{Request, State},
    http::{StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::post,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use self::{
    book::{Book, Booking, SlotKey, Status, UserInformation, WantedSlot},
    journal::{Journal, Record},
};
use crate::{
    patient::{Patient, Place, secret},
    servers::Held,
};

const USER: &str = "slotproof";
/// `lost_ack`: how often its buffer is emptied, and how many bookings fit into it.
const FLUSH_EVERY: Duration = Duration::from_millis(100);
const BUFFER: usize = 8;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The bug that it has
    #[arg(long, value_name = "NAME")]
    broken: Option<Broken>,
    /// The journal, which is read at the start [default: a new one, deleted at the end]
    #[arg(long, value_name = "FILE")]
    journal: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "snake_case")]
enum Broken {
    /// Answers before the list and the journal have the booking, and drops some when its buffer is
    /// full: acknowledged bookings are missing (I3). As in alf.io#1421, where tickets that were
    /// paid were never registered.
    LostAck,
    /// Takes a slot that another request is busy with for a full one: refuses although seats are
    /// free (I8). As `skip locked` did in alf.io (PR 1389 and 1390).
    FalseFull,
}

struct App {
    book: Mutex<Book>,
    journal: Journal,
    broken: Option<Broken>,
    authorization: String,
}

impl App {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(crate) fn open(options: &Options, place: &Place<'_>) -> Result<Patient> {
    let file = options.journal.clone().unwrap_or_else(|| place.directory.join("journal"));
    let mut book = Book::default();
    let journal = Journal::open(&file, |record| book.replay(record))
        .with_context(|| format!("open the journal {}", file.display()))?;
    let password = secret();
    let login = STANDARD.encode(format!("{USER}:{password}"));
    let app = Arc::new(App {
        book: Mutex::new(book),
        journal,
        broken: options.broken,
        authorization: format!("Basic {login}"),
    });
    if options.broken == Some(Broken::LostAck) {
        tokio::spawn(flush_late(Arc::clone(&app)));
    }
    let variables = vec![("MAPS_URL", place.base.clone()), ("MAPS_PASSWORD", password)];
    let router = Router::new()
        .route("/admin/feed", post(feed))
        .route("/v3/CheckAvailability", post(check_availability))
        .route("/v3/BatchAvailabilityLookup", post(batch_availability_lookup))
        .route("/v3/CreateBooking", post(create_booking))
        .route("/v3/UpdateBooking", post(update_booking))
        .route("/v3/ListBookings", post(list_bookings))
        .route_layer(middleware::from_fn_with_state(Arc::clone(&app), authorize))
        .with_state(app);
    Ok(Patient { router, variables, held: Held::Nothing })
}

async fn authorize(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    match request.headers().get(header::AUTHORIZATION) {
        Some(value) if value.as_bytes() == app.authorization.as_bytes() => next.run(request).await,
        _ => StatusCode::UNAUTHORIZED.into_response(),
    }
}

#[derive(Deserialize)]
struct Feed {
    availability: Vec<FeedLine>,
}

#[derive(Deserialize)]
struct FeedLine {
    #[serde(flatten)]
    slot: SlotKey,
    spots_total: u32,
}

async fn feed(State(app): State<Arc<App>>, Json(feed): Json<Feed>) -> Response {
    let slots: Vec<_> = feed.availability.iter().map(|line| line.slot.clone()).collect();
    let written = {
        let mut book = app.book();
        for FeedLine { slot, spots_total } in feed.availability {
            book.feed(slot.clone(), spots_total);
            drop(app.journal.write(&Record::Fed { slot, total: spots_total }));
        }
        app.journal.barrier()
    };
    match written.await {
        Ok(()) => Json(json!({ "slots": slots })).into_response(),
        Err(_) => unwritten(),
    }
}

#[derive(Deserialize)]
struct CheckAvailability {
    slot: WantedSlot,
}

async fn check_availability(
    State(app): State<Arc<App>>,
    Json(request): Json<CheckAvailability>,
) -> Response {
    let free = app.book().free(&request.slot.key);
    Json(json!({ "slot": request.slot, "count_available": free })).into_response()
}

#[derive(Deserialize)]
struct BatchAvailabilityLookup {
    service_id: String,
    slot_time: Vec<SlotTime>,
}

#[derive(Serialize, Deserialize)]
struct SlotTime {
    start_sec: i64,
}

/// The call that says only yes or no.
async fn batch_availability_lookup(
    State(app): State<Arc<App>>,
    Json(request): Json<BatchAvailabilityLookup>,
) -> Response {
    let book = app.book();
    let answers = request.slot_time.iter().map(|time| {
        let key = SlotKey { service_id: request.service_id.clone(), start_sec: time.start_sec };
        json!({ "slot_time": time, "available": book.free(&key) > 0 })
    });
    Json(json!({ "slot_time_availability": answers.collect::<Vec<_>>() })).into_response()
}

#[derive(Deserialize)]
struct CreateBooking {
    slot: WantedSlot,
    user_information: UserInformation,
    idempotency_token: String,
}

async fn create_booking(
    State(app): State<Arc<App>>,
    Json(request): Json<CreateBooking>,
) -> Response {
    let key = request.slot.key.clone();
    let _turn = if app.broken == Some(Broken::FalseFull) {
        let busy = app.book().slots.get(&key).map(|spots| Arc::clone(&spots.busy));
        match busy.map(tokio::sync::Mutex::try_lock_owned) {
            Some(Ok(turn)) => Some(turn),
            Some(Err(_)) | None => return slot_unavailable(),
        }
    } else {
        None
    };
    let (booking, written) = {
        let mut book = app.book();
        let kept = book.by_token.get(&request.idempotency_token);
        let kept = kept.and_then(|id| book.bookings.get(id));
        let there = kept.or_else(|| book.answered.get(&request.idempotency_token));
        if let Some(there) = there.cloned() {
            // It may be on its way to the disk for the request that made it.
            (there, app.journal.barrier())
        } else {
            let party = request.slot.resources.party_size;
            if party == 0 || book.free(&key) < party {
                return slot_unavailable();
            }
            book.slots.get_mut(&key).expect("a slot with free seats is there").taken += party;
            let booking = Booking {
                booking_id: secret(),
                slot: request.slot,
                user_information: request.user_information,
                status: Status::Confirmed,
                idempotency_token: request.idempotency_token,
            };
            if app.broken == Some(Broken::LostAck) {
                if book.buffer.len() < BUFFER {
                    book.buffer.push(booking.clone());
                }
                book.answered.insert(booking.idempotency_token.clone(), booking.clone());
                return Json(json!({ "booking": booking })).into_response();
            }
            book.keep(booking.clone());
            let token = booking.idempotency_token.clone();
            (booking.clone(), app.journal.write(&Record::Booked { booking, token }))
        }
    };
    match written.await {
        Ok(()) => Json(json!({ "booking": booking })).into_response(),
        Err(_) => unwritten(),
    }
}

/// `lost_ack`: what was answered gets into the book some time later.
async fn flush_late(app: Arc<App>) {
    let mut tick = tokio::time::interval(FLUSH_EVERY);
    loop {
        tick.tick().await;
        let mut book = app.book();
        for booking in std::mem::take(&mut book.buffer) {
            let token = booking.idempotency_token.clone();
            drop(app.journal.write(&Record::Booked { booking: booking.clone(), token }));
            book.keep(booking);
        }
    }
}

#[derive(Deserialize)]
struct UpdateBooking {
    booking: Update,
}

#[derive(Deserialize)]
struct Update {
    booking_id: String,
    status: Status,
}

async fn update_booking(
    State(app): State<Arc<App>>,
    Json(UpdateBooking { booking: update }): Json<UpdateBooking>,
) -> Response {
    let (booking, written) = {
        let mut book = app.book();
        let Some(before) = book.bookings.get(&update.booking_id).map(|booking| booking.status)
        else {
            return StatusCode::NOT_FOUND.into_response();
        };
        let written = match (before, update.status) {
            (Status::Confirmed, Status::Canceled) => {
                book.cancel(&update.booking_id);
                let booking_id = update.booking_id.clone();
                app.journal.write(&Record::Canceled { booking_id })
            }
            // Cancelled again: it is what was asked for.
            (before, after) if before == after => app.journal.barrier(),
            _ => return StatusCode::BAD_REQUEST.into_response(),
        };
        (book.bookings[&update.booking_id].clone(), written)
    };
    match written.await {
        Ok(()) => Json(json!({ "booking": booking })).into_response(),
        Err(_) => unwritten(),
    }
}

#[derive(Deserialize)]
struct ListBookings {
    user_id: String,
}

async fn list_bookings(State(app): State<Arc<App>>, Json(request): Json<ListBookings>) -> Response {
    let book = app.book();
    let ids = book.by_user.get(&request.user_id).map(Vec::as_slice).unwrap_or_default();
    let bookings: Vec<_> = ids.iter().map(|id| &book.bookings[id]).collect();
    Json(json!({ "bookings": bookings })).into_response()
}

fn slot_unavailable() -> Response {
    failure("SLOT_UNAVAILABLE")
}

fn failure(cause: &str) -> Response {
    Json(json!({ "booking_failure": { "cause": cause } })).into_response()
}

/// It is in the book and may not be on disk: the client cannot know.
fn unwritten() -> Response {
    let body: Value = json!({ "error": { "status": "INTERNAL" } });
    (StatusCode::INTERNAL_SERVER_ERROR, Json(body)).into_response()
}
