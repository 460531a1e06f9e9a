//! Customers from the rows of a file, translated if the file is foreign.

use super::Rejection;
use super::chunk::{LoadChunk, RejectedRow};
use super::objects::fields;
use super::rejects::without_reason;
use super::rows::{Content, FileRows, Row, Shown, line_of};
use crate::bundle::import::{CUSTOMER_COLUMN, Mapping, Translation, cell, check_native};
use crate::cli::ending::Failure;
use crate::input::document::InputValue;
use crate::input::problem::quoted;
use crate::node::clock;
use crate::schema::value::Time;

/// The most rows in one chunk.
const MAX_ROWS: usize = 5_000;
/// A chunk with this many bytes takes no more rows. It is half the server's limit, so that the last row still
/// fits.
const FULL_BYTES: usize = 4 << 20;

/// Makes chunks of customers.
pub(in crate::cli) struct CustomerRows<'m> {
    pub(in crate::cli) rows: FileRows,
    translation: Option<Translation<'m>>,
    /// The place of the customer's id in a file of Usher's own.
    customer: Option<usize>,
    /// The header that the server receives; nothing for JSON.
    head: Vec<u8>,
    media_type: &'static str,
    /// When the load began.
    now: Time,
    keeps: Keeps,
}

/// What chunks keep of each row.
#[derive(Debug, Clone, Copy)]
pub(in crate::cli) struct Keeps {
    /// How the file has it.
    pub(in crate::cli) shown: bool,
    /// Its customer.
    pub(in crate::cli) customer: bool,
}

/// What a row becomes: the text to send, or the column that is wrong and why.
type Made = Result<Vec<u8>, (Option<String>, String)>;

impl<'m> CustomerRows<'m> {
    pub(in crate::cli) fn new(
        rows: FileRows,
        mapping: Option<&'m Mapping>,
        keeps: Keeps,
    ) -> Result<CustomerRows<'m>, Failure> {
        let translation = match (mapping, rows.header()) {
            (Some(mapping), Some(header)) => Some(mapping.bind(header)?),
            (Some(mapping), None) => Some(mapping.bind(mapping.columns())?),
            (None, Some(header)) => check_native(header).map(|()| None).map_err(Failure::new)?,
            (None, None) => None,
        };
        let head = match (&translation, rows.header()) {
            (Some(translation), _) => line_of(translation.header(), b',')?,
            (None, Some(header)) => line_of(header, b',')?,
            (None, None) => Vec::new(),
        };
        let media_type = if head.is_empty() { "application/x-ndjson" } else { "text/csv" };
        let customer =
            rows.header().and_then(|header| header.iter().position(|name| name.trim() == CUSTOMER_COLUMN));
        Ok(CustomerRows { rows, translation, customer, head, media_type, now: clock::now(), keeps })
    }

    /// The next rows.
    pub(in crate::cli) fn next_chunk(&mut self) -> LoadChunk {
        let chunk = LoadChunk::new(self.media_type, &self.head);
        chunk.fill((MAX_ROWS, FULL_BYTES), |chunk| self.add_row(chunk))
    }

    /// Adds the next row; `false` at the end of the file.
    fn add_row(&mut self, chunk: &mut LoadChunk) -> Result<bool, Failure> {
        let Some(Row { line, number, content }) = self.rows.read_next()? else { return Ok(false) };
        let translation = self.translation.as_ref();
        let wanted = self.keeps.customer;
        let mut customer = None;
        let made: Made = match (content, translation) {
            (Content::Wrong(why), _) => Err((None, why)),
            (Content::Cells(cells), None) => {
                let features = cells.iter().enumerate().filter(|(i, _)| Some(*i) != self.customer);
                features.for_each(|(_, cell)| chunk.cells.count(cell));
                let id = self.customer.filter(|_| wanted).and_then(|place| cells.get(place));
                customer = id.map(str::to_owned);
                Ok(line_of(cells, b',')?)
            }
            (Content::Object(text), None) => {
                let text = without_reason(text);
                customer = if wanted { customer_of(&text) } else { None };
                Ok([&text[..], b"\n"].concat())
            }
            (Content::Cells(cells), Some(translation)) => {
                let cells: Vec<&str> = cells.iter().collect();
                customer = wanted.then(|| translation.customer(&cells, number));
                translated(translation, &cells, number, self.now, chunk)
            }
            (Content::Object(text), Some(translation)) => cells_of(&without_reason(text), translation)
                .and_then(|cells| {
                    let cells: Vec<&str> = cells.iter().map(String::as_str).collect();
                    customer = wanted.then(|| translation.customer(&cells, number));
                    translated(translation, &cells, number, self.now, chunk)
                }),
        };
        let shown = if self.keeps.shown { self.rows.shown() } else { Shown::default() };
        match made {
            Ok(text) => chunk.push(&text, (line, number), shown, customer),
            Err((column, detail)) => {
                let rejection = Rejection { line, column, detail };
                chunk.rejected.push(RejectedRow { rejection, number, shown, customer });
            }
        }
        Ok(true)
    }

    /// The file's name for a column of what was sent, counted from 1.
    pub(in crate::cli) fn column(&self, number: u64) -> Option<&str> {
        let index = usize::try_from(number).ok()?.checked_sub(1)?;
        match &self.translation {
            Some(translation) => translation.foreign_name(index),
            None => self.rows.header()?.get(index),
        }
    }
}

/// The customer of an object, if it says one.
fn customer_of(text: &[u8]) -> Option<String> {
    let (_, value) = fields(text).ok()?.into_iter().find(|(key, _)| key.text == CUSTOMER_COLUMN)?;
    if let InputValue::Text(text) = value.value { Some(text.into_owned()) } else { None }
}

fn translated(
    translation: &Translation<'_>,
    cells: &[&str],
    number: u64,
    now: Time,
    chunk: &mut LoadChunk,
) -> Made {
    match translation.row(cells, number, now) {
        Ok(cells) => {
            cells.iter().skip(1).for_each(|cell| chunk.cells.count(cell)); // the first is the id
            line_of(cells.iter().map(|cell| cell.as_bytes()), b',').map_err(|e| (None, e.to_string()))
        }
        Err(wrong) => {
            let more = match wrong.len() {
                0 | 1 => String::new(),
                2 => "; 1 more column is wrong".to_owned(),
                count => format!("; {} more columns are wrong", count - 1),
            };
            let first = wrong.into_iter().next();
            let (column, why) = first.unwrap_or_default();
            Err((Some(column.to_owned()), why + &more))
        }
    }
}

/// The cells of an object, in the order of the mapping's columns. A field that is left out is an empty cell.
fn cells_of(text: &[u8], translation: &Translation<'_>) -> Result<Vec<String>, (Option<String>, String)> {
    let mut cells = vec![String::new(); translation.names().len()];
    for (key, value) in fields(text).map_err(|why| (None, why))? {
        let Some(place) = translation.names().iter().position(|name| **name == *key.text) else {
            if translation.ignores(&key.text) {
                continue;
            }
            return Err((None, format!("field {} is neither mapped nor ignored", quoted(&key.text))));
        };
        cells[place] = cell::of_input(&value.value).map_err(|why| (Some(key.text.to_string()), why))?;
    }
    Ok(cells)
}
