//! Why a node takes no write at the moment.

/// Why no write can be taken now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unavailable {
    /// Too many writes are waiting. Try again shortly.
    Overloaded,
    /// The journal failed, or the node is stopping.
    Stopped,
    /// The store has no room for more customers.
    Full,
    /// There is no memory left, as the bound of the node says.
    Memory,
    /// The disk is full. Nothing was changed; try again when there is room.
    DiskFull,
    /// The system had no file descriptor, no memory or no permission for a file that the write needs. Nothing
    /// was changed; try again shortly.
    NoFile,
}
