//! Tables of tests: one test a row, so that rows run beside each other and a failure names its own.
//!
//! A table is a macro, because the test runner has to know every row before anything runs. That no
//! strategy is left out is a test of its own.

use slotproof_vocabulary::{ShownBy, StrategyKind};

/// Calls a macro with arguments and every strategy that claims to be safe.
macro_rules! with_safe_strategies {
    ($then:ident $($arguments:tt)*) => {
        $then! {
            ($($arguments)*)
            pessimistic serializable optimistic conditional advisory redis_lock queue hybrid grouped
            batched seat_rows
        }
    };
}

/// Calls a macro with arguments and every negative control that load alone shows.
macro_rules! with_controls_shown_by_load {
    ($then:ident $($arguments:tt)*) => {
        $then! {
            ($($arguments)*)
            unprotected lost_update locked_bookings write_skew off_by_one one_seat_check
            race_is_sold_out receipt_apart replay_new_id audit_apart cancel_twice cancel_leaks
            late_confirm stale_cache announce_apart
        }
    };
}

/// A module of the function's name, with a test for each strategy that calls the function.
macro_rules! one_test_each {
    (($function:ident) $($strategy:ident)+) => {
        mod $function {
            $(
                #[tokio::test]
                async fn $strategy() {
                    super::$function(stringify!($strategy)).await;
                }
            )+
        }
    };
}

macro_rules! names {
    (() $($strategy:ident)+) => { [$(stringify!($strategy)),+] };
}

#[test]
fn every_safe_strategy_has_a_row() {
    let safe: Vec<&str> = StrategyKind::SAFE.iter().map(|kind| kind.name()).collect();
    assert_eq!(with_safe_strategies!(names), *safe);
}

#[test]
fn every_negative_control_that_load_shows_has_a_row() {
    let controls = StrategyKind::NEGATIVE_CONTROLS.iter();
    let shown = controls.filter(|kind| kind.shown_by() == Some(ShownBy::Load));
    let shown: Vec<&str> = shown.map(|kind| kind.name()).collect();
    assert_eq!(with_controls_shown_by_load!(names), *shown);
}
