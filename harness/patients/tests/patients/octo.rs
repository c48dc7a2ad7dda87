//! OCTO.

use futures::future::join_all;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    http::{Answer, post, send},
    started::{Started, close, owner_of, release, until},
};

const TOUR: &str = "2030-01-01T08:00:00Z";

struct Reseller<'a> {
    octo: &'a Started,
    authorization: String,
}

impl<'a> Reseller<'a> {
    fn new(octo: &'a Started) -> Self {
        Self { octo, authorization: format!("Bearer {}", octo.get("OCTO_TOKEN")) }
    }

    async fn post(&self, path: &str, json: Value) -> Answer {
        let url = format!("{}{path}", self.octo.get("OCTO_URL"));
        post(&url, &[("Authorization", &self.authorization)], &json).await
    }

    async fn hold(&self, uuid: Uuid, seats: usize) -> Answer {
        let body = json!({
            "uuid": uuid,
            "productId": "city-tour",
            "optionId": "DEFAULT",
            "availabilityId": TOUR,
            "unitItems": vec![json!({ "unitId": "adult" }); seats],
        });
        self.post("/bookings", body).await
    }

    async fn confirm(&self, uuid: Uuid) -> Answer {
        self.post(&format!("/bookings/{uuid}/confirm"), json!({ "resellerReference": "me" })).await
    }

    async fn cancel(&self, uuid: Uuid) -> Answer {
        self.plain("DELETE", uuid).await
    }

    async fn status(&self, uuid: Uuid) -> String {
        let answer = self.plain("GET", uuid).await;
        answer.json["status"].as_str().unwrap_or_default().to_owned()
    }

    async fn plain(&self, method: &str, uuid: Uuid) -> Answer {
        let url = format!("{}/bookings/{uuid}", self.octo.get("OCTO_URL"));
        send(method, &url, &[("Authorization", &self.authorization)], None).await
    }

    async fn tour(&self) -> Value {
        let body = json!({ "productId": "city-tour", "availabilityIds": [TOUR] });
        self.post("/availability", body).await.json[0].clone()
    }
}

fn sold_out(answer: &Answer) -> bool {
    answer.status == 400 && answer.json["error"] == "UNPROCESSABLE_ENTITY"
}

#[tokio::test]
async fn the_honest_one_through_its_whole_life() {
    let server = Started::new(&["server", "postgresql"]);
    let url = server.get("DATABASE_URL");
    let arguments = ["octo", "--slots", "1", "--capacity", "10", "--database-url", url];
    let octo = Started::new(&arguments);
    let reseller = Reseller::new(&octo);
    let [a, b, c] = [(); 3].map(|()| Uuid::new_v4());

    let held = reseller.hold(a, 6).await;
    assert_eq!((held.status, &held.json["status"]), (200, &json!("ON_HOLD")));
    let again = reseller.hold(a, 6).await;
    assert_eq!(again.json["utcExpiresAt"], held.json["utcExpiresAt"], "one for its uuid");
    assert_eq!(reseller.hold(a, 1).await.status, 400, "the uuid has another wish");
    assert!(sold_out(&reseller.hold(b, 5).await));
    assert_eq!(reseller.hold(b, 4).await.status, 200);
    let tour = reseller.tour().await;
    assert_eq!((&tour["vacancies"], &tour["status"]), (&json!(0), &json!("SOLD_OUT")));

    assert_eq!(reseller.confirm(a).await.json["status"], "CONFIRMED");
    assert_eq!(reseller.confirm(a).await.json["status"], "CONFIRMED", "again is well");
    for _ in 0..2 {
        assert_eq!(reseller.cancel(a).await.json["status"], "CANCELLED", "again is well");
    }
    assert_eq!(reseller.confirm(a).await.status, 400, "a cancelled booking stays cancelled");
    assert_eq!(reseller.tour().await["vacancies"], 6);
    assert_eq!(reseller.hold(c, 6).await.status, 200, "its seats can be sold");
    for uuid in [b, c] {
        assert_eq!(reseller.cancel(uuid).await.status, 200);
    }

    let uuids: Vec<_> = (0..200).map(|_| Uuid::new_v4()).collect();
    let answers = join_all(uuids.iter().map(|uuid| reseller.hold(*uuid, 1))).await;
    let held = answers.iter().filter(|answer| answer.status == 200).count();
    assert_eq!((held, answers.iter().filter(|answer| sold_out(answer)).count()), (10, 190));

    let quiet = Started::new(&[&arguments[..], &["--status-only", "--hold-ms", "300"]].concat());
    holds_expire(&Reseller::new(&quiet)).await;
}

async fn holds_expire(reseller: &Reseller<'_>) {
    let [late, kept] = [(); 2].map(|()| Uuid::new_v4());
    assert_eq!(reseller.hold(late, 10).await.status, 200);
    until("the hold expires", async || reseller.status(late).await == "EXPIRED").await;
    assert_eq!(reseller.confirm(late).await.status, 400, "it came too late");
    assert_eq!(reseller.cancel(late).await.status, 400, "nothing is left to cancel");
    let tour = reseller.tour().await;
    assert_eq!((&tour["vacancies"], &tour["status"]), (&Value::Null, &json!("AVAILABLE")));
    assert_eq!(reseller.hold(kept, 10).await.status, 200, "its seats can be sold");
}

#[tokio::test]
async fn key_books_twice_takes_seats_twice() {
    let server = Started::new(&["server", "postgresql"]);
    let url = server.get("DATABASE_URL");
    for (broken, vacancies) in [(None, 9), (Some("key_books_twice"), 8)] {
        let mut arguments = vec!["octo", "--capacity", "10", "--database-url", url];
        arguments.extend(broken.iter().flat_map(|name| ["--broken", name]));
        let octo = Started::new(&arguments);
        let reseller = Reseller::new(&octo);
        let mut owner = owner_of(&server, octo.get("OCTO_DATABASE_URL")).await;
        let uuid = Uuid::new_v4();
        // Both have looked for the uuid, or wait to look, before either can book.
        close(&mut owner, "booking").await;
        let (a, b, ()) =
            tokio::join!(reseller.hold(uuid, 1), reseller.hold(uuid, 1), release(&mut owner, 2));
        assert_eq!((a.status, b.status), (200, 200));
        assert_eq!(reseller.tour().await["vacancies"], vacancies, "{broken:?}");
    }
}

#[tokio::test]
async fn confirm_after_expiry_sells_a_seat_twice() {
    let octo = Started::new(&[
        "octo",
        "--capacity",
        "1",
        "--hold-ms",
        "2000",
        "--broken",
        "confirm_after_expiry",
    ]);
    let reseller = Reseller::new(&octo);
    let [late, next] = [(); 2].map(|()| Uuid::new_v4());
    assert_eq!(reseller.hold(late, 1).await.status, 200);
    until("the hold expires", async || reseller.status(late).await == "EXPIRED").await;
    assert_eq!(reseller.hold(next, 1).await.status, 200, "the seat is free");
    for uuid in [next, late] {
        assert_eq!(reseller.confirm(uuid).await.json["status"], "CONFIRMED");
    }
    assert_eq!(reseller.tour().await["vacancies"], -1);
}
