//! A decision request as nearly all of them are: everything in its place, nothing unknown. It is read in one
//! pass, without a tree of values. Whatever else comes is read as a [document](super::document), which can
//! say what is wrong with it and where.

mod json;
mod packed;
mod reader;

use std::time::Duration;

use smallvec::SmallVec;

use self::json::Json;
use self::packed::Packed;
use self::reader::Reader;
use super::locale;
use super::request::{DecisionRequest, Draft, MAX_DEADLINE_US};
use crate::customer::id;
use crate::decide::MAX_PLACEMENTS;
use crate::engine::Engine;
use crate::http::wire::media::Media;
use crate::input::document::InputValue;
use crate::input::problem::Problems;
use crate::rules::rule_set::{Languages, MAX_COUNT};

/// What a request says, borrowed from its bytes. Nothing is compared with an engine yet.
#[derive(Default)]
pub(super) struct PlainRequest<'n> {
    customer: Option<&'n str>,
    channel: Option<&'n str>,
    placements: Option<Placements<'n>>,
    context: Option<Context<'n>>,
    locale: Option<&'n str>,
    explain: Option<bool>,
    variants: Option<bool>,
    strict: Option<bool>,
    deadline_us: Option<u64>,
}

type Placements<'n> = SmallVec<[PlainPlacement<'n>; 4]>;
type Context<'n> = SmallVec<[(&'n str, InputValue<'n>); 2]>;

#[derive(Clone, Copy, Default)]
struct PlainPlacement<'n> {
    id: Option<&'n str>,
    count: Option<u64>,
}

/// A request that is not plain.
#[derive(Debug)]
pub(super) struct NotPlain;

impl<'n> PlainRequest<'n> {
    /// Reads a request into this empty one.
    ///
    /// # Errors
    /// Something is unusual or wrong: a field that is unknown, null, given twice or of another kind, a text
    /// with escapes, a list of locales.
    pub(super) fn read(&mut self, media: Media, bytes: &'n [u8]) -> Result<(), NotPlain> {
        let read = match media {
            Media::MessagePack => self.fields(&mut Packed(bytes)),
            _ => Json::new(bytes).and_then(|mut reader| self.fields(&mut reader)),
        };
        read.ok_or(NotPlain)
    }

    fn fields<R: Reader<'n>>(&mut self, reader: &mut R) -> Option<()> {
        let mut fields = reader.map()?;
        while reader.goes_on(&mut fields)? {
            match reader.key()? {
                b"customer" => once(&mut self.customer, reader.text()?)?,
                b"channel" => once(&mut self.channel, reader.text()?)?,
                b"placements" => once(&mut self.placements, placements(reader)?)?,
                b"context" => once(&mut self.context, context(reader)?)?,
                b"locale" => once(&mut self.locale, reader.text()?)?,
                b"explain" => once(&mut self.explain, reader.boolean()?)?,
                b"variants" => once(&mut self.variants, reader.boolean()?)?,
                b"strict" => once(&mut self.strict, reader.boolean()?)?,
                b"deadline_us" => once(&mut self.deadline_us, reader.unsigned()?)?,
                _ => return None,
            }
        }
        reader.is_over().then_some(())
    }

    /// The request with all names resolved.
    ///
    /// # Errors
    /// Something is wrong.
    pub(super) fn resolve(&self, engine: &Engine) -> Result<DecisionRequest<'_>, NotPlain> {
        let known = || -> Option<Draft<'_>> {
            let customer = self.customer.filter(|text| id::check(text).is_ok())?;
            let channel = engine.schema.channel_id(self.channel?)?;
            let mut draft = Draft { customer: Some(customer), channel: Some(channel), ..Draft::default() };
            for PlainPlacement { id, count } in self.placements.as_ref()? {
                if count.is_some_and(|count| !(1..=MAX_COUNT as u64).contains(&count)) {
                    return None;
                }
                draft.place((*id)?, count.map(|count| count as usize), engine).ok()?;
            }
            for (name, value) in self.context.iter().flatten() {
                let id = engine.schema.context_id(name)?;
                let kind = &engine.schema.context()[usize::from(id.0)].kind;
                draft.context.push((id, kind.read(value, engine.schema.zone()).ok()?));
            }
            if let Some(text) = self.locale {
                draft.languages = locale::languages(text);
                if draft.languages.is_empty() && Languages::doubt(text).is_some() {
                    return None;
                }
            }
            if self.deadline_us.is_some_and(|us| !(1..=MAX_DEADLINE_US).contains(&us)) {
                return None;
            }
            draft.deadline = self.deadline_us.map(Duration::from_micros);
            let flag = |flag: Option<bool>| flag.unwrap_or_default();
            (draft.explain, draft.variants, draft.strict) =
                (flag(self.explain), flag(self.variants), flag(self.strict));
            Some(draft)
        };
        known().ok_or(NotPlain)?.finish(Problems::new()).map_err(|_| NotPlain)
    }
}

