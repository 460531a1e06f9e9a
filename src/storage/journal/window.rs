//! Reading a file of the journal through a window that moves forward.

use std::io;

use super::frame;
use super::frame::MAX_FRAME_BYTES;
use crate::storage::disk;
use crate::storage::disk::File;

/// How many bytes are read at a time.
const STEP_BYTES: usize = 1 << 20;

/// A stretch of a file in memory that moves forward.
pub(super) struct FileWindow<'f> {
    file: &'f dyn File,
    pub(super) length: u64,
    start: u64,
    bytes: Vec<u8>,
}

impl<'f> FileWindow<'f> {
    pub(super) fn new(file: &'f dyn File, length: u64) -> FileWindow<'f> {
        FileWindow { file, length, start: 0, bytes: Vec::new() }
    }

    /// `wanted` bytes from `offset` on, or fewer at the end of the file.
    pub(super) fn at(&mut self, offset: u64, wanted: usize) -> io::Result<&[u8]> {
        let end = self.start + self.bytes.len() as u64;
        let wanted = wanted.min((self.length - offset.min(self.length)) as usize);
        if offset < self.start || offset + wanted as u64 > end {
            self.start = offset;
            let fill = wanted.max(STEP_BYTES).min((self.length - offset) as usize);
            self.bytes.resize(fill, 0);
            if !disk::read_exact_at(self.file, offset, &mut self.bytes)? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        let from = (offset - self.start) as usize;
        Ok(&self.bytes[from..][..wanted])
    }

    /// Where the bytes from `offset` on end, without the zeros behind them; `offset` if there are only
    /// zeros.
    pub(super) fn written_end(&mut self, offset: u64) -> io::Result<u64> {
        let (mut end, mut at) = (offset, offset);
        while at < self.length {
            let bytes = self.at(at, STEP_BYTES)?;
            if let Some(last) = bytes.iter().rposition(|byte| *byte != 0) {
                end = at + last as u64 + 1;
            }
            at += bytes.len() as u64;
        }
        Ok(end)
    }

    /// The bytes of the frame at `offset`, or of as much of it as shows what is wrong.
    pub(super) fn frame(&mut self, offset: u64, salt: u64) -> io::Result<&[u8]> {
        let head = frame::read_head(self.at(offset, frame::HEAD_BYTES)?, salt);
        let wanted = head.map_or(frame::HEAD_BYTES, |head| frame::frame_bytes(head.length));
        debug_assert!(wanted <= MAX_FRAME_BYTES);
        self.at(offset, wanted)
    }
}
