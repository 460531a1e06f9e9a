//! A decision request as nearly all of them are: everything in its place, nothing unknown. It is read in one
//! pass, without a tree of values. Whatever else comes is read as a [document](super::document), which can
//! say what is wrong with it and where.

use std::time::Duration;

use rmp_serde::decode::Error::InvalidMarkerRead as NoMarker;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use smallvec::SmallVec;

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
    placements: Option<SmallVec<[PlainPlacement<'n>; 4]>>,
    context: Option<SmallVec<[(&'n str, InputValue<'n>); 2]>>,
    locale: Option<&'n str>,
    explain: Option<bool>,
    variants: Option<bool>,
    strict: Option<bool>,
    deadline_us: Option<u64>,
}

#[derive(Clone, Copy, Default)]
struct PlainPlacement<'n> {
    id: Option<&'n str>,
    count: Option<u64>,
}

/// A request that is not plain.
#[derive(Debug)]
pub(super) struct NotPlain;

impl<'n> PlainRequest<'n> {
    /// Reads a request.
    ///
    /// # Errors
    /// Something is unusual or wrong: a field that is unknown, null, given twice or of another kind, a text
    /// with escapes, a list of locales.
    pub(super) fn read(media: Media, bytes: &'n [u8]) -> Result<PlainRequest<'n>, NotPlain> {
        let (request, is_whole) = match media {
            Media::MessagePack => {
                let mut reader = rmp_serde::Deserializer::from_read_ref(bytes);
                let request = reader.deserialize_map(Fields);
                let is_over = matches!(reader.deserialize_any(Nothing), Err(NoMarker(_)));
                (request.ok(), is_over)
            }
            _ => {
                let mut reader = serde_json::Deserializer::from_slice(bytes);
                let request = reader.deserialize_map(Fields);
                (request.ok(), reader.end().is_ok())
            }
        };
        request.filter(|_| is_whole).ok_or(NotPlain)
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

/// What a reader says of anything that is not plain. Nobody reads it.
fn not_plain<E: Error>() -> E {
    E::custom("not plain")
}

/// Takes the value of a field that has none yet.
fn once<T, E: Error>(field: &mut Option<T>, value: T) -> Result<(), E> {
    if field.replace(value).is_some() { Err(not_plain()) } else { Ok(()) }
}

/// Implements a visitor's `expecting`, which only errors show.
macro_rules! expecting {
    ($what:literal) => {
        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str($what)
        }
    };
}

/// Takes no value at all. If not even the first byte of one is there, MessagePack has come to its end.
struct Nothing;

impl Visitor<'_> for Nothing {
    type Value = ();
    expecting!("nothing");
}

/// The fields of the request.
struct Fields;

impl<'n> Visitor<'n> for Fields {
    type Value = PlainRequest<'n>;
    expecting!("a decision request");

    fn visit_map<A: MapAccess<'n>>(self, mut fields: A) -> Result<PlainRequest<'n>, A::Error> {
        let mut request = PlainRequest::default();
        while let Some(name) = fields.next_key_seed(Text)? {
            match name {
                "customer" => once(&mut request.customer, fields.next_value_seed(Text)?)?,
                "channel" => once(&mut request.channel, fields.next_value_seed(Text)?)?,
                "placements" => once(&mut request.placements, fields.next_value_seed(Placements)?)?,
                "context" => once(&mut request.context, fields.next_value_seed(Context)?)?,
                "locale" => once(&mut request.locale, fields.next_value_seed(Text)?)?,
                "explain" => once(&mut request.explain, fields.next_value()?)?,
                "variants" => once(&mut request.variants, fields.next_value()?)?,
                "strict" => once(&mut request.strict, fields.next_value()?)?,
                "deadline_us" => once(&mut request.deadline_us, fields.next_value()?)?,
                _ => return Err(not_plain()),
            }
        }
        Ok(request)
    }
}

/// Makes a visitor readable where a seed is wanted, by the given method of the reader.
macro_rules! seed {
    ($visitor:ty, $method:ident) => {
        impl<'n> DeserializeSeed<'n> for $visitor {
            type Value = <Self as Visitor<'n>>::Value;
            fn deserialize<D: Deserializer<'n>>(self, reader: D) -> Result<Self::Value, D::Error> {
                reader.$method(self)
            }
        }
    };
}

