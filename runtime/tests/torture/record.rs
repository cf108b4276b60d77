//! What is observed of a tree while it is played, and the checks at its end.
//!
//! A *frame* is a node of the tree being played; it knows the one around it, also across tasks. Errors, panics, values and clean-ups know the frame
//! that they come from. Whatever was neither told nor delivered needs an excuse, which some frame around must give: foreign code has dropped or left a
//! future there (`foreign`), or a panic came out there instead (`told`).

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, OnceLock};

pub(crate) struct Frame {
    pub(crate) above: Option<Arc<Frame>>,
    what: &'static str,
    /// The first frame of a task.
    pub(crate) task: bool,
    /// Foreign code has dropped, forgotten, moved or left something below, or a panic has gone through a combinator of others.
    pub(crate) foreign: AtomicBool,
    /// A `finally` whose clean-up did not come to its end: what its body has ended with is gone.
    pub(crate) swallows: AtomicBool,
    /// Foreign code has what is below dropped after the run: nobody is left for a panic that waits there.
    pub(crate) late: AtomicBool,
    /// Foreign code has dropped what is below on another thread, and its task had ended by then: nobody is left for a panic that waited there, or had come as far as a nursery there.
    pub(crate) outlived: AtomicBool,
    /// A panic has come out of a nursery or a `start` here: it is no longer in the care of those below, but of what is around in this task.
    came_out: AtomicBool,
    /// Nobody may have wanted its value: what it was for was cut, or another one failed.
    pub(crate) unwanted: AtomicBool,
    /// The task that polls what is below since foreign code has moved it there.
    pub(crate) moved_to: OnceLock<Arc<TaskRecord>>,
    /// How many panics were told here.
    pub(crate) told: AtomicUsize,
}

impl Frame {
    pub(crate) fn root() -> Arc<Self> {
        Arc::new(Self::new(None, "root", true))
    }

    fn new(above: Option<Arc<Self>>, what: &'static str, task: bool) -> Self {
        Self {
            above,
            what,
            task,
            foreign: AtomicBool::new(false),
            swallows: AtomicBool::new(false),
            late: AtomicBool::new(false),
            outlived: AtomicBool::new(false),
            came_out: AtomicBool::new(false),
            unwanted: AtomicBool::new(false),
            moved_to: OnceLock::new(),
            told: AtomicUsize::new(0),
        }
    }

    pub(crate) fn below(self: &Arc<Self>, what: &'static str) -> Arc<Self> {
        Arc::new(Self::new(Some(Arc::clone(self)), what, false))
    }

    pub(crate) fn task(self: &Arc<Self>) -> Arc<Self> {
        Arc::new(Self::new(Some(Arc::clone(self)), "task", true))
    }

    pub(crate) fn excuse(&self) {
        self.foreign.store(true, SeqCst);
    }

    fn chain(&self) -> impl Iterator<Item = &Frame> {
        std::iter::successors(Some(self), |frame| frame.above.as_deref())
    }

    fn path(&self) -> String {
        let mut parts: Vec<_> = self.chain().map(|frame| frame.what).collect();
        parts.reverse();
        parts.join("/")
    }

    /// The frames around, up to that of the task.
    fn in_task(&self) -> impl Iterator<Item = &Frame> {
        let mut next = Some(self);
        std::iter::from_fn(move || {
            let frame = next?;
            next = frame.above.as_deref().filter(|_| !frame.task);
            Some(frame)
        })
    }

    /// Foreign code had to do with it in the same task.
    fn is_foreign_in_task(&self) -> bool {
        self.in_task().any(|frame| frame.foreign.load(SeqCst))
    }

    /// Nobody was left for a panic that came out here.
    fn is_unheard(&self) -> bool {
        self.is_late() || self.chain().any(|frame| frame.outlived.load(SeqCst))
    }

    /// What stands in something late waits there; and so does a panic that has come out there, of a nursery in it, whatever tasks of that nursery spawned each other.
    fn is_late(&self) -> bool {
        let is_held = |frame: &Frame| frame.came_out.load(SeqCst) && frame.is_late();
        self.in_task().any(|frame| frame.late.load(SeqCst)) || self.chain().skip(1).any(is_held)
    }

