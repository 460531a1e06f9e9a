//! Sockets, threads, connections, and the path of a request to its handler.

pub(crate) mod admission;
pub(crate) mod caller;
pub(crate) mod connection;
pub(crate) mod descriptors;
pub(crate) mod envelope;
pub(crate) mod framing;
mod idle;
pub(crate) mod listen;
mod pace;
pub(crate) mod queue_time;
mod raw;
pub(crate) mod respond;
mod shed;
pub(crate) mod stream;
mod unread;
