#![no_main]
//! Whatever bytes come, reading and judging them ends, without a panic.

use libfuzzer_sys::fuzz_target;
use slotproof_checker::{Case, History, judge};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(history) = History::read(bytes) {
        let case = Case { history, capacity: 3, ..Case::default() };
        if case.validate().is_ok() {
            judge(&case);
        }
    }
});
