//! After the load: let the service settle, try to buy what is left, and read what the database
//! kept.

use std::{
    fs::{self, File},
    io,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use slotproof_scenarios::{
    Board, Client, Patience, Site, clock,
    recorder::{Outputs, Writer},
};
use slotproof_vocabulary::{
    Announced, AuditRecord, BookingRow, EndState, LoadTotals, Notice, Plan, SlotRow, StatusCount,
    plan::Sockets,
};
use sqlx::{Connection, PgConnection, Row, postgres::PgRow};
use uuid::Uuid;

use crate::run_directory::{LoadEnd, RunDirectory};

/// How much longer than a hold the service may need to give its seats back, before they count as
/// leaked.
const SWEEP_WITHIN: Duration = Duration::from_secs(10);
/// Events are announced within a second or two; after a broker was down, within its reconnect.
const ANNOUNCE_WITHIN: Duration = Duration::from_secs(40);
/// After so long without a sign an event is lost: longer than any relay or consumer sleeps, ...
const ANNOUNCE_SILENCE: Duration = Duration::from_secs(6);
/// ... and, where the broker or the database was away, longer than any connection takes to be made
/// again.
const ANNOUNCE_SILENCE_AFTER_FAULTS: Duration = Duration::from_secs(20);
/// A hold that ran out so long ago will not be swept any more: sweepers sleep for less than a
/// second.
const LEAKED_AFTER: Duration = Duration::from_secs(5);
/// A broker that was restarted is found again within seconds.
const READY_WITHIN: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(100);
/// Slots that are probed: enough to find a rule that fails, few enough to be quick.
const PROBES_MAX: usize = 100;

/// Why the end of a run could not be collected.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CollectionError {
    #[error("failed to read the database after the load: {0}")]
    Database(#[from] sqlx::Error),
    #[error("failed to read the database after the load: {0}")]
    Value(String),
    #[error("failed to probe the settled service: {0}")]
    Probe(#[from] reqwest::Error),
    #[error("failed to write the run: {0}")]
    Files(#[from] io::Error),
    #[error("failed to write the run: {0:#}")]
    Run(anyhow::Error),
}

/// What the stack has been through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Past {
    Quiet,
    Faults,
    /// Somebody has swept it: what is left will not come by itself.
    Swept,
}

/// Where the run can be asked about.
pub(crate) struct Place<'a> {
    pub(crate) database_url: &'a str,
    /// Whether the service announces what it commits.
    pub(crate) announces: bool,
    /// Whether processes or servers were paused, killed or restarted meanwhile.
    pub(crate) past: Past,
    pub(crate) targets: &'a [String],
    pub(crate) slots: &'a [String],
}

/// Settles, probes, and writes `audit.jsonl`, `end_state.json` and `load.json`.
pub(crate) async fn collect(
    place: &Place<'_>,
    plan: &Plan,
    mut load: LoadTotals,
    run: &RunDirectory,
) -> Result<(), CollectionError> {
    let mut database = PgConnection::connect(place.database_url).await?;
    let slots: Vec<Uuid> =
        place.slots.iter().filter_map(|slot| Uuid::try_parse(slot).ok()).collect();
    ready(place.targets).await;
    settle(&mut database, &slots, plan.hold.0, place.past).await?;

    let prober = u64::from(plan.clients());
    load.operations += probe(place, plan, prober, run).await?;
    settle(&mut database, &slots, plan.hold.0, place.past).await?;

    let (audit, end) = if place.announces {
        announced(&mut database, &slots, place.past).await?
    } else {
        read(&mut database, &slots, Announcements::Left).await?
    };
    run.write_audit(&audit).map_err(CollectionError::Run)?;
    run.write_json("end_state.json", &end).map_err(CollectionError::Run)?;
    run.write_json("load.json", &LoadEnd { load, prober, audit_records: audit.len() as u64 })
        .map_err(CollectionError::Run)
}

/// Waits until every replica says that it can take requests again, which one whose broker went away
/// cannot. One that never does shows as a probe that is not answered.
async fn ready(targets: &[String]) {
    let deadline = Instant::now() + READY_WITHIN;
    for target in targets {
        let url = format!("{target}/readyz");
        while !reqwest::get(&url).await.is_ok_and(|answer| answer.status().is_success())
            && Instant::now() < deadline
        {
            tokio::time::sleep(POLL).await;
        }
    }
}

/// Waits until no hold is left, or until those that are have had their time and more: the checker
/// judges what is then there.
async fn settle(
    database: &mut PgConnection,
    slots: &[Uuid],
    hold: Duration,
    past: Past,
) -> Result<(), sqlx::Error> {
    let deadline = Instant::now() + hold + SWEEP_WITHIN;
    let leaked_after = match past {
        Past::Quiet => LEAKED_AFTER,
        Past::Faults => SWEEP_WITHIN,
        Past::Swept => Duration::ZERO,
    };
    loop {
        // Runtime queries: the harness reads a database, it does not share the service's
        // compile-time schema.
        let still_to_come: i64 = sqlx::query_scalar(
            "
            select count(*) from bookings
            where status = 'pending' and slot_id = any($1)
                and (expires_at is null or expires_at > clock_timestamp() - make_interval(secs => $2))
            ",
        )
        .bind(slots)
        .bind(leaked_after.as_secs_f64())
        .fetch_one(&mut *database)
        .await?;
        if still_to_come == 0 || Instant::now() >= deadline {
            return Ok(());
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Reads again and again until every change has been announced and applied. What is missing when
/// nothing has waited in the outbox, and nothing has been applied, for a long time will not come
/// any more.
async fn announced(
    database: &mut PgConnection,
    slots: &[Uuid],
    past: Past,
) -> Result<(Vec<AuditRecord>, EndState), CollectionError> {
    let silence = match past {
        Past::Quiet | Past::Swept => ANNOUNCE_SILENCE,
        Past::Faults => ANNOUNCE_SILENCE_AFTER_FAULTS,
    };
    let begun = Instant::now();
    let mut unchanged = (i64::MAX, Instant::now());
    loop {
        let (in_outbox, missing) = waiting(database, slots).await?;
        if (missing, in_outbox) != (unchanged.0, 0) {
            unchanged = (missing, Instant::now());
        }
        let lost = missing > 0 && unchanged.1.elapsed() >= silence;
        if missing == 0 || lost || begun.elapsed() >= ANNOUNCE_WITHIN {
            let (audit, end) = read(database, slots, Announcements::Made { lost }).await?;
            // A change that was committed meanwhile has yet to be announced.
            let late = end.announced.as_ref().is_some_and(|announced| announced.waiting > 0);
            if !late || begun.elapsed() >= ANNOUNCE_WITHIN {
                return Ok((audit, end));
            }
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Changes in the outbox, and changes that some consumer has not applied.
async fn waiting(database: &mut PgConnection, slots: &[Uuid]) -> Result<(i64, i64), sqlx::Error> {
    sqlx::query_as(
        "
        select (select count(*) from outbox where slot_id = any($1)),
            (select count(*) from booking_audit where slot_id = any($1)) * 2
                - (select count(*) from applied_events
                    join booking_audit using (doctor_id, slot_month, slot_id, slot_version) where slot_id = any($1))
        ",
    )
    .bind(slots)
    .fetch_one(database)
    .await
}

/// Whether events are there to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Announcements {
    Left,
    /// `lost`: what is missing will not come any more.
    Made {
        lost: bool,
    },
}

/// What consumers made of the events of these slots, whose doctor is nobody else's.
async fn applied(
    database: &mut PgConnection,
    slots: &[Uuid],
    lost: bool,
) -> Result<Announced, CollectionError> {
    let (_, missing) = waiting(database, slots).await?;
    let notices = sqlx::query(
        "
        select slot_id, slot_version, booking_id, status from notifications
        where slot_id = any($1) order by slot_id, slot_version, notification_id
        ",
    )
    .bind(slots)
    .fetch_all(&mut *database)
    .await?;
    let counts = sqlx::query(
        "
        select status, sum(changes)::bigint as changes, sum(seats)::bigint as seats from analytics
        where doctor_id in (select doctor_id from appointment_slots where slot_id = any($1))
        group by status order by status
        ",
    )
    .bind(slots)
    .fetch_all(&mut *database)
    .await?;
    let notice = |row: &PgRow| {
        Ok::<_, CollectionError>(Notice {
            slot: id(row, "slot_id")?,
            version: row.try_get("slot_version")?,
            booking: id(row, "booking_id")?,
            status: parse(row.try_get("status")?)?,
        })
    };
    let count = |row: &PgRow| {
        Ok::<_, CollectionError>(StatusCount {
            status: parse(row.try_get("status")?)?,
            changes: row.try_get("changes")?,
            seats: row.try_get("seats")?,
        })
    };
    Ok(Announced {
        waiting: if lost { 0 } else { missing.max(0).cast_unsigned() },
        notices: notices.iter().map(notice).collect::<Result<_, _>>()?,
        counts: counts.iter().map(count).collect::<Result<_, _>>()?,
    })
}

/// Reads each slot, reserves a seat of it and gives it back, as one more client whose operations
/// join the history.
async fn probe(
    place: &Place<'_>,
    plan: &Plan,
    prober: u64,
    run: &RunDirectory,
) -> Result<u64, CollectionError> {
    let path = run.file("probe.jsonl.zst");
    let outputs = Outputs { history: Some(path.clone()), latency: None };
    let (writer, recorder) = Writer::create(outputs)?;
    let site = Arc::new(Site {
        targets: place.targets.to_vec(),
        slots: place.slots.iter().take(PROBES_MAX).map(|slot| slot.as_str().into()).collect(),
        run: format!("probe-{}", Uuid::new_v4().simple()),
        patience: Patience { timeout: plan.timeout.0, attempts: 1, resend: plan.resend.0 },
        board: Board::new(place.slots.len(), plan.capacity),
        sockets: Sockets::Shared,
    });
    let mut client = Client::new(Arc::clone(&site), site.connect()?, recorder, prober, prober + 1);
    for slot in 0..site.slots.len() {
        client.read(slot, clock::now_ns()).await;
        let told = client.reserve(slot, 1, clock::now_ns()).await;
        if let Some(mut held) = told.held {
            client.cancel(&mut held, clock::now_ns()).await;
        }
    }
    let probed = writer.finish().await?;
    append(&path, &run.history())?;
    Ok(probed)
}

/// A zstd file is a row of frames, so one can be put behind another.
fn append(part: &Path, whole: &Path) -> io::Result<()> {
    io::copy(&mut File::open(part)?, &mut File::options().append(true).open(whole)?)?;
    fs::remove_file(part)
}

/// Rows and log of one snapshot.
async fn read(
    database: &mut PgConnection,
    slots: &[Uuid],
    announcements: Announcements,
) -> Result<(Vec<AuditRecord>, EndState), CollectionError> {
    let mut snapshot =
        database.begin_with("begin isolation level repeatable read read only").await?;
    let audit = sqlx::query(
        "
        select slot_id, slot_version, booking_id, from_status, to_status, seats, available_seats
        from booking_audit where slot_id = any($1) order by slot_id, slot_version
        ",
    )
    .bind(slots)
    .fetch_all(&mut *snapshot)
    .await?;
    let rows = sqlx::query(
        "select slot_id, capacity, available_seats, version from appointment_slots where slot_id = any($1) order by slot_id",
    )
    .bind(slots)
    .fetch_all(&mut *snapshot)
    .await?;
    let bookings = sqlx::query(
        "
        select booking_id, slot_id, status, seats, idempotency_key,
            (extract(epoch from clock_timestamp() - expires_at) * 1000)::bigint as overdue_ms
        from bookings where slot_id = any($1) order by slot_id, created_at, booking_id
        ",
    )
    .bind(slots)
    .fetch_all(&mut *snapshot)
    .await?;
    let announced = match announcements {
        Announcements::Left => None,
        Announcements::Made { lost } => Some(applied(&mut snapshot, slots, lost).await?),
    };
    snapshot.rollback().await?;
    let end = EndState {
        slots: rows.iter().map(slot_row).collect::<Result<_, _>>()?,
        bookings: bookings.iter().map(booking_row).collect::<Result<_, _>>()?,
        announced,
    };
    Ok((audit.iter().map(audit_record).collect::<Result<_, _>>()?, end))
}

fn slot_row(row: &PgRow) -> Result<SlotRow, CollectionError> {
    Ok(SlotRow {
        slot: id(row, "slot_id")?,
        capacity: row.try_get::<i32, _>("capacity")?.into(),
        available: row.try_get::<i32, _>("available_seats")?.into(),
        version: row.try_get("version")?,
    })
}

fn booking_row(row: &PgRow) -> Result<BookingRow, CollectionError> {
    Ok(BookingRow {
        booking: id(row, "booking_id")?,
        slot: id(row, "slot_id")?,
        status: parse(row.try_get("status")?)?,
        seats: row.try_get::<i32, _>("seats")?.into(),
        key: row.try_get("idempotency_key")?,
        overdue_ms: row.try_get("overdue_ms")?,
    })
}

fn audit_record(row: &PgRow) -> Result<AuditRecord, CollectionError> {
    Ok(AuditRecord {
        slot: id(row, "slot_id")?,
        version: row.try_get("slot_version")?,
        booking: id(row, "booking_id")?,
        from: row.try_get::<Option<&str>, _>("from_status")?.map(parse).transpose()?,
        to: parse(row.try_get("to_status")?)?,
        seats: row.try_get::<i32, _>("seats")?.into(),
        available: row.try_get::<i32, _>("available_seats")?.into(),
    })
}

fn id(row: &PgRow, column: &str) -> Result<String, sqlx::Error> {
    row.try_get::<Uuid, _>(column).map(|id| id.to_string())
}

fn parse(status: &str) -> Result<slotproof_vocabulary::BookingStatus, CollectionError> {
    status.parse().map_err(CollectionError::Value)
}
