//! Proposition tokens: what a decision said, signed and handed to the channel, which sends it back with the
//! outcome. A decision stores nothing. Any node that has the key can tell what an outcome belongs to.
//!
//! ```text
//! bytes  what
//!     1  version of this format, 2
//!     1  id of the key it is signed with
//!     4  decided, seconds since 1970, little-endian
//!     8  nonce of the decision, little-endian
//!     8  whose it is: SipHash-2-4 over the nonce (8 bytes) and the customer's id, by the customer subkey;
//!        not readable, and not the same in two decisions for one customer
//!     4  propensity, bits of an f32, little-endian
//!     1  segment
//!     1  rank
//!     *  offer, treatment, place
//!     *  how many rule sets, then each one's number and version
//!     *  how many arms, then each one's number
//!    16  MAC: SipHash-2-4 with 128 bits over everything above, by the MAC subkey
//! ```
//! Bytes marked `*` are unsigned LEB128 numbers in the fewest bytes. The text is base64url without padding
//! and with zero trailing bits, so a token has exactly one text. A key is 32 random bytes, from which
//! BLAKE3's key derivation makes two subkeys of 16 bytes. A usual token has 78 characters
//! (`benches/token.rs`).
//!
//! **What holds it together.** SipHash-2-4 was made to be a MAC of short texts (Aumasson and Bernstein,
//! 2012). No way is known to forge one that is better than trying keys or tags. With a key and a tag of 128
//! bits, a try succeeds with a probability of 2^-128: a million tries a second for a thousand years come to
//! 2^-73. It is a function of key and text alone, so nothing depends on a nonce. If two decisions had the
//! same one, their tokens would stay unforgeable, and two outcomes could be taken for one: a nonce has 64
//! bits.
//!
//! The MAC is checked before any content is believed and before the customer is compared. So the answers
//! teach nothing to those who make up tokens. Those who have a real token learn whose it is only by
//! guessing right.
//!
//! [`former`] reads the tokens of version 1.

mod former;
mod signer;

use std::fmt;
use std::hash::Hasher;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use siphasher::sip::SipHasher24;
use siphasher::sip128;
use smallvec::SmallVec;

use self::former::Former;
pub use self::signer::Signer;
use crate::schema::span::told;
use crate::schema::value::{SECOND, Time};

/// The most rule sets that a token names.
pub const MAX_RULE_SETS_PER_TOKEN: usize = 16;
/// The most arms that a token names.
pub const MAX_ARMS: usize = 16;
/// The most characters in a token's text.
pub const MAX_TOKEN_BYTES: usize = (MAX_RAW_BYTES * 4).div_ceil(3);
/// The length of a key in bytes.
pub const KEY_BYTES: usize = 32;
/// Seconds for which a token is accepted unless configured otherwise: 30 days.
pub const DEFAULT_LIFE: u32 = 30 * 24 * 3600;
/// The most seconds for which tokens may be accepted: 90 days.
pub const MAX_LIFE: u32 = 90 * 24 * 3600;
/// Seconds by which the deciding node's clock may be ahead of this node's.
pub const MAX_AHEAD: u32 = 300;

const VERSION: u8 = 2;
const CUSTOMER_BYTES: usize = 8;
const MAC_BYTES: usize = 16;
/// Bytes of a subkey.
const SUBKEY_BYTES: usize = 16;
/// Bytes from the beginning that all tokens of a decision share: up to the customer, which is included.
const SHARED_BYTES: usize = CUSTOMER_AT + CUSTOMER_BYTES;
/// Bytes from the beginning up to the rank, which is included.
const HEAD_BYTES: usize = SHARED_BYTES + 4 + 1 + 1;
const NONCE_AT: usize = 6;
const CUSTOMER_AT: usize = 14;
/// Bytes of the longest 16-bit number in LEB128.
const U16_BYTES: usize = 3;
/// Bytes of the longest 32-bit number in LEB128.
const U32_BYTES: usize = 5;
const MAX_BODY_BYTES: usize = HEAD_BYTES
    + U32_BYTES
    + 2 * U16_BYTES
    + 1
    + MAX_RULE_SETS_PER_TOKEN * (U16_BYTES + U32_BYTES)
    + 1
    + MAX_ARMS * U16_BYTES;
