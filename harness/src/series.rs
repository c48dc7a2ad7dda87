//! A series: many trials on one set of servers, one after the other, each in a directory of its
//! own.

use anyhow::Result;
use slotproof_checker::Case;
use slotproof_reports::RunReport;
use sqlx::{Connection, PgConnection};

use crate::{
    environment::{self, Environment, EnvironmentSpec, guard::Guard},
    judging,
    run_directory::{Circumstances, RunDirectory},
    summary,
    terminal::Voice,
    trial::{self, TrialSpec},
};

/// Servers that outlive a trial.
pub(crate) struct Series<'a> {
    pub(crate) environment: Environment,
    /// The directory in which those of the trials are.
    pub(crate) parent: RunDirectory,
    guard: &'a Guard,
}

/// A trial that was judged.
pub(crate) struct Tried {
    pub(crate) case: Case,
    pub(crate) report: RunReport,
}

impl<'a> Series<'a> {
    /// Starts the servers.
    ///
    /// # Errors
    /// What keeps them from starting.
    pub(crate) async fn begin(
        parent: RunDirectory,
        environment: &EnvironmentSpec,
        guard: &'a Guard,
    ) -> Result<Self> {
        let environment = environment::provision(environment, parent.path(), guard).await?;
        Ok(Self { environment, parent, guard })
    }

    /// Loads the service of one trial, and judges what happened. The tables of servers of our own
    /// are emptied then: what a broken service left behind must not trouble the next one. Those of
    /// others are not ours to empty; there each trial has a doctor of its own all the same.
    ///
    /// # Errors
    /// What kept the trial from being made.
    pub(crate) async fn trial(&mut self, spec: &TrialSpec) -> Result<Tried> {
        let now = time::OffsetDateTime::now_utc();
        let run = RunDirectory::create(self.parent.path(), &spec.plan, now)?;
        run.write_json("plan.json", &spec.plan)?;
        run.write_json(
            "environment.json",
            &self.circumstances(spec.replicas, &spec.repeat_command, now)?,
        )?;
        trial::load_and_collect(spec, &mut self.environment, &run, self.guard, Voice::Silent)
            .await?;
        if self.environment.is_ours() {
            self.forget().await?;
        }
        let (plan, case) = judging::case(&run)?;
        let verdict = judging::judge(&run, &case)?;
        let report = summary::summarise(&run, plan, &case, verdict)?;
        trial::write_reports(&run, &report)?;
        Ok(Tried { case, report })
    }

    /// What a figure of the series rests on.
    pub(crate) fn circumstances(
        &self,
        replicas: u32,
        repeat_command: &str,
        now: time::OffsetDateTime,
    ) -> Result<Circumstances> {
        trial::circumstances(&self.environment, replicas, repeat_command.to_owned(), now)
    }

    /// Stops the servers.
    pub(crate) async fn end(self) {
        self.environment.stop().await;
    }

    /// Numbers of doctors go on, so that no message that is still in the broker is about somebody
    /// else's slot.
    async fn forget(&self) -> Result<()> {
        let mut database = PgConnection::connect(&self.environment.endpoints.postgres_url).await?;
        sqlx::raw_sql(
            "
            truncate outbox, booking_audit, idempotency_keys, bookings, slot_seats, appointment_slots, doctors,
                applied_events, notifications, analytics
            ",
        )
        .execute(&mut database)
        .await?;
        database.close().await?;
        Ok(())
    }
}
