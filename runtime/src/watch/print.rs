//! A task tree as a drawing.

use std::fmt;
use std::time::Instant;

use super::tree::{TaskTree, TreeEntry, TreeKind};
use crate::task::TaskState;

/// Deeper entries are drawn at this depth, with the depth as a number: a line must stay readable, and the whole short.
const DEEPEST: usize = 40;

impl fmt::Display for TaskTree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entries: Vec<_> = self.iter().collect();
        // For each depth on the way to the present entry: whether more follows there.
        let mut more = Vec::new();
        let lasts = lasts(&entries);
        for (entry, last) in entries.iter().zip(lasts) {
            let depth = entry.depth();
            more.truncate(depth);
            for &more in more.iter().skip(1).take(DEEPEST) {
                f.write_str(if more { "│  " } else { "   " })?;
            }
            if depth > 0 {
                f.write_str(if last { "└─ " } else { "├─ " })?;
            }
            if depth > DEEPEST {
                write!(f, "({depth} deep) ")?;
            }
            more.resize(depth, false);
            more.push(!last);
            entry.describe(f, self)?;
            f.write_str("\n")?;
        }
        self.describe_circle(f)
    }
}

impl TaskTree {
    /// Who waits for whom, if that goes round in a circle.
    fn describe_circle(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let circle = self.circle().unwrap_or_default();
        let Some((first, rest)) = circle.split_first() else { return Ok(()) };
        write!(f, "In a circle: task {}", first.id())?;
        for task in rest {
            write!(f, " waits for what task {} has, which", task.id())?;
        }
        writeln!(f, " waits for what task {} has.", first.id())
    }
}

/// For each entry: whether it is the last one directly below the same entry. From the end backwards, in one pass.
fn lasts(entries: &[&TreeEntry]) -> Vec<bool> {
    let mut lasts = vec![false; entries.len()];
    let mut seen = Vec::new(); // For each depth: whether a later sibling has been met.
    for (index, entry) in entries.iter().enumerate().rev() {
        seen.resize(entry.depth() + 1, false);
        lasts[index] = !std::mem::replace(&mut seen[entry.depth()], true);
    }
    lasts
}

impl TreeEntry {
    fn describe(&self, f: &mut fmt::Formatter<'_>, tree: &TaskTree) -> fmt::Result {
        let taken = tree.taken();
        match (self.kind(), self.task()) {
            (TreeKind::Unlisted(count), _) => {
                return write!(f, "{count} more that were never suspended: running, or queued");
            }
            (TreeKind::Elsewhere(count), _) => {
                let (runtime, plural) = (self.operation(), if count == 1 { "" } else { "s" });
                return write!(f, "{count} task{plural} of {runtime}: in no nursery, so that nobody waits for them");
            }
            (TreeKind::Run, _) => f.write_str("run")?,
            (_, Some(task)) => write!(f, "{task}")?,
            _ => f.write_str(self.operation())?,
        }
        if self.kind() == TreeKind::Nursery {
            let (children, plural) = (self.children(), if self.children() == 1 { "" } else { "ren" });
            let body = if self.is_body_open() { "body open" } else { "body ended" };
            write!(f, ": {body}, {children} child{plural}")?;
        }
        if let Some(state) = self.state() {
            write!(f, ": {state}")?;
        }
        if let (Some(operation), Some(since)) = (self.waits_for(), self.since())
            && self.state() == Some(TaskState::Suspended)
        {
            write!(f, " in `{operation}` for {:.3?}", taken.saturating_duration_since(since))?;
            if let Some(holder) = self.held_by() {
                f.write_str(", held by ")?;
                match tree.task(holder) {
                    Some(task) if self.task().is_some_and(|own| own.id() == holder) => {
                        write!(f, "itself, task {}", task.id())?
                    }
                    Some(task) => task.describe_short(f)?,
                    None => write!(f, "task {holder}")?,
                }
            }
        }
        self.describe_scope(f, taken)
    }

    fn describe_scope(&self, f: &mut fmt::Formatter<'_>, taken: Instant) -> fmt::Result {
        if let Some(deadline) = self.deadline() {
            match deadline.checked_duration_since(taken) {
                Some(left) => write!(f, ", deadline in {left:.3?}")?,
                None => write!(f, ", deadline {:.3?} ago", taken.saturating_duration_since(deadline))?,
            }
        }
        if self.is_shielded() {
            f.write_str(", shielded")?;
        }
        match self.cancel_reason() {
            Some(reason) => write!(f, ", cancelled: {reason}")?,
            None if self.is_cancelled() => f.write_str(", cancelled from above")?,
            None if self.is_stopping() => f.write_str(", stopping")?,
            None => {}
        }
        match self.guards() {
            0 => Ok(()),
            1 => f.write_str(", waits for 1 guard"),
            guards => write!(f, ", waits for {guards} guards"),
        }
    }
}

impl fmt::Display for TaskState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Suspended => "suspended",
            Self::FutureEnded => "future ended, waits for what it has opened",
        })
    }
}