const MIN_RAW_BYTES: usize = HEAD_BYTES + 5 + MAC_BYTES;
const MAX_RAW_BYTES: usize = MAX_BODY_BYTES + MAC_BYTES;

/// What a token says. It holds the customer only as a hash to compare with.
#[derive(Debug, Clone, PartialEq)]
pub struct Token {
    /// The time of the decision, in seconds since 1970.
    pub decided: u32,
    /// Identifies the decision and the proposition in it, so that an outcome counts once. Never 0.
    pub nonce: u64,
    /// What was proposed.
    pub proposed: Proposed,
}

/// What a token says of its proposition.
#[derive(Debug, Clone, PartialEq)]
pub struct Proposed {
    /// The number and version of each rule set that had a say, the offer's own first. Those beyond
    /// [`MAX_RULE_SETS_PER_TOKEN`] are left out.
    pub rule_sets: SmallVec<[(u16, u32); 8]>,
    /// The offer's number in the catalogue.
    pub offer: u32,
    /// The treatment's number within the offer.
    pub treatment: u16,
    /// The number of placement and channel.
    pub place: u16,
    /// Numbers of the arms that the customer is in; those beyond [`MAX_ARMS`] are left out.
    pub arms: SmallVec<[u16; 4]>,
    /// The segment for which propensities were learned.
    pub segment: u8,
    /// Its place among the propositions, from 0.
    pub rank: u8,
    /// The probability of the choice, 0 to 1.
    pub propensity: f32,
}

/// What signing and checking takes: the keys, and how long a token is accepted.
#[derive(Debug, Clone)]
pub struct Tokens {
    /// The keys that sign and check tokens.
    pub keys: Arc<SigningKeys>,
    /// Seconds after the decision for which its token is accepted.
    pub life: u32,
}

/// The keys in use: one, or two while one replaces the other. The first signs.
pub struct SigningKeys {
    first: SigningKey,
    second: Option<SigningKey>,
}

/// One key. `Debug` does not show its bytes.
pub struct SigningKey {
    id: u8,
    mac: [u8; SUBKEY_BYTES],
    customer: [u8; SUBKEY_BYTES],
    former: Former,
}

/// Why a token is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenFault {
    /// It is not a token of this format; why not.
    Malformed(&'static str),
    /// Its key has this id, and no such key is in use here.
    UnknownKey(u8),
    /// The key that it names did not sign it, or it was altered since.
    Forged,
    /// It was signed here, but for another customer.
    OtherCustomer,
    /// It was decided later than now. Both times are in seconds since 1970.
    Future {
        /// The time of the decision.
        decided: u32,
        /// The time by this node's clock.
        now: u32,
    },
    /// It is older than tokens are accepted.
    Expired {
        /// The time of the decision, in seconds since 1970.
        decided: u32,
        /// How long tokens are accepted, in seconds.
        life: u32,
    },
}

impl SigningKey {
    /// The key with these bytes, which must be random and secret.
    pub fn new(id: u8, material: &[u8; KEY_BYTES]) -> SigningKey {
        let subkey = |purpose| first(&blake3::derive_key(purpose, material));
        SigningKey {
            id,
            mac: subkey("usher 2026 proposition token 2, MAC"),
            customer: subkey("usher 2026 proposition token 2, customer"),
            former: Former::new(material),
        }
    }

    /// What is mixed into a MAC before the token's bytes are.
    fn mac(&self) -> sip128::SipHasher24 {
        sip128::SipHasher24::new_with_key(&self.mac)
    }

    /// What a token shows about whose it is.
    fn customer(&self, nonce: [u8; 8], customer: &str) -> [u8; CUSTOMER_BYTES] {
        let mut hasher = SipHasher24::new_with_key(&self.customer);
        hasher.write(&nonce);
        hasher.write(customer.as_bytes());
        hasher.finish().to_le_bytes()
    }
}

