//! Sockets, threads, connections, and the way of one request to its handler.

pub(crate) mod connection;
pub(crate) mod listen;
pub(crate) mod respond;
pub(crate) mod stream;
