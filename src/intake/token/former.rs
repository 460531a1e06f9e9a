//! Tokens of version 1, which earlier releases signed. They are accepted as long as they live, at most
//! [`MAX_LIFE`](super::MAX_LIFE), and no longer written.
//!
//! Their layout is that of version 2. Three things differ. Their nonce is that of the proposition and not of
//! the decision. The MAC is the first bytes of keyed BLAKE3, and so are the bytes that say whose a token is.
//! The two subkeys have 32 bytes and are derived for another purpose, so no token is of both versions.

use super::{CUSTOMER_BYTES, KEY_BYTES, MAC_BYTES, first};

/// The first byte of these tokens.
pub(super) const VERSION: u8 = 1;

/// The subkeys of a key that check them.
pub(super) struct Former {
    mac: [u8; KEY_BYTES],
    customer: [u8; KEY_BYTES],
}

impl Former {
    pub(super) fn new(material: &[u8; KEY_BYTES]) -> Former {
        Former {
            mac: blake3::derive_key("usher 2026 proposition token, MAC", material),
            customer: blake3::derive_key("usher 2026 proposition token, customer", material),
        }
    }

    pub(super) fn mac(&self, body: &[u8]) -> [u8; MAC_BYTES] {
        first(blake3::keyed_hash(&self.mac, body).as_bytes())
    }

    pub(super) fn customer(&self, nonce: [u8; 8], customer: &str) -> [u8; CUSTOMER_BYTES] {
        let mut hasher = blake3::Hasher::new_keyed(&self.customer);
        let hash = hasher.update(&nonce).update(customer.as_bytes()).finalize();
        first(hash.as_bytes())
    }
}