impl SigningKeys {
    /// One key, which signs and checks.
    pub fn one(key: SigningKey) -> SigningKeys {
        SigningKeys { first: key, second: None }
    }

    /// Two keys that check, of which the first signs; `None` if they have the same id.
    pub fn two(first: SigningKey, second: SigningKey) -> Option<SigningKeys> {
        (first.id != second.id).then_some(SigningKeys { first, second: Some(second) })
    }

    /// The id of the key that signs, then that of the other.
    pub fn ids(&self) -> impl Iterator<Item = u8> {
        [Some(&self.first), self.second.as_ref()].into_iter().flatten().map(|key| key.id)
    }

    /// Signs the tokens of a decision for this customer. `nonce` must be of this decision alone.
    pub fn signer(&self, decided: u32, nonce: u64, customer: &str) -> Signer {
        Signer::new(&self.first, decided, nonce, customer)
    }

    /// What this token says. It must be signed for this customer, with a key in use, and decided at most
    /// `life` seconds before `now` (seconds since 1970).
    ///
    /// # Errors
    /// The first thing that is wrong, in the order of [`TokenFault`].
    pub fn check(&self, text: &str, customer: &str, now: u32, life: u32) -> Result<Token, TokenFault> {
        if text.len() > MAX_TOKEN_BYTES {
            return Err(TokenFault::Malformed("it is too long"));
        }
        let mut raw = [0; MAX_RAW_BYTES];
        let length = URL_SAFE_NO_PAD.decode_slice(text, &mut raw);
        let length = length.map_err(|_| TokenFault::Malformed("it is not base64url without padding"))?;
        if length < MIN_RAW_BYTES {
            return Err(TokenFault::Malformed("it is too short"));
        }
        let (body, mac) = raw[..length].split_at(length - MAC_BYTES);
        let is_former = body[0] == former::VERSION;
        if body[0] != VERSION && !is_former {
            return Err(TokenFault::Malformed("this release does not know its format"));
        }
        let key = self.find(body[1]).ok_or(TokenFault::UnknownKey(body[1]))?;
        if !is_mac(mac, if is_former { key.former.mac(body) } else { mac_of(key.mac(), body) }) {
            return Err(TokenFault::Forged);
        }
        let mut token =
            read(body).ok_or(TokenFault::Malformed("its content is not what this release writes"))?;
        let nonce = token.nonce.to_le_bytes();
        let whose =
            if is_former { key.former.customer(nonce, customer) } else { key.customer(nonce, customer) };
        if body[CUSTOMER_AT..][..CUSTOMER_BYTES] != whose {
            return Err(TokenFault::OtherCustomer);
        }
        if !is_former {
            token.nonce = token.proposed.nonce(token.nonce);
        }
        let decided = token.decided;
        if decided > now.saturating_add(MAX_AHEAD) {
            return Err(TokenFault::Future { decided, now });
        }
        if now.saturating_sub(decided) > life {
            return Err(TokenFault::Expired { decided, life });
        }
        Ok(token)
    }

    fn find(&self, id: u8) -> Option<&SigningKey> {
        if self.first.id == id {
            return Some(&self.first);
        }
        self.second.as_ref().filter(|key| key.id == id)
    }
}

/// The first bytes of a hash.
fn first<const N: usize>(hash: &[u8; 32]) -> [u8; N] {
    std::array::from_fn(|i| hash[i])
}

/// The MAC of these bytes, mixed into what `mac` has taken before.
fn mac_of(mut mac: sip128::SipHasher24, bytes: &[u8]) -> [u8; MAC_BYTES] {
    mac.write(bytes);
    sip128::Hasher128::finish128(&mac).as_bytes()
}

/// Whether these bytes are the MAC, in a time that does not depend on how many of them match.
fn is_mac(found: &[u8], expected: [u8; MAC_BYTES]) -> bool {
    let mut both = [[0; blake3::OUT_LEN]; 2];
    both[0][..MAC_BYTES].copy_from_slice(found);
    both[1][..MAC_BYTES].copy_from_slice(&expected);
    let [found, expected] = both.map(blake3::Hash::from_bytes);
    found == expected // which blake3 does in constant time
}

