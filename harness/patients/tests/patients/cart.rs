//! The ticket shop.

use base64::{Engine, engine::general_purpose::STANDARD};
use futures::future::join_all;
use serde_json::json;
use sqlx::{Connection, MySqlConnection};

use crate::{
    http::{Answer, post, send},
    started::{Started, until},
};

/// A number that is cached for a second must still be so for the next request.
const TRIES_MAX: u32 = 5;

/// A browser that has seen the front page.
struct Visitor<'a> {
    shop: &'a Started,
    cookie: String,
    csrf: String,
}

impl<'a> Visitor<'a> {
    async fn new(shop: &'a Started) -> Self {
        let page = send("GET", &format!("{}/shop", shop.get("SHOP_URL")), &[], None).await;
        let (cookie, _) = page.header("Set-Cookie").split_once(';').expect("attributes");
        let (_, rest) = page.text.split_once("<meta name=\"csrf\" content=\"").expect("a token");
        let (csrf, _) = rest.split_once('"').expect("its end");
        Self { shop, cookie: cookie.to_owned(), csrf: csrf.to_owned() }
    }

    async fn call(&self, method: &str, path: &str, form: &str) -> Answer {
        let url = format!("{}{path}", self.shop.get("SHOP_URL"));
        let headers = [("Cookie", self.cookie.as_str()), ("X-CSRF-Token", self.csrf.as_str())];
        let body =
            (method == "POST").then(|| ("application/x-www-form-urlencoded", form.to_owned()));
        send(method, &url, &headers, body).await
    }

    async fn add(&self, event: u64, seats: u32) -> Answer {
        self.call("POST", "/cart/items", &format!("event={event}&seats={seats}")).await
    }

    /// Puts seats aside, checks out and polls: the code of the order.
    async fn order(&self, event: u64, key: &str) -> String {
        let position = self.add(event, 1).await;
        assert_eq!(position.json["success"], true, "{}", position.text);
        let form = format!("position={}&email={key}%40example.org", position.json["position"]);
        let begun = self.call("POST", "/checkout", &form).await;
        assert_eq!((begun.status, &begun.json["ready"]), (200, &json!(false)), "{}", begun.text);
        let check_url = begun.json["check_url"].as_str().expect("where to ask");
        let mut order = String::new();
        until("the order is ready", async || {
            let answer = self.call("GET", check_url, "").await.json;
            order = answer["order"].as_str().unwrap_or_default().to_owned();
            answer["ready"] == true
        })
        .await;
        order
    }

    async fn pay(&self, order: &str) -> Answer {
        self.call("POST", &format!("/orders/{order}/pay"), "").await
    }

    async fn cancel(&self, order: &str) -> Answer {
        self.call("POST", &format!("/orders/{order}/cancel"), "").await
    }

    async fn left(&self, event: u64) -> i64 {
        let answer = self.call("GET", &format!("/events/{event}"), "").await;
        answer.json["left"].as_i64().expect("a number")
    }
}

async fn event(shop: &Started, seats: u32) -> u64 {
    let login = STANDARD.encode(format!("admin:{}", shop.get("SHOP_ADMIN_PASSWORD")));
    let url = format!("{}/admin/events", shop.get("SHOP_URL"));
    let authorization = format!("Basic {login}");
    let body = json!({ "name": "concert", "seats": seats });
    let made = post(&url, &[("Authorization", &authorization)], &body).await;
    made.json["event"].as_u64().unwrap_or_else(|| panic!("{}", made.text))
}

