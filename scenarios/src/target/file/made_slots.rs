//! When the slots start that a run makes.

use serde_json::{Map, Value};
use time::format_description::well_known::Rfc3339;

use super::setup::TargetError;

/// Slots that are to be made: a quarter of an hour each, from tomorrow on; or around the first turn of
/// a month (UTC) that leaves time for those before it.
pub(super) fn made(capacities: &[u32]) -> Result<Vec<Map<String, Value>>, TargetError> {
    let tomorrow = time::OffsetDateTime::now_utc().date().next_day().unwrap_or(time::Date::MAX);
    let from = tomorrow.midnight().assume_utc();
    let quarters = |count: u32| time::Duration::minutes(15) * count;
    let before = quarters(capacities.len() as u32 / 2);
    let around = turn_of_month(from + before) - before;
    let text = |instant: time::OffsetDateTime| {
        let text = instant.format(&Rfc3339);
        text.map(Value::from).map_err(|error| TargetError::Setup(error.to_string()))
    };
    let slot = |(number, capacity): (u32, &u32)| {
        Ok(Map::from_iter([
            ("capacity".to_owned(), (*capacity).into()),
            ("starts_at".to_owned(), text(from + quarters(number))?),
            ("around_month".to_owned(), text(around + quarters(number))?),
        ]))
    };
    (0_u32..).zip(capacities).map(slot).collect()
}

/// The first midnight of a month at this instant or after it.
fn turn_of_month(instant: time::OffsetDateTime) -> time::OffsetDateTime {
    let first_day = |date: time::Date| date.replace_day(1).expect("every month has a first day");
    let this = first_day(instant.date());
    let next = first_day(this + time::Duration::days(31));
    let turns = [this, next].map(|day| day.midnight().assume_utc());
    turns.into_iter().find(|turn| *turn >= instant).unwrap_or(turns[1])
}

#[cfg(test)]
mod tests {
    use time::{format_description::well_known::Rfc3339, macros::datetime};

    use super::{made, turn_of_month};

    #[test]
    fn the_first_turn_of_a_month_is_at_the_instant_or_after_it() {
        for (instant, turn) in [
            (datetime!(2026-12-01 00:00 UTC), datetime!(2026-12-01 00:00 UTC)),
            (datetime!(2026-12-01 00:15 UTC), datetime!(2027-01-01 00:00 UTC)),
            (datetime!(2027-01-31 23:45 UTC), datetime!(2027-02-01 00:00 UTC)),
        ] {
            assert_eq!(turn_of_month(instant), turn, "{instant}");
        }
    }

    #[test]
    fn slots_around_a_month_lie_in_both_months_and_one_slot_starts_with_its_month() {
        let starts = |slots: usize| -> Vec<time::OffsetDateTime> {
            let made = made(&vec![1; slots]).expect("they have texts");
            let text = |it: &serde_json::Map<String, serde_json::Value>| {
                it["around_month"].as_str().expect("a text").to_owned()
            };
            let parse =
                |text: String| time::OffsetDateTime::parse(&text, &Rfc3339).expect("RFC 3339");
            made.iter().map(text).map(parse).collect()
        };
        let one = starts(1)[0];
        assert_eq!((one.day(), one.time()), (1, time::Time::MIDNIGHT));
        let four = starts(4);
        assert_eq!(four[2].day(), 1, "{four:?}");
        assert_ne!(four[1].month(), four[2].month(), "{four:?}");
        assert!(four[0] > time::OffsetDateTime::now_utc(), "{four:?}");
    }
}
