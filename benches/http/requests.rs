//! The requests: three offers for random customers, built beforehand, with the offers that are right.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use crate::served::answer;
use crate::served::question::Question;
use crate::served::{id, rules, tokens};
use crate::synthetic::customer::Customer;

/// The number of requests, a multiple of every depth of pipelines.
const POOL: usize = 65_536;
/// How many answers of each way to ask are checked as a whole before anything is measured, tokens included.
const CHECKED: usize = 2_000;

/// Who is asked for, and what is right for them.
pub(crate) struct Asked {
    customers: Vec<usize>,
    of: HashMap<usize, Customer>,
    /// The names of the offers that are right, for each of `customers`.
    offers: Vec<Vec<String>>,
}

/// Requests of one way to ask.
pub(crate) struct Requests {
    pub(crate) question: Question,
    bytes: Vec<u8>,
    /// Where each request begins, and where the last ends.
    starts: Vec<usize>,
}

impl Asked {
    /// Draws from this many customers.
    pub(crate) fn of(customers: usize) -> Asked {
        let mut random = fastrand::Rng::with_seed(2026);
        let drawn: Vec<usize> = (0..POOL).map(|_| random.usize(0..customers)).collect();
        let mut of: HashMap<usize, Option<Customer>> =
            drawn.iter().map(|customer| (*customer, None)).collect();
        for (at, customer) in Customer::all().take(customers).enumerate() {
            of.entry(at).and_modify(|place| *place = Some(customer));
        }
        let of: HashMap<usize, Customer> = of.into_iter().filter_map(|(at, of)| Some((at, of?))).collect();
        let rules = rules();
        let best = |customer: &Customer| -> Vec<String> {
            rules.top(customer, &rules.fitting(customer)).iter().map(|offer| format!("o{offer:05}")).collect()
        };
        let best: HashMap<usize, Vec<String>> =
            of.iter().map(|(at, customer)| (*at, best(customer))).collect();
        let offers = drawn.iter().map(|customer| best[customer].clone()).collect();
        Asked { customers: drawn, of, offers }
    }

    /// Whether an answer is for the customer of this request, and shows the right offers in their order.
    /// This is quick, so that every answer can be looked at.
    pub(crate) fn is_right(&self, request: usize, body: &[u8]) -> bool {
        let request = request % POOL;
        let id = id(self.customers[request]);
        let mut rest = body;
        std::iter::once(&id).chain(&self.offers[request]).all(|name| {
            let at = rest.windows(name.len()).position(|window| window == name.as_bytes());
            rest = &rest[at.unwrap_or(0)..];
            at.is_some()
        })
    }

    /// Checks answers as a whole. Returns their mean length.
    pub(crate) fn check(&self, requests: &Requests, usher: SocketAddr) -> usize {
        let (rules, tokens) = (rules(), tokens());
        let mut stream = TcpStream::connect(usher).unwrap();
        let mut bytes = 0;
        for (nth, customer) in self.customers.iter().enumerate().take(CHECKED) {
            let body = ask(&mut stream, requests.batch(nth, 1));
            answer::check(&rules, &self.of[customer], &tokens, requests.question, *customer, &body);
            bytes += body.len();
        }
        bytes / CHECKED
    }
}

impl Requests {
    pub(crate) fn new(question: Question, asked: &Asked) -> Requests {
        let mut requests = Requests { question, bytes: Vec::new(), starts: vec![0] };
        for customer in &asked.customers {
            requests.bytes.extend(question.bytes(*customer));
            requests.starts.push(requests.bytes.len());
        }
        requests
    }

    /// `count` requests in a row; `from` is a multiple of `count`.
    pub(crate) fn batch(&self, from: usize, count: usize) -> &[u8] {
        let from = from % POOL;
        &self.bytes[self.starts[from]..self.starts[from + count]]
    }
}

fn ask(stream: &mut TcpStream, request: &[u8]) -> Vec<u8> {
    stream.write_all(request).unwrap();
    let (mut buffer, mut filled) = (vec![0; 16 * 1024], 0);
    loop {
        let read = stream.read(&mut buffer[filled..]).unwrap();
        assert!(read > 0, "the server closed the connection");
        filled += read;
        if let Some((_, body)) = answer::first(&buffer[..filled]) {
            return body.to_vec();
        }
    }
}
