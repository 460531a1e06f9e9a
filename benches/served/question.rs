//! The ways to ask for a decision.

use serde_json::json;

use super::id;
use crate::synthetic::COUNT;

/// A way to ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Question {
    Get,
    Json,
    MessagePack,
}

impl Question {
    pub(crate) const ALL: [Question; 3] = [Question::Get, Question::Json, Question::MessagePack];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Question::Get => "GET",
            Question::Json => "POST JSON",
            Question::MessagePack => "POST MessagePack",
        }
    }

    /// The bytes of the request for a customer.
    pub(crate) fn bytes(self, customer: usize) -> Vec<u8> {
        const HEAD: &str = "HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n";
        let id = id(customer);
        let document = json!({
            "customer": id, "channel": "app", "placements": [{"id": "slot", "count": COUNT}], "locale": "zh-CN",
        });
        let (media, body) = match self {
            Question::Get => {
                let query = format!("customer={id}&channel=app&placement=slot&count={COUNT}&locale=zh-CN");
                return format!("GET /v1/decisions?{query} {HEAD}\r\n").into_bytes();
            }
            Question::Json => ("application/json", document.to_string().into_bytes()),
            Question::MessagePack => {
                ("application/msgpack", rmp_serde::to_vec(&document).expect("it can be written"))
            }
        };
        let length = body.len();
        let accept = format!("Accept: {media}\r\nContent-Type: {media}\r\nContent-Length: {length}\r\n\r\n");
        [format!("POST /v1/decisions {HEAD}{accept}").as_bytes(), &body].concat()
    }
}
