//! How people spoil a text: a quote is lost, a line shifts, a name is misspelt, a Chinese keyboard is on.

use fastrand::Rng;

/// Marks that YAML takes for its own at the beginning of a text.
const MARKS: [&str; 20] = [
    "!", "& ", "&", "*", "#", "%", "@", "`", "|", ">", "? ", "- ", ": ", ", ", "[", "{", "'", "\"", "~", "!!",
];
/// What has a meaning in the middle of a text, or looks as if it had one.
const INSIDE: [&str; 14] =
    [" #", " # && ", ": ", " //", "#", ", ", " & ", " !", "]", "}", "'", "\"", "\u{a0}", "\u{200b}"];
/// Scalars that are not what they look like.
const SCALARS: [&str; 22] = [
    "007",
    "1_000",
    "0x10",
    "0o17",
    "yes",
    "no",
    "on",
    "null",
    "~",
    ".inf",
    ".5",
    "5.",
    "1:30",
    "2026-11-01",
    "+5",
    "1e3",
    "True",
    "",
    "'",
    "1.10",
    "<<",
    "2026_11",
];
/// What a Chinese keyboard types instead.
const FULL_WIDTH: [(&str, &str); 12] = [
    (":", "："),
    (",", "，"),
    ("(", "（"),
    (")", "）"),
    ("'", "‘"),
    ("'", "’"),
    ("\"", "“"),
    (">", "＞"),
    ("!", "！"),
    ("-", "－"),
    (" ", "\u{3000}"),
    ("[", "【"),
];
/// Lines that are no part of any document here.
const LINES: [&str; 9] = ["---", "...", "%YAML 1.1", "<<: {a: 1}", "\t", "#", "- x", "x: &x 1", "when: !x"];

/// The text after one mutation, and what it was. Where it does not apply the text stays.
pub fn mutate(text: &str, random: &mut Rng) -> (String, &'static str) {
    let kinds: [(&str, Mutation); 19] = [
        ("a quote lost", lose_a_quote),
        ("quotes lost", lose_quotes),
        ("a line shifted", shift),
        ("a name misspelt", misspell),
        ("a name in another case", other_case),
        ("two lines swapped", swap),
        ("a mark at the beginning", mark),
        ("a mark inside", mark_inside),
        ("another scalar", scalar),
        ("full width", full_width),
        ("a tab", tab),
        ("a byte-order mark", byte_order_mark),
        ("line ends of Windows", windows),
        ("a line twice", twice),
        ("a line lost", lose),
        ("a line of YAML's own", line),
        ("a no-break space", no_break),
        ("a space lost", lose_a_space),
        ("lines joined", join),
    ];
    let (name, mutation) = kinds[random.usize(..kinds.len())];
    (mutation(text, random).unwrap_or_else(|| text.to_owned()), name)
}

type Mutation = fn(&str, &mut Rng) -> Option<String>;

/// A byte at which `pattern` stands, any of them.
fn any(text: &str, pattern: &str, random: &mut Rng) -> Option<usize> {
    let all: Vec<usize> = text.match_indices(pattern).map(|(at, _)| at).collect();
    (!all.is_empty()).then(|| all[random.usize(..all.len())])
}

fn replaced(text: &str, at: usize, length: usize, by: &str) -> String {
    format!("{}{by}{}", &text[..at], &text[at + length..])
}

/// Where an unquoted value begins: behind a colon, a dash or an opening bracket.
fn beginning(text: &str, random: &mut Rng) -> Option<usize> {
    let pattern = [": ", "- ", "{", "["][random.usize(..4)];
    any(text, pattern, random).map(|at| at + pattern.len())
}

/// The end of the value that begins at a byte.
fn ending(text: &str, from: usize) -> usize {
    text[from..].find(['\n', ',', '}', ']', '#']).map_or(text.len(), |end| from + end)
}

fn lose_a_quote(text: &str, random: &mut Rng) -> Option<String> {
    let at = any(text, if random.bool() { "'" } else { "\"" }, random)?;
    Some(replaced(text, at, 1, ""))
}

fn lose_quotes(text: &str, random: &mut Rng) -> Option<String> {
    let quote = if random.u8(..3) > 0 { '\'' } else { '"' };
    let at = any(text, &format!(" {quote}"), random)? + 1;
    let end = at + 1 + text[at + 1..].find(quote)?;
    Some(format!("{}{}{}", &text[..at], &text[at + 1..end], &text[end + 1..]))
}

fn lines(text: &str) -> Vec<&str> {
    text.split_inclusive('\n').collect()
}

