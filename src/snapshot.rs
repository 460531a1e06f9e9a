//! Stub
use crate::disk::Disk;
use crate::durability::SnapshotInfo;
use crate::state::{Frozen, State};
use std::sync::atomic::AtomicBool;
pub struct Head {
    pub sequence: u64,
    pub chain: u64,
    pub erased: u64,
    pub customers: u64,
    pub taken_at_s: u64,
}
pub struct Written {
    pub name: String,
    pub bytes: u64,
    pub head: Head,
    pub digest: u64,
}
pub struct Loaded {
    pub state: State,
    pub head: Head,
    pub digest: u64,
    pub bytes: u64,
}
pub struct Checked {
    pub head: Head,
    pub digest: u64,
    pub bytes: u64,
}
#[derive(Debug)]
pub enum LoadError {
    Newer { version: u32 },
    Other,
}
#[derive(Debug)]
pub enum WriteError {
    Io(std::io::Error),
    Other,
}
impl std::fmt::Display for LoadError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self:?}")
    }
}
impl std::fmt::Display for WriteError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self:?}")
    }
}
impl Checked {
    pub fn info(&self) -> SnapshotInfo {
        SnapshotInfo {
            sequence: self.head.sequence,
            customers: self.head.customers,
            bytes: self.bytes,
            digest: self.digest,
            taken_at_s: self.head.taken_at_s,
        }
    }
}
pub fn name(sequence: u64) -> String {
    format!("{sequence:020}.snapshot")
}
pub fn sequence_of(name: &str) -> Option<u64> {
    name.strip_suffix(".snapshot")?.parse().ok()
}
pub fn write(
    _: &dyn Disk,
    _: u64,
    _: Frozen,
    _: u64,
    _: u64,
    _: bool,
    _: &AtomicBool,
) -> Result<Written, WriteError> {
    Err(WriteError::Other)
}
pub fn load(_: &dyn Disk, _: u64, _: &str, _: &(dyn Fn(u64, u64) + Sync)) -> Result<Loaded, LoadError> {
    Err(LoadError::Other)
}
pub fn verify(_: &dyn Disk, _: u64, _: &str) -> Result<Checked, LoadError> {
    Err(LoadError::Other)
}
