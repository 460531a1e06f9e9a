//! Customers whose ids look alike: an id with a space at an end or a character that nobody sees is refused on
//! every way in, with the character named. Customers whom an earlier release let in can be read and erased.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use serde_json::{Value, json};
use support::{Reply, Running, block_on, running};
use usher::customer::id::CustomerId;
use usher::customer::update::{Change, Update};

const JSON: &str = "Content-Type: application/json\r\n";

/// Ids beside the one that they look like, with how they stand in a path and what is said of them.
const TWINS: [(&str, &str, &str); 5] = [
    ("c-1 ", "c-1%20", "no space at an end"),
    (" c-1", "%20c-1", "no space at an end"),
    ("c-1\u{200b}", "c-1%E2%80%8B", "U+200B zero width space"),
    ("c-1\u{a0}", "c-1%C2%A0", "U+00A0 no-break space"),
    ("\u{feff}c-1", "%EF%BB%BFc-1", "U+FEFF byte-order mark"),
];

fn send(server: &Running, method: &str, path: &str, body: &Value) -> Reply {
    server.call(method, path, JSON, body.to_string().as_bytes())
}

#[track_caller]
fn refused(reply: &Reply, status: u16, words: &str) {
    assert!(reply.status == status && reply.text().contains(words), "{}: {}", reply.status, reply.text());
}

#[test]
fn an_id_that_looks_like_another_is_refused_on_every_way_in() {
    let server = running();
    for (id, path, words) in TWINS {
        let at = format!("/v1/customers/{path}");
        for method in ["PUT", "PATCH"] {
            refused(&send(&server, method, &at, &json!({"age": 30})), 400, words);
        }
        refused(&server.call("GET", &at, "", b""), 400, words);
        refused(&server.call("DELETE", &at, "", b""), 400, words);
        let decision = json!({"customer": id, "channel": "app", "placements": [{"id": "home"}]});
        refused(&send(&server, "POST", "/v1/decisions", &decision), 400, words);
        let query = format!("/v1/decisions?customer={path}&channel=app&placement=home");
        refused(&server.call("GET", &query, "", b""), 400, words);
        let event = json!({"customer": id, "type": "click", "offer": "steady", "placement": "home", "channel": "app"});
        refused(&send(&server, "POST", "/v1/events", &event), 422, words);
        for (media, rows) in [
            (
                "application/x-ndjson",
                format!("{}\n{}\n", json!({"customer": id}), json!({"customer": "c-2"})),
            ),
            ("text/csv", format!("customer,age\n\"{id}\",1\nc-2,2\n")),
        ] {
            let head = format!("Content-Type: {media}\r\n");
            let reply = server.call("POST", "/v1/customers", &head, rows.as_bytes());
            refused(&reply, 200, words);
            assert_eq!(reply.json()["rejected"], 1, "{}", reply.text());
        }
    }
    assert!(server.node.customers().contains("c-2") && server.node.customers().len() == 1);
}

#[test]
fn a_customer_of_an_earlier_release_can_be_read_and_erased() {
    let server = running();
    for (id, path, words) in TWINS {
        let update = Update { customer: CustomerId::known(id).unwrap(), change: Change::Replace(Vec::new()) };
        block_on(server.node.write(vec![update])).unwrap();
        let at = format!("/v1/customers/{path}");
        let reply = server.call("GET", &at, "", b"");
        assert_eq!((reply.status, &reply.json()["customer"]), (200, &json!(id)));
        refused(&send(&server, "PATCH", &at, &json!({"age": 30})), 400, words);
        assert_eq!(server.call("DELETE", &at, "", b"").status, 200);
        refused(&server.call("GET", &at, "", b""), 400, words);
    }
}
