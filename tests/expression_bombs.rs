//! Expressions made to hang or to eat memory. Each is refused, or answered at once and in little memory. A
//! refusal says which limit is exceeded. `USHER_PROGRAM` names another build to try them on, for instance a
//! release build.
#![cfg(target_os = "linux")] // the peak of memory is read from /proc
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// An expression that takes longer hangs; debug builds on busy machines are slow.
const TIME_LIMIT: Duration = Duration::from_secs(2);
const MEMORY_LIMIT_KIB: u64 = 64 * 1024;

struct Outcome {
    answer: String,
    time: Duration,
    peak_kib: u64,
}

/// Evaluates one expression in a process of its own.
fn explode(expression: &str) -> Outcome {
    let program = std::env::var_os("USHER_PROGRAM").unwrap_or_else(|| env!("CARGO_BIN_EXE_usher").into());
    let mut command = Command::new(program);
    let mut child = command.arg("eval").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    // The first line is for starting up. The process lives until its input ends, so we can read its peak.
    let mut ask = |expression: &str| {
        let question =
            json!({"expression": expression, "variables": {"a": 1, "s": "x".repeat(1_000), "m": {"a": 1}}});
        writeln!(stdin, "{question}").unwrap();
        line.clear();
        stdout.read_line(&mut line).unwrap();
        line.trim().to_owned()
    };
    ask("1");
    let begun = Instant::now();
    let answer = ask(expression);
    let time = begun.elapsed();
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak_kib = peak.trim().trim_end_matches(" kB").parse().unwrap();
    drop(stdin);
    child.wait().unwrap();
    Outcome { answer, time, peak_kib }
}

fn ten(body: &str) -> String {
    format!("[0,1,2,3,4,5,6,7,8,9].{body}")
}

