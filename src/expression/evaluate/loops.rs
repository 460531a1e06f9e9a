//! CEL's macros, which go over the items of a list, a set or a map.

use super::{Run, TOO_MUCH, strict};
use crate::expression::cost::weight;
use crate::expression::{Loop, LoopKind, Node};
use crate::schema::Vocabulary;
use crate::schema::value::Value;

impl<'a> Run<'_, 'a> {
    /// The result of a loop. Its variables are gone afterwards.
    #[inline]
    pub(super) fn comprehension(&mut self, l: &'a Loop) -> Value<'a> {
        self.locals.truncate(l.item);
        let result = match &l.range {
            Node::Constant(range) => self.over(l, range),
            range => {
                let range = self.value(range);
                self.over(l, &range)
            }
        };
        self.locals.truncate(l.item);
        result
    }

    fn over(&mut self, l: &'a Loop, range: &Value<'a>) -> Value<'a> {
        match range {
            Value::List(items) => {
                let indexed = items.iter().enumerate();
                self.rounds(l, false, indexed.map(|(i, item)| (Value::Int(i as i64), item.clone())))
            }
            Value::Set(bits, words) => self.rounds(l, false, of_bits(*bits, words)),
            Value::Map(entries) => self.rounds(l, true, entries.iter().cloned()),
            other => strict(other),
        }
    }

    /// Goes over the indexes and items of a list or set, or over the keys and values of a map. A loop with
    /// one name gets the items, or the keys.
    fn rounds(
        &mut self,
        l: &'a Loop,
        keyed: bool,
        range: impl Iterator<Item = (Value<'a>, Value<'a>)>,
    ) -> Value<'a> {
        let mut gathered = Gathered::default();
        for (key, value) in range {
            if !self.spend(1) {
                return TOO_MUCH;
            }
            self.locals.truncate(l.item);
            match (l.pair, keyed) {
                (true, _) => self.locals.extend([key.clone(), value]),
                (false, true) => self.locals.push(key.clone()),
                (false, false) => self.locals.push(value),
            }
            match l.filter.as_ref().map(|filter| self.value(filter)) {
                None | Some(Value::Bool(true)) => {}
                Some(Value::Bool(false)) => continue,
                Some(other) => return strict(&other),
            }
            let body = self.value(&l.body);
            if let Some(result) = self.gather(l, key, body, &mut gathered) {
                return result;
            }
        }
        match l.kind {
            LoopKind::All | LoopKind::Exists => gathered.open.unwrap_or(Value::Bool(l.kind == LoopKind::All)),
            LoopKind::ExistsOne => Value::Bool(gathered.hits == 1),
            LoopKind::Map | LoopKind::Filter => Value::List(gathered.items.into()),
            LoopKind::Entries => Value::Map(gathered.entries.into()),
        }
    }

    /// Takes in what one round gave. Returns the result of the loop if that round decides it.
    fn gather(
        &mut self,
        l: &Loop,
        key: Value<'a>,
        body: Value<'a>,
        gathered: &mut Gathered<'a>,
    ) -> Option<Value<'a>> {
        match (l.kind, body) {
            (LoopKind::All | LoopKind::Exists, Value::Bool(b)) => {
                let decisive = l.kind == LoopKind::Exists;
                return (b == decisive).then_some(Value::Bool(decisive));
            }
            (LoopKind::All | LoopKind::Exists, other) => {
                gathered.open.get_or_insert(strict(&other));
            }
            (LoopKind::ExistsOne, Value::Bool(b)) => gathered.hits += usize::from(b),
            (LoopKind::Filter, Value::Bool(b)) => {
                if b {
                    let item = self.locals.get(l.item).cloned().unwrap_or(Value::Missing);
                    return self.keep(item, &mut gathered.items);
                }
            }
            (LoopKind::ExistsOne | LoopKind::Filter, other) => return Some(strict(&other)),
            (LoopKind::Map | LoopKind::Entries, none) if !none.is_answer() => return Some(none),
            (LoopKind::Map, value) => return self.keep(value, &mut gathered.items),
            (LoopKind::Entries, value) => {
                if !self.spend(weight(&key) + weight(&value)) {
                    return Some(TOO_MUCH);
                }
                gathered.entries.push((key, value));
            }
        }
        None
    }

    fn keep(&mut self, item: Value<'a>, items: &mut Vec<Value<'a>>) -> Option<Value<'a>> {
        if !self.spend(weight(&item)) {
            return Some(TOO_MUCH);
        }
        items.push(item);
        None
    }
}

/// What a loop has gathered so far.
#[derive(Default)]
struct Gathered<'a> {
    /// The first round of `all` or `exists` that had no answer.
    open: Option<Value<'a>>,
    hits: usize,
    items: Vec<Value<'a>>,
    entries: Vec<(Value<'a>, Value<'a>)>,
}

fn of_bits<'a>(bits: u64, words: &'a Vocabulary) -> impl Iterator<Item = (Value<'a>, Value<'a>)> {
    words.of_bits(bits).enumerate().map(|(i, word)| (Value::Int(i as i64), Value::Text(word.into())))
}
