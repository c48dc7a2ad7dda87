//! One transaction for a batch: who gets seats, and what each is told.

use std::collections::{HashMap, HashSet};

use slotproof_vocabulary::SlotId;
use sqlx::{Connection, PgConnection};
use time::{Date, OffsetDateTime};

use super::Page;
use crate::reserve::{Receipt, ReserveCommand, Reserved, replay};

/// A slot's row: as it was locked, and then as the batch leaves it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::strategies) struct LockedSlot {
    pub(in crate::strategies) version: i64,
    pub(in crate::strategies) available_seats: i32,
}

/// The slots of a batch that exist.
pub(in crate::strategies) type LockedSlots = HashMap<SlotId, LockedSlot>;

/// A request that gets seats, and its slot right after it.
pub(in crate::strategies) struct Granted<'a> {
    pub(in crate::strategies) command: &'a ReserveCommand,
    pub(in crate::strategies) slot: LockedSlot,
}

/// Whether receipts are read before seats are granted. Duplicates are rare: the first try does not
/// look for them, and one that is there makes the transaction fail by the receipts' unique key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Duplicates {
    NotExpected,
    LookedFor,
}

/// What a receipt is found by: its primary key.
type Key<'a> = (i32, Date, &'a str);

fn key(command: &ReserveCommand) -> Key<'_> {
    (command.doctor_id(), command.slot_month(), command.key.as_str())
}

/// One transaction for all of them; an answer for each.
pub(super) async fn transact(
    page: &dyn Page,
    connection: &mut PgConnection,
    commands: &[&ReserveCommand],
    duplicates: Duplicates,
) -> Result<Vec<Reserved>, sqlx::Error> {
    let mut transaction = connection.begin().await?;
    let mut slots = page.lock(&mut transaction, commands).await?;
    // Read after the locks, in a snapshot of its own: receipts for these slots are written under
    // them.
    let mut receipts = match duplicates {
        Duplicates::NotExpected => HashMap::new(),
        Duplicates::LookedFor => receipts(&mut transaction, commands).await?,
    };
    let granted = grant(commands, &mut slots, &receipts);
    if duplicates == Duplicates::NotExpected {
        // A request that is about to get sold_out may have seats from an earlier try.
        let keys: HashSet<Key<'_>> = granted.iter().map(|granted| key(granted.command)).collect();
        let denied: Vec<&ReserveCommand> =
            commands.iter().copied().filter(|command| !keys.contains(&key(command))).collect();
        receipts = self::receipts(&mut transaction, &denied).await?;
    }
    if granted.is_empty() {
        transaction.rollback().await?;
    } else {
        let expires_at = page.write(&mut transaction, &granted, &slots).await?;
        transaction.commit().await?;
        let new =
            granted.iter().map(|granted| (key(granted.command), receipt(granted, expires_at)));
        receipts.extend(new);
    }
    commands.iter().map(|command| answer(command, &slots, &receipts)).collect()
}

/// Grants seats in order of arrival. Of requests with one key it grants seats to one.
fn grant<'a>(
    commands: &[&'a ReserveCommand],
    slots: &mut LockedSlots,
    receipts: &HashMap<Key<'_>, Receipt>,
) -> Vec<Granted<'a>> {
    let mut keys = HashSet::new();
    let mut granted = Vec::new();
    for command in commands {
        let Some(slot) = slots.get_mut(&command.slot) else { continue };
        if command.seats <= slot.available_seats
            && !receipts.contains_key(&key(command))
            && keys.insert(key(command))
        {
            slot.version += 1;
            slot.available_seats -= command.seats;
            granted.push(Granted { command, slot: *slot });
        }
    }
    granted
}

fn receipt(granted: &Granted<'_>, expires_at: OffsetDateTime) -> Receipt {
    let Granted { command, slot } = granted;
    Receipt {
        slot: command.slot.as_uuid(),
        seats: command.seats,
        booking: command.booking.as_uuid(),
        expires_at: Some(expires_at),
        hold_ms: Some(command.hold_ms),
        slot_version: slot.version,
        available_seats: slot.available_seats,
        refused: None,
    }
}

fn answer(
    command: &ReserveCommand,
    slots: &LockedSlots,
    receipts: &HashMap<Key<'_>, Receipt>,
) -> Result<Reserved, sqlx::Error> {
    let Some(slot) = slots.get(&command.slot) else { return Ok(Reserved::NoSlot) };
    match receipts.get(&key(command)) {
        Some(receipt) => replay(command, receipt.clone()),
        // A request that was passed over wanted more than was left then, and no seats have come
        // back since: it wants more than is left now.
        None => Ok(Reserved::SoldOut {
            slot_version: slot.version,
            available_seats: slot.available_seats,
        }),
    }
}

async fn receipts<'a>(
    connection: &mut PgConnection,
    commands: &[&'a ReserveCommand],
) -> Result<HashMap<Key<'a>, Receipt>, sqlx::Error> {
    if commands.is_empty() {
        return Ok(HashMap::new());
    }
    let doctors: Vec<i32> = commands.iter().map(|command| command.doctor_id()).collect();
    let months: Vec<Date> = commands.iter().map(|command| command.slot_month()).collect();
    let keys: Vec<String> =
        commands.iter().map(|command| command.key.as_str().to_owned()).collect();
    let rows = sqlx::query!(
        r#"
        select wanted.number as "number!", receipt.slot_id, receipt.seats, receipt.booking_id, receipt.expires_at,
            receipt.hold_ms, receipt.slot_version, receipt.available_seats, receipt.refused
        from unnest($1::integer[], $2::date[], $3::text[]) with ordinality
            as wanted (doctor_id, slot_month, idempotency_key, number)
        cross join lateral (
            select * from idempotency_keys
            where doctor_id = wanted.doctor_id and slot_month = wanted.slot_month
                and idempotency_key = wanted.idempotency_key
            limit 1
        ) receipt
        "#,
        &doctors,
        &months,
        &keys,
    )
    .fetch_all(connection)
    .await?;
    // PostgreSQL counts from 1.
    Ok(rows
        .into_iter()
        .filter_map(|row| {
            let place = usize::try_from(row.number - 1).ok()?;
            let receipt = Receipt {
                slot: row.slot_id,
                seats: row.seats,
                booking: row.booking_id,
                expires_at: row.expires_at,
                hold_ms: row.hold_ms,
                slot_version: row.slot_version,
                available_seats: row.available_seats,
                refused: row.refused,
            };
            Some((key(commands.get(place)?), receipt))
        })
        .collect())
}
