//! `conditional` through a pooler that gives a connection of the database away after each
//! transaction; `src/pooled.rs` says what that takes. What was not written is looked up in the
//! database itself, as for every page.

use std::sync::Arc;

use async_trait::async_trait;
use slotproof_vocabulary::StrategyKind;

use super::statement::reservation;
use crate::{
    connections::Connections,
    pooled::Pooled,
    reserve::{
        Reservation, ReserveCommand, ReserveError, Reserved, Strategy, booked, look,
        nothing_written, retrying,
    },
    unnamed::Unnamed,
};

pub(crate) struct PooledConditional {
    pub(crate) pooled: Arc<Pooled>,
    pub(crate) pool: Connections,
    /// Tries before a client is told `retry_later`.
    pub(crate) tries: u32,
}

#[async_trait]
impl Strategy for PooledConditional {
    async fn reserve(&self, command: &ReserveCommand) -> Result<Reserved, ReserveError> {
        retrying(StrategyKind::Conditional, self.tries, || async {
            match self.write(command).await.or_else(nothing_written)? {
                Some(reservation) => Ok(Some(Reserved::Booked(booked(command, reservation)))),
                None => {
                    let mut connection = self.pool.acquire().await?;
                    look(&mut connection, command).await
                }
            }
        })
        .await
    }
}

impl PooledConditional {
    async fn write(&self, command: &ReserveCommand) -> Result<Option<Reservation>, sqlx::Error> {
        let mut transaction = self.pooled.begin().await?;
        let reservation = reservation!(
            query(command)
            set "available_seats = available_seats - $4, version = version + 1"
            where "doctor_id = $1 and slot_month = $2 and slot_id = $3 and available_seats >= $4"
        )
        .fetch_optional(Unnamed(&mut transaction))
        .await?;
        transaction.commit().await?;
        Ok(reservation)
    }
}