/// For each bomb its name, the expression, and what the answer must say.
fn bombs() -> Vec<(&'static str, String, &'static str)> {
    let nested = |inner: &str, times: usize, kind: &str| {
        (0..times).fold(inner.to_owned(), |body, i| ten(&format!("{kind}(x{i}, {body})")))
    };
    let doubled = |times: usize| format!("['{}']{}", "a".repeat(100), ".map(x, x + x)".repeat(times));
    let replaced = |times: usize| format!("'aaaaaaaa'{}", ".replace('a', 'aaaaaaaa')".repeat(times));
    vec![
        ("loops in loops", nested("x0 > 10", 6, "exists"), "20000 are allowed"),
        ("maps in maps", nested("x0", 5, "map"), "20000 are allowed"),
        ("filters of maps", nested("[x0].filter(y, y > 3)", 5, "map"), "20000 are allowed"),
        (
            "loops over a long list",
            format!("[{}].all(x, [{}].all(y, x < y))", vec!["1"; 300].join(","), vec!["1"; 300].join(",")),
            "20000 are allowed",
        ),
        ("a text doubled in maps", doubled(40), "20000 are allowed"),
        ("a list doubled in maps", format!("[[1]]{}", ".map(x, x + x)".repeat(40)), "20000 are allowed"),
        ("replacing multiplies", replaced(20), "20000 are allowed"),
        ("many that replace", format!("[{}]", vec![replaced(4); 60].join(",")), "20000 are allowed"),
        (
            "splitting into characters",
            "s.split('').map(c, s.split('').map(d, c + d))".into(),
            "20000 are allowed",
        ),
        ("joining what was split", "s.split('').map(c, s).join(s)".into(), "20000 are allowed"),
        ("quoting", format!("{}s{}", "strings.quote(".repeat(30), ")".repeat(30)), "20000 are allowed"),
        ("a list too long", format!("[{}]", vec!["1"; 1_001].join(",")), "at most 1000 items"),
        (
            "a map too long",
            format!("{{{}}}", (0..1_001).map(|i| format!("{i}:1")).collect::<Vec<_>>().join(",")),
            "at most 1000 entries",
        ),
        (
            "many keys",
            format!("{{{}}}", (0..999).map(|i| format!("{i}:1")).collect::<Vec<_>>().join(",")),
            "20000 are allowed",
        ),
        ("too many nodes", vec!["a<1"; 1_000].join("||"), "at most 2500 values and operators"),
        ("too many bytes", "a".repeat(8_193), "at most 8192 bytes"),
        ("round brackets", "(".repeat(4_000) + "1" + &")".repeat(4_000), "at most 40 brackets"),
        ("square brackets", "[".repeat(4_000) + "1" + &"]".repeat(4_000), "at most 40 brackets"),
        ("curly brackets", "{1:".repeat(2_000) + "1" + &"}".repeat(2_000), "at most 40 brackets"),
        ("brackets that stay open", "(".repeat(8_000), "at most 40 brackets"),
        ("nots", "!".repeat(8_000) + "true", "256 operators"),
        ("minuses", "-".repeat(8_000) + "1", "256 operators"),
        ("a long sum", vec!["1"; 4_000].join("+"), "256 operators"),
        ("a long chain of in", vec!["a"; 1_500].join(" in "), "256 operators"),
        ("a long chain of indexes", "m".to_owned() + &"[0]".repeat(2_000), "256 operators"),
        ("a long chain of fields", "m".to_owned() + &".a".repeat(4_000), "256 operators"),
        ("a long chain of has", "has(m".to_owned() + &".a".repeat(4_000) + ")", "256 operators"),
        ("has of has", "has(".repeat(1_000) + "m.a" + &")".repeat(1_000), "at most 40 brackets"),
        ("many has", vec!["has(m.a)"; 700].join("&&"), "at most 2500 values and operators"),
        ("ternaries", "a==1?a:".repeat(1_000) + "1", "256 operators"),
        ("ternaries behind ands", "true&&true?1:".repeat(600) + "1", "at most"),
        ("a sum that a comment hides", "1//'\n".to_owned() + &"+1".repeat(4_000), "256 operators"),
        ("a sum that a wrong escape hides", format!("'\\q' + '{}'", "+1".repeat(4_000)), "no such escape"),
        ("a sum that a raw text hides", format!("r'\\'{}", "+1".repeat(4_000)), "256 operators"),
        ("a sum that an open quote hides", "'\n".to_owned() + &"+1".repeat(4_000), "no closing quote"),
        ("an open text", "'".to_owned() + &"a".repeat(8_000), "no closing quote"),
        ("an open triple text", "'''".to_owned() + &"a'".repeat(4_000), "no closing quote"),
        ("an open raw text", "r\"".to_owned() + &"\\".repeat(8_000), "no closing quote"),
        ("quotes only", "'".repeat(8_001), "no closing quote"),
        ("backquotes only", "`".repeat(8_000), "quoted name"),
        (
            "commas between brackets",
            format!(
                "size({}{}",
                format!("{}a{}", "(".repeat(30), ")".repeat(30)).repeat(60),
                ",".repeat(4_000)
            ),
            "is never closed",
        ),
        ("commas only", ",".repeat(8_000), "not expected"),
        ("dots only", ".".repeat(8_000), "256 operators"),
        ("ors only", "|".repeat(8_000), "not expected"),
        ("digits only", "9".repeat(8_000), "error"),
        ("a hex number", "0x".to_owned() + &"f".repeat(8_000), "error"),
        ("an exponent", "1e".to_owned() + &"9".repeat(8_000), "error"),
        ("nested quantifiers", "s.matches('(a{1,1000}){1,1000}')".into(), "at most 256 KiB"),
        ("more of them", "s.matches('((((a{1,99}){1,99}){1,99}){1,99}){1,99}')".into(), "at most 256 KiB"),
        ("repetitions that fit", "s.matches('(x{1,50}){1,40}y')".into(), "20000 are allowed"),
        (
            "the same, put together",
            "s.matches('(x{1,50}){1,40}' + s.substring(0, 0))".into(),
            "too much work",
        ),
        ("classes of letters", format!("s.matches(r'{}')", r"\w{20}".repeat(20)), "at most 256 KiB"),
        ("a long pattern", format!("s.matches('{}')", "a".repeat(1_000)), "at most 256 bytes"),
        ("brackets of a pattern", format!("s.matches('{}')", "(".repeat(120) + &")".repeat(120)), "nested"),
        (
            "a pattern put together",
            "s.matches('(a{1,1000})' + s.substring(0, 0) + '{1,1000}')".into(),
            "not a pattern",
        ),
        ("a catastrophic pattern", "(s + s + s + s + '!').matches('^(x+)+$')".into(), "{\"value\":false}"),
        ("another one", "(s + s + s + s + '!').matches('(x*)*(x|xx)*y')".into(), "{\"value\":false}"),
        ("a huge duration", format!("duration('{}h')", "9".repeat(5_000)), "not a duration"),
        ("a huge shift", "math.bitShiftLeft(1, 9223372036854775807)".into(), "{\"value\":0}"),
        ("bidirectional marks", "\u{202e}a == 1\u{202c}".repeat(500), "at most"),
        ("a byte order mark", "\u{feff}1 + 1".into(), "not expected"),
        ("zero widths", "1\u{200b}+\u{200b}1".into(), "not expected"),
        ("letters like others", "\u{430} == 1".into(), "not expected"),
        ("a nul", "1 + \0 1".into(), "not expected"),
        ("astral planes", format!("'{}'.size() == 2000", "\u{10ffff}".repeat(2_000)), "{\"value\":true}"),
        ("marks that combine", format!("'{}' == 'e'", "e\u{301}".repeat(2_000)), "{\"value\":false}"),
        ("a surrogate", "'\\ud800' == ''".into(), "error"),
        ("a character beyond all", "'\\U00110000' == ''".into(), "error"),
        (
            "many unknown names",
            (0..900).map(|i| format!("n{i}")).collect::<Vec<_>>().join("||"),
            "there is no feature",
        ),
    ]
}

#[test]
fn every_bomb_is_refused_at_once_and_in_little_memory() {
    println!("{:32} {:>8} {:>9}", "bomb", "ms", "peak KiB");
    let mut wrong = Vec::new();
    for (name, bomb, says) in bombs() {
        let Outcome { answer, time, peak_kib } = explode(&bomb);
        println!("{name:32} {:8.1} {peak_kib:9}", time.as_secs_f64() * 1e3);
        if !serde_json::from_str::<Value>(&answer).is_ok_and(|_| answer.contains(says)) {
            let answer: String = answer.chars().take(300).collect();
            wrong.push(format!("{name}: expected {says:?}, found {answer}"));
        }
        if time > TIME_LIMIT || peak_kib > MEMORY_LIMIT_KIB {
            wrong.push(format!("{name}: {time:?}, {peak_kib} KiB"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
