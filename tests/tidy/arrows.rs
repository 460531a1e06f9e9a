//! Which file names which: every path followed to the file that defines what it names.

use std::collections::{BTreeMap, BTreeSet};

use super::source::{Module, Source};

/// Re-exports are followed so often at most; a chain is never longer.
const MAX_STEPS: usize = 8;

/// From each module to the modules it names, with a name for each.
pub(crate) struct Arrows(pub(crate) BTreeMap<Module, BTreeMap<Module, String>>);

impl Arrows {
    pub(crate) fn of(sources: &[Source]) -> Arrows {
        let modules: BTreeSet<&Module> = sources.iter().map(|source| &source.module).collect();
        let offered: BTreeMap<&Module, &Module> = sources.iter().flat_map(|source| &source.offered).collect();
        let mut arrows = BTreeMap::new();
        for source in sources {
            let to: &mut BTreeMap<Module, String> = arrows.entry(source.module.clone()).or_default();
            for path in &source.named {
                let Some(home) = home(path, &modules, &offered) else { continue };
                if home != source.module {
                    to.insert(home, path.join("::"));
                }
            }
        }
        Arrows(arrows)
    }

    /// Groups of modules that lead to each other, each of two or more.
    pub(crate) fn circles(&self) -> Vec<BTreeSet<&Module>> {
        let reached: BTreeMap<&Module, BTreeSet<&Module>> =
            self.0.keys().map(|from| (from, self.reached(from))).collect();
        let mut circles: Vec<BTreeSet<&Module>> = Vec::new();
        for (from, to) in &reached {
            let back = to.iter().filter(|to| reached.get(*to).is_some_and(|back| back.contains(from)));
            let circle: BTreeSet<&Module> = back.copied().collect();
            if circle.len() > 1 && !circles.contains(&circle) {
                circles.push(circle);
            }
        }
        circles
    }

    fn reached<'a>(&'a self, from: &'a Module) -> BTreeSet<&'a Module> {
        let mut reached = BTreeSet::new();
        let mut left = vec![from];
        while let Some(module) = left.pop() {
            for next in self.0.get(module).into_iter().flat_map(BTreeMap::keys) {
                if reached.insert(next) {
                    left.push(next);
                }
            }
        }
        reached
    }
}

/// The module whose file defines what a path names.
fn home(path: &Module, modules: &BTreeSet<&Module>, offered: &BTreeMap<&Module, &Module>) -> Option<Module> {
    let mut path = path.clone();
    for _ in 0..MAX_STEPS {
        let through = (1..=path.len()).rev().find_map(|length| {
            let target = offered.get(&path[..length].to_vec())?;
            Some([target, &path[length..]].concat())
        });
        match through {
            Some(next) => path = next,
            None => break,
        }
    }
    (1..=path.len()).rev().map(|length| path[..length].to_vec()).find(|module| modules.contains(module))
}