impl Proposed {
    /// Identifies the proposition, given the nonce of its decision. No two propositions of a decision have
    /// the same place and rank, and the factor is odd: so they differ in it.
    pub(crate) fn nonce(&self, decision: u64) -> u64 {
        let within = u64::from(self.place) << 8 | u64::from(self.rank);
        decision.wrapping_add(within.wrapping_mul(0x9e37_79b9_7f4a_7c15)).max(1)
    }
}

/// The content of a body of at least [`HEAD_BYTES`] whose MAC was right.
fn read(body: &[u8]) -> Option<Token> {
    let (head, rest) = body.split_at(HEAD_BYTES);
    let mut numbers = Numbers { rest };
    let mut proposed = Proposed {
        rule_sets: SmallVec::new(),
        offer: numbers.next()?,
        treatment: numbers.next()?,
        place: numbers.next()?,
        arms: SmallVec::new(),
        segment: head[26],
        rank: head[27],
        propensity: f32::from_le_bytes(*head[SHARED_BYTES..].first_chunk()?),
    };
    for _ in 0..numbers.count(MAX_RULE_SETS_PER_TOKEN)? {
        proposed.rule_sets.push((numbers.next()?, numbers.next()?));
    }
    for _ in 0..numbers.count(MAX_ARMS)? {
        proposed.arms.push(numbers.next()?);
    }
    let decided = u32::from_le_bytes(*head[2..].first_chunk()?);
    let nonce = u64::from_le_bytes(*head[NONCE_AT..].first_chunk()?);
    numbers.rest.is_empty().then_some(Token { decided, nonce, proposed })
}

struct Numbers<'b> {
    rest: &'b [u8],
}

impl Numbers<'_> {
    /// `None` at the end, for a number that does not fit `N`, and for one in more bytes than it needs.
    fn next<N: TryFrom<u64>>(&mut self) -> Option<N> {
        let mut number = 0;
        for at in 0..U32_BYTES {
            let byte = *self.rest.get(at)?;
            number |= u64::from(byte & 0x7f) << (7 * at);
            if byte < 0x80 {
                self.rest = &self.rest[at + 1..];
                return if byte == 0 && at > 0 { None } else { N::try_from(number).ok() };
            }
        }
        None
    }

    fn count(&mut self, most: usize) -> Option<usize> {
        self.next::<u32>().map(|count| count as usize).filter(|count| *count <= most)
    }
}

impl fmt::Debug for SigningKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.ids()).finish()
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Key").field(&self.id).finish_non_exhaustive()
    }
}

impl fmt::Display for TokenFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = |seconds: u32| Time(i64::from(seconds) * SECOND);
        match *self {
            TokenFault::Malformed(what) => write!(
                f,
                "this is not a proposition token: {what}; expected up to {MAX_TOKEN_BYTES} characters exactly as the decision \
                 gave them"
            ),
            TokenFault::UnknownKey(id) => write!(
                f,
                "the token names key {id}, which is not in use here: all nodes need the same key file, and a key is gone \
                 after two rotations"
            ),
            TokenFault::Forged => f.write_str(
                "the token was altered, or signed by another key: send it exactly as the decision gave it, to a node \
                 that has the same key file",
            ),
            TokenFault::OtherCustomer => f.write_str(
                "the token was given to another customer: send it with the customer id of the decision",
            ),
            TokenFault::Future { decided, now } => write!(
                f,
                "the token is from {}, but it is {} here, more than {} earlier: set the nodes' clocks",
                time(decided),
                time(now),
                told(i64::from(MAX_AHEAD))
            ),
            TokenFault::Expired { decided, life } => write!(
                f,
                "the token is from {} and has expired: tokens are accepted for {}; report outcomes sooner, or raise --token-life",
                time(decided),
                told(i64::from(life))
            ),
        }
    }
}

impl std::error::Error for TokenFault {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use smallvec::smallvec;

