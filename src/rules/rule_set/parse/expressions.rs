//! Conditions and numbers of a rule set: CEL text, checked against the schema and the tags above it.

use super::RuleSetReader;
use crate::expression::{Expression, MAX_DEPTH, OfferScope, Scope, Syntax};
use crate::input::cursor::Cursor;
use crate::input::document::InputValue;
use crate::input::origin::Origin;
use crate::input::problem::Problems;
use crate::rules::rule_set::Attributes;
use crate::schema::value::Value;

impl RuleSetReader<'_> {
    pub(super) fn scope<'a>(&'a self, offer: Option<OfferScope<'a>>) -> Scope<'a> {
        Scope { tags: &self.tag_names, offer, parameters: &self.parameters, ..Scope::of(self.schema) }
    }

    pub(super) fn syntax(&mut self, cursor: &Cursor<'_, '_>) -> Option<Syntax> {
        if self.problems.is_full() {
            return None; // nobody would read more problems, and each costs time
        }
        let text = match &cursor.input.value {
            InputValue::Text(text) => text.as_ref(),
            // `when: true` is a valid condition.
            InputValue::Bool(true) => "true",
            InputValue::Bool(false) => "false",
            _ => cursor.text(&mut self.problems)?,
        };
        match Syntax::parse(text, Origin::of(cursor)) {
            Ok(syntax) => Some(syntax),
            Err(problems) => {
                self.problems.extend(problems);
                None
            }
        }
    }

    pub(super) fn condition(
        &mut self,
        cursor: &Cursor<'_, '_>,
        offer: Option<&Attributes>,
    ) -> Option<Expression> {
        let syntax = self.syntax(cursor)?;
        let value = |name: &str| offer.map(|offer| offer.value(name));
        let checked = self.scope(offer.map(|_| OfferScope { value: &value })).condition(&syntax);
        self.keep(checked, cursor)
    }

    /// The expression, if it is right and not too deep together with the tags it uses.
    pub(super) fn keep(
        &mut self,
        checked: Result<Expression, Problems>,
        cursor: &Cursor<'_, '_>,
    ) -> Option<Expression> {
        match checked {
            Ok(expression) if expression.depth(&self.tag_depths) > MAX_DEPTH => {
                self.problems.push(cursor.problem(too_deep("this expression")));
                None
            }
            Ok(expression) => Some(expression),
            Err(problems) => {
                self.problems.extend(problems);
                None
            }
        }
    }

    /// A number, or an expression for one. A constant must lie in `min..=max`.
    pub(super) fn number(
        &mut self,
        cursor: Option<&Cursor<'_, '_>>,
        offer: &Attributes,
        min: f64,
        max: f64,
    ) -> Expression {
        let one = || Expression::of_constant(Value::Double(1.0));
        let Some(cursor) = cursor else { return one() };
        let expression = match &cursor.input.value {
            InputValue::Text(_) => self.syntax(cursor).and_then(|syntax| {
                let value = |name: &str| Some(offer.value(name));
                let checked = self.scope(Some(OfferScope { value: &value })).number(&syntax);
                self.keep(checked, cursor)
            }),
            _ => cursor.number(&mut self.problems).map(|x| Expression::of_constant(Value::Double(x))),
        };
        let Some(expression) = expression else { return one() };
        if let Some(x) = expression.constant().and_then(Value::number)
            && !(min..=max).contains(&x)
        {
            let range =
                if max.is_finite() { format!("from {min} to {max}") } else { format!("of at least {min}") };
            self.problems.push(cursor.problem(format!("expected a number {range}, found {x}")));
        }
        expression
    }
}

pub(super) fn too_deep(what: &str) -> String {
    format!(
        "{what} is nested too deeply: with the tags it uses, it has more than {MAX_DEPTH} operators inside each other"
    )
}
