//! Whether a pooler keeps the prepared statements of its clients apart. One that does not answers a
//! query with the rows of another one, and nobody is told.
//!
//! Some clients each ask a question of their own shape, one after the other and all at once. On an
//! idle pooler that gives connections away they all get the same one.

use futures::future::try_join_all;
use sqlx::{AssertSqlSafe, Connection, PgConnection, postgres::PgConnectOptions};

use crate::start_error::StartError;

/// More of them would only wait: each keeps a connection in mode `session`.
const CLIENTS: i64 = 4;
/// One is enough on an idle pooler. Others may be at work behind it.
const ROUNDS: i64 = 8;

/// # Errors
/// It mixes them up, or does not answer.
pub(crate) async fn keeps_statements_apart(url: &str) -> Result<(), StartError> {
    let options: PgConnectOptions = url.parse().map_err(StartError::Connect)?;
    let connecting = (0..CLIENTS).map(|_| PgConnection::connect_with(&options));
    let mut clients = try_join_all(connecting).await.map_err(StartError::Connect)?;
    for round in 0..ROUNDS {
        for (number, client) in (0..).zip(&mut clients) {
            ask(client, number, round).await?;
        }
        let at_once = (0..).zip(&mut clients).map(|(number, client)| ask(client, number, round));
        try_join_all(at_once).await?;
    }
    for client in clients {
        client.close().await.map_err(StartError::Connect)?;
    }
    Ok(())
}

async fn ask(client: &mut PgConnection, number: i64, round: i64) -> Result<(), StartError> {
    let expected = (number + round, format!("client {number}"));
    let asked = match number % 2 {
        0 => {
            let sql = format!("select $1 + {number}::bigint, 'client {number}'");
            sqlx::query_as(AssertSqlSafe(sql)).bind(round).fetch_one(client).await
        }
        _ => {
            let sql = format!("select 'client {number}', $1 + {number}::bigint");
            let asked: Result<(String, i64), _> =
                sqlx::query_as(AssertSqlSafe(sql)).bind(round).fetch_one(client).await;
            asked.map(|(text, sum)| (sum, text))
        }
    };
    match asked {
        Ok(answer) if answer == expected => Ok(()),
        Ok(answer) => Err(StartError::MixesAnswers(format!("{expected:?} came as {answer:?}"))),
        Err(sqlx::Error::Io(error)) => Err(StartError::Connect(sqlx::Error::Io(error))),
        Err(error) => Err(StartError::MixesAnswers(error.to_string())),
    }
}
