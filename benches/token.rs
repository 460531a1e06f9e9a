//! Signing and checking a proposition token of a usual decision: three rule sets, one arm.
#![allow(missing_docs)]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use smallvec::smallvec;
use usher::intake::token::{DEFAULT_LIFE, SigningKey, SigningKeys, Token, TokenFault};

#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const CUSTOMER: &str = "c-00000000001001";
const NOW: u32 = 1_790_000_000;
/// The length of the token's text.
const CHARACTERS: usize = 78;

fn token() -> Token {
    Token {
        decided: NOW,
        nonce: 0x0123_4567_89ab_cdef,
        rule_sets: smallvec![(3, 41), (0, 7), (12, 130)],
        offer: 421,
        treatment: 2,
        place: 17,
        arms: smallvec![5],
        segment: 4,
        rank: 0,
        propensity: 0.34,
    }
}

fn tokens(criterion: &mut Criterion) {
    let keys = SigningKeys::one(SigningKey::new(1, &[7; 32]));
    let token = token();
    let mut text = String::new();
    keys.sign(&token, CUSTOMER, &mut text);
    assert_eq!(text.len(), CHARACTERS);
    assert_eq!(keys.check(&text, CUSTOMER, NOW, DEFAULT_LIFE), Ok(token.clone()));
    let forged = format!("{}AAAA", &text[..CHARACTERS - 4]);
    assert_eq!(keys.check(&forged, CUSTOMER, NOW, DEFAULT_LIFE), Err(TokenFault::Forged));

    let mut out = String::with_capacity(text.len());
    criterion.bench_function("token/sign", |bencher| {
        bencher.iter(|| {
            out.clear();
            keys.sign(black_box(&token), black_box(CUSTOMER), &mut out);
            black_box(out.len())
        });
    });
    let check = |text: &str| keys.check(black_box(text), black_box(CUSTOMER), NOW, DEFAULT_LIFE);
    criterion.bench_function("token/check", |bencher| bencher.iter(|| check(&text)));
    criterion.bench_function("token/check a forged one", |bencher| bencher.iter(|| check(&forged)));
}

criterion_group!(benches, tokens);
criterion_main!(benches);