/// A text without escapes. serde's own reader of texts takes the bytes of MessagePack too, which are none.
struct Text;
seed!(Text, deserialize_str);

impl<'n> Visitor<'n> for Text {
    type Value = &'n str;
    expecting!("a text");

    fn visit_borrowed_str<E>(self, v: &'n str) -> Result<&'n str, E> {
        Ok(v)
    }
}

/// The list of placements.
struct Placements;
seed!(Placements, deserialize_seq);

impl<'n> Visitor<'n> for Placements {
    type Value = SmallVec<[PlainPlacement<'n>; 4]>;
    expecting!("placements");

    fn visit_seq<A: SeqAccess<'n>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let mut placements = SmallVec::new();
        while let Some(placement) = items.next_element_seed(Placement)? {
            if placements.len() == MAX_PLACEMENTS {
                return Err(not_plain());
            }
            placements.push(placement);
        }
        Ok(placements)
    }
}

/// One placement.
struct Placement;
seed!(Placement, deserialize_map);

impl<'n> Visitor<'n> for Placement {
    type Value = PlainPlacement<'n>;
    expecting!("a placement");

    fn visit_map<A: MapAccess<'n>>(self, mut fields: A) -> Result<PlainPlacement<'n>, A::Error> {
        let mut placement = PlainPlacement::default();
        while let Some(name) = fields.next_key_seed(Text)? {
            match name {
                "id" => once(&mut placement.id, fields.next_value_seed(Text)?)?,
                "count" => once(&mut placement.count, fields.next_value()?)?,
                _ => return Err(not_plain()),
            }
        }
        Ok(placement)
    }
}

/// The fields of the context. A name that comes twice is not plain.
struct Context;
seed!(Context, deserialize_map);

/// The most fields of a plain context.
const MAX_CONTEXT: usize = 16;

impl<'n> Visitor<'n> for Context {
    type Value = SmallVec<[(&'n str, InputValue<'n>); 2]>;
    expecting!("context fields");

    fn visit_map<A: MapAccess<'n>>(self, mut fields: A) -> Result<Self::Value, A::Error> {
        let mut context: Self::Value = SmallVec::new();
        while let Some(name) = fields.next_key_seed(Text)? {
            if context.len() == MAX_CONTEXT || context.iter().any(|(known, _)| *known == name) {
                return Err(not_plain());
            }
            context.push((name, fields.next_value_seed(Scalar)?));
        }
        Ok(context)
    }
}

/// A value without others inside it.
struct Scalar;
seed!(Scalar, deserialize_any);

impl<'n> Visitor<'n> for Scalar {
    type Value = InputValue<'n>;
    expecting!("a boolean, a number or a text");

    fn visit_bool<E>(self, v: bool) -> Result<InputValue<'n>, E> {
        Ok(InputValue::Bool(v))
    }
    fn visit_i64<E>(self, v: i64) -> Result<InputValue<'n>, E> {
        Ok(InputValue::Int(v))
    }
    fn visit_u64<E: Error>(self, v: u64) -> Result<InputValue<'n>, E> {
        i64::try_from(v).map(InputValue::Int).map_err(|_| not_plain())
    }
    fn visit_f64<E>(self, v: f64) -> Result<InputValue<'n>, E> {
        Ok(InputValue::Float(v))
    }
    fn visit_borrowed_str<E>(self, v: &'n str) -> Result<InputValue<'n>, E> {
        Ok(InputValue::Text(v.into()))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

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
        let read = PlainRequest::read(media, bytes);
        let Ok(found) = read.as_ref().map_err(|_| NotPlain).and_then(|plain| plain.resolve(engine)) else {
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
