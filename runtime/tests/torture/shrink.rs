//! Makes a failing tree small.

use std::time::{Duration, Instant};

use crate::plan::Op;

/// How long it tries; a report must not take for ever.
const PATIENCE: Duration = Duration::from_secs(60);

/// The smallest tree found for which `fails`, and the way to it: the numbers of the simplifications, one after another.
pub(crate) fn shrink(tree: &Op, fails: impl Fn(&Op) -> bool) -> (Op, Vec<usize>) {
    let begun = Instant::now();
    let (mut tree, mut cuts) = (tree.clone(), Vec::new());
    loop {
        let next = simpler(&tree).into_iter().enumerate().find(|(_, tree)| begun.elapsed() < PATIENCE && fails(tree));
        let Some((cut, smaller)) = next else { return (tree, cuts) };
        tree = smaller;
        cuts.push(cut);
    }
}

/// The tree that is left after these cuts.
pub(crate) fn cut(tree: Op, cuts: impl IntoIterator<Item = usize>) -> Op {
    cuts.into_iter().fold(tree, |tree, cut| simpler(&tree).swap_remove(cut))
}

/// Every tree that is one step simpler. The large steps come first.
fn simpler(tree: &Op) -> Vec<Op> {
    let mut out = Vec::new();
    if !matches!(tree, Op::Yield(0)) {
        out.push(Op::Yield(0));
    }
    out.extend(tree.below().into_iter().cloned());
    for at in 0..tree.below().len() {
        let mut without = tree.clone();
        if without.remove(at) {
            out.push(without);
        }
    }
    let mut plain = tree.clone();
    if plain.plainer() {
        out.push(plain);
    }
    for (at, below) in tree.below().into_iter().enumerate() {
        for smaller in simpler(below) {
            let mut with = tree.clone();
            *with.below_mut()[at] = smaller;
            out.push(with);
        }
    }
    out
}

impl Op {
    /// Takes out what hangs below at `at`; false if it must be there.
    fn remove(&mut self, at: usize) -> bool {
        match self {
            Op::Seq(ops)
            | Op::Join(ops)
            | Op::Unordered(ops)
            | Op::Select(ops)
            | Op::Together(_, ops)
            | Op::Nursery { children: ops, .. }
            | Op::LocalNursery { children: ops, .. }
                if at < ops.len() =>
            {
                ops.remove(at);
                true
            }
            _ => false,
        }
    }

    /// Leaves out something of the node itself; false if there is nothing.
    fn plainer(&mut self) -> bool {
        match self {
            Op::Nursery { lends: flag @ true, .. }
            | Op::Nursery { waits: flag @ true, .. }
            | Op::Nursery { catches: flag @ true, .. }
            | Op::LocalNursery { catches: flag @ true, .. }
            | Op::Scope { shield: flag @ true, .. } => *flag = false,
            Op::Scope { deadline: deadline @ Some(_), .. } => *deadline = None,
            Op::Yield(times @ 2..) => *times -= 1,
            _ => return false,
        }
        true
    }
}
