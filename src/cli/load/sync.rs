//! A file that is the whole truth: the customers who are not in it go.

use std::collections::HashSet;

use hyper::{Method, header};
use xxhash_rust::xxh3::xxh3_64;

use super::total::Absent;
use crate::cli::client::Client;
use crate::cli::ending::Failure;
use crate::cli::terminal::thousands;
use crate::customer::id::check;

/// The most customers that are erased with one request.
const MAX_ERASED: usize = 10_000;

/// The customers whom the server knew when the load began, and who have not been seen in the file.
pub(super) struct Sync {
    /// Hashes of their ids. Two ids with one hash would keep a customer who is not in the file: that does no
    /// harm, and is as likely as one in 10^5 among 20 million.
    absent: HashSet<u64>,
    known: u64,
    /// The line of the first row whose customer cannot be told.
    unknown: Option<u64>,
}

impl Sync {
    /// Asks the server whom it knows. Who comes while the file is loaded is no customer who is missing from
    /// it.
    pub(super) async fn start(client: &mut Client) -> Result<Sync, Failure> {
        let mut absent = HashSet::new();
        each_part(client, |ids: Vec<String>| absent.extend(ids.iter().map(|id| xxh3_64(id.as_bytes()))))
            .await?;
        let known = absent.len() as u64;
        Ok(Sync { absent, known, unknown: None })
    }

    /// Takes the customer of a row off the list. A row that names nobody who is known, and nobody who could
    /// be, may be of any customer.
    pub(super) fn took(&mut self, customer: Option<&str>, line: u64) {
        let was_there = customer.is_some_and(|id| self.absent.remove(&xxh3_64(id.as_bytes())));
        if !was_there && customer.is_none_or(|id| check(id).is_err()) {
            self.unknown = self.unknown.or(Some(line));
        }
    }

    /// Erases who is not in the file, unless that would be more than `most` per cent of all, or a row's
    /// customer is not known.
    pub(super) async fn finish(
        self,
        client: &mut Client,
        most: f64,
        dry_run: bool,
    ) -> Result<Absent, Failure> {
        let absent = self.absent.len() as u64;
        let found = Absent { known: self.known, absent, erased: false };
        if absent == 0 {
            return Ok(found);
        }
        let (gone, known) = (thousands(absent), thousands(self.known));
        let share = 100.0 * absent as f64 / self.known as f64;
        let what = format!("{gone} of {known} customers ({share:.2} %) are not in the file");
        if let Some(line) = self.unknown {
            complain!("{what}, but line {line} does not tell its customer: nobody is erased");
        } else if share > most {
            complain!(
                "{what}, more than {most} %: nobody is erased; --max-absent {} allows it",
                share.ceil()
            );
        } else if dry_run {
            complain!("{what} and would be erased");
        } else {
            complain!("{what}: they are erased now");
            self.erase(client).await?;
            return Ok(Absent { erased: true, ..found });
        }
        Ok(found)
    }

    async fn erase(&self, client: &mut Client) -> Result<(), Failure> {
        let mut ids = Vec::new();
        each_part(client, |part| {
            ids.extend(part.into_iter().filter(|id| self.absent.contains(&xxh3_64(id.as_bytes()))));
        })
        .await?;
        for ids in ids.chunks(MAX_ERASED) {
            let lines = ids.iter().map(|id| format!("{}\n", serde_json::json!({"customer": id})));
            let body: String = lines.collect();
            let headers = [(header::CONTENT_TYPE, "application/x-ndjson")];
            client.send(Method::POST, "/v1/customers?mode=erase", &headers, body).await?.success()?;
        }
        Ok(())
    }
}

/// Calls `each` with the ids of all customers, part by part.
async fn each_part(client: &mut Client, mut each: impl FnMut(Vec<String>)) -> Result<(), Failure> {
    let (mut part, mut parts) = (0, 1);
    while part < parts {
        let answer = client.get(&format!("/v1/customers?part={part}")).await?.success()?;
        parts = answer["parts"].as_u64().unwrap_or(0);
        let ids = answer["customers"].as_array().into_iter().flatten();
        each(ids.filter_map(|id| id.as_str().map(str::to_owned)).collect());
        part += 1;
    }
    Ok(())
}
