//! Reading JSON into a document.

use super::document::Input;
use super::problem::{Place, Problem, Problems};
use super::reader::Plain;

impl<'a> Input<'a> {
    /// Reads JSON; strings without escapes are borrowed.
    ///
    /// # Errors
    /// One problem, with line and column: text that is not JSON or not UTF-8, lone surrogates, numbers out of
    /// range, more than [`MAX_DEPTH`](super::document::MAX_DEPTH) levels or
    /// [`MAX_VALUES`](super::document::MAX_VALUES) values, anything after the value.
    pub fn from_json(bytes: &'a [u8]) -> Result<Input<'a>, Problems> {
        let refuse = |e: serde_json::Error| {
            let text = e.to_string();
            let text = text.rsplit_once(" at line ").map_or(text.as_str(), |(head, _)| head);
            let mut problem = Problem::new(format!("not valid JSON: {text}"));
            let at = bytes.split(|byte| *byte == b'\n').nth(e.line().saturating_sub(1)).unwrap_or_default();
            let rest = at.get(e.column().saturating_sub(1)..).unwrap_or_default();
            if [&b"NaN"[..], b"Infinity", b"-Infinity"].iter().any(|word| rest.starts_with(word)) {
                problem.hint = Some("JSON has no NaN and no infinity: write null".to_owned());
            }
            if e.line() > 0 {
                let line = bytes.split(|byte| *byte == b'\n').nth(e.line() - 1).unwrap_or_default();
                let before = String::from_utf8_lossy(&line[..e.column().saturating_sub(1).min(line.len())]);
                let column = before.chars().count() as u32 + 1;
                problem.place = Some(Place { line: e.line() as u32, column, ..Place::default() });
            }
            let mut problems = Problems::new();
            problems.push(problem);
            problems
        };
        let mut reader = serde_json::Deserializer::from_slice(bytes);
        let input = Plain::document(&mut reader).map_err(refuse)?;
        reader.end().map_err(refuse)?;
        Ok(input)
    }
}

#[cfg(test)]
mod tests {
    use super::super::document::MAX_VALUES;
    use super::*;

    fn json_problem(bytes: &[u8]) -> String {
        Input::from_json(bytes).unwrap_err().to_string()
    }

    #[test]
    fn what_python_writes_for_no_number_says_what_to_write() {
        for (text, hinted) in [("{\"a\": NaN}", true), ("{\"a\": Infinity}", true), ("{\"a\": Nope}", false)]
        {
            assert_eq!(json_problem(text.as_bytes()).contains("write null"), hinted, "{text}");
        }
    }

    #[test]
    fn json_that_is_not_json_says_where() {
        for (bytes, expected) in [
            (&b"{\"a\": 1e999}"[..], "number out of range"),
            (b"{\"a\": NaN}", "expected value"),
            (b"{\"a\": \"\\ud800\"}", "hex escape"),
            (b"{\"a\": \"\xff\"}", "unicode"),
            (b"[1, 2", "EOF"),
            (b"1 2", "trailing"),
            (b"", "EOF"),
        ] {
            let text = json_problem(bytes);
            assert!(text.contains(expected), "{text}");
        }
        let deep = [b"[".repeat(10_000), b"]".repeat(10_000)].concat();
        assert!(json_problem(&deep).contains("nested deeper than 64"));
        let many = [b"[".to_vec(), b"1,".repeat(MAX_VALUES), b"1]".to_vec()].concat();
        assert!(json_problem(&many).contains("at most 1000000 values"));
        let place = Input::from_json(b"{\n \"a\": tru }").unwrap_err().iter().next().unwrap().place.unwrap();
        assert_eq!(place.line, 2);
        let place =
            Input::from_json("{\"稳健\": x}".as_bytes()).unwrap_err().iter().next().unwrap().place.unwrap();
        assert_eq!(place.column, 8);
    }
}
