//! Every message of this crate that a user reads, in one snapshot: a change of voice shows in one
//! diff.

use std::{collections::BTreeSet, fmt::Display, str::FromStr};

use serde_json::{Value, json};
use slotproof_vocabulary::{
    BookingId, BookingStatus, Mix, Operation, Plan, PlanArgs, PlanError, ProblemCode, Ramp, Rate,
    ScenarioKind, SlotId, Span, Spike, Stage, StrategyKind,
};

/// The name of a variant. It does not compile when a variant is missing.
fn variant(error: &PlanError) -> &'static str {
    match error {
        PlanError::OutOfRange { .. } => "OutOfRange",
        PlanError::ZipfElsewhere => "ZipfElsewhere",
        PlanError::FlashSale(_) => "FlashSale",
        PlanError::ResendOfOneAttempt => "ResendOfOneAttempt",
        PlanError::ResendAfterTimeout { .. } => "ResendAfterTimeout",
        PlanError::OnlyOpen(_) => "OnlyOpen",
        PlanError::ThinkAndArrivals(_) => "ThinkAndArrivals",
        PlanError::RateAndStages => "RateAndStages",
        PlanError::SpikeAndStages => "SpikeAndStages",
        PlanError::DurationOfStages { .. } => "DurationOfStages",
        PlanError::Arrivals { .. } => "Arrivals",
        PlanError::SpikeAfterLoad { .. } => "SpikeAfterLoad",
        PlanError::SpikeOnRamp => "SpikeOnRamp",
    }
}

#[test]
fn plan_errors() {
    let steady = |more: Value| {
        let mut args = json!({"scenario": "steady"});
        let more = more.as_object().expect("an object").clone();
        args.as_object_mut().expect("an object").extend(more);
        args
    };
    let cases = [
        json!({"clients": 20_000}),
        json!({"hold": "1ms"}),
        steady(json!({"rate": "1/s", "lag_limit": "0s"})),
        json!({"scenario": "hot_and_cold", "zipf": 11.0}),
        steady(json!({"zipf": 1.0})),
        json!({"think": "1s"}),
        steady(json!({"resend": "50ms"})),
        json!({"scenario": "retry_storm", "timeout": "200ms"}),
        steady(json!({"lag_limit": "1s"})),
        steady(json!({"rate": "800/s", "think": "1s"})),
        steady(json!({"stages": ["9s@5/s"], "think": "1s"})),
        steady(json!({"rate": "5/s", "stages": ["9s@5/s"]})),
        steady(json!({"spike": "9/s:1s@1s", "stages": ["9s@5/s"]})),
        steady(json!({"stages": ["9s@5/s"], "duration": "10s"})),
        steady(json!({"rate": "0/s"})),
        steady(json!({"stages": ["24h@1000000/s"]})),
        steady(json!({"rate": "800/s", "spike": "900/s:9s@9s"})),
        steady(json!({"rate": "1/s..9/s", "spike": "900/s:1s@1s"})),
    ];
    let mut variants = BTreeSet::new();
    let mut lines = Vec::new();
    for case in cases {
        let args: PlanArgs = serde_json::from_value(case).expect("the arguments of a plan");
        let error = Plan::try_from(args).expect_err("refused");
        variants.insert(variant(&error));
        lines.push(format!("{}: {error}", error.field()));
    }
    assert_eq!(variants.len(), 13, "a variant has no example: {variants:?}");
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn line_errors() {
    let lines = [
        json!({"op": "reserve", "key": "k"}),
        json!({"op": "reserve", "key": "k", "seats": 0}),
        json!({"op": "reserve", "key": "k", "seats": 1, "outcome": "ok"}),
        json!({"op": "cancel"}),
        json!({"op": "read", "booking": "b"}),
        json!({"op": "resize"}),
        json!({"op": "resize", "capacity": -1}),
        json!({"op": "read", "outcome": "sold_out"}),
        json!({"op": "read", "sent_ns": 3}),
        json!({"op": "steal"}),
        json!({"op": "read", "sets": 3}),
    ];
    let refused = lines.map(|more| {
        let mut line = json!({
            "client": 1, "slot": "s", "sent_ns": 1, "returned_ns": 2, "outcome": "unknown",
        });
        let more = more.as_object().expect("an object").clone();
        line.as_object_mut().expect("an object").extend(more);
        serde_json::from_value::<Operation>(line).expect_err("refused").to_string()
    });
    insta::assert_snapshot!(refused.join("\n"));
}

#[test]
fn texts_that_cannot_be_parsed() {
    fn refused<T: FromStr<Err: Display>>(text: &str) -> String {
        let error = text.parse::<T>().err().expect("refused");
        let name = std::any::type_name::<T>().rsplit(':').next().unwrap_or_default();
        format!("{name}: {error}")
    }
    let refused = [
        refused::<Span>("15"),
        refused::<Rate>("800"),
        refused::<Ramp>("1/s.."),
        refused::<Stage>("10s"),
        refused::<Spike>("4000/s"),
        refused::<Mix>("sleep=3"),
        refused::<Mix>("browse=0"),
        refused::<ScenarioKind>("rush"),
        refused::<StrategyKind>("optimstic"),
        refused::<BookingStatus>("lost"),
        refused::<ProblemCode>("lost"),
        refused::<SlotId>("seven"),
        refused::<BookingId>("seven"),
    ];
    insta::assert_snapshot!(refused.join("\n"));
}

#[test]
fn scenarios_and_strategies() {
    let scenarios = ScenarioKind::ALL.map(|kind| format!("{kind}: {}", kind.explanation()));
    let strategies = StrategyKind::all().map(|kind| format!("{kind}: {}", kind.mechanism()));
    let all: Vec<String> = scenarios.into_iter().chain(strategies).collect();
    insta::assert_snapshot!(all.join("\n"));
}

/// With `--features cli`, or in a build of the whole workspace.
#[cfg(feature = "cli")]
#[test]
fn help_of_the_arguments_of_a_plan() {
    use clap::Args;
    let mut command = PlanArgs::augment_args(clap::Command::new("plan").term_width(100));
    insta::assert_snapshot!(command.render_long_help());
}
