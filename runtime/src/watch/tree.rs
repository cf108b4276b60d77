//! A snapshot of the tree of a run: every nursery, scope and task.
//!
//! The walk goes from the root down and holds one node's lock at a time (`scope::node` N4), with its own stack, so depth costs no machine
//! stack. What it has left behind may change before it ends: the whole is a snapshot of no one moment, each entry by itself is. A task that is
//! found in a list of a node under the lock of that list has not ended, so its header may be read there (`task` T3, `scope::node` N1).
#![allow(unsafe_code)]

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use super::{Observer, TaskInfo, elsewhere};
use crate::context;
use crate::nursery;
use crate::scheduler::Shared;
use crate::scope::node::Inner;
use crate::scope::node::flag::{BODY_OPEN, CANCELLED, EFFECTIVE, NURSERY, SHIELD, STOPPING, TASK_ROOT};
use crate::scope::{CancelReason, Node};
use crate::task::{Header, TaskId, TaskState};

/// A snapshot of the tree of a run, as a value to walk and, by `Display`, as a drawing.
///
/// Taken while everything goes on: each entry is right for some moment during the snapshot, but not all for the same one; so a child may be
/// shown as running whose parent is shown as ended. In a run that is at rest it is exact.
///
/// After the wish for a task tree in Trio (#927), with what is waited for instead of stacks.
#[derive(Clone, Debug)]
pub struct TaskTree {
    entries: Vec<TreeEntry>,
    taken: Instant,
}

/// A node of a [`TaskTree`].
#[derive(Clone, Debug)]
pub struct TreeEntry {
    depth: usize,
    kind: TreeKind,
    operation: &'static str,
    task: Option<(TaskInfo, TaskState)>,
    doing: Option<(&'static str, Instant)>,
    held_by: Option<TaskId>,
    deadline: Option<Instant>,
    reason: Option<CancelReason>,
    flags: u32,
    guards: u32,
    children: usize,
}

/// What a [`TreeEntry`] stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TreeKind {
    /// The run itself; its one child is the main task. What is [elsewhere](TreeKind::Elsewhere) stands beside that.
    Run,
    /// A task.
    Task,
    /// An open nursery.
    Nursery,
    /// A cancel scope, time-out, shield, clean-up or call on the thread pool: what has begun and not yet ended.
    Scope,
    /// So many children of the nursery above that have never been suspended: they run for the first time, or wait for that. With
    /// [`track_tasks`](crate::Builder::track_tasks) they are shown one by one.
    Unlisted(usize),
    /// So many tasks of another runtime in this process, whose name is the [operation](TreeEntry::operation): in no nursery, so that nobody waits for them, and in no scope.
    Elsewhere(usize),
}

impl TaskTree {
    /// All entries, from the top down: each is followed by those below it.
    pub fn iter(&self) -> impl Iterator<Item = &TreeEntry> {
        self.entries.iter()
    }

    /// The tasks.
    pub fn tasks(&self) -> impl Iterator<Item = &TreeEntry> {
        self.iter().filter(|entry| entry.task.is_some())
    }

    /// The entries directly below the `index`th of [`iter`](Self::iter), with their indices.
    pub fn children(&self, index: usize) -> impl Iterator<Item = (usize, &TreeEntry)> {
        let depth = self.entries[index].depth;
        let below = self.entries.iter().enumerate().skip(index + 1).take_while(move |(_, entry)| entry.depth > depth);
        below.filter(move |(_, entry)| entry.depth == depth + 1)
    }

    /// The task with this id, if it is in the tree.
    pub fn task(&self, id: TaskId) -> Option<&TaskInfo> {
        self.tasks().filter_map(TreeEntry::task).find(|task| task.id() == id)
    }

    /// Tasks that wait for each other in a circle: each for what the next has, and the last for what the first has. `None`: none is known of. See
    /// [`TreeEntry::held_by`].
    pub fn circle(&self) -> Option<Vec<&TaskInfo>> {
        let waits = |entry: &TreeEntry| Some((entry.task()?.id(), entry.held_by?));
        let waits: HashMap<TaskId, TaskId> = self.tasks().filter_map(waits).collect();
        // Nobody waits for two at once, so a walk that goes on for longer than there are tasks goes round.
        let on_it = self.tasks().filter_map(|entry| Some(entry.task()?.id())).find(|&start| {
            let mut at = start;
            (0..waits.len()).any(|_| {
                at = waits.get(&at).copied().unwrap_or(TaskId(0));
                at == start
            })
        })?;
        let mut circle = vec![on_it];
        while let Some(&next) = waits.get(circle.last()?).filter(|&&next| next != on_it) {
            circle.push(next);
        }
        circle.into_iter().map(|id| self.task(id)).collect()
    }