    const NOW: u32 = 1_790_000_000;
    const LIFE: u32 = DEFAULT_LIFE;

    fn key(id: u8) -> SigningKey {
        SigningKey::new(id, &[id; KEY_BYTES])
    }

    const NONCE: u64 = 0x0123_4567_89ab_cdef;

    fn proposed() -> Proposed {
        Proposed {
            rule_sets: smallvec![(3, 41), (0, 7), (12, 1)],
            offer: 421,
            treatment: 2,
            place: 17,
            arms: smallvec![5, 260],
            segment: 4,
            rank: 1,
            propensity: 0.34,
        }
    }

    fn token() -> Token {
        Token { decided: NOW - 60, nonce: proposed().nonce(NONCE), proposed: proposed() }
    }

    /// The token of a proposition of a decision a minute ago.
    fn signed(keys: &SigningKeys, proposed: &Proposed, customer: &str) -> String {
        signed_at(keys, NOW - 60, NONCE, proposed, customer)
    }

    fn signed_at(
        keys: &SigningKeys,
        decided: u32,
        nonce: u64,
        proposed: &Proposed,
        customer: &str,
    ) -> String {
        String::from_utf8(keys.signer(decided, nonce, customer).sign(proposed).to_vec()).unwrap()
    }

    /// The token of version 1 with the content of one of version 2.
    fn former(text: &str, key: &SigningKey, customer: &str) -> String {
        let mut body = URL_SAFE_NO_PAD.decode(text).unwrap();
        body.truncate(body.len() - MAC_BYTES);
        body[0] = former::VERSION;
        let nonce = *body[NONCE_AT..].first_chunk().unwrap();
        body[CUSTOMER_AT..][..CUSTOMER_BYTES].copy_from_slice(&key.former.customer(nonce, customer));
        let mac = key.former.mac(&body);
        body.extend(mac);
        URL_SAFE_NO_PAD.encode(body)
    }

    prop_compose! {
        fn any_proposed()(
            (offer, treatment, place) in any::<(u32, u16, u16)>(),
            (segment, rank, propensity) in any::<(u8, u8, f32)>(),
            rule_sets in vec(any::<(u16, u32)>(), 0..=MAX_RULE_SETS_PER_TOKEN),
            arms in vec(any::<u16>(), 0..=MAX_ARMS),
        ) -> Proposed {
            let (rule_sets, arms) = (rule_sets.into(), arms.into());
            Proposed { rule_sets, offer, treatment, place, arms, segment, rank, propensity }
        }
    }

    proptest! {
        #[test]
        fn what_was_signed_is_read(
            (decided, nonce) in any::<(u32, u64)>(),
            all in vec(any_proposed(), 1..4),
            customer in ".{1,64}",
        ) {
            let keys = SigningKeys::one(key(1));
            let mut signer = keys.signer(decided, nonce, &customer);
            for proposed in all {
                let text = String::from_utf8(signer.sign(&proposed).to_vec()).unwrap();
                prop_assert!(text.len() <= MAX_TOKEN_BYTES);
                prop_assert_eq!(&text, &signed_at(&keys, decided, nonce, &proposed, &customer));
                let read = keys.check(&text, &customer, decided, 0);
                prop_assert_eq!(read, Ok(Token { decided, nonce: proposed.nonce(nonce), proposed: proposed.clone() }));
                let read = keys.check(&former(&text, &key(1), &customer), &customer, decided, 0);
                prop_assert_eq!(read, Ok(Token { decided, nonce, proposed }));
            }
        }
    }

    #[test]
    fn propositions_of_a_decision_have_nonces_of_their_own() {
        let all =
            (0..2_000).flat_map(|place| (0..=30).map(move |rank| Proposed { place, rank, ..proposed() }));
        let nonces: Vec<u64> = all.map(|proposed| proposed.nonce(NONCE)).collect();
        let different: std::collections::HashSet<u64> = nonces.iter().copied().collect();
        assert_eq!(different.len(), nonces.len());
        let none = Proposed { place: 0, rank: 0, ..proposed() };
        assert_eq!(none.nonce(0), 1, "0 stands for an outcome without a token");
    }

