//! Customers from the rows of a file, translated if the file is foreign.

use super::Rejection;
use super::chunk::{LoadChunk, RejectedRow};
use super::objects::customer_of;
use super::rejects::without_reason;
use super::rows::{Content, FileRows, Row, Shown, line_of};
use super::translated::{Wrong, bound, first_of, with_cells};
use crate::bundle::import::{Mapping, Translation, check_native};
use crate::cli::ending::Failure;
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
type Made = Result<Vec<u8>, Wrong>;

impl<'m> CustomerRows<'m> {
    pub(in crate::cli) fn new(
        rows: FileRows,
        mapping: Option<&'m Mapping>,
        keeps: Keeps,
    ) -> Result<CustomerRows<'m>, Failure> {
        let translation = mapping.map(|mapping| bound(mapping, &rows)).transpose()?;
        if let (None, Some(header)) = (&translation, rows.header()) {
            check_native(header).map_err(Failure::new)?;
        }
        let head = match (&translation, rows.header()) {
            (Some(translation), _) => line_of(translation.header(), b',')?,
            (None, Some(header)) => line_of(header, b',')?,
            (None, None) => Vec::new(),
        };
        let media_type = if head.is_empty() { "application/x-ndjson" } else { "text/csv" };
        let customer = rows.customer_column();
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
            (Content::Wrong(why), None) => Err((None, why)),
            (Content::Cells(cells), None) => {
                let features = cells.iter().enumerate().filter(|(i, _)| Some(*i) != self.customer);
                features.for_each(|(_, cell)| chunk.cells.count(cell));
                let id = self.customer.filter(|_| wanted).and_then(|place| cells.get(place));
                customer = id.map(str::to_owned);
                Ok(line_of(cells, b',')?)
            }
            (Content::Object(text), None) => {
                let text = without_reason(text);
                customer = if wanted { customer_of(&text).ok() } else { None };
                Ok([&text[..], b"\n"].concat())
            }
            (content, Some(translation)) => with_cells(content, translation, |cells| {
                customer = wanted.then(|| translation.customer(cells, number));
                translated(translation, cells, number, self.now, chunk)
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

fn translated(
    translation: &Translation<'_>,
    cells: &[&str],
    number: u64,
    now: Time,
    chunk: &mut LoadChunk,
) -> Made {
    let cells = translation.row(cells, number, now).map_err(first_of)?;
    cells.iter().skip(1).for_each(|cell| chunk.cells.count(cell)); // the first is the id
    line_of(cells.iter().map(|cell| cell.as_bytes()), b',').map_err(|e| (None, e.to_string()))
}
