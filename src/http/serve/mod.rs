//! Sockets, threads, connections, and the path of a request to its handler.

mod accept;
pub(crate) mod admission;
pub(crate) mod caller;
mod connection;
pub(crate) mod descriptors;
mod envelope;
mod idle;
pub(crate) mod listen;
mod pace;
pub(crate) mod queue_time;
mod respond;
mod shed;
mod writing;