#[tokio::test]
async fn the_honest_one_through_its_whole_life() {
    let shop = Started::new(&["cart"]);
    let concert = event(&shop, 3).await;
    let visitor = Visitor::new(&shop).await;

    let stranger = Visitor { shop: &shop, cookie: visitor.cookie.clone(), csrf: "guess".into() };
    assert_eq!(stranger.add(concert, 1).await.status, 403, "the token is not its own");
    let first = visitor.order(concert, "first").await;
    let second = visitor.order(concert, "second").await;
    let few = visitor.add(concert, 2).await;
    assert_eq!((few.status, &few.json["success"]), (200, &json!(false)), "1 is left, 2 are not");
    assert_eq!(visitor.add(concert, 1).await.json["success"], true);
    let full = visitor.add(concert, 1).await;
    assert_eq!(full.status, 400);
    assert!(full.text.contains("Sorry, this event is sold out"), "{}", full.text);
    let url = format!("{}/cart/items", shop.get("SHOP_URL"));
    let headers = [
        ("Cookie", visitor.cookie.as_str()),
        ("X-CSRF-Token", visitor.csrf.as_str()),
        ("Accept-Language", "de-DE"),
    ];
    let form = ("application/x-www-form-urlencoded", format!("event={concert}&seats=1"));
    let german = send("POST", &url, &headers, Some(form)).await;
    assert!(german.text.contains("Leider ausverkauft"), "{}", german.text);

    assert_eq!(visitor.pay(&first).await.json["status"], "paid");
    assert_eq!(visitor.pay(&first).await.status, 200, "again is well");
    assert_eq!(visitor.cancel(&second).await.json["status"], "cancelled");
    assert_eq!(visitor.cancel(&second).await.status, 400, "again is refused");
    assert_eq!(visitor.pay(&second).await.status, 400, "a cancelled order stays cancelled");
    assert_eq!(visitor.left(concert).await, 1);
    visitor.order(concert, "third").await;
    assert_eq!(
        rows(&shop, concert).await,
        [("first", "paid"), ("second", "cancelled"), ("third", "pending")]
            .map(|(key, status)| (format!("{key}@example.org"), status.to_owned()))
    );
    two_hundred_visitors_take_ten_seats(&shop, &visitor).await;
}

async fn two_hundred_visitors_take_ten_seats(shop: &Started, visitor: &Visitor<'_>) {
    let concert = event(shop, 10).await;
    let answers = join_all((0..200).map(|_| visitor.add(concert, 1))).await;
    let added = answers.iter().filter(|answer| answer.json["success"] == true).count();
    let refused = answers.iter().filter(|answer| answer.status == 400).count();
    assert_eq!((added, refused), (10, 190));
    assert_eq!(visitor.left(concert).await, 0);
}

async fn rows(shop: &Started, event: u64) -> Vec<(String, String)> {
    let mut reader =
        MySqlConnection::connect(shop.get("SHOP_DATABASE_URL")).await.expect("a reader");
    let rows = sqlx::query_as("select email, status from orders where event = ? order by id")
        .bind(event)
        .fetch_all(&mut reader)
        .await
        .expect("it may read");
    let written = sqlx::query("delete from orders").execute(&mut reader).await;
    assert!(written.is_err(), "the reader must not write");
    rows
}

#[tokio::test]
async fn a_checkout_that_fails_keeps_its_seats_until_the_position_is_deleted() {
    let shop = Started::new(&["cart", "--checkout-fails-every", "1"]);
    let concert = event(&shop, 1).await;
    let visitor = Visitor::new(&shop).await;
    let position = visitor.add(concert, 1).await.json["position"].clone();
    let form = format!("position={position}&email=a%40example.org");
    let failed = visitor.call("POST", "/checkout", &form).await;
    assert_eq!((failed.status, &failed.json["success"]), (200, &json!(false)));
    assert_eq!(visitor.left(concert).await, 0);
    let path = format!("/cart/items/{position}");
    assert_eq!(visitor.call("DELETE", &path, "").await.status, 200);
    assert_eq!(visitor.left(concert).await, 1);
}

#[tokio::test]
async fn cached_stock_oversells() {
    let shop = Started::new(&["cart", "--broken", "cached_stock"]);
    let visitor = Visitor::new(&shop).await;
    for _ in 0..TRIES_MAX {
        let concert = event(&shop, 1).await;
        let answers = [visitor.add(concert, 1).await, visitor.add(concert, 1).await];
        if answers.iter().all(|answer| answer.json["success"] == true) {
            assert_eq!(visitor.left(concert).await, -1);
            return;
        }
    }
    panic!("the number was never a second old at most");
}

#[tokio::test]
async fn pay_revives_a_cancelled_order_whose_seat_is_resold() {
    let shop = Started::new(&["cart", "--broken", "pay_revives"]);
    let concert = event(&shop, 1).await;
    let visitor = Visitor::new(&shop).await;
    let first = visitor.order(concert, "first").await;
    assert_eq!(visitor.cancel(&first).await.status, 200);
    let second = visitor.order(concert, "second").await;
    for order in [second, first] {
        assert_eq!(visitor.pay(&order).await.json["status"], "paid");
    }
    assert_eq!(visitor.left(concert).await, -1);
}
