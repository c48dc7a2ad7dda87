//! Plain goose, for comparison: the same requests as a user of goose writes them, with goose's own
//! metrics and without our client and recorder.

use std::sync::Arc;

use async_recursion::async_recursion as boxed_future;
use goose::{
    GooseAttack, GooseError,
    config::{GooseConfiguration, GooseDefault, GooseDefaultType},
    goose::{Scenario, Transaction, TransactionFunction},
};

/// `users` read `path` of `target` repeatedly for a number of seconds; the body of each answer is
/// read to its end.
///
/// # Errors
/// Goose refuses.
#[boxed_future]
pub async fn plain_goose(
    target: &str,
    path: &str,
    users: usize,
    seconds: usize,
) -> Result<(), Box<GooseError>> {
    let path: Arc<str> = path.into();
    let read: TransactionFunction = Arc::new(move |user| {
        let path = Arc::clone(&path);
        Box::pin(async move {
            if let Ok(response) = user.get(&path).await?.response {
                let _ = response.bytes().await;
            }
            Ok(())
        })
    });
    let attack = || -> Result<GooseAttack, GooseError> {
        let shared_client = goose::client::GooseClientBuilder::new().without_cookies();
        let attack = GooseAttack::initialize_with_config(GooseConfiguration::default())?
            .set_client_builder_without_cookies(shared_client)?
            .register_scenario(Scenario::new("read").register_transaction(Transaction::new(read)));
        let attack = *attack.set_default(GooseDefault::Host, target)?;
        let attack = *attack.set_default(GooseDefault::Users, users)?;
        let attack = *attack.set_default(GooseDefault::IncreaseRate, "10000")?;
        let attack = *attack.set_default(GooseDefault::RunTime, seconds)?;
        let attack = *attack.set_default(GooseDefault::NoPrintMetrics, true)?;
        let attack = *attack.set_default(GooseDefault::NoResetMetrics, true)?;
        let attack = *attack.set_default(GooseDefault::NoTelnet, true)?;
        let attack = *attack.set_default(GooseDefault::NoWebSocket, true)?;
        Ok(*attack.set_default(GooseDefault::Quiet, 1_usize)?)
    };
    attack().map_err(Box::new)?.execute().await.map_err(Box::new)?;
    Ok(())
}