    /// Notes a panic that comes out of the nursery of this frame, when the guard is dropped by it.
    pub(crate) fn watch_panics(self: &Arc<Self>) -> Watched {
        Watched { frame: Arc::clone(self), note: |frame| frame.came_out.store(true, SeqCst) }
    }

    /// Excuses the frame if a panic drops the guard.
    pub(crate) fn excuse_panics(self: &Arc<Self>) -> Watched {
        Watched { frame: Arc::clone(self), note: Self::excuse }
    }

    /// The other task that polls this now.
    pub(crate) fn moved_to(&self) -> Option<&Arc<TaskRecord>> {
        self.in_task().find_map(|frame| frame.moved_to.get())
    }

    fn is_foreign(&self) -> bool {
        self.chain().any(|frame| frame.foreign.load(SeqCst))
    }

    /// A panic came out around it, in its place if it did not itself; or one was swallowed, together with a clean-up.
    fn has_told_panic(&self) -> bool {
        self.chain().any(|frame| frame.told.load(SeqCst) > 0 || frame.swallows.load(SeqCst))
    }
}

/// Notes a panic that passes.
#[must_use]
pub(crate) struct Watched {
    frame: Arc<Frame>,
    note: fn(&Frame),
}

impl Drop for Watched {
    fn drop(&mut self) {
        if std::thread::panicking() {
            (self.note)(&self.frame);
        }
    }
}

/// What became of something that must come out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Flying,
    Told,
    Lost,
    /// Dropped by a panic that was passing.
    Unwound,
}

pub(crate) struct Traced {
    frame: Arc<Frame>,
    kind: Kind,
    state: Mutex<State>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Error,
    Panic,
    Value,
}

impl Traced {
    fn gone(&self) {
        let mut state = self.state.lock().unwrap();
        if *state == State::Flying {
            *state = if std::thread::panicking() { State::Unwound } else { State::Lost };
        }
    }
}

/// Something that must come out, once.
pub(crate) struct Token {
    traced: Arc<Traced>,
    world: Arc<Record>,
}

impl Token {
    fn new(world: &Arc<Record>, frame: &Arc<Frame>, kind: Kind) -> Self {
        let traced = Arc::new(Traced { frame: Arc::clone(frame), kind, state: Mutex::new(State::Flying) });
        world.traced.lock().unwrap().push(Arc::clone(&traced));
        Self { traced, world: Arc::clone(world) }
    }

    pub(crate) fn value(world: &Arc<Record>, frame: &Arc<Frame>) -> Self {
        Self::new(world, frame, Kind::Value)
    }

    pub(crate) fn tell(&self) {
        let mut state = self.traced.state.lock().unwrap();
        if *state == State::Told {
            self.world.broken(format!("{:?} of {} was told twice", self.traced.kind, self.traced.frame.path()));
        }
        *state = State::Told;
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        self.traced.gone();
    }
}

/// The error of the trees; several, once nurseries have put them together.
pub(crate) struct Bad(pub(crate) Vec<Token>);

impl Bad {
    pub(crate) fn new(world: &Arc<Record>, frame: &Arc<Frame>) -> Self {
        Self(vec![Token::new(world, frame, Kind::Error)])
    }

    pub(crate) fn tell(self) {
        self.0.iter().for_each(Token::tell);
    }
}

/// The payload of the trees' panics.
pub(crate) struct Boom(pub(crate) Token);

impl Boom {
    pub(crate) fn new(world: &Arc<Record>, frame: &Arc<Frame>) -> Self {
        Self(Token::new(world, frame, Kind::Panic))
    }
}

/// A task of the tree.
#[derive(Default)]
pub(crate) struct TaskRecord {
    future_lives: AtomicBool,
    pub(crate) nurseries: Mutex<Vec<Arc<NurseryRecord>>>,
}

/// A nursery of the tree.
#[derive(Default)]
pub(crate) struct NurseryRecord {
    pub(crate) tasks: Mutex<Vec<Arc<TaskRecord>>>,
}

/// Lies in the future of a task.
pub(crate) struct Living(Arc<TaskRecord>);

