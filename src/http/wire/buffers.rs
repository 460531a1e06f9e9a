//! Buffers that the connections of a thread share. A connection has one only while it has something to read
//! or to write, so those that wait hold no memory, and busy ones find theirs in the processor's cache.

use std::cell::RefCell;

/// The size of a buffer. It is more than a head may have, and what is read at a time.
pub(super) const BUFFER_BYTES: usize = 64 * 1024;
/// The most spare buffers of each kind that a thread keeps.
const KEPT: usize = 16;

thread_local! {
    static TO_READ: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
    static TO_WRITE: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// A buffer of [`BUFFER_BYTES`] bytes, to read into.
pub(super) fn to_read() -> Vec<u8> {
    TO_READ.with_borrow_mut(Vec::pop).unwrap_or_else(|| vec![0; BUFFER_BYTES])
}

/// Takes a buffer back that was read into.
pub(super) fn was_read(buffer: Vec<u8>) {
    if buffer.len() == BUFFER_BYTES {
        TO_READ.with_borrow_mut(|kept| keep(kept, buffer));
    }
}

/// An empty buffer, to write from.
pub(crate) fn to_write() -> Vec<u8> {
    TO_WRITE.with_borrow_mut(Vec::pop).unwrap_or_else(|| Vec::with_capacity(BUFFER_BYTES))
}

/// Takes a buffer back from which all was written.
pub(crate) fn was_written(mut buffer: Vec<u8>) {
    if (1..=BUFFER_BYTES).contains(&buffer.capacity()) {
        buffer.clear();
        TO_WRITE.with_borrow_mut(|kept| keep(kept, buffer));
    }
}

fn keep(kept: &mut Vec<Vec<u8>>, buffer: Vec<u8>) {
    if kept.len() < KEPT {
        kept.push(buffer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spare_buffers_are_used_again_up_to_a_bound() {
        let read: Vec<_> = (0..KEPT + 1).map(|_| to_read()).collect();
        assert!(read.iter().all(|buffer| buffer.len() == BUFFER_BYTES));
        read.into_iter().for_each(was_read);
        was_read(Vec::new());
        was_read(vec![0; 10]);
        assert_eq!(TO_READ.with_borrow(Vec::len), KEPT);
        let mut written = to_write();
        written.extend_from_slice(b"answer");
        was_written(written);
        was_written(Vec::new());
        was_written(Vec::with_capacity(BUFFER_BYTES * 2));
        assert_eq!(TO_WRITE.with_borrow(Vec::len), 1);
        assert!(to_write().is_empty());
    }
}