    #[test]
    fn the_longest_token_fits_and_more_is_left_out() {
        let all = u32::MAX;
        let most = Proposed {
            rule_sets: smallvec![(u16::MAX, all); MAX_RULE_SETS_PER_TOKEN],
            offer: all,
            treatment: u16::MAX,
            place: u16::MAX,
            arms: smallvec![u16::MAX; MAX_ARMS],
            segment: u8::MAX,
            rank: u8::MAX,
            propensity: 1.0,
        };
        let keys = SigningKeys::one(key(255));
        let text = signed_at(&keys, all, u64::MAX, &most, "c");
        assert_eq!(text.len(), MAX_TOKEN_BYTES);
        assert_eq!(keys.check(&text, "c", all, 0).map(|token| token.proposed), Ok(most.clone()));
        let mut more = most.clone();
        more.rule_sets.push((1, 1));
        more.arms.push(1);
        assert_eq!(signed_at(&keys, all, u64::MAX, &more, "c"), text);
    }

    #[test]
    fn what_is_written_never_changes() {
        // Tokens of a release that is being replaced must be accepted by the next one: these texts stay
        // valid.
        let keys = SigningKeys::one(key(1));
        let text = "AgFEO7Fq782riWdFIwHplH4UcQwGrXsUrj4EAaUDAhEDAykABwwBAgWEAjjUm3o_sRqbFhJY4HA6SGI";
        assert_eq!(signed(&keys, &proposed(), "c-1001"), text);
        assert_eq!(keys.check(text, "c-1001", NOW, LIFE), Ok(token()));
        let former = "AQFEO7Fq782riWdFIwEDh1eCNrV0znsUrj4EAaUDAhEDAykABwwBAgWEAqD9agYKXY18sicPxbS5zHE";
        assert_eq!(keys.check(former, "c-1001", NOW, LIFE), Ok(Token { nonce: NONCE, ..token() }));
        assert_eq!(keys.check(former, "c-1002", NOW, LIFE), Err(TokenFault::OtherCustomer));
        let (decided, now) = (NOW - 60, NOW - 60 + LIFE + 1);
        assert_eq!(keys.check(former, "c-1001", now, LIFE), Err(TokenFault::Expired { decided, life: LIFE }));
    }

    #[test]
    fn a_token_of_one_version_is_none_of_the_other() {
        let keys = SigningKeys::one(key(1));
        let text = signed(&keys, &proposed(), "c");
        for (text, version) in [(former(&text, &key(1), "c"), VERSION), (text, former::VERSION)] {
            let mut raw = URL_SAFE_NO_PAD.decode(text).unwrap();
            raw[0] = version;
            let text = URL_SAFE_NO_PAD.encode(raw);
            assert_eq!(keys.check(&text, "c", NOW, LIFE), Err(TokenFault::Forged));
        }
    }

    #[test]
    fn any_alteration_is_refused() {
        let alterations = crate::testing::rounds(10_000, 100_000);
        let mut rng = fastrand::Rng::with_seed(2026);
        let keys = SigningKeys::two(key(1), key(2)).unwrap();
        let other =
            SigningKeys::two(SigningKey::new(1, &[9; KEY_BYTES]), SigningKey::new(2, &[8; KEY_BYTES]))
                .unwrap();
        let customers = ["c-1001", "c-1002", "客户-1"];
        let genuine: Vec<(String, &str)> = (0..64)
            .map(|i| {
                let proposed = Proposed { offer: rng.u32(..1_000), ..proposed() };
                let customer = customers[i % customers.len()];
                let text = signed_at(&keys, NOW - 60, rng.u64(..), &proposed, customer);
                (if i % 4 == 0 { former(&text, &key(1), customer) } else { text }, customer)
            })
            .collect();
        let mut refused = 0;
        while refused < alterations {
            let (text, customer) = &genuine[rng.usize(..genuine.len())];
            let (altered, asked) = alter(text, customer, &genuine, &other, &mut rng);
            if genuine.contains(&(altered.clone(), &asked)) {
                continue; // the alteration left everything as it was
            }
            let found = keys.check(&altered, &asked, NOW, LIFE);
            assert!(found.is_err(), "{text} of {customer} as {altered} of {asked}: {found:?}");
            refused += 1;
        }
    }