    /// When it was taken, by the clock of the run.
    pub fn taken(&self) -> Instant {
        self.taken
    }

    pub(crate) fn of(shared: &Shared) -> Option<Self> {
        let root = shared.present.root()?;
        let mut entries = walk(root);
        entries.extend(
            elsewhere::counted()
                .into_iter()
                .map(|(operation, count)| TreeEntry { operation, ..TreeEntry::plain(1, TreeKind::Elsewhere(count)) }),
        );
        Some(Self { entries, taken: shared.time.now() })
    }
}

impl TreeEntry {
    /// How far it is from the top.
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// What it is.
    pub fn kind(&self) -> TreeKind {
        self.kind
    }

    /// The function that opened it, such as `nursery`, `fail_after`, `shield`; empty for a task.
    pub fn operation(&self) -> &'static str {
        self.operation
    }

    /// The task that it is.
    pub fn task(&self) -> Option<&TaskInfo> {
        self.task.as_ref().map(|(task, _)| task)
    }

    /// What the task is at.
    pub fn state(&self) -> Option<TaskState> {
        self.task.as_ref().map(|(_, state)| *state)
    }

    /// The operation of the library that the task has begun last: what it waits for, if it waits. Known only with
    /// [`track_tasks`](crate::Builder::track_tasks), and not if it waits for something of another library.
    pub fn waits_for(&self) -> Option<&'static str> {
        self.doing.map(|(operation, _)| operation)
    }

    /// Since when, by the clock of the run.
    pub fn since(&self) -> Option<Instant> {
        self.doing.map(|(_, since)| since)
    }

    /// The task that has what this one waits for, if that is a lock with one owner: a `Mutex`, or an `RwLock` that is written. Known only with
    /// [`track_tasks`](crate::Builder::track_tasks).
    pub fn held_by(&self) -> Option<TaskId> {
        self.held_by
    }

    /// When it will be cancelled, if it is not done by then. A time-out that has not waited for anything yet has none, and without
    /// [`track_tasks`](crate::Builder::track_tasks) is not in the tree at all.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Why it was cancelled itself; for what stands in something cancelled, see above it.
    pub fn cancel_reason(&self) -> Option<&CancelReason> {
        self.reason.as_ref()
    }

    /// Whether what is suspended in it is to be cut: cancelled itself, or from above.
    pub fn is_cancelled(&self) -> bool {
        self.flags & EFFECTIVE != 0
    }

    /// Whether it was told to stop.
    pub fn is_stopping(&self) -> bool {
        self.flags & STOPPING != 0
    }

    /// Whether it keeps cancellation from above out.
    pub fn is_shielded(&self) -> bool {
        self.flags & SHIELD != 0
    }

    /// How many parts of it must come to their end before it can be cut: nurseries, shields, clean-ups, calls on the thread pool.
    pub fn guards(&self) -> u32 {
        self.guards
    }

    /// Of a nursery: its children that have not ended.
    pub fn children(&self) -> usize {
        self.children
    }

    /// Of a nursery: whether its body has not ended.
    pub fn is_body_open(&self) -> bool {
        self.flags & BODY_OPEN != 0
    }
}

/// Something that tasks wait for and that one of them may have: a lock.
pub(crate) trait Held: Send + Sync {
    /// Who has it. Asked under no lock of the tree.
    fn holder(&self) -> Option<TaskId>;
}

/// What is still to be visited.
enum Next {
    Node(Arc<Node>, Option<(TaskInfo, TaskState)>),
    /// A task without a node of its own.
    Leaf(TaskInfo, TaskState),
    Unlisted(usize),
}

fn walk(root: Arc<Node>) -> Vec<TreeEntry> {
    let mut entries = Vec::new();
    let mut todo = vec![(Next::Node(root, None), 0)];
    while let Some((next, depth)) = todo.pop() {
        let entry = match next {
            Next::Node(node, task) => {
                let mut below = Vec::new();
                let entry = visit(&node, depth, task, &mut below);
                todo.extend(below.into_iter().rev().map(|next| (next, depth + 1)));
                entry
            }
            Next::Leaf(info, state) => {
                TreeEntry { task: Some((info, state)), ..TreeEntry::plain(depth, TreeKind::Task) }
            }
            Next::Unlisted(count) => TreeEntry::plain(depth, TreeKind::Unlisted(count)),
        };
        entries.push(entry);
    }
    entries
}

impl TreeEntry {
    fn plain(depth: usize, kind: TreeKind) -> Self {
        Self {
            depth,
            kind,
            operation: "",
            task: None,
            doing: None,
            held_by: None,
            deadline: None,
            reason: None,
            flags: 0,
            guards: 0,
            children: 0,
        }
    }
}

