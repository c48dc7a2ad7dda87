//! From a position of the cart to an order, and what becomes of it.

use std::sync::{Arc, atomic::Ordering};

use axum::{
    Form, Json,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    response::IntoResponse,
};
use serde::Deserialize;
use serde_json::json;
use sqlx::MySqlConnection;

use super::{
    App, Broken, locked,
    visits::{Answer, Refusal},
};
use crate::patient::secret;

#[derive(Deserialize)]
pub(super) struct NewOrder {
    position: u64,
    email: String,
}

/// Step 2: begins to make an order. It is a page that is asked again which says what came of it.
pub(super) async fn check_out(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Form(wanted): Form<NewOrder>,
) -> Answer {
    let session = app.session(&headers)?;
    if !wanted.email.contains('@') {
        return Err(Refusal::Prose("Please enter an e-mail address".into()));
    }
    let number = 1 + app.checkouts.fetch_add(1, Ordering::Relaxed);
    if app.checkout_fails_every > 0 && number.is_multiple_of(app.checkout_fails_every) {
        let message = "Something went wrong, please try again";
        return Ok(Json(json!({ "success": false, "message": message })).into_response());
    }
    let task = secret();
    locked(&app.pending).insert(task.clone(), None);
    let check_url = format!("/checkout/{task}");
    tokio::spawn(async move {
        // The workers of a shop are in no hurry.
        tokio::time::sleep(app.checkout).await;
        let answer = match order(&app, &session, &wanted).await {
            Ok(code) => json!({ "ready": true, "success": true, "order": code }),
            Err(Refusal::Broken) => json!({ "ready": true, "error": "internal" }),
            Err(refusal) => {
                json!({ "ready": true, "success": false, "message": refusal.text() })
            }
        };
        locked(&app.pending).insert(task, Some(answer));
    });
    Ok(Json(json!({ "ready": false, "check_url": check_url })).into_response())
}

async fn order(app: &App, session: &str, wanted: &NewOrder) -> Result<String, Refusal> {
    let mut transaction = app.pool.begin().await?;
    let position = Position::locked(&mut transaction, wanted.position, session).await?;
    // The button was pressed twice: it is the same order.
    let there: Option<String> = sqlx::query_scalar("select code from orders where position = ?")
        .bind(wanted.position)
        .fetch_optional(&mut *transaction)
        .await?;
    if let Some(code) = there {
        return Ok(code);
    }
    if position.state != "held" {
        return Err(Refusal::Prose("Your cart is empty".into()));
    }
    let code = secret()[..12].to_uppercase();
    sqlx::query(
        "insert into orders (code, position, event, seats, email, status)
         values (?, ?, ?, ?, ?, 'pending')",
    )
    .bind(&code)
    .bind(wanted.position)
    .bind(position.event)
    .bind(position.seats)
    .bind(&wanted.email)
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(code)
}

pub(super) async fn check(State(app): State<Arc<App>>, Path(task): Path<String>) -> Answer {
    let found = locked(&app.pending).get(&task).cloned().ok_or(Refusal::Missing)?;
    let answer = found
        .unwrap_or_else(|| json!({ "ready": false, "check_url": format!("/checkout/{task}") }));
    let failed = answer.get("error").is_some();
    let status = if failed { StatusCode::INTERNAL_SERVER_ERROR } else { StatusCode::OK };
    Ok((status, Json(answer)).into_response())
}

pub(super) async fn show_order(State(app): State<Arc<App>>, Path(code): Path<String>) -> Answer {
    let status: Option<String> = sqlx::query_scalar("select status from orders where code = ?")
        .bind(&code)
        .fetch_optional(&app.pool)
        .await?;
    let status = status.ok_or(Refusal::Missing)?;
    Ok(Json(json!({ "order": code, "status": status })).into_response())
}

pub(super) async fn pay(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Path(code): Path<String>,
) -> Answer {
    let session = app.session(&headers)?;
    let mut transaction = app.pool.begin().await?;
    let (position, status) = order_locked(&mut transaction, &code, &session).await?;
    match status.as_str() {
        "paid" => {}
        "pending" => set_status(&mut transaction, &code, "paid").await?,
        _ if app.broken == Some(Broken::PayRevives) => {
            set_status(&mut transaction, &code, "paid").await?;
            sqlx::query("update positions set state = 'held' where id = ?")
                .bind(position.id)
                .execute(&mut *transaction)
                .await?;
        }
        _ => return Err(Refusal::Prose("This order has been cancelled".into())),
    }
    transaction.commit().await?;
    Ok(Json(json!({ "success": true, "order": code, "status": "paid" })).into_response())
}

pub(super) async fn cancel(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Path(code): Path<String>,
) -> Answer {
    let session = app.session(&headers)?;
    let mut transaction = app.pool.begin().await?;
    let (position, status) = order_locked(&mut transaction, &code, &session).await?;
    if status == "cancelled" {
        return Err(Refusal::Prose("This order has been cancelled already".into()));
    }
    set_status(&mut transaction, &code, "cancelled").await?;
    position.release(&mut transaction).await?;
    transaction.commit().await?;
    Ok(Json(json!({ "success": true, "order": code, "status": "cancelled" })).into_response())
}

/// Locks the order's event and position, and reads its status after that.
async fn order_locked(
    connection: &mut MySqlConnection,
    code: &str,
    session: &str,
) -> Result<(Position, String), Refusal> {
    let position: Option<u64> = sqlx::query_scalar("select position from orders where code = ?")
        .bind(code)
        .fetch_optional(&mut *connection)
        .await?;
    let position = position.ok_or(Refusal::Missing)?;
    let position = Position::locked(connection, position, session).await?;
    let status = sqlx::query_scalar("select status from orders where code = ?")
        .bind(code)
        .fetch_one(connection)
        .await?;
    Ok((position, status))
}

async fn set_status(
    connection: &mut MySqlConnection,
    code: &str,
    status: &str,
) -> Result<(), sqlx::Error> {
    let update = sqlx::query("update orders set status = ? where code = ?");
    update.bind(status).bind(code).execute(connection).await.map(drop)
}

#[derive(sqlx::FromRow)]
pub(super) struct Position {
    id: u64,
    event: u64,
    seats: i32,
    state: String,
}

impl Position {
    /// The event is locked before what belongs to it, by everybody: no two wait for each other.
    pub(super) async fn locked(
        connection: &mut MySqlConnection,
        id: u64,
        session: &str,
    ) -> Result<Self, Refusal> {
        sqlx::query(
            "select id from events where id = (select event from positions where id = ?)
             for update",
        )
        .bind(id)
        .execute(&mut *connection)
        .await?;
        let found = sqlx::query_as(
            "select id, event, seats, state from positions where id = ? and session = ?",
        )
        .bind(id)
        .bind(session)
        .fetch_optional(connection)
        .await?;
        found.ok_or(Refusal::Missing)
    }

    pub(super) async fn release(
        &self,
        connection: &mut MySqlConnection,
    ) -> Result<(), sqlx::Error> {
        let update = sqlx::query("update positions set state = 'released' where id = ?");
        update.bind(self.id).execute(connection).await.map(drop)
    }
}
