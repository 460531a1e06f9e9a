//! Signing and checking a proposition token of a usual decision: three rule sets, one arm.
#![allow(missing_docs, clippy::expect_used)]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use smallvec::smallvec;
use usher::intake::token::{DEFAULT_LIFE, Proposed, SigningKey, SigningKeys, TokenFault};

#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const CUSTOMER: &str = "c-00000000001001";
const NOW: u32 = 1_790_000_000;
const NONCE: u64 = 0x0123_4567_89ab_cdef;
/// The length of the token's text.
const CHARACTERS: usize = 78;

/// Propositions of one decision.
const PROPOSITIONS: u8 = 3;

fn proposed(rank: u8) -> Proposed {
    Proposed {
        rule_sets: smallvec![(3, 41), (0, 7), (12, 130)],
        offer: 421,
        treatment: 2,
        place: 17,
        arms: smallvec![5],
        segment: 4,
        rank,
        propensity: 0.34,
    }
}

fn tokens(criterion: &mut Criterion) {
    let keys = SigningKeys::one(SigningKey::new(1, &[7; 32]));
    let all: Vec<Proposed> = (1..=PROPOSITIONS).map(proposed).collect();
    let text = String::from_utf8(keys.signer(NOW, NONCE, CUSTOMER).sign(&all[0]).to_vec()).expect("ASCII");
    assert_eq!(text.len(), CHARACTERS);
    let read = keys.check(&text, CUSTOMER, NOW, DEFAULT_LIFE).map(|token| token.proposed);
    assert_eq!(read.as_ref(), Ok(&all[0]));
    let forged = format!("{}AAAA", &text[..CHARACTERS - 4]);
    assert_eq!(keys.check(&forged, CUSTOMER, NOW, DEFAULT_LIFE), Err(TokenFault::Forged));

    for count in [1, all.len()] {
        criterion.bench_function(&format!("token/sign {count} of a decision"), |bencher| {
            bencher.iter(|| {
                let mut signer = keys.signer(NOW, black_box(NONCE), black_box(CUSTOMER));
                all[..count].iter().for_each(|proposed| {
                    black_box(signer.sign(black_box(proposed)));
                });
            });
        });
    }
    let check = |text: &str| keys.check(black_box(text), black_box(CUSTOMER), NOW, DEFAULT_LIFE);
    criterion.bench_function("token/check", |bencher| bencher.iter(|| check(&text)));
    criterion.bench_function("token/check a forged one", |bencher| bencher.iter(|| check(&forged)));
}

criterion_group!(benches, tokens);
criterion_main!(benches);
