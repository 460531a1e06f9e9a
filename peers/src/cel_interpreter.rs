//! The interpreter of the crate `cel`, whose parser Usher uses: the same conditions, letter by letter.

use std::sync::Arc;

use cel::{Context, Env, Program, Value};

use crate::facts::{Fact, facts, features, words};
use crate::peer::{Peer, Question};
use crate::synthetic::customer::Customer;
use crate::synthetic::{COUNT, Synthetic, float_of};

/// Compiled programs, best offer first, and one environment for all of them.
pub(crate) struct CelInterpreter<'s> {
    environment: Arc<Env>,
    programs: Vec<(usize, Program)>,
    customers: &'s [Customer],
    contexts: Vec<Context<'static, 'static>>,
    names: Vec<String>,
    words: Vec<Value>,
    found: Vec<usize>,
}

impl CelInterpreter<'_> {
    pub(crate) fn new<'s>(synthetic: &Synthetic, customers: &'s [Customer]) -> CelInterpreter<'s> {
        let environment = Arc::new(Env::stdlib());
        let compiled = |i: usize| {
            let text = synthetic.offers[i].condition.cel();
            (i, environment.compile(&text).unwrap_or_else(|e| panic!("{text}: {e}")))
        };
        let programs = synthetic.ranking().into_iter().map(compiled).collect();
        let mut cel = CelInterpreter {
            environment,
            programs,
            customers,
            contexts: Vec::new(),
            names: features().into_iter().map(|(name, _)| name).collect(),
            words: words().iter().map(|word| Value::from(word.as_str())).collect(),
            found: Vec::new(),
        };
        cel.contexts = customers.iter().map(|customer| cel.context(customer)).collect();
        cel
    }

    /// The customer's variables. An unknown feature is not declared: using it is an error, which `||`
    /// absorbs.
    fn context(&self, customer: &Customer) -> Context<'static, 'static> {
        let mut context = Context::with_env(Arc::clone(&self.environment));
        for (feature, fact) in facts(customer) {
            let value = match fact {
                Fact::Flag(flag) => Value::Bool(flag),
                Fact::Word(word) => self.words[word].clone(),
                Fact::Int(int) => Value::Int(int),
                Fact::Float(steps) => Value::Float(float_of(steps)),
            };
            context.add_variable_from_value(self.names[feature].as_str(), value);
        }
        context
    }
}

impl Peer for CelInterpreter<'_> {
    fn name(&self) -> &'static str {
        "cel"
    }

    fn questions(&self) -> &'static [Question] {
        &[Question::All, Question::AllFromPlain, Question::Top]
    }

    fn ask(&mut self, question: Question, customer: usize) {
        let made;
        let context = if question == Question::AllFromPlain {
            made = self.context(&self.customers[customer]);
            &made
        } else {
            &self.contexts[customer]
        };
        let most = if question == Question::Top { COUNT } else { usize::MAX };
        let holding =
            self.programs.iter().filter(|(_, program)| program.execute(context) == Ok(Value::Bool(true)));
        self.found.clear();
        self.found.extend(holding.take(most).map(|(i, _)| *i));
    }

    fn last(&self, _: Question) -> Vec<usize> {
        self.found.clone()
    }
}
