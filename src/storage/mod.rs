//! What survives a crash: bytes on disk, the journal, snapshots, and the directory that holds them.

pub mod codec;
pub mod data_dir;
pub mod disk;
pub mod durability;
pub(crate) mod identity;
pub mod journal;
pub mod key_file;
pub mod refused;
pub mod snapshot;
pub mod token_keys;
