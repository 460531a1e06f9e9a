//! Names with their numbers, of one kind.

use std::collections::{BTreeSet, HashMap};

/// A list of names; a name's number is its place in the list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Names {
    /// Empty where a number is free.
    pub(super) names: Vec<Box<str>>,
    numbers: HashMap<Box<str>, u16>,
    pub(super) free: BTreeSet<u16>,
}

impl Names {
    /// The number of a name; `None` if it has none.
    pub fn number(&self, name: &str) -> Option<u16> {
        self.numbers.get(name).copied()
    }

    /// The name with a number; `None` if there is none.
    pub fn name(&self, number: u16) -> Option<&str> {
        self.names.get(usize::from(number)).map(|name| &**name).filter(|name| !name.is_empty())
    }

    /// The number of names in the list.
    pub fn len(&self) -> usize {
        self.names.len() - self.free.len()
    }

    /// Whether the list has no names.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All names with their numbers.
    pub fn iter(&self) -> impl Iterator<Item = (u16, &str)> {
        (0..).zip(&self.names).map(|(number, name)| (number, &**name)).filter(|(_, name)| !name.is_empty())
    }

    /// The number of a name; a new name is added.
    pub(super) fn add(&mut self, name: &str) -> u16 {
        self.number(name).unwrap_or_else(|| {
            let next = self.names.len() as u16; // the bound is checked when additions are made
            let number = self.free.pop_first().unwrap_or(next);
            match self.names.get_mut(usize::from(number)) {
                Some(free) => *free = name.into(),
                None => self.names.push(name.into()),
            }
            self.numbers.insert(name.into(), number);
            number
        })
    }

    /// Takes a name away, so that another may have its number.
    pub(super) fn free(&mut self, number: u16) {
        if let Some(name) = self.names.get_mut(usize::from(number))
            && !name.is_empty()
        {
            self.numbers.remove(name);
            *name = Box::default();
            self.free.insert(number);
        }
    }

    /// What these have and `earlier`, from which they have grown, have not, in the order of numbers. A number
    /// that was always free has a name that no rule set can give.
    pub(super) fn since(&self, earlier: &Names) -> Vec<Box<str>> {
        let all = (0..).zip(self.names.iter().map(|name| &**name));
        let is_new = |(number, _): &(u16, &str)| earlier.name(*number).is_none();
        let new = all
            .filter(is_new)
            .filter(|(number, name)| !name.is_empty() || usize::from(*number) >= earlier.names.len());
        let name = |(number, name): (u16, &str)| {
            if name.is_empty() { format!("\0{number}").into() } else { name.into() }
        };
        new.map(name).collect()
    }
}
