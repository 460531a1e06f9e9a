//! Sockets, threads, connections, and the path of a request to its handler.

pub(crate) mod connection;
pub(crate) mod listen;
pub(crate) mod respond;
pub(crate) mod stream;