    /// A token's text and customer, one of them altered in some way.
    fn alter(
        text: &str,
        customer: &str,
        genuine: &[(String, &str)],
        other: &SigningKeys,
        rng: &mut fastrand::Rng,
    ) -> (String, String) {
        let mut bytes = text.as_bytes().to_vec();
        let mut asked = customer.to_owned();
        let at = rng.usize(..bytes.len());
        let another = &genuine[rng.usize(..genuine.len())].0;
        let raw = || URL_SAFE_NO_PAD.decode(text).unwrap();
        match rng.u32(..13) {
            0 => bytes[at] ^= 1 << rng.u32(..7),
            1 => bytes[at] = rng.alphanumeric() as u8,
            2 => bytes.truncate(at),
            3 => drop(bytes.drain(..at)),
            4 => bytes.extend((0..=rng.usize(..4)).map(|_| rng.alphanumeric() as u8)),
            5 => bytes.push(*rng.choice(b"=\n .A+/").unwrap()),
            6 => {
                let mut raw = raw();
                let at = rng.usize(..raw.len());
                raw[at] ^= 1 << rng.u32(..8);
                bytes = URL_SAFE_NO_PAD.encode(raw).into_bytes();
            }
            7 => bytes = [&text.as_bytes()[..at], &another.as_bytes()[at.min(another.len())..]].concat(),
            8 => {
                let with = rng.usize(..bytes.len());
                bytes.swap(at, with);
            }
            9 => bytes = base64::engine::general_purpose::STANDARD.encode(raw()).into_bytes(),
            10 => asked = ["c-1001", "c-1002", "客户-1", "c-1003", ""][rng.usize(..5)].to_owned(),
            11 => {
                let mut raw = raw();
                raw[0] = [former::VERSION, VERSION, rng.u8(..)][rng.usize(..3)];
                bytes = URL_SAFE_NO_PAD.encode(raw).into_bytes();
            }
            _ => {
                bytes = signed(other, &Proposed { offer: rng.u32(..), ..proposed() }, customer).into_bytes();
            }
        }
        (String::from_utf8_lossy(&bytes).into_owned(), asked)
    }