fn shift(text: &str, random: &mut Rng) -> Option<String> {
    let mut lines: Vec<String> = lines(text).into_iter().map(str::to_owned).collect();
    let at = random.usize(..lines.len());
    for line in lines.iter_mut().skip(at).take(1 + random.usize(..2)) {
        let by = 1 + random.usize(..2);
        if random.bool() {
            line.insert_str(0, &" ".repeat(by));
        } else {
            let indent = line.len() - line.trim_start_matches(' ').len();
            line.drain(..indent.min(by));
        }
    }
    Some(lines.concat())
}

/// The bytes of a name, any of them.
fn name(text: &str, random: &mut Rng) -> Option<(usize, usize)> {
    let colon = any(text, ":", random)?;
    let (before, c) =
        text[..colon].char_indices().rfind(|(_, c)| !(c.is_ascii_alphanumeric() || *c == '_'))?;
    let begin = before + c.len_utf8();
    (begin < colon).then_some((begin, colon))
}

fn misspell(text: &str, random: &mut Rng) -> Option<String> {
    let (begin, end) = name(text, random)?;
    let at = random.usize(begin..end);
    Some(match random.u8(..3) {
        0 => replaced(text, at, 1, ""),
        1 => replaced(text, at, 0, &text[at..=at]),
        _ => replaced(text, at, 1, "x"),
    })
}

fn other_case(text: &str, random: &mut Rng) -> Option<String> {
    let (begin, end) = name(text, random)?;
    let word = &text[begin..end];
    let word = if random.bool() { word.to_uppercase() } else { word[..1].to_uppercase() + &word[1..] };
    Some(replaced(text, begin, end - begin, &word))
}

fn swap(text: &str, random: &mut Rng) -> Option<String> {
    let mut lines = lines(text);
    let (a, b) = (random.usize(..lines.len()), random.usize(..lines.len()));
    lines.swap(a, b);
    Some(lines.concat())
}

fn mark(text: &str, random: &mut Rng) -> Option<String> {
    let at = beginning(text, random)?;
    Some(replaced(text, at, 0, MARKS[random.usize(..MARKS.len())]))
}

fn mark_inside(text: &str, random: &mut Rng) -> Option<String> {
    let from = beginning(text, random)?;
    let mut at = random.usize(from..=ending(text, from));
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    Some(replaced(text, at, 0, INSIDE[random.usize(..INSIDE.len())]))
}

fn scalar(text: &str, random: &mut Rng) -> Option<String> {
    let from = beginning(text, random)?;
    Some(replaced(text, from, ending(text, from) - from, SCALARS[random.usize(..SCALARS.len())]))
}

fn full_width(text: &str, random: &mut Rng) -> Option<String> {
    let (latin, wide) = FULL_WIDTH[random.usize(..FULL_WIDTH.len())];
    let at = any(text, latin, random)?;
    Some(replaced(text, at, latin.len(), wide))
}

fn tab(text: &str, random: &mut Rng) -> Option<String> {
    let at = any(text, if random.bool() { "  " } else { " " }, random)?;
    Some(replaced(text, at, 1, "\t"))
}

fn byte_order_mark(text: &str, random: &mut Rng) -> Option<String> {
    let at = if random.bool() { 0 } else { any(text, "\n", random)? + 1 };
    Some(replaced(text, at, 0, "\u{feff}"))
}

fn windows(text: &str, random: &mut Rng) -> Option<String> {
    if random.bool() {
        return Some(text.replace('\n', "\r\n"));
    }
    let at = any(text, "\n", random)?;
    Some(replaced(text, at, 1, if random.bool() { "\r\n" } else { "\r" }))
}

fn twice(text: &str, random: &mut Rng) -> Option<String> {
    let mut lines = lines(text);
    let at = random.usize(..lines.len());
    lines.insert(random.usize(..=lines.len()), lines[at]);
    Some(lines.concat())
}

fn lose(text: &str, random: &mut Rng) -> Option<String> {
    let mut lines = lines(text);
    lines.remove(random.usize(..lines.len()));
    Some(lines.concat())
}

fn line(text: &str, random: &mut Rng) -> Option<String> {
    let mut lines = lines(text);
    let new = format!("{}{}\n", " ".repeat(2 * random.usize(..3)), LINES[random.usize(..LINES.len())]);
    lines.insert(random.usize(..=lines.len()), &new);
    Some(lines.concat())
}

fn no_break(text: &str, random: &mut Rng) -> Option<String> {
    let at = any(text, " ", random)?;
    Some(replaced(text, at, 1, if random.bool() { "\u{a0}" } else { "\u{2003}" }))
}

fn lose_a_space(text: &str, random: &mut Rng) -> Option<String> {
    let at = any(text, [": ", ", ", " ", "- "][random.usize(..4)], random)?;
    let at = at + text[at..].find(' ')?;
    Some(replaced(text, at, 1, ""))
}

fn join(text: &str, random: &mut Rng) -> Option<String> {
    let at = any(text, "\n", random)?;
    Some(replaced(text, at, 1, if random.bool() { " " } else { "" }))
}
