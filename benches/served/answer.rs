//! Reads answers, and compares them with what is right.

use serde_json::Value;
use usher::intake::token::Tokens;

use super::id;
use super::question::Question;
use crate::synthetic::customer::Customer;
use crate::synthetic::{COUNT, Synthetic};

/// Length and body of the first answer in `bytes`; `None` if it is not whole yet.
pub(crate) fn first(bytes: &[u8]) -> Option<(usize, &[u8])> {
    const LENGTH: &[u8] = b"content-length: ";
    let head = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    assert!(bytes.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(bytes));
    let lower = bytes[..head].to_ascii_lowercase();
    let label = lower.windows(LENGTH.len()).position(|window| window == LENGTH).expect("it has a length");
    let digits = lower[label + LENGTH.len()..].iter().take_while(|byte| byte.is_ascii_digit());
    let length = digits.fold(0, |length, digit| length * 10 + usize::from(digit - b'0'));
    let end = head + length;
    (end <= bytes.len()).then(|| (end, &bytes[head..end]))
}

/// Checks that an answer shows the three best of the offers that fit, in Chinese, with tokens that verify.
pub(crate) fn check(
    rules: &Synthetic,
    of: &Customer,
    tokens: &Tokens,
    question: Question,
    customer: usize,
    body: &[u8],
) {
    let answer: Value = match question {
        Question::MessagePack => rmp_serde::from_slice(body).expect("it is MessagePack"),
        _ => serde_json::from_slice(body).expect("it is JSON"),
    };
    let id = id(customer);
    assert_eq!((&answer["customer"], &answer["known"]), (&Value::from(&*id), &Value::from(true)), "{answer}");
    let best = rules.top(of, &rules.fitting(of));
    let shown = answer["placements"][0]["propositions"].as_array().expect("it is a list");
    let offers: Vec<&str> = shown.iter().filter_map(|shown| shown["offer"].as_str()).collect();
    let expected: Vec<String> = best.iter().map(|offer| format!("o{offer:05}")).collect();
    assert_eq!(offers, expected, "{answer}");
    assert_eq!(offers.len(), COUNT, "{answer}");
    let now = jiff::Timestamp::now().as_second() as u32;
    for shown in shown {
        assert!(
            shown["content"]["title"].as_str().is_some_and(|title| title.starts_with("专属优惠")),
            "{shown}"
        );
        let token = tokens.keys.check(shown["token"].as_str().unwrap_or_default(), &id, now, tokens.life);
        assert!(token.is_ok(), "{token:?} in {shown}");
    }
}
