//! Writes the tokens of a decision. What they share is mixed into the MAC and put into base64 only once.

use std::hash::Hasher;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use siphasher::sip128::SipHasher24;

use super::{
    MAX_ARMS, MAX_RAW_BYTES, MAX_RULE_SETS_PER_TOKEN, MAX_TOKEN_BYTES, NONCE_AT, Proposed, SHARED_BYTES,
    SigningKey, VERSION, mac_of,
};

/// Signs the tokens of one decision.
pub struct Signer {
    /// Has taken the bytes that all tokens share.
    mac: SipHasher24,
    raw: Raw,
    text: [u8; MAX_TOKEN_BYTES],
}

/// Of the shared bytes those whose text is shared too: base64 makes 4 characters of 3 bytes.
const SHARED_IN_TEXT: usize = SHARED_BYTES / 3 * 3;
const SHARED_CHARACTERS: usize = SHARED_IN_TEXT / 3 * 4;

impl Signer {
    pub(super) fn new(key: &SigningKey, decided: u32, nonce: u64, customer: &str) -> Signer {
        let mut raw = Raw { bytes: [0; MAX_RAW_BYTES], length: 0 };
        raw.put(&[VERSION, key.id]);
        raw.put(&decided.to_le_bytes());
        debug_assert_eq!(raw.length, NONCE_AT);
        let nonce = nonce.to_le_bytes();
        raw.put(&nonce);
        raw.put(&key.customer(nonce, customer));
        debug_assert_eq!(raw.length, SHARED_BYTES);
        let mut mac = key.mac();
        mac.write(raw.bytes());
        let mut text = [0; MAX_TOKEN_BYTES];
        encode(&raw.bytes()[..SHARED_IN_TEXT], &mut text);
        Signer { mac, raw, text }
    }

    /// The text of this proposition's token, in ASCII.
    pub fn sign(&mut self, of: &Proposed) -> &[u8] {
        let raw = &mut self.raw;
        raw.length = SHARED_BYTES;
        raw.put(&of.propensity.to_le_bytes());
        raw.put(&[of.segment, of.rank]);
        for number in [of.offer, of.treatment.into(), of.place.into()] {
            raw.number(number);
        }
        let rule_sets = &of.rule_sets[..of.rule_sets.len().min(MAX_RULE_SETS_PER_TOKEN)];
        raw.number(rule_sets.len() as u32);
        for (number, version) in rule_sets {
            raw.number((*number).into());
            raw.number(*version);
        }
        let arms = &of.arms[..of.arms.len().min(MAX_ARMS)];
        raw.number(arms.len() as u32);
        for arm in arms {
            raw.number((*arm).into());
        }
        let mac = mac_of(self.mac, &raw.bytes()[SHARED_BYTES..]);
        raw.put(&mac);
        let length = encode(&raw.bytes()[SHARED_IN_TEXT..], &mut self.text[SHARED_CHARACTERS..]);
        &self.text[..SHARED_CHARACTERS + length]
    }
}

/// Writes the text of these bytes, and says how long it is.
fn encode(bytes: &[u8], text: &mut [u8]) -> usize {
    // The buffer fits the longest token: this cannot fail.
    URL_SAFE_NO_PAD.encode_slice(bytes, text).unwrap_or(0)
}

/// The bytes of a token while it is written.
struct Raw {
    bytes: [u8; MAX_RAW_BYTES],
    length: usize,
}

impl Raw {
    fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    fn put(&mut self, bytes: &[u8]) {
        self.bytes[self.length..][..bytes.len()].copy_from_slice(bytes);
        self.length += bytes.len();
    }

    #[inline]
    fn number(&mut self, mut number: u32) {
        while number >= 0x80 {
            self.byte(number as u8 | 0x80);
            number >>= 7;
        }
        self.byte(number as u8);
    }

    #[inline]
    fn byte(&mut self, byte: u8) {
        self.bytes[self.length] = byte;
        self.length += 1;
    }
}
