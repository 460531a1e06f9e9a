//! `zen-expression`: each condition as bytecode, run on one virtual machine.

use rust_decimal::Decimal;
use zen_expression::expression::Standard;
use zen_expression::variable::{Symbol, VariableMap};
use zen_expression::vm::VM;
use zen_expression::{Expression, Scope, Variable, compile_expression};

use crate::facts::{Fact, facts, features, words};
use crate::peer::{Peer, Question};
use crate::synthetic::condition::{Ask, Language, quoted};
use crate::synthetic::customer::Customer;
use crate::synthetic::{COUNT, FLOAT_STEPS, Synthetic, float_of};

const LANGUAGE: Language = Language { and: " and ", or: " or ", ask };

/// Compiled expressions, best offer first, and one machine for all of them.
pub(crate) struct Zen<'s> {
    expressions: Vec<(usize, Expression<Standard>)>,
    machine: VM,
    customers: &'s [Customer],
    scopes: Vec<Scope>,
    names: Vec<Symbol>,
    words: Vec<Symbol>,
    found: Vec<usize>,
}

impl Zen<'_> {
    pub(crate) fn new<'s>(synthetic: &Synthetic, customers: &'s [Customer]) -> Zen<'s> {
        let compiled = |i: usize| {
            let text = synthetic.offers[i].condition.text(&LANGUAGE);
            (i, compile_expression(&text).unwrap_or_else(|e| panic!("{text}: {e}")))
        };
        let mut zen = Zen {
            expressions: synthetic.ranking().into_iter().map(compiled).collect(),
            machine: VM::new(),
            customers,
            scopes: Vec::new(),
            names: features().iter().map(|(name, _)| Variable::key(name)).collect(),
            words: words().iter().map(|word| Variable::key(word)).collect(),
            found: Vec::new(),
        };
        zen.scopes = customers.iter().map(|customer| zen.scope(customer)).collect();
        zen
    }

    fn scope(&self, customer: &Customer) -> Scope {
        let mut map = VariableMap::with_capacity(self.names.len());
        for (feature, fact) in facts(customer) {
            let value = match fact {
                Fact::Flag(flag) => Variable::Bool(flag),
                Fact::Word(word) => Variable::String(self.words[word].clone()),
                Fact::Int(int) => Variable::Number(Decimal::from(int)),
                Fact::Float(steps) => {
                    let decimals = FLOAT_STEPS.trailing_zeros();
                    Variable::Number(Decimal::new(i64::from(steps) * 5_i64.pow(decimals), decimals))
                }
            };
            map.insert(self.names[feature].clone(), value);
        }
        Scope::new(Variable::from_object(map))
    }
}

impl Peer for Zen<'_> {
    fn name(&self) -> &'static str {
        "zen-expression"
    }

    fn questions(&self) -> &'static [Question] {
        &[Question::All, Question::AllFromPlain, Question::Top]
    }

    fn ask(&mut self, question: Question, customer: usize) {
        let made;
        let scope = if question == Question::AllFromPlain {
            made = self.scope(&self.customers[customer]);
            &made
        } else {
            &self.scopes[customer]
        };
        let most = if question == Question::Top { COUNT } else { usize::MAX };
        let machine = &mut self.machine;
        let holding = self.expressions.iter().filter(|(_, expression)| {
            // An error is its answer for a customer of whom too little is known.
            matches!(expression.evaluate_with_scope(scope, machine), Ok(Variable::Bool(true)))
        });
        self.found.clear();
        self.found.extend(holding.take(most).map(|(i, _)| *i));
    }

    fn last(&self, _: Question) -> Vec<usize> {
        self.found.clone()
    }
}

/// An unknown feature is `null`, and comparing it is an error that ends the whole expression. So below an
/// `or` it is asked for first. Elsewhere the expression would be false anyway.
fn ask(ask: &Ask, below_or: bool) -> String {
    let guarded = |name: char, feature: usize, text: String| {
        if below_or { format!("({name}{feature} != null and {text})") } else { text }
    };
    match *ask {
        Ask::Flag { flag, is } if below_or => format!("b{flag} == {is}"),
        Ask::Flag { flag, is: true } => format!("b{flag}"),
        Ask::Flag { flag, is: false } => format!("not b{flag}"),
        Ask::Word { word_of, word } => format!("e{word_of} == 'w{word}'"),
        Ask::Words { word_of, ref words } => format!("e{word_of} in [{}]", quoted(words)),
        Ask::Between { int, low, high } => guarded('i', int, format!("i{int} >= {low} and i{int} <= {high}")),
        Ask::AtLeast { int, low } => guarded('i', int, format!("i{int} >= {low}")),
        Ask::Below { int, high } => guarded('i', int, format!("i{int} < {high}")),
        Ask::FloatAbove { float, low } => guarded('f', float, format!("f{float} > {:?}", float_of(low))),
        Ask::FloatAtMost { float, high } => guarded('f', float, format!("f{float} <= {:?}", float_of(high))),
    }
}
