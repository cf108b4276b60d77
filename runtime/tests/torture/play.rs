//! Plays a tree on a runtime: each node is the async function that does what it says, and notes what the checks want to know.

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::pin::Pin;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt;
use trioxide_runtime::{
    CancelGroup, CancelScope, Nursery, NurseryError, ScopeHandle, Task, blocking, checkpoint, finally, move_on_after,
    move_on_when, nursery, nursery_with, shield, sleep, until_stopping,
};

use crate::common::Gate;
use crate::foreign;
use crate::helpers;
use crate::ours;
use crate::plan::Op;
use crate::record::{Bad, Boom, Frame, NurseryRecord, Record, TaskRecord, Token};

pub(crate) type Played = Pin<Box<dyn Future<Output = Result<(), Bad>> + Send>>;

const HOUR: Duration = Duration::from_secs(3600);

/// What all nodes of a play share.
#[derive(Default)]
pub(crate) struct World {
    pub(crate) record: Arc<Record>,
    pub(crate) handles: Mutex<Vec<ScopeHandle>>,
    gates: [Gate; 3],
    groups: [CancelGroup; 2],
    /// Something goes on in another task than it began in.
    moved: AtomicBool,
    /// What was forgotten; dropped after the run.
    pub(crate) morgue: Mutex<Vec<Played>>,
}

/// Where in the tree a node stands.
#[derive(Clone)]
pub(crate) struct Place {
    pub(crate) world: Arc<World>,
    pub(crate) frame: Arc<Frame>,
    task: Arc<TaskRecord>,
    pub(crate) nursery: Option<(Nursery<Bad>, Arc<NurseryRecord>)>,
    /// Nothing here may panic when it is dropped: a combinator of others, that would leak then, does the dropping.
    gently: bool,
}

impl Place {
    pub(crate) fn root(world: &Arc<World>, frame: &Arc<Frame>, task: &Arc<TaskRecord>) -> Self {
        Self {
            world: Arc::clone(world),
            frame: Arc::clone(frame),
            task: Arc::clone(task),
            nursery: None,
            gently: false,
        }
    }

    pub(crate) fn below(&self, what: &'static str) -> Self {
        Self { frame: self.frame.below(what), ..self.clone() }
    }

    pub(crate) fn gently(self) -> Self {
        Self { gently: true, ..self }
    }

    pub(crate) fn polling_task(&self) -> &Arc<TaskRecord> {
        self.frame.moved_to().unwrap_or(&self.task)
    }

    pub(crate) fn register(&self, handle: ScopeHandle) {
        self.world.handles.lock().unwrap().push(handle);
    }

    /// The task has opened a nursery.
    pub(crate) fn opened(&self, nursery: Arc<NurseryRecord>) {
        self.polling_task().nurseries.lock().unwrap().push(nursery);
    }

    fn boom(&self) -> Boom {
        Boom::new(&self.world.record, &self.frame)
    }

    pub(crate) fn value(&self) -> Token {
        Token::value(&self.world.record, &self.frame)
    }

    /// A panic has come out at this frame.
    pub(crate) fn told(&self, payload: Box<dyn Any + Send>) {
        self.frame.told.fetch_add(1, SeqCst);
        match payload.downcast::<Boom>() {
            Ok(boom) => boom.0.tell(),
            Err(other) => match text(&*other) {
                text if DOCUMENTED.iter().any(|known| text.contains(known)) => {}
                text if text.contains(CLOSED) && self.world.moved.load(SeqCst) => {}
                text => self.world.record.broken(format!("a panic that the tree does not know: {text}")),
            },
        }
    }
}

/// Panics of the library that foreign code can bring about.
pub(crate) const DOCUMENTED: [&str; 1] = ["was polled again after a scope had cancelled it"];

/// A nursery that goes on in another task is closed when the task that has opened it ends.
pub(crate) const CLOSED: &str = "`spawn` into a closed nursery";

pub(crate) fn text(payload: &(dyn Any + Send)) -> &str {
    match (payload.downcast_ref::<&str>(), payload.downcast_ref::<String>()) {
        (Some(text), _) => text,
        (_, Some(text)) => text,
        _ => "(no text)",
    }
}