impl TaskRecord {
    pub(crate) fn begin(self: &Arc<Self>) -> Living {
        self.future_lives.store(true, SeqCst);
        Living(Arc::clone(self))
    }

    /// It counts in `nursery`. Twice is as good as once.
    pub(crate) fn list_in(self: &Arc<Self>, nursery: &NurseryRecord) {
        nursery.tasks.lock().unwrap().push(Arc::clone(self));
    }

    /// The future is gone, and every nursery that it has opened is empty.
    pub(crate) fn has_ended(&self) -> bool {
        !self.future_lives.load(SeqCst) && self.nurseries.lock().unwrap().iter().all(|nursery| nursery.has_ended())
    }
}

impl NurseryRecord {
    pub(crate) fn has_ended(&self) -> bool {
        self.tasks.lock().unwrap().iter().all(|task| task.has_ended())
    }

    /// No future of a child is there any more.
    pub(crate) fn is_unborrowed(&self) -> bool {
        !self.tasks.lock().unwrap().iter().any(|task| task.future_lives.load(SeqCst))
    }
}

impl Drop for Living {
    fn drop(&mut self) {
        self.0.future_lives.store(false, SeqCst);
    }
}

/// One `finally`.
pub(crate) struct CleanUp {
    frame: Arc<Frame>,
    pub(crate) entered: AtomicBool,
    pub(crate) begun: AtomicUsize,
    pub(crate) ended: AtomicUsize,
}

/// All that is observed of one play.
#[derive(Default)]
pub(crate) struct Record {
    broken: Mutex<Vec<String>>,
    traced: Mutex<Vec<Arc<Traced>>>,
    clean_ups: Mutex<Vec<Arc<CleanUp>>>,
}

impl Record {
    /// A rule was broken.
    pub(crate) fn broken(&self, text: impl Into<String>) {
        self.broken.lock().unwrap().push(text.into());
    }

    pub(crate) fn clean_up(&self, frame: &Arc<Frame>) -> Arc<CleanUp> {
        let clean_up = Arc::new(CleanUp {
            frame: Arc::clone(frame),
            entered: AtomicBool::new(false),
            begun: AtomicUsize::new(0),
            ended: AtomicUsize::new(0),
        });
        self.clean_ups.lock().unwrap().push(Arc::clone(&clean_up));
        clean_up
    }

    /// What was broken, when all is over.
    pub(crate) fn check(&self) -> Vec<String> {
        let mut broken = std::mem::take(&mut *self.broken.lock().unwrap());
        for clean_up in self.clean_ups.lock().unwrap().drain(..) {
            broken.extend(clean_up.check());
        }
        for traced in self.traced.lock().unwrap().drain(..) {
            broken.extend(traced.check());
        }
        broken
    }
}

impl CleanUp {
    fn check(&self) -> Option<String> {
        let (entered, begun, ended) = (self.entered.load(SeqCst), self.begun.load(SeqCst), self.ended.load(SeqCst));
        let due = usize::from(entered);
        let fine = begun == due && ended == due;
        let excused = begun <= due && ended <= begun && self.frame.is_foreign_in_task();
        (!fine && !excused).then(|| {
            format!("clean-up of {}: body entered {entered}, begun {begun} times, ended {ended}", self.frame.path())
        })
    }
}

impl Traced {
    fn check(&self) -> Option<String> {
        let state = *self.state.lock().unwrap();
        let frame = &*self.frame;
        let fine = match (self.kind, state) {
            (_, State::Told) => true,
            (_, State::Flying) => false,
            (Kind::Value, State::Unwound) => true,
            (Kind::Value, State::Lost) => {
                frame.is_foreign_in_task() || frame.swallows.load(SeqCst) || frame.unwanted.load(SeqCst)
            }
            // Another panic came out where this one would have, or where the error would have.
            (Kind::Error, State::Unwound) => frame.has_told_panic() || frame.is_unheard(),
            (Kind::Error, State::Lost) => frame.is_foreign() || frame.has_told_panic(),
            (Kind::Panic, State::Lost | State::Unwound) => frame.has_told_panic() || frame.is_unheard(),
        };
        (!fine).then(|| format!("{:?} of {}: {state:?}", self.kind, frame.path()))
    }
}
