//! Drafts of documents in four styles, and documents that give none.

use std::{fs, path::PathBuf};

use serde_json::{Value, json};

use super::*;
use crate::target::file::parsed;

fn fixture(name: &str) -> Value {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/target/draft/fixtures");
    let text = fs::read_to_string(folder.join(name)).expect("it is kept");
    serde_json::from_str(&text).expect("JSON")
}

/// The draft of a fixture, which the parser takes, with what is doubtful below it.
fn drafted(name: &str) -> String {
    let Draft { text, doubts } = draft(&fixture(name), None).expect("something takes a seat");
    let environment = |name: &str| {
        let url = name.ends_with("URL");
        Some(if url { "http://127.0.0.1:9" } else { "a secret" }.to_owned())
    };
    if let Err(reason) = parsed(&text, environment) {
        panic!("{reason}\n{text}");
    }
    format!("{text}\n---\n{}\n", doubts.join("\n"))
}

#[test]
fn a_shop_of_plain_resources() {
    insta::assert_snapshot!(drafted("shop.json"));
}

/// None of its words is known: the reserve is found by its shape, or by its name on the command line.
#[test]
fn a_club_with_words_of_its_own() {
    insta::assert_snapshot!(drafted("club.json"));
    let named = "POST /tee-times/{tee_id}/parties";
    let Draft { doubts, .. } = draft(&fixture("club.json"), Some(named)).expect("it is there");
    assert!(doubts.iter().all(|doubt| !doubt.contains("was taken")), "{doubts:?}");
    let error = draft(&fixture("club.json"), Some("POST /parties")).expect_err("no such path");
    let said = error.to_string();
    assert!(said.contains(named) && said.contains("POST /tee-times"), "{said}");
}

#[test]
fn a_supplier_of_octo() {
    insta::assert_snapshot!(drafted("octo.json"));
}

#[test]
fn a_server_of_fhir() {
    insta::assert_snapshot!(drafted("fhir.json"));
}

#[test]
fn a_calendar_with_event_types() {
    insta::assert_snapshot!(drafted("calendar.json"));
}

#[test]
fn a_document_that_gives_no_draft_is_refused_by_name() {
    let get = json!({ "get": { "responses": {} } });
    for (document, expected) in [
        (json!({ "swagger": "2.0", "paths": {} }), DraftError::Swagger("2.0".to_owned())),
        (json!({ "openapi": "4.0.0" }), DraftError::Version("\"4.0.0\"".to_owned())),
        (json!({ "paths": {} }), DraftError::NoOpenApi),
        (json!([1, 2]), DraftError::NoOpenApi),
        (json!({ "openapi": "3.1.0", "paths": {} }), DraftError::NoPaths),
        (json!({ "openapi": "3.1.0", "paths": { "/bookings": get } }), DraftError::NoReserve(1)),
    ] {
        assert_eq!(draft(&document, None), Err(expected), "{document}");
    }
}

/// A document with a reserve whose body has this schema.
fn with_body(schema: &Value, schemas: &Value) -> Value {
    json!({
        "openapi": "3.1.0",
        "paths": { "/slots/{id}/bookings": { "post": {
            "requestBody": { "content": { "application/json": { "schema": schema } } },
            "responses": { "201": { "description": "booked" } },
        } } },
        "components": { "schemas": schemas },
    })
}

#[test]
fn schemas_that_refer_to_themselves_end() {
    let schemas = json!({
        "Party": { "type": "object", "required": ["seats", "friends", "leader"], "properties": {
            "seats": { "type": "integer" },
            "friends": { "type": "array", "items": { "$ref": "#/components/schemas/Party" } },
            "leader": { "$ref": "#/components/schemas/Party" },
        } },
        "Loop": { "$ref": "#/components/schemas/Loop" },
        "Both": { "allOf": [
            { "$ref": "#/components/schemas/Both" },
            { "$ref": "#/components/schemas/Party" },
        ] },
    });
    for name in ["Party", "Loop", "Both"] {
        let schema = json!({ "$ref": format!("#/components/schemas/{name}") });
        let Draft { text, .. } = draft(&with_body(&schema, &schemas), None).expect("a reserve");
        assert_eq!(text.contains("{{ seats }}"), name != "Loop", "{text}");
    }
}

#[test]
fn what_a_document_says_never_becomes_a_template() {
    let steals = "{{ env.SECRET }}";
    let schema = json!({ "type": "object", "required": ["a", "b", "c"], "properties": {
        "a": { "type": "string", "example": steals },
        "b": { "type": "string", "enum": [steals] },
        "c": { "type": "string", "default": "{% if env.SECRET %}" },
    } });
    let mut document = with_body(&schema, &json!({}));
    document["info"] = json!({ "title": format!("A title\nbase = \"{steals}\"") });
    document["servers"] = json!([{ "url": "/{{ env.SECRET }}" }]);
    document["paths"][format!("/slots/{steals}/bookings")] =
        document["paths"]["/slots/{id}/bookings"].clone();
    let Draft { text, .. } = draft(&document, None).expect("a reserve");
    let code: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    assert!(!code.join("\n").contains("SECRET"), "{text}");
    assert!(toml::from_str::<toml::Table>(&text).is_ok(), "{text}");
}

#[test]
fn a_field_that_nothing_makes_is_to_be_checked_and_a_cycle_of_things_ends() {
    let create = |needs: &str| {
        let schema = json!({
            "type": "object",
            "required": [needs],
            "properties": { needs: { "type": "integer" } },
        });
        json!({ "post": {
            "requestBody": { "content": { "application/json": { "schema": schema } } },
            "responses": { "201": { "description": "made" } },
        } })
    };
    let schema = json!({ "type": "object", "required": ["room_id", "planet_id"], "properties": {
        "room_id": { "type": "integer" },
        "planet_id": { "type": "integer" },
    } });
    let mut document = with_body(&schema, &json!({}));
    document["paths"]["/rooms"] = create("house_id");
    document["paths"]["/houses"] = create("room_id");
    let Draft { text, doubts } = draft(&document, None).expect("a reserve");
    assert!(text.contains("room_id = \"{{ run.room }}\""), "{text}");
    assert!(text.contains("house_id = \"{{ run.house }}\""), "{text}");
    assert!(doubts.iter().any(|doubt| doubt.contains("write an existing planet_id")), "{doubts:?}");
}

#[test]
fn an_operation_that_has_a_rival_is_doubtful_and_names_it() {
    let mut document = with_body(&json!({}), &json!({}));
    let reserve = document["paths"]["/slots/{id}/bookings"].clone();
    document["paths"]["/slots/{id}/reservations"] = reserve;
    let Draft { doubts, .. } = draft(&document, None).expect("a reserve");
    let named = |doubt: &String| {
        doubt.starts_with("reserve: ") && doubt.contains("POST /slots/{id}/reservations")
    };
    assert!(doubts.iter().any(named), "{doubts:?}");
}