/// Plays `op`.
pub(crate) fn play(at: Place, op: Op) -> Played {
    match op {
        Op::Yield(times) => Box::pin(async move {
            for _ in 0..times {
                checkpoint().await;
            }
            Ok(())
        }),
        Op::Sleep(ms) => Box::pin(async move {
            sleep(Duration::from_millis(ms.into())).await; // virtual time: see `drive`
            Ok(())
        }),
        Op::Forever => Box::pin(async move {
            sleep(10 * HOUR).await;
            Ok(())
        }),
        Op::Fail => Box::pin(async move { Err(Bad::new(&at.world.record, &at.frame)) }),
        Op::Panic => Box::pin(async move { panic_any(at.boom()) }),
        Op::Blocking { panics } => Box::pin(call(at.below("blocking"), panics)),
        Op::Wait(gate) => Box::pin(async move {
            move_on_after(20 * HOUR, at.world.gates[usize::from(gate)].pass()).await;
            Ok(())
        }),
        Op::Open(gate, by) => Box::pin(async move {
            let world = Arc::clone(&at.world);
            helpers::done_by(by, move || world.gates[usize::from(gate)].open());
            Ok(())
        }),
        Op::Cancel(..) | Op::Stop(..) | Op::SetShield(..) | Op::SetDeadline(..) => Box::pin(async move {
            change(&at, &op);
            Ok(())
        }),
        Op::Seq(ops) => Box::pin(async move {
            for op in ops {
                play(at.clone(), op).await?;
            }
            Ok(())
        }),
        Op::Nursery { lends, catches, waits, children, body } => {
            Box::pin(open(at.below("nursery"), Opening { lends, catches, waits, children, body: *body }))
        }
        Op::Spawn(op) => Box::pin(async move {
            if let Some((nursery, record)) = &at.nursery {
                let _ = nursery.try_spawn(Child::new(&at, record, *op).future);
            }
            Ok(())
        }),
        Op::Scope { deadline, shield, inside } => Box::pin(async move {
            let mut scope = CancelScope::new();
            if let Some(ms) = deadline {
                scope = scope.deadline_after(Duration::from_millis(ms.into()));
            }
            if shield {
                scope = scope.shield();
            }
            at.register(scope.handle());
            delivered(scope.run(valued(at.below("scope"), *inside)).await.ok())
        }),
        Op::MoveOn(ms, inside) => Box::pin(async move {
            let inside = valued(at.below("move_on_after"), *inside);
            delivered(move_on_after(Duration::from_millis(ms.into()), inside).await)
        }),
        Op::Shield(inside) => {
            Box::pin(async move { delivered(Some(shield(valued(at.below("shield"), *inside)).await)) })
        }
        Op::UntilStopping(inside) => {
            Box::pin(async move { delivered(until_stopping(valued(at.below("until_stopping"), *inside)).await) })
        }
        Op::Finally(body, clean_up) => Box::pin(clean(at.below("finally"), *body, *clean_up)),
        Op::Catch(inside) => Box::pin(async move {
            let at = at.below("catch");
            match AssertUnwindSafe(play(at.clone(), *inside)).catch_unwind().await {
                Ok(result) => result,
                Err(payload) => {
                    at.told(payload);
                    Ok(())
                }
            }
        }),
        Op::Brittle(inside) => Box::pin(async move {
            let at = at.below("brittle");
            let brittle = Brittle((!at.gently).then(|| at.clone()));
            let result = play(at, *inside).await;
            brittle.defuse();
            result
        }),
        Op::Join(ops) => Box::pin(foreign::join(at.below("join"), ops)),
        Op::Unordered(ops) => Box::pin(foreign::unordered(at.below("unordered"), ops)),
        Op::Select(ops) => Box::pin(foreign::select(at.below("select"), ops)),
        Op::Together(way, ops) => ours::together(at, way, ops),
        Op::LocalNursery { catches, children, body } => {
            Box::pin(ours::local(at.below("local_nursery"), catches, children, *body))
        }
        Op::Service(op) => Box::pin(async move {
            if let Some((nursery, record)) = &at.nursery {
                let child = Child::new(&at, record, *op);
                // Closed meanwhile, perhaps: then it panics, and drops the child.
                let _ = catch_unwind(AssertUnwindSafe(|| nursery.service(child.future)));
            }
            Ok(())
        }),
        Op::Start(before, after) => Box::pin(ours::start(at.below("start"), *before, *after)),
        Op::When(gate, inside) => Box::pin(async move {
            let inside = valued(at.below("move_on_when"), *inside);
            delivered(move_on_when(at.world.gates[usize::from(gate)].pass(), inside).await)
        }),
        Op::Grouped(group, inside) => Box::pin(async move {
            let scope = at.world.groups[usize::from(group)].scope();
            at.register(scope.handle());
            delivered(scope.run(valued(at.below("group"), *inside)).await.ok())
        }),
        Op::CancelGroup(group, by) => Box::pin(async move {
            let group = at.world.groups[usize::from(group)].clone();
            helpers::done_by(by, move || group.cancel("by the tree, all of you"));
            Ok(())
        }),
        Op::After(polls, fate, inside) => Box::pin(foreign::after(at.below("after"), polls, fate, *inside)),
        Op::Sabotage(kind) => crate::sabotage::play(at, kind),
    }
}

