//! The director's acts: what is sent and ordered, so that one thing of the schedule happens.

use std::{collections::HashMap, sync::Arc};

use anyhow::{Error, Result};
use bytes::Bytes;
use http::Request;
use slotproof_evidence::reference::observation;
use slotproof_models::{CallId, ModelEvent};
use slotproof_scenarios::target::{OperationKind, Place, Scope, Session};
use slotproof_target_service::pausing::{CALL_HEADER, HOLD_HEADER, Order};
use uuid::Uuid;

use super::{At, Director, Heard, Work, process_of};

/// The hold whose time runs out first lasts so long, the next one four times that, and so on: they
/// run out in the order of the schedule, whenever they were written.
const HOLD_FIRST_MS: u64 = 60_000;
/// Holds that do not run out last longer than all that do.
const HOLDS_MAX: u32 = 6;

impl Director<'_> {
    pub(super) async fn perform(
        &mut self,
        what: &ModelEvent,
        stood: &HashMap<CallId, &'static str>,
        differences: &mut Vec<String>,
    ) -> Result<()> {
        match what {
            // The model has begun the call, so it is due to be sent.
            ModelEvent::Send { client, path } => {
                self.send(CallId { client: client - 1, call: 0 }, *path)?;
            }
            ModelEvent::Call { call, .. } => {
                let Some(At::Parked(step)) = self.work.get(&Work::Call(*call)) else {
                    differences.push(format!("{call} is not under way, and in its model it is"));
                    return Ok(());
                };
                if let Some(point) = stood.get(call).filter(|point| *point != step) {
                    differences.push(format!(
                        "{call} stands before `{step}`, in the model before `{point}`"
                    ));
                }
                self.work.insert(Work::Call(*call), At::Going);
                self.rig.order(process_of(*call), Order::Go(self.full_name(Work::Call(*call))));
            }
            ModelEvent::Crash { call } => {
                let name = self.full_name(Work::Call(*call));
                self.rig.order(process_of(*call), Order::Crash(name.clone()));
                self.work.insert(Work::Call(*call), At::Over);
                observation::cut(&self.rig.database, &name).await?;
            }
            ModelEvent::Confirm { client } => self.ask(Work::Confirm(client - 1))?,
            ModelEvent::Cancel { client } => self.ask(Work::Cancel(client - 1))?,
            ModelEvent::RunOut { booking } => {
                if let Some(id) = self.id_of(*booking) {
                    self.move_time(Some(id)).await?;
                }
            }
            ModelEvent::Expire { booking } => {
                if let Some(id) = self.id_of(*booking) {
                    self.sweep(*booking, id);
                }
            }
            ModelEvent::LockExpires => self.drop_redis_lock().await?,
            // Its call goes on without it; the retry is due.
            ModelEvent::TimeOut { .. } => {}
            ModelEvent::Poll { .. }
            | ModelEvent::ReadSlot
            | ModelEvent::Flush
            | ModelEvent::CrashDatabase => {
                differences.push(format!("this step cannot be replayed: {what:?}"));
            }
        }
        Ok(())
    }

    /// Sends the calls that the model has begun: the retries of clients that heard nothing.
    pub(super) fn send_what_is_due(&mut self) -> Result<bool> {
        let mut sent = false;
        for client in 0..u8::try_from(self.clients.len()).expect("few clients") {
            let retry = CallId { client, call: 1 };
            if self.walk.point(retry).is_some() && !self.work.contains_key(&Work::Call(retry)) {
                self.send(retry, self.clients[usize::from(client)].path)?;
                sent = true;
            }
        }
        Ok(sent)
    }

    fn send(&mut self, call: CallId, path: u8) -> Result<()> {
        let now = self.clock.now_ns();
        let client = &mut self.clients[usize::from(call.client)];
        client.latest = Some((call.call, client.latest.map_or(now, |(_, first)| first)));
        client.path = path;
        let (slot, key) = (self.slot.to_string(), self.key(call.client));
        let seats = u32::try_from(self.walk.seats()).expect("a few seats");
        let (place, session) = (Place::of_id(&slot).names(), Session::default());
        let process = process_of(call);
        let of_slot = Scope::of(self.rig.target(process), &place, &session);
        let scope = Scope { seats, key: &key, ..of_slot };
        let reserve = self.rig.target.first_request(OperationKind::Reserve, scope);
        let mut request = reserve.map_err(Error::msg)?;
        if path > 1 {
            let body = serde_json::json!({ "seats": seats, "urgent": true });
            *request.body_mut() = body.to_string().into();
        }
        request.headers_mut().insert(HOLD_HEADER, self.hold_ms(call).into());
        self.request(Work::Call(call), OperationKind::Reserve, request);
        Ok(())
    }

    /// A client confirms or cancels the booking that it was told of.
    fn ask(&mut self, work: Work) -> Result<()> {
        let (Work::Confirm(client) | Work::Cancel(client)) = work else { return Ok(()) };
        let number = usize::from(client);
        let Some(booking) = self.clients[number].booking.clone() else { return Ok(()) };
        self.clients[number].asked_ns = self.clock.now_ns();
        let operation = match work {
            Work::Confirm(_) => OperationKind::Confirm,
            _ => OperationKind::Cancel,
        };
        let (place, session) = (Place::of_id(&self.slot.to_string()).names(), Session::default());
        let of_slot = Scope::of(self.rig.target(0), &place, &session);
        let scope = Scope { booking: Some(&booking), ..of_slot };
        let request = self.rig.target.first_request(operation, scope).map_err(Error::msg)?;
        self.request(work, operation, request);
        Ok(())
    }

    /// Sends a request under its name. Its answer is heard whenever it comes.
    fn request(&mut self, work: Work, operation: OperationKind, mut request: Request<Bytes>) {
        self.work.insert(work, At::Going);
        let name = self.full_name(work).parse().expect("a name of ours can be a header");
        request.headers_mut().insert(CALL_HEADER, name);
        let answers = self.answers.0.clone();
        let (http, target) = (self.rig.http.clone(), Arc::clone(&self.rig.target));
        let clock = self.clock.clone();
        tokio::spawn(async move {
            let answer = target.send_first(&http, operation, request).await;
            let _ = answers.send(Heard { work, answer, returned_ns: clock.now_ns() });
        });
    }

    pub(super) fn sweep(&mut self, booking: CallId, id: Uuid) {
        let work = Work::Sweep(booking);
        self.work.insert(work, At::Going);
        if let Ok(booking) = id.try_into() {
            self.rig.order(0, Order::Sweep { call: self.full_name(work), booking });
        }
    }

    fn id_of(&self, booking: CallId) -> Option<Uuid> {
        self.bookings.iter().find(|(_, call)| **call == booking).map(|(id, _)| *id)
    }

    pub(super) fn key(&self, client: u8) -> String {
        format!("{}-{}-{}", self.case, self.slot, client + 1)
    }

    fn hold_ms(&self, call: CallId) -> u64 {
        let place = self.run_outs.iter().position(|booking| *booking == call);
        let place = place.and_then(|place| u32::try_from(place).ok()).unwrap_or(HOLDS_MAX);
        HOLD_FIRST_MS * 4_u64.pow(place.min(HOLDS_MAX))
    }

    /// Moves the time ahead, the service's and the history's, until this hold has just run out, or
    /// every hold. The ends of the holds are moved instead of the clock, all by the same time.
    pub(super) async fn move_time(&mut self, until: Option<Uuid>) -> Result<()> {
        let by = observation::advance(&self.rig.database, self.slot, until).await?;
        self.clock.advance(by);
        Ok(())
    }

    pub(super) async fn drop_redis_lock(&mut self) -> Result<()> {
        if let Some(mut redis) = self.rig.redis.clone() {
            let _: i64 =
                redis::cmd("DEL").arg(&self.lock_keys()[..]).query_async(&mut redis).await?;
        }
        Ok(())
    }

    /// The lock of `redis_lock`, and that of its negative controls.
    pub(super) fn lock_keys(&self) -> [String; 2] {
        [format!("lock:{{{}}}", self.slot), format!("lock:slot:{}", self.slot)]
    }
}
