//! The stories of the `retail-bank` bundle: each asks, shows the answer, and checks it.

use std::net::SocketAddr;
use std::time::Instant;

use hyper::{Method, header};
use serde_json::{Value, json};

use crate::cli::client::{Client, NO_HEADERS};
use crate::cli::decide::{explanations, stop_text};
use crate::cli::ending::Failure;
use crate::cli::terminal::{bold, dim};
use crate::node::Node;

const FLASH: &str = include_str!("flash.yaml");

/// Tells all stories. Returns whether every answer was as told.
pub(super) async fn tell(client: &mut Client, colours: bool) -> Result<bool, Failure> {
    let mut teller = Teller { client, colours, right: true };
    teller.steady_customer().await?;
    teller.other_channel().await?;
    teller.young_customer().await?;
    teller.pushed_live().await?;
    teller.page_views().await?;
    teller.dismissed().await?;
    Ok(teller.right)
}

struct Teller<'c> {
    client: &'c mut Client,
    colours: bool,
    right: bool,
}

impl Teller<'_> {
    async fn steady_customer(&mut self) -> Result<(), Failure> {
        self.title("c-1001 is steady and has 600,000: the R2 product comes first on the home banner");
        for locale in ["zh-CN", "en"] {
            let answer = self.ask("c-1001", "app", "home_banner", locale).await?;
            self.expect_first(&answer, "steady_r2");
        }
        Ok(())
    }

    async fn other_channel(&mut self) -> Result<(), Failure> {
        self.title("The same customer talks to the chatbot: the same offer, in its words");
        let answer = self.ask("c-1001", "chatbot", "chat_offer", "zh-CN").await?;
        self.expect_first(&answer, "steady_r2");
        Ok(())
    }

    async fn young_customer(&mut self) -> Result<(), Failure> {
        self.title(
            "c-1002 is 22 and often looked at study loans: the article, with a link to book their own manager",
        );
        let answer = self.ask("c-1002", "app", "home_banner", "zh-CN").await?;
        self.expect_first(&answer, "study_finance");
        let booking = first(&answer)["content"]["booking"]
            .as_str()
            .is_some_and(|link| link.contains("managers/mine/book"));
        self.expect(booking, "a link to book their own relationship manager");
        Ok(())
    }

    async fn pushed_live(&mut self) -> Result<(), Failure> {
        self.title(
            "The wealth desk pushes a rule set in the middle of the day; the very next request decides by it",
        );
        let started = Instant::now();
        let yaml = [(header::CONTENT_TYPE, "application/yaml")];
        let pushed = self.client.send(Method::PUT, "/v1/rule-sets/flash", &yaml, FLASH).await?.success()?;
        say!(
            "    PUT /v1/rule-sets/flash: version {} in force after {:.1} ms ({} µs of it compiling)",
            pushed["version"],
            started.elapsed().as_secs_f64() * 1e3,
            pushed["compiled_in_us"],
        );
        let answer = self.ask("c-1001", "app", "home_banner", "en").await?;
        self.expect_first(&answer, "flash_note");
        self.suitability().await?;
        let started = Instant::now();
        let retired = self.client.send(Method::DELETE, "/v1/rule-sets/flash", NO_HEADERS, "").await?;
        if !retired.status.is_success() {
            return Err(retired.problems(&[]).into());
        }
        say!(
            "    DELETE /v1/rule-sets/flash: out of force after {:.1} ms",
            started.elapsed().as_secs_f64() * 1e3
        );
        let answer = self.ask("c-1001", "app", "home_banner", "en").await?;
        self.expect_first(&answer, "steady_r2");
        Ok(())
    }

    /// The same rule set boosts an R5 fund hundredfold. No boost passes a guardrail.
    async fn suitability(&mut self) -> Result<(), Failure> {
        let request = json!({"customer": "c-1001", "channel": "app", "explain": true,
            "placements": [{"id": "home_banner"}]});
        let answer = self.client.post_json("/v1/decisions", &request).await?.success()?;
        let found = explanations(&answer["placements"][0]).find(|e| e["offer"] == "flash_equity");
        let stop = found.map_or(&Value::Null, |explanation| &explanation["stopped_by"]);
        let why = stop_text(stop).unwrap_or_else(|| "nothing stopped it".into());
        say!("    Why not flash_equity, which is R5 and boosted hundredfold? {why}");
        self.expect(
            stop["kind"] == "guardrail" && stop["name"] == "suitability",
            "stopped by the suitability guardrail",
        );
        Ok(())
    }

    /// An event of a moment ago changes what is shown. Nobody waits for a nightly load.
    async fn page_views(&mut self) -> Result<(), Failure> {
        self.title(
            "An unknown customer looks at the exchange rates three times; the fourth screen has the offer",
        );
        let customer = json!({"age": 34, "consent_marketing": true});
        let json = [(header::CONTENT_TYPE, "application/json")];
        let path = "/v1/customers/c-2001";
        self.client.send(Method::PUT, path, &json, customer.to_string()).await?.success()?;
        let answer = self.ask("c-2001", "app", "home_banner", "zh-CN").await?;
        self.expect(
            answer["placements"][0]["fallback"] == true,
            "the brand's own banner before anything is known",
        );
        let view = json!({"type": "page_view", "customer": "c-2001", "properties": {"page": "fx_rates"}});
        self.tell(&json!([view, view, view]), 3).await?;
        let answer = self.ask("c-2001", "app", "home_banner", "zh-CN").await?;
        self.expect_first(&answer, "fx_exchange");
        Ok(())
    }

    /// An offer that was dismissed on one channel is gone on all.
    async fn dismissed(&mut self) -> Result<(), Failure> {
        self.title("c-1001 dismisses the R2 product in the app; the chatbot knows on its next word");
        let answer = self.ask("c-1001", "app", "home_banner", "zh-CN").await?;
        self.expect_first(&answer, "steady_r2");
        let token = &first(&answer)["token"];
        self.tell(&json!({"type": "dismiss", "customer": "c-1001", "token": token}), 1).await?;
        let answer = self.ask("c-1001", "chatbot", "chat_offer", "zh-CN").await?;
        self.expect(first(&answer)["offer"] != "steady_r2", "the dismissed offer is not shown");
        let request = json!({"customer": "c-1001", "channel": "chatbot", "explain": true,
            "placements": [{"id": "chat_offer"}]});
        let answer = self.client.post_json("/v1/decisions", &request).await?.success()?;
        let found = explanations(&answer["placements"][0]).find(|e| e["offer"] == "steady_r2");
        let stop = found.map_or(&Value::Null, |explanation| &explanation["stopped_by"]);
        let why = stop_text(stop).unwrap_or_else(|| "nothing stopped it".into());
        say!("    Why not steady_r2? {why}");
        self.expect(stop["kind"] == "suppression", "stopped by the suppression after the dismissal");
        Ok(())
    }

    /// Sends events and shows them.
    async fn tell(&mut self, events: &Value, count: u64) -> Result<(), Failure> {
        let started = Instant::now();
        let answer = self.client.post_json("/v1/events", events).await?.success()?;
        let took = started.elapsed().as_micros();
        let one = events.as_array().map_or(events, |all| &all[0]);
        let what = one["properties"]["page"].as_str().map_or(String::new(), |page| format!(" of {page}"));
        let line =
            format!("POST /v1/events     {count} x {}{what}", one["type"].as_str().unwrap_or_default());
        say!("    {line}  {}", dim(&format!("{took} µs"), self.colours));
        self.expect(answer["accepted"] == count, "every event is accepted");
        Ok(())
    }

    fn title(&self, text: &str) {
        say!("\n{}", bold(text, self.colours));
    }

    /// Asks over HTTP, and shows request and answer.
    async fn ask(
        &mut self,
        customer: &str,
        channel: &str,
        placement: &str,
        locale: &str,
    ) -> Result<Value, Failure> {
        let request = json!({"customer": customer, "channel": channel, "locale": locale, "placements": [{"id": placement}]});
        let started = Instant::now();
        let answer = self.client.post_json("/v1/decisions", &request).await?;
        let took = started.elapsed().as_micros();
        let answer = answer.success()?;
        let shown = first(&answer);
        let line = format!("POST /v1/decisions  {customer}, {channel}, {placement}, {locale}");
        say!("    {line}  {}", dim(&format!("{took} µs, client and HTTP included"), self.colours));
        let offer = shown["offer"].as_str().unwrap_or("nothing");
        say!(
            "      {}: {}",
            bold(offer, self.colours),
            shown["reason"].as_str().unwrap_or("no reason given")
        );
        say!("      {}", shown["content"]);
        Ok(answer)
    }

    fn expect_first(&mut self, answer: &Value, offer: &str) {
        self.expect(first(answer)["offer"] == offer, &format!("{offer} first"));
    }

    fn expect(&mut self, met: bool, what: &str) {
        if !met {
            self.right = false;
            say!("      WRONG: the story says {what}");
        }
    }
}

fn first(answer: &Value) -> &Value {
    &answer["placements"][0]["propositions"][0]
}

/// Command lines to paste into another terminal.
pub(super) fn to_try(address: SocketAddr, node: &Node) -> String {
    let live = node.live();
    let placement = live.engine.placements().first().map_or("home_banner", |placement| &*placement.name);
    let placement = if live.engine.placement_id("home_banner").is_some() { "home_banner" } else { placement };
    let server = format!("http://{address}");
    format!(
        "  curl '{server}/v1/decisions?customer=c-1001&placement={placement}&channel=app&locale=zh-CN'\n\
         \x20 curl -X PATCH {server}/v1/customers/c-1001 -H 'content-type: application/json' -d '{{\"aum\": 1500000}}'\n\
         \x20 curl {server}/v1/rule-sets\n\
         \x20 curl {server}/metrics\n\
         \x20 usher decide c-1001 {placement} --explain --server {server}\n"
    )
}