/// Plays `op`, and then gives a value that must be delivered.
pub(crate) async fn valued(at: Place, op: Op) -> Result<Token, Bad> {
    play(at.clone(), op).await?;
    Ok(at.value())
}

pub(crate) fn delivered(result: Option<Result<Token, Bad>>) -> Result<(), Bad> {
    match result {
        Some(Ok(value)) => {
            value.tell();
            Ok(())
        }
        Some(Err(bad)) => Err(bad),
        None => Ok(()),
    }
}

async fn call(at: Place, panics: bool) -> Result<(), Bad> {
    let inside = at.clone();
    let value = blocking(move || {
        std::thread::yield_now();
        if panics {
            panic_any(inside.boom());
        }
        inside.value()
    });
    value.await.tell();
    Ok(())
}

/// Does something to another scope of the tree.
fn change(at: &Place, op: &Op) {
    let (Op::Cancel(which, by) | Op::Stop(which, _, by) | Op::SetShield(which, _, by) | Op::SetDeadline(which, _, by)) =
        *op
    else {
        unreachable!("only these are given")
    };
    let handle = {
        let handles = at.world.handles.lock().unwrap();
        let Some(last) = handles.len().checked_sub(1) else { return };
        handles[usize::from(which).min(last)].clone()
    };
    let op = op.clone();
    helpers::done_by(by, move || match op {
        Op::Stop(_, ms, _) => handle.stop(Duration::from_millis(ms.into())),
        Op::SetShield(_, on, _) => handle.set_shield(on),
        Op::SetDeadline(_, ms, _) => handle.set_deadline_after(Duration::from_millis(ms.into())),
        _ => handle.cancel("by the tree"),
    });
}

async fn clean(at: Place, body: Op, clean_up: Op) -> Result<(), Bad> {
    let record = at.world.record.clean_up(&at.frame);
    let body = async {
        record.entered.store(true, SeqCst);
        valued(at.clone(), body).await
    };
    let cleaning = async {
        record.begun.fetch_add(1, SeqCst);
        let ended = Ended(&record.ended, &at.frame);
        if let Err(bad) = play(at.clone(), clean_up).await {
            bad.tell();
        }
        ended.0.fetch_add(1, SeqCst);
        std::mem::forget(ended);
    };
    delivered(Some(finally(body, cleaning).await))
}

/// A clean-up that does not come to its end: by a panic of its own, which counts as an end, or because foreign code drops it.
struct Ended<'a>(&'a AtomicUsize, &'a Frame);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.fetch_add(1, SeqCst);
        }
        self.1.swallows.store(true, SeqCst);
    }
}

/// Panics if it is dropped before it is through.
struct Brittle(Option<Place>);

impl Brittle {
    fn defuse(mut self) {
        self.0 = None;
    }
}

impl Drop for Brittle {
    fn drop(&mut self) {
        if let Some(at) = self.0.take()
            && !std::thread::panicking()
        {
            panic_any(at.boom());
        }
    }
}

/// A child that is to be spawned.
pub(crate) struct Child {
    record: Arc<TaskRecord>,
    completed: Arc<AtomicBool>,
    pub(crate) future: Played,
}

impl Child {
    pub(crate) fn new(at: &Place, nursery: &Arc<NurseryRecord>, op: Op) -> Self {
        Self::with(at, nursery, |at| play(at, op))
    }

    pub(crate) fn with(at: &Place, nursery: &Arc<NurseryRecord>, played: impl FnOnce(Place) -> Played) -> Self {
        let at = Place { frame: at.frame.task(), task: Arc::default(), gently: false, ..at.clone() };
        Self::of(Arc::clone(&at.task), nursery, played(at))
    }

    /// Of a nursery that is open: it counts from now on.
    fn listed_in(self, nursery: &NurseryRecord) -> Self {
        self.record.list_in(nursery);
        self
    }

    /// A child that goes on with what was begun elsewhere. It counts from its first poll on: a nursery that has closed refuses it.
    pub(crate) fn of(record: Arc<TaskRecord>, nursery: &Arc<NurseryRecord>, played: Played) -> Self {
        let completed = Arc::new(AtomicBool::new(false));
        let (living, done) = (record.begin(), Arc::clone(&completed));
        let (listed, nursery) = (Arc::clone(&record), Arc::clone(nursery));
        let future = Box::pin(async move {
            let _living = living;
            listed.list_in(&nursery);
            played.await?;
            done.store(true, SeqCst);
            Ok(())
        });
        Self { record, completed, future }
    }
}