    #[test]
    fn every_other_last_character_is_refused() {
        let keys = SigningKeys::one(key(1));
        for arms in 0..3 {
            let text = signed(&keys, &Proposed { arms: (0..arms).collect(), ..proposed() }, "c");
            let (body, last) = text.split_at(text.len() - 1);
            for other in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_=+/".chars() {
                let found = keys.check(&format!("{body}{other}"), "c", NOW, LIFE);
                assert_eq!(found.is_ok(), last.starts_with(other), "{body}{other}");
            }
        }
    }

    #[test]
    fn a_token_lives_to_its_last_second_and_not_before_it_was_decided() {
        let keys = SigningKeys::one(key(1));
        let decided = 1_000_000;
        let text = signed_at(&keys, decided, NONCE, &proposed(), "c");
        let at = |now| keys.check(&text, "c", now, 100).map(|token| token.decided);
        for now in [decided - MAX_AHEAD, decided, decided + 100] {
            assert_eq!(at(now), Ok(decided));
        }
        let now = decided - MAX_AHEAD - 1;
        assert_eq!(at(now), Err(TokenFault::Future { decided, now }));
        assert_eq!(at(decided + 101), Err(TokenFault::Expired { decided, life: 100 }));
    }

    #[test]
    fn a_key_lives_as_long_as_it_is_one_of_the_two() {
        let text = signed(&SigningKeys::one(key(1)), &proposed(), "c");
        let check = |keys: SigningKeys| keys.check(&text, "c", NOW, LIFE).map(drop);
        assert_eq!(check(SigningKeys::two(key(2), key(1)).unwrap()), Ok(()));
        assert_eq!(check(SigningKeys::two(key(3), key(2)).unwrap()), Err(TokenFault::UnknownKey(1)));
        assert_eq!(check(SigningKeys::one(SigningKey::new(1, &[2; KEY_BYTES]))), Err(TokenFault::Forged));
        assert!(SigningKeys::two(key(1), SigningKey::new(1, &[2; KEY_BYTES])).is_none());
        assert_eq!(SigningKeys::two(key(7), key(1)).unwrap().ids().collect::<Vec<_>>(), [7, 1]);
        let both = SigningKeys::two(key(2), key(1)).unwrap();
        assert_eq!(
            signed(&both, &proposed(), "c"),
            signed(&SigningKeys::one(key(2)), &proposed(), "c"),
            "the first signs"
        );
    }

    #[test]
    fn nobody_reads_the_customer_and_two_decisions_do_not_show_that_they_are_of_one() {
        let keys = SigningKeys::one(key(1));
        let raw = |nonce, customer| {
            let text = signed_at(&keys, NOW, nonce, &proposed(), customer);
            URL_SAFE_NO_PAD.decode(text).unwrap()[CUSTOMER_AT..][..CUSTOMER_BYTES].to_vec()
        };
        assert_ne!(raw(1, "c-1"), raw(2, "c-1"));
        assert_ne!(raw(1, "c-1"), raw(1, "c-2"));
        let text = signed(&keys, &proposed(), "c-1");
        assert_eq!(keys.check(&text, "c-2", NOW, LIFE), Err(TokenFault::OtherCustomer));
        assert_eq!(format!("{keys:?} {:?}", key(1)), "[1] Key(1, ..)");
    }

    #[test]
    fn what_is_no_token_says_so() {
        let keys = SigningKeys::one(key(1));
        let text = signed(&keys, &proposed(), "c");
        let newer = format!("Aw{}", &text[2..]);
        for (text, says) in [
            ("", "too short"),
            ("Ag", "too short"),
            (&"A".repeat(MAX_TOKEN_BYTES + 1), "too long"),
            (&text.replace('A', "."), "not base64url"),
            (&newer, "does not know"),
        ] {
            let wrong = keys.check(text, "c", NOW, LIFE).unwrap_err().to_string();
            assert!(wrong.contains(says) && wrong.contains("as the decision"), "{wrong}");
        }
        let wrong = TokenFault::Expired { decided: NOW, life: 60 }.to_string();
        assert!(wrong.contains("2026-09-21T14:13:20Z") && wrong.contains("for 1 min"), "{wrong}");
    }

    #[test]
    fn content_that_is_signed_but_strange_is_refused() {
        let key = key(1);
        let strange = |numbers: &[u8]| {
            let mut body = vec![VERSION, 1];
            body.extend([0; HEAD_BYTES - 2]);
            body.extend(numbers);
            let mac = mac_of(key.mac(), &body);
            body.extend(mac);
            let text = URL_SAFE_NO_PAD.encode(body);
            SigningKeys::one(self::key(1)).check(&text, "c", 0, 0).unwrap_err()
        };
        assert_eq!(strange(&[0, 0, 0, 0, 0]), TokenFault::OtherCustomer, "whole");
        for numbers in [
            &[0, 0, 0, 0, 0, 0][..],               // something after the end
            &[0, 0, 0, 1, 0],                      // ends too early
            &[0x80, 0, 0, 0, 0, 0],                // a byte too many
            &[0, 0xff, 0xff, 0x7f, 0, 0, 0],       // no u16
            &[0x80, 0x80, 0x80, 0x80, 0x80, 1, 0], // no u32
            &[0, 0, 0, MAX_RULE_SETS_PER_TOKEN as u8 + 1, 0],
            &[0, 0, 0, 0, MAX_ARMS as u8 + 1],
        ] {
            assert!(matches!(strange(numbers), TokenFault::Malformed(_)), "{numbers:?}");
        }
    }
}
