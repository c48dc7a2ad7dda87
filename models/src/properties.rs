//! What must hold in every state, and what some state must show so that the rest means something.

use stateright::Property;

use crate::{
    call::Progress,
    page::Page,
    protocol::Protocol,
    world::{ClientState, Phase, World},
};

/// Every property that a strategy is judged by. Those that are an invariant of the checker have its
/// name.
pub(crate) fn properties(page: &Page) -> Vec<Property<Protocol>> {
    let mut properties = vec![
        Property::always("every change allowed by the spec", |_, world| changes_are_steps(world)),
        Property::always(NO_OVERBOOKING, |_, world| taken_at_most_capacity(world)),
        Property::always("no overbooking observed", |_, world| promised_at_most_capacity(world)),
        Property::always("no lost booking", |_, world| acknowledged_are_kept(world)),
        Property::always("one effect per key", |_, world| keys_have_one_effect(world)),
        Property::always("lawful lifecycle", |_, world| bookings_live_once(world)),
        Property::always("seats conserved", |_, world| seats_are_conserved(world)),
        Property::always("honest sold-out", |_, world| sold_out_was_true(world)),
        Property::always("every change in the audit log", |_, world| log_is_complete(world)),
        Property::always("only committed bookings announced", |_, world| {
            announced_is_committed(world)
        }),
        Property::always("reads current", |_, world| reads_were_current(world)),
        Property::always("nothing leaked", |_, world| quiet_holds_nothing(world)),
        Property::always("no deadlock", |_, world| some_call_can_go_on(world)),
        Property::sometimes("sold out reached", |_, world| some_client_got_sold_out(world)),
        Property::sometimes("seat resold", |_, world| seat_was_resold(world)),
        Property::sometimes("hold expired", |_, world| hold_expired(world)),
        Property::sometimes("retry answered by its receipt", |_, world| {
            retry_got_the_receipt(world)
        }),
    ];
    if page.polls {
        properties.push(Property::sometimes("message redelivered", |_, world| {
            some_message_came_again(world)
        }));
    }
    if page.fences {
        properties.push(Property::sometimes(FENCED_OFF, |_, world| some_call_fenced_off(world)));
    }
    properties
}

/// I2, which matters most.
pub(crate) const NO_OVERBOOKING: &str = "no overbooking stored";
/// The property that shows a fencing token at work.
pub(crate) const FENCED_OFF: &str = "stale holder fenced off";

/// Each change that was committed was possible by the checker's own spec, and changed what it says.
fn changes_are_steps(world: &World) -> bool {
    world.database.lawful
}

/// I2: counted from the rows.
fn taken_at_most_capacity(world: &World) -> bool {
    world.database.taken() <= world.database.slot.capacity
}

/// I1: counted from answers alone. A hold counts until its time runs out, which its client knows
/// without asking.
fn promised_at_most_capacity(world: &World) -> bool {
    let in_time = |booking| world.database.booking(booking).is_none_or(|row| !row.overdue);
    let promised = world.clients.iter().filter(|client| match client.phase {
        Phase::Holding { booking, .. } => in_time(booking),
        Phase::Confirmed { .. } => true,
        _ => false,
    });
    world.page.seats * i32::try_from(promised.count()).expect("few clients")
        <= world.database.slot.capacity
}

/// I3: a booking that a client got `ok` for exists, and only its own cancel or the end of its time
/// has ended it.
fn acknowledged_are_kept(world: &World) -> bool {
    world.clients.iter().all(|client| match client.phase {
        Phase::Holding { booking, .. } => world
            .database
            .booking(booking)
            .is_some_and(|row| row.overdue || row.status.takes_seats()),
        Phase::Confirmed { booking } => {
            world.database.booking(booking).is_some_and(|row| row.status.takes_seats())
        }
        _ => true,
    })
}

/// I5: each client has one key.
fn keys_have_one_effect(world: &World) -> bool {
    (0..world.clients.len()).all(|client| world.database.bookings_of(client).count() <= 1)
}

/// I6: by the audit rows of each booking.
fn bookings_live_once(world: &World) -> bool {
    world.database.bookings().all(|(_, row)| row.lives_once())
}

/// I7: in every committed state, which is more than when nothing is in flight.
fn seats_are_conserved(world: &World) -> bool {
    world.database.slot.available + world.database.taken() == world.database.slot.capacity
}

/// I8: the slot was full at some instant of the call, in the version that the answer names.
fn sold_out_was_true(world: &World) -> bool {
    world.clients.iter().all(|client| client.phase != Phase::SoldOut { honest: false })
}

/// I13: the log has a record of each change, or a call is under way that may yet write it.
fn log_is_complete(world: &World) -> bool {
    world.database.unlogged == 0 || world.calls().next().is_some()
}

/// I14: what was announced is committed.
fn announced_is_committed(world: &World) -> bool {
    world.database.announced_calls().all(|call| world.database.booking(call).is_some())
}

/// I9: each read was of the slot as it was.
fn reads_were_current(world: &World) -> bool {
    world.database.reads_current
}

/// I11, and liveness in the states in which nothing is in flight: no lock has outlived its holder,
/// and no client waits for an answer that will not come.
fn quiet_holds_nothing(world: &World) -> bool {
    let waits_in_vain = |(client, state): (u8, &ClientState)| {
        matches!(state.phase, Phase::Waiting { .. }) && world.database.decision(client).is_none()
    };
    world.calls().next().is_some()
        || (world.database.holds_no_lock() && !(0..).zip(&world.clients).any(waits_in_vain))
}

/// Of the calls in flight, one does not wait for the others.
fn some_call_can_go_on(world: &World) -> bool {
    // A lock in Redis that is not released expires by itself.
    if world.database.redis.owner.is_some() {
        return true;
    }
    let mut calls = world.calls().peekable();
    calls.peek().is_none()
        || calls
            .any(|(id, at)| at.step(world.page, id, &mut world.database.clone()) != Progress::Waits)
}

/// The slot is full, and there was a booking before those that fill it.
fn seat_was_resold(world: &World) -> bool {
    world.database.is_full() && world.database.bookings().any(|(_, row)| !row.status.takes_seats())
}

fn some_client_got_sold_out(world: &World) -> bool {
    world.clients.iter().any(|client| matches!(client.phase, Phase::SoldOut { .. }))
}

fn hold_expired(world: &World) -> bool {
    world.database.bookings().any(|(_, row)| row.expired > 0)
}

/// A call whose lock had expired would have written, based on what it read before.
fn some_call_fenced_off(world: &World) -> bool {
    world.calls().any(|(_, at)| at.was_fenced_off())
}

/// A message was delivered, and its worker crashed before it acknowledged it.
fn some_message_came_again(world: &World) -> bool {
    world.calls().any(|(_, at)| at.after_crash() == Some(at))
}

/// The answer to the first call was lost, and the retry got the booking that it had written.
fn retry_got_the_receipt(world: &World) -> bool {
    world.clients.iter().any(|client| match client.phase {
        Phase::Holding { booking, answered_by } => booking.call != answered_by,
        _ => false,
    })
}
