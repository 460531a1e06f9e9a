//! What people of other languages write in a condition, and what to write here.

/// What to write instead of a token that was not expected at this byte of an expression.
pub(super) fn hint(found: &str, text: &str, at: usize) -> Option<&'static str> {
    let before = text.get(..at).unwrap_or("").trim_end();
    let after_sign =
        |sign: &str| before.ends_with(sign) && text.get(..at).is_some_and(|text| text.ends_with(sign));
    let after_word = |word: &str| last_word(before).eq_ignore_ascii_case(word);
    Some(match found.to_ascii_lowercase().as_str() {
        "=" if after_sign("==") => "compare with `==`",
        "=" if after_sign("!=") => "compare with `!=`",
        "=" => "compare with `==`",
        "&" => "write `&&` for and",
        "|" => "write `||` for or",
        "and" => "write `&&` for and",
        "or" => "write `||` for or",
        "not" if before.ends_with(['\'', '"', ')']) => "write `!('word' in set)` for not in",
        "not" => "write `!` for not",
        ">" if after_sign("<") => "write `!=` for unequal",
        "=>" => "write `>=`",
        "=<" => "write `<=`",
        "≥" => "write `>=`",
        "≤" => "write `<=`",
        "≠" => "write `!=`",
        "," if ends_with_digit(before) => "write numbers with a point and without separators: `18.5`, `1000`",
        "," => "write values in a list: `['a', 'b']`",
        "contains" => "ask a set with `'word' in set`, a text with `text.contains('part')`",
        "between" => "write `x >= 18 && x <= 65`",
        "is" => "compare with `== null` or `!= null`",
        "like" => "write `text.startsWith('a')`, or `text.matches('^a')`",
        "then" | "else" => "write `condition ? value : other`",
        ";" => "write one condition, whose parts are joined by `&&` or `||`",
        "d" | "day" | "days" if ends_with_digit(before) => "write `duration('720h')` for 30 days",
        found if found.starts_with('_') && ends_with_digit(before) => "write numbers without separators",
        _ if after_word("not") => "write `!` for not",
        _ if after_word("if") => "write `condition ? value : other`",
        _ => return None,
    })
}

fn last_word(text: &str) -> &str {
    text.rsplit(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap_or("")
}

fn ends_with_digit(text: &str) -> bool {
    text.ends_with(|c: char| c.is_ascii_digit())
}