fn visit(node: &Arc<Node>, depth: usize, task: Option<(TaskInfo, TaskState)>, below: &mut Vec<Next>) -> TreeEntry {
    let mut nodes = Vec::new();
    let mut tasks = Vec::new();
    let inner = node.inner.lock();
    let flags = node.flags();
    node.children(&inner, true, &mut nodes);
    let seen: Vec<_> = nodes.iter().map(|child| child.has(TASK_ROOT).then(|| see_task(child))).collect();
    leaves(node, &inner, &mut tasks);
    let (name, doing) = inner.extra.as_ref().map_or((None, None), |extra| (extra.name.clone(), extra.doing.clone()));
    let reason = inner.reason.clone().filter(|_| flags & CANCELLED != 0);
    let deadline = inner.deadline_at();
    let ordinary = nursery::ordinary(node, &inner).saturating_sub(usize::from(flags & BODY_OPEN != 0));
    let children = node.live.services() + ordinary;
    drop(inner);

    // Asked under no lock: it is foreign.
    let held_by = doing.as_ref().and_then(|doing| doing.held.as_ref()?.upgrade()?.holder());
    let place = node.place();
    let kind = match place {
        Some(place) if place.parent.is_none() => TreeKind::Run,
        _ if flags & TASK_ROOT != 0 => TreeKind::Task,
        _ if flags & NURSERY != 0 => TreeKind::Nursery,
        _ => TreeKind::Scope,
    };
    let has_children = matches!(kind, TreeKind::Run | TreeKind::Nursery);
    let listed = seen.iter().flatten().count() + tasks.len();
    let (mut scopes, mut own): (Vec<_>, Vec<_>) = (Vec::new(), Vec::new());
    for (node, seen) in nodes.into_iter().zip(seen) {
        match seen {
            None => scopes.push(Next::Node(node, None)),
            Some(task) => own.push((task.0.id(), Next::Node(node, Some(task)))),
        }
    }
    own.extend(tasks.into_iter().map(|(info, state)| (info.id(), Next::Leaf(info, state))));
    own.sort_by_key(|(id, _)| *id);
    below.extend(scopes);
    below.extend(own.into_iter().map(|(_, next)| next));
    if has_children && children > listed {
        below.push(Next::Unlisted(children - listed));
    }
    TreeEntry {
        operation: place.filter(|_| kind != TreeKind::Task).map_or("", |place| place.operation),
        task: task.map(|(info, state)| (info.named(name), state)),
        doing: doing.map(|doing| (doing.operation, doing.since)),
        held_by,
        deadline,
        reason,
        flags,
        guards: node.guards(),
        children: if has_children { children } else { 0 },
        ..TreeEntry::plain(depth, kind)
    }
}

/// The task of a task node that is linked, under the lock of its parent.
fn see_task(node: &Node) -> (TaskInfo, TaskState) {
    let place = node.place().expect("a linked node is attached");
    // SAFETY: a task takes its node out of its parent's list, under the parent's lock, before it ends; the caller holds that lock.
    let task = unsafe { place.task.as_ref() };
    (TaskInfo::unnamed(task), task.state())
}

/// The suspended tasks of a locked node that have no node of their own.
fn leaves(node: &Node, inner: &Inner, out: &mut Vec<(TaskInfo, TaskState)>) {
    node.each_task(inner, |task: &Header| {
        if !task.has_node() {
            out.push((TaskInfo::unnamed(task), task.state()));
        }
    });
}

/// A snapshot of the tree of the run that the caller is in.
///
/// # Panics
///
/// Outside a run. From other threads, see [`Observer::task_tree`].
///
/// ```
/// use trioxide_runtime::{Runtime, checkpoint, nursery, sleep_forever, task_tree};
/// let runtime = Runtime::builder().workers(1).track_tasks(true).build().unwrap();
/// runtime.run(nursery(async |n| {
///     n.task("sleeper").spawn(sleep_forever());
///     checkpoint().await;
///     let tree = task_tree();
///     let sleeper = tree.tasks().find(|entry| entry.task().unwrap().name() == Some("sleeper")).unwrap();
///     assert_eq!(sleeper.waits_for(), Some("sleep_forever"));
///     println!("{tree}");
///     n.cancel("seen");
/// }));
/// ```
#[track_caller]
pub fn task_tree() -> TaskTree {
    drop(context::current_node()); // Makes the scopes of the caller that have no node.
    let tree = context::worker(|worker| {
        worker.filter(|_| context::in_task()).and_then(|worker| TaskTree::of(worker.shared()))
    });
    tree.unwrap_or_else(|| context::outside("task_tree"))
}

impl Observer {
    /// A snapshot of the tree of the run that is under way, if one is. Called from any thread, and from hooks.
    pub fn task_tree(&self) -> Option<TaskTree> {
        TaskTree::of(&*self.shared()?)
    }
}
