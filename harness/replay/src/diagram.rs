//! A schedule, or what a replay made of it, as a sequence diagram.

use slotproof_models::{ModelEvent, Schedule};
use slotproof_reports::sequence::{Message, Sequence, StepEnd};

use crate::{Fate, ReplayReport};

/// A counterexample: its last step breaks the property.
pub fn of_schedule(schedule: &Schedule) -> Sequence {
    let title = match &schedule.property {
        Some(property) => {
            format!("{}: the shortest way to break `{property}` in its model", schedule.strategy)
        }
        None => format!("{}: a way through its model", schedule.strategy),
    };
    let last = schedule.steps.len();
    let steps = (1..).zip(&schedule.steps).map(|(number, step)| {
        let broke = number == last && schedule.property.is_some();
        let end = if broke { StepEnd::Violation } else { StepEnd::Completed };
        (format!("{number}."), &step.what, step.text.clone(), end)
    });
    sequence(title, schedule.clients, steps.collect())
}

/// What the service and the database made of a schedule.
pub fn of_replay(report: &ReplayReport, schedule: &Schedule) -> Sequence {
    let title = format!("{}, led through the schedule of {}", report.strategy, report.schedule_of);
    let mut steps = Vec::new();
    for line in &report.lines {
        let number = line.number.map_or_else(String::new, |number| format!("{number}."));
        for (index, (text, what)) in line.texts.iter().zip(&line.steps).enumerate() {
            let (end, text) = match line.fate {
                _ if index > 0 => (StepEnd::Completed, text.clone()),
                Fate::Happened => (StepEnd::Completed, text.clone()),
                Fate::WroteNothing | Fate::Skipped => (StepEnd::NoEffect, text.clone()),
                Fate::Waited => {
                    let whom = line.blocked_by.as_deref().unwrap_or("a lock");
                    (StepEnd::Blocked, format!("{text}: waits for {whom}"))
                }
            };
            let number = if index == 0 { number.clone() } else { String::new() };
            steps.push((number, what, text, end));
        }
    }
    sequence(title, schedule.clients, steps)
}

/// Who can take part, beside the clients and their calls.
const POSTGRES: &str = "PostgreSQL";
const REDIS: &str = "Redis";
const SWEEPER: &str = "sweeper";

fn sequence(
    title: String,
    clients: u8,
    steps: Vec<(String, &ModelEvent, String, StepEnd)>,
) -> Sequence {
    let mut lifelines: Vec<String> = Vec::new();
    for client in 1..=clients {
        lifelines.push(format!("client {client}"));
        lifelines.push(format!("client {client}'s call"));
        lifelines.push(format!("client {client}'s retry"));
    }
    lifelines.extend([POSTGRES, REDIS, SWEEPER].map(str::to_owned));
    let named: Vec<_> = steps
        .into_iter()
        .map(|(number, what, text, end)| (number, ends(what), text, end))
        .collect();
    lifelines.retain(|name| named.iter().any(|(_, (from, to), ..)| from == name || to == name));
    let place =
        |name: &str| lifelines.iter().position(|lifeline| lifeline == name).unwrap_or_default();
    let messages = named.iter().map(|(number, (from, to), text, end)| {
        let (text, note) = text.split_once(": ").unwrap_or((text, ""));
        Message {
            number: number.clone(),
            from: place(from),
            to: place(to),
            text: text.to_owned(),
            note: note.to_owned(),
            end: *end,
        }
    });
    Sequence { title, messages: messages.collect(), lifelines: lifelines.clone() }
}

/// From whom to whom.
fn ends(what: &ModelEvent) -> (String, String) {
    let client = |client: &u8| format!("client {client}");
    let first_call = |client: &u8| format!("client {client}'s call");
    let to_postgres = |from: String| (from, POSTGRES.to_owned());
    match what {
        ModelEvent::Send { client: number, .. } => (client(number), first_call(number)),
        ModelEvent::Call { call, point } => match point.as_str() {
            "acquire" | "release" => (call.to_string(), REDIS.to_owned()),
            _ => to_postgres(call.to_string()),
        },
        ModelEvent::Crash { call } => (call.to_string(), call.to_string()),
        ModelEvent::TimeOut { call } => {
            let retry = format!("client {}'s retry", call.client + 1);
            (format!("client {}", call.client + 1), retry)
        }
        ModelEvent::Poll { client: number }
        | ModelEvent::Confirm { client: number }
        | ModelEvent::Cancel { client: number } => to_postgres(client(number)),
        ModelEvent::RunOut { .. } => (POSTGRES.to_owned(), POSTGRES.to_owned()),
        ModelEvent::Expire { .. } => to_postgres(SWEEPER.to_owned()),
        ModelEvent::LockExpires => (REDIS.to_owned(), REDIS.to_owned()),
        ModelEvent::ReadSlot | ModelEvent::Flush | ModelEvent::CrashDatabase => {
            (POSTGRES.to_owned(), POSTGRES.to_owned())
        }
    }
}