/// Takes the value of a field that has none yet.
#[inline]
fn once<T>(field: &mut Option<T>, value: T) -> Option<()> {
    field.replace(value).is_none().then_some(())
}

fn placements<'n, R: Reader<'n>>(reader: &mut R) -> Option<Placements<'n>> {
    let (mut placements, mut items) = (Placements::new(), reader.list()?);
    while reader.goes_on(&mut items)? {
        if placements.len() == MAX_PLACEMENTS {
            return None;
        }
        let (mut placement, mut fields) = (PlainPlacement::default(), reader.map()?);
        while reader.goes_on(&mut fields)? {
            match reader.key()? {
                b"id" => once(&mut placement.id, reader.text()?)?,
                b"count" => once(&mut placement.count, reader.unsigned()?)?,
                _ => return None,
            }
        }
        placements.push(placement);
    }
    Some(placements)
}

/// The most fields of a plain context.
const MAX_CONTEXT: usize = 16;

/// The fields of the context. A name that comes twice is not plain.
fn context<'n, R: Reader<'n>>(reader: &mut R) -> Option<Context<'n>> {
    let (mut context, mut fields) = (Context::new(), reader.map()?);
    while reader.goes_on(&mut fields)? {
        let name = std::str::from_utf8(reader.key()?).ok()?;
        if context.len() == MAX_CONTEXT || context.iter().any(|(known, _)| *known == name) {
            return None;
        }
        context.push((name, reader.scalar()?));
    }
    Some(context)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::http::routes::decisions::document::of_document;
    use crate::input::cursor::Cursor;
    use crate::rules::rule_set::RuleSet;
    use crate::schema::Schema;

    fn engine() -> Engine {
        let schema = "schema: s\nfeatures: {age: {kind: int, min: 0, max: 120}}\ncontext: {page: {kind: enum, values: [home, pay]}, \
                      amount: {kind: float}, steps: {kind: int, min: 0, max: 9}}\n";
        let rules = "rule_set: r\nplacements: {home: {channels: [app], count: 2}, chat: {channels: [chatbot, app], count: 1}}\n";
        let schema = Arc::new(Schema::parse("s", schema).unwrap());
        let rules = Arc::new(RuleSet::parse("r", rules, &schema).unwrap());
        Engine::compile(&schema, &[(rules, 1)]).unwrap()
    }

    /// Whether a request is plain, which does not depend on its format. What is plain says the same as its
    /// document.
    #[track_caller]
    fn is_plain(json: &str) -> bool {
        let engine = engine();
        let is_plain = of_bytes(Media::Json, json.as_bytes(), &engine);
        // Escapes and fields that come twice are gone in MessagePack.
        let value: Option<serde_json::Value> = serde_json::from_str(json).ok();
        if let Some(value) =
            value.filter(|value| value.to_string().len() == json.replace([' ', '\n'], "").len())
        {
            let packed = rmp_serde::to_vec(&value).unwrap();
            assert_eq!(of_bytes(Media::MessagePack, &packed, &engine), is_plain, "{json} in MessagePack");
        }
        is_plain
    }

    #[track_caller]
    fn of_bytes(media: Media, bytes: &[u8], engine: &Engine) -> bool {
        let mut plain = PlainRequest::default();
        let read = plain.read(media, bytes);
        let Ok(found) = read.and_then(|()| plain.resolve(engine)) else {
            return false;
        };
        let tree = match media {
            Media::MessagePack => crate::input::document::Input::from_msgpack(bytes),
            _ => crate::input::document::Input::from_json(bytes),
        };
        let tree = tree.unwrap();
        let expected = of_document(Cursor::root(&tree, None), engine).ok();
        assert_eq!(
            format!("{:?}", Some(found)),
            format!("{expected:?}"),
            "{}",
            String::from_utf8_lossy(bytes)
        );
        true
    }

    const BEGIN: &str = r#"{"customer":"c-1","channel":"app","placements":[{"id":"home"}]"#;

    #[test]
    fn what_is_plain_says_what_its_document_says() {
        for rest in [
            "}",
            " \n}",
            r#","locale":"zh-CN"}"#,
            r#","locale":"*"}"#,
            r#","context":{"page":"home","amount":3,"steps":4}}"#,
            r#","context":{}}"#,
            r#","context":{"amount":-2.5}}"#,
            r#","explain":true,"variants":false,"strict":true,"deadline_us":500}"#,
        ] {
            assert!(is_plain(&format!("{BEGIN}{rest}")), "{rest}");
        }
        let both = r#"{"placements":[{"count":1,"id":"chat"},{"id":"home","count":10}],"channel":"app","customer":"客户"}"#;
        assert!(is_plain(both));
    }

    #[test]
    fn what_is_unusual_or_wrong_is_not_plain() {
        for rest in [
            "",
            "}}",
            r#","locale":null}"#,
            r#","locale":["zh"]}"#,
            r#","locale":"中文"}"#,
            r#","locale":"z\u0068"}"#,
            r#","locale":"zh","locale":"en"}"#,
            r#","context":{"page":"hom"}}"#,
            r#","context":{"pag":"home"}}"#,
            r#","context":{"page":null}}"#,
            r#","context":{"page":["home"]}}"#,
            r#","context":{"steps":1,"steps":1}}"#,
            r#","context":{"steps":99}}"#,
            r#","context":{"steps":18446744073709551615}}"#,
            r#","context":[]}"#,
            r#","explain":1}"#,
            r#","deadline_us":0}"#,
            r#","deadline_us":1.5}"#,
            r#","deadline_us":60000001}"#,
            r#","customer":"c-2"}"#,
            r#","unknown":1}"#,
        ] {
            assert!(!is_plain(&format!("{BEGIN}{rest}")), "{rest}");
        }
        let of =
            |placements: &str| format!(r#"{{"customer":"c-1","channel":"app","placements":{placements}}}"#);
        for placements in [
            "[]",
            "{}",
            "null",
            r#"["home"]"#,
            r#"[{"id":"hom"}]"#,
            r#"[{"id":"home"},{"id":"home"}]"#,
            r#"[{"id":"home","count":0}]"#,
            r#"[{"id":"home","count":1.0}]"#,
            r#"[{"id":"home","count":-1}]"#,
            r#"[{"id":"home","count":1000}]"#,
            r#"[{"id":"home","more":1}]"#,
            r#"[{"count":1}]"#,
            &format!("[{}]", [r#"{"id":"home"}"#; MAX_PLACEMENTS + 1].join(",")),
        ] {
            assert!(!is_plain(&of(placements)), "{placements}");
        }
        for whole in [
            "",
            "[]",
            r#"["c-1","app",[{"id":"home"}]]"#,
            r#"{"channel":"app","placements":[{"id":"home"}]}"#,
            r#"{"customer":"c 1 ","channel":"app","placements":[{"id":"home"}]}"#,
            r#"{"customer":"c-1","channel":"web","placements":[{"id":"home"}]}"#,
            r#"{"customer":"c-1","channel":"ap","placements":[{"id":"home"}]}"#,
        ] {
            assert!(!is_plain(whole), "{whole}");
        }
    }

    #[test]
    fn numbers_are_read_as_a_document_reads_them() {
        for (number, expected) in [
            ("0", true),
            ("-0", true),
            ("0.1", true),
            ("1e3", true),
            ("-2E-7", true),
            ("9223372036854775807", true),
            ("-9223372036854775808", true),
            ("9223372036854775808", true),
            ("123456789012345678901234567890", true),
            ("0.30000000000000004", true),
            ("1e999", false),
            ("01", false),
            ("-01", false),
            ("00", false),
            ("1.", false),
            (".5", false),
            ("-", false),
            ("+1", false),
            ("1e", false),
            ("1-2", false),
            ("nan", false),
            ("tru", false),
        ] {
            let engine = engine();
            let json = format!(r#"{BEGIN},"context":{{"amount":{number}}}}}"#);
            assert_eq!(of_bytes(Media::Json, json.as_bytes(), &engine), expected, "{number}");
        }
    }

    #[test]
    fn texts_end_where_they_should() {
        let engine = engine();
        for length in 0..40 {
            for inside in ["", "é", "\"", "\\", "\n", "\u{1f}", "\u{7f}", "稳", "\\\""] {
                let text = format!("{}{inside}{}", "z".repeat(length), "h".repeat(length % 7));
                let json = format!(r#"{BEGIN},"locale":"{text}"}}"#);
                let is_plain = of_bytes(Media::Json, json.as_bytes(), &engine);
                let needs_escape = inside.contains(['"', '\\', '\n', '\u{1f}']);
                assert!(!(is_plain && needs_escape), "{json}");
                let is_usual = inside.is_empty() && (1..=8).contains(&text.len());
                assert!(is_plain || !is_usual, "{json}");
            }
        }
    }

    proptest! {
        /// `of_bytes` fails if what is plain says something else than its document.
        #[test]
        fn bytes_that_are_changed_say_what_their_document_says(
            changes in proptest::collection::vec((any::<prop::sample::Index>(), byte(), 0..3_u8), 1..4),
            is_packed in any::<bool>(),
        ) {
            let json = format!(r#"{BEGIN}, "locale":"zh-CN","context":{{"page":"home","amount":-2.5,"steps":4}},"explain":true,"deadline_us":500}}"#);
            let (media, mut bytes) = if is_packed {
                let value: serde_json::Value = serde_json::from_str(&json).unwrap();
                (Media::MessagePack, rmp_serde::to_vec(&value).unwrap())
            } else {
                (Media::Json, json.into_bytes())
            };
            for (at, byte, how) in changes {
                let at = at.index(bytes.len());
                match how {
                    0 => bytes[at] = byte,
                    1 => bytes.insert(at, byte),
                    _ => drop(bytes.remove(at)),
                }
            }
            of_bytes(media, &bytes, &engine());
        }
    }

    /// Bytes that mean something in JSON or MessagePack more often than others.
    fn byte() -> impl Strategy<Value = u8> {
        let json = proptest::sample::select(&b" \n\"\\{}[]:,0123456789.eE+-truefalsn"[..]);
        prop_oneof![json, 0x80_u8..0xa8, 0xc0_u8..=0xdf, any::<u8>()]
    }

    #[test]
    fn nothing_may_follow_in_messagepack() {
        let engine = engine();
        let value: serde_json::Value = serde_json::from_str(&format!("{BEGIN}}}")).unwrap();
        let whole = rmp_serde::to_vec(&value).unwrap();
        assert!(of_bytes(Media::MessagePack, &whole, &engine));
        for more in 0..=u8::MAX {
            assert!(!of_bytes(Media::MessagePack, &[&whole[..], &[more]].concat(), &engine), "{more}");
        }
        for cut in 0..whole.len() {
            assert!(!of_bytes(Media::MessagePack, &whole[..cut], &engine), "{cut}");
        }
    }

    #[test]
    fn bytes_of_messagepack_are_no_text() {
        let engine = engine();
        let texts = ["c-1", "app", "home", "zh"];
        let json = format!("{BEGIN},\"locale\":\"zh\",\"context\":{{\"page\":\"home\"}}}}");
        let value: serde_json::Value = serde_json::from_str(&json).unwrap();
        let whole = rmp_serde::to_vec(&value).unwrap();
        assert!(of_bytes(Media::MessagePack, &whole, &engine));
        let keys = ["customer", "channel", "placements", "id", "context", "page", "locale"];
        for text in texts.iter().chain(&keys) {
            let packed = [&[0xa0 | text.len() as u8], text.as_bytes()].concat();
            let at = whole.windows(packed.len()).position(|window| window == packed).unwrap();
            let bytes = [&[0xc4, text.len() as u8], text.as_bytes()].concat(); // bin 8
            let changed = [&whole[..at], &bytes, &whole[at + packed.len()..]].concat();
            assert!(!of_bytes(Media::MessagePack, &changed, &engine), "{text}");
        }
    }
}