impl Place {
    /// Lets another task go on with `played`; false if there is no nursery that would take it.
    pub(crate) fn hand_on(&self, played: Played) -> bool {
        let Some((nursery, record)) = &self.nursery else { return false };
        let task = Arc::default();
        self.world.moved.store(true, SeqCst);
        let _ = self.frame.moved_to.set(Arc::clone(&task));
        nursery.try_spawn(Child::of(task, record, played).future).is_ok()
    }
}

struct Opening {
    lends: bool,
    catches: bool,
    waits: bool,
    children: Vec<Op>,
    body: Op,
}

struct Spawned {
    task: Task<()>,
    record: Arc<TaskRecord>,
    completed: Arc<AtomicBool>,
}

async fn open(mut at: Place, opening: Opening) -> Result<(), Bad> {
    let Opening { lends, catches, waits, children, body } = opening;
    let _panics = at.frame.watch_panics();
    let record = Arc::new(NurseryRecord::default());
    at.opened(Arc::clone(&record));
    let body_done = AtomicBool::new(false);

    let joined = if lends {
        let env = Lent { there: AtomicBool::new(true), record: Arc::clone(&record), world: Arc::clone(&at.world) };
        nursery_with(env, async |s| {
            at.register(s.nursery().scope());
            at.nursery = Some((s.nursery().clone(), Arc::clone(&record)));
            let mut spawned = Vec::new();
            for op in children {
                let Child { record, completed, future } = Child::new(&at, &record, op).listed_in(&record);
                let lent = s.env();
                let task = s.spawn(async move {
                    let _borrowing = Borrowing(lent);
                    future.await
                });
                spawned.push(Spawned { task, record, completed });
            }
            let _borrowing = Borrowing(s.env());
            let result = in_body(&at, body, waits.then_some(spawned)).await;
            body_done.store(result.is_ok(), SeqCst);
            result
        })
        .await
    } else {
        nursery(async |n: Nursery<Bad>| {
            at.register(n.scope());
            at.nursery = Some((n.clone(), Arc::clone(&record)));
            let mut spawned = Vec::new();
            for op in children {
                let Child { record, completed, future } = Child::new(&at, &record, op).listed_in(&record);
                spawned.push(Spawned { task: n.spawn(future), record, completed });
            }
            let result = in_body(&at, body, waits.then_some(spawned)).await;
            body_done.store(result.is_ok(), SeqCst);
            result
        })
        .await
    };

    if !record.has_ended() {
        at.world.record.broken("a nursery has ended before a task below it");
    }
    outcome(&at, joined, catches, body_done.load(SeqCst))
}

/// What comes out of a nursery.
pub(crate) fn outcome(
    at: &Place,
    joined: Result<(), NurseryError<Bad>>,
    catches: bool,
    body_done: bool,
) -> Result<(), Bad> {
    match joined {
        Ok(()) => Ok(()),
        Err(NurseryError::Cancelled(_)) => {
            if body_done {
                at.world.record.broken("a nursery was `Cancelled` although its body had completed");
            }
            Ok(())
        }
        Err(NurseryError::Failed(group)) => {
            let bad = Bad(group.into_iter().flat_map(|bad: Bad| bad.0).collect());
            if catches {
                bad.tell();
                return Ok(());
            }
            Err(bad)
        }
    }
}

async fn in_body(at: &Place, body: Op, spawned: Option<Vec<Spawned>>) -> Result<(), Bad> {
    play(at.clone(), body).await?;
    for Spawned { task, record, completed } in spawned.into_iter().flatten() {
        let outcome = task.await;
        if !record.has_ended() {
            at.world.record.broken("a `Task` gave its result before it had ended");
        }
        if outcome.is_ok() != completed.load(SeqCst) {
            at.world.record.broken(format!("a child has completed: {completed:?}, its `Task` says {outcome:?}"));
        }
    }
    Ok(())
}

/// What `nursery_with` lends.
struct Lent {
    there: AtomicBool,
    record: Arc<NurseryRecord>,
    world: Arc<World>,
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.there.store(false, SeqCst);
        if !self.record.is_unborrowed() {
            self.world.record.broken("what a nursery lends was dropped before a child that borrows it");
        }
    }
}

/// Looks, when it is dropped, whether what it borrows is still there.
struct Borrowing<'a>(&'a Lent);

impl Drop for Borrowing<'_> {
    fn drop(&mut self) {
        if !self.0.there.load(SeqCst) {
            self.0.world.record.broken("a borrow has outlived what it borrows");
        }
    }
}
