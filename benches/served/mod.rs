//! What the benches of HTTP serve and ask, and what the right answer is: 1,000 offers of 4 to 6 atoms, three
//! propositions with tokens in the customer's language, answers of 1.2 kB.
#![allow(dead_code)] // each user needs another part of it

pub(crate) mod answer;
pub(crate) mod constant;
pub(crate) mod question;

use std::net::Ipv4Addr;
use std::sync::Arc;

use tokio::runtime::Builder;
use usher::customer::id::CustomerId;
use usher::customer::update::{Change, Update};
use usher::http;
use usher::http::Server;
use usher::intake::token::{DEFAULT_LIFE, SigningKey, SigningKeys, Tokens};
use usher::node::Node;
use usher::node::define::Define;
use usher::node::startup::Startup;
use usher::schema::Schema;

use crate::synthetic::customer::Customer;
use crate::synthetic::{Distribution, Ranked, Synthetic, schema_text};

const OFFERS: usize = 1_000;
/// Customers in one write while the node is filled.
const CHUNK: usize = 1_000;

/// The rule set that is served.
pub(crate) fn rules() -> Synthetic {
    Synthetic::new(Distribution::Uniform, OFFERS, Ranked::Statically)
}

/// The id of a customer, by their place among [`Customer::all`].
pub(crate) fn id(customer: usize) -> String {
    format!("c-{customer:08}")
}

/// The key with which the server signs, so that others can check its tokens.
pub(crate) fn tokens() -> Tokens {
    Tokens { keys: Arc::new(SigningKeys::one(SigningKey::new(1, &[7; 32]))), life: DEFAULT_LIFE }
}

/// Starts a server with one thread, these rules and this many customers.
pub(crate) fn start(rules: &Synthetic, customers: usize) -> Server {
    let node = Node::start().expect("a node starts");
    let define = Define::Bundle {
        schema: schema_text(),
        rule_sets: vec![("synthetic.yaml".into(), rules.text_with(dressed))],
        activate: true,
        rename: false,
        prune: false,
    };
    let runtime = Builder::new_current_thread().build().expect("a runtime starts");
    runtime.block_on(async {
        node.define(define).await.unwrap_or_else(|e| panic!("{e:?}"));
        let mut updates =
            Customer::all().take(customers).enumerate().map(|(i, c)| update(i, &c, &rules.schema));
        loop {
            let chunk: Vec<Update> = updates.by_ref().take(CHUNK).collect();
            if chunk.is_empty() {
                break;
            }
            node.write(chunk).await.expect("it is written");
        }
    });
    let settings = http::Settings { threads: 1, tokens: Some(tokens()), ..http::Settings::default() };
    http::serve((Ipv4Addr::LOCALHOST, 0).into(), Startup::done(node), settings).expect("a free port")
}

fn update(at: usize, customer: &Customer, schema: &Schema) -> Update {
    let customer_id = CustomerId::new(&id(at)).expect("it is an id");
    let mut codes = customer.codes(schema);
    codes.retain(|(_, code)| *code != 0);
    Update { customer: customer_id, change: Change::Merge(codes) }
}

/// The reason and the treatments of an offer, in two languages.
fn dressed(offer: usize) -> String {
    format!(
        "\n      - {{placement: slot, locale: en, content: {{title: 'Offer {offer} for you', text: 'A better rate for three months, and \
         nothing to pay before spring', link: 'bank://offers/{offer}'}}}}\n      \
         - {{placement: slot, locale: zh, content: {{title: '专属优惠 {offer}', text: '三个月内享受更优利率，春季之前无需支付任何费用', \
         link: 'bank://offers/{offer}'}}}}\n    reason: {{en: 'You would save with it', zh: '它能为您节省开支'}}"
    )
}
