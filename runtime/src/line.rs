//! Permits, and who stands in line for them: the one place for hand-over, under the limiter and, in the sync crate, the locks and the semaphore.
//!
//! ```text
//!             enough are free                  claimed: polled by its task, which has the note
//!  acquire ─┬───────────────────────────────────────────────────────────────▶ has them
//!           │           hand over                       │
//!           └▶ LINE ───────────────▶ a note in the task ┘
//!                ▲                              │ the task has had a turn
//!                └────── polled ── passed over ◀┘
//! ```
//!
//! Permits go to the one who has stood in LINE longest, and to nobody else (first come, first served, also if a later one wants fewer). A hand-over is good until the task
//! of the one who waits has had a turn in which it could have claimed it. If it has not, it is not polling that wait: a `select!` on `&mut` of it took another branch, say.
//! Then the permits go to the next in line, and the wait is *passed over*: it keeps its number, and has its old place as soon as it is polled. So nobody waits for a future that
//! nobody polls (*futurelock*; Oxide's RFD 609 names the problem). `docs/locks.md` has the reasons.
//!
//! What is handed over lies in the note (`task::after`) and nowhere else. The wait is out of the line by then, and looks for the note when it is polled, in the task that polls it: to claim is to take out the note, without a lock. No note is
//! there if the wait was passed over, or if another task polls it than the one it was handed to; then the turn of that one ends, and the permits come back. So they do when a wait is dropped by another task than the one it was handed to: not at
//! once, but after one turn of a task that has been woken, or at its end. To a thread, which does nothing but wait, permits are handed for good.
//!
//! While nobody stands in line, permits are taken and given back in one atomic word, without a lock:
//!
//! | word | meaning |
//! | --- | --- |
//! | `n << 2` | so many are free |
//! | `task << 2 \| OWNED` | all are taken, by that one (0: by a thread) |
//! | `BUSY` | see the line |
//!
//! Invariants:
//! - **P1** The word is `BUSY` while anybody is in a queue of the line, a note is under way, or the line is broken; it is set and cleared under the line's lock only. Then `State::free` and `State::owner` stand
//!   for it; otherwise they are 0 and none.
//! - **P2** A permit is in one place: free, with who has acquired it, in one note, or with a thread that was handed it. A note is taken out once (`task::after`): by who claims it, by who gives it up as the wait is dropped, or by the end of the turn, which gives it back.
//! - **P3** Whenever the lock is free and LINE is not empty, the first there wants more than is free, or somebody is about to serve it.
//! - **P4** Numbers grow, and LINE is in their order.
//! - **P5** The word is `BUSY` while there is a debt, and then nothing is free.
//! - **P6** A note is put into its task before the wait is told that it was handed something, and both are done under one locking, in which who owns all is noted, too. So a wait that has been told, and finds no note in the task that polls it, would not find it later either.
//! - **P7** `State::handed` less `Line::claimed` is how many notes are under way, seen under the lock; if it is not zero and all permits are owned, they are in one note, and its task owns nothing yet.
//!
//! Notes of one line that are for as many permits and in one task are alike. So a note is known by its line and their number, and of two waits of a task the one that is polled first may take the note of the other, and the other is passed over in its place.

mod acquire;
mod broken;
mod hand;
mod holders;
mod keep;
mod signals;

pub use acquire::Acquire;
pub use broken::Broken;
pub(crate) use holders::ended as task_ended;
pub use keep::{HasPermits, Keep, Owning, Sharing};

use crate::context;
use crate::primitives::atomic::{AtomicU64, AtomicUsize, Ordering};
use crate::task::Header;
use crate::task::after::TaskRef;
use crate::wait_list::{Lot, Quiet};
use std::sync::Arc;
use std::task::{Context, Poll};

const BUSY: u64 = 1;
const OWNED: u64 = 1 << 1;
const SHIFT: u32 = 2;
/// The most permits that there can be.
pub const MOST: usize = (u64::MAX >> SHIFT) as usize;

// The queues of a line, see the top.
const LINE: usize = 0;
/// Those who wait for a condition; they come to LINE when they are notified.
const CONDITION: usize = 1;
const QUEUES: usize = 2;

/// See the module.
pub struct Permits {
    word: AtomicU64,
    line: LazyLine,
}

/// Made when somebody has to wait for the first time. In an `Arc` because a task that was handed something may be told of after the lock itself is gone.
pub(crate) struct Line {
    lot: Lot<State, Ask, QUEUES>,
    /// How many notes have been claimed, see P7.
    claimed: AtomicUsize,
}

/// What the lock of a line guards.
#[derive(Default)]
pub(crate) struct State {
    free: usize,
    /// Who has taken all.
    owner: Option<u64>,
    /// So many are taken away as they come back.
    debt: usize,
    next_number: u64,
    broken: Option<Broken>,
    /// Who waits and has a smaller number than this is let in without a permit: see [`Permits::open`], [`Permits::let_in_waiting`].
    let_in_below: u64,
    /// More than that are not kept; `None`: all are. See [`Permits::give_up_to`].
    most_free: Option<usize>,
    /// Whether those who ask whose holder is gone know this line.
    is_known: bool,
    /// How many notes there have been, but for those that were not claimed and are out (P7).
    handed: usize,
    passed_over: PassedOver,
}

/// Waits that are passed over. Without those that were given up, or polled by another task, while what they were handed is under way: so it may be negative until the turn there has ended.
#[derive(Default)]
struct PassedOver {
    waits: isize,
    /// How many permits they want together.
    permits: isize,
}

impl PassedOver {
    #[cold]
    fn add(&mut self, permits: usize) {
        self.waits += 1;
        self.permits = self.permits.wrapping_add_unsigned(permits);
    }

    #[cold]
    fn remove(&mut self, permits: usize) {
        self.waits -= 1;
        self.permits = self.permits.wrapping_sub_unsigned(permits);
    }

    /// How many of them would find less than they want if they were polled now, when so many permits are free. Exact if they all want the same.
    fn waiting(&self, free: usize) -> usize {
        let waits = self.waits.max(0).unsigned_abs();
        let each = self.permits.max(0).unsigned_abs().checked_div(waits).unwrap_or_default();
        waits.saturating_sub(free.checked_div(each).unwrap_or(waits))
    }
}

impl State {
    /// So many are free again, but for those that are owed.
    fn put_back(&mut self, permits: usize) {
        let paid = self.debt.min(permits);
        self.debt -= paid;
        self.free += permits - paid;
        if let Some(most) = self.most_free {
            self.free = self.free.min(most);
        }
    }

    /// So many, which are free, go to one who waits; to an owner, if they are all.
    #[inline]
    fn hand(&mut self, permits: usize, owner: Option<u64>) {
        self.free -= permits;
        if owner.is_some() {
            self.owner = owner;
        }
    }

    /// What a note was for comes back.
    fn take_back(&mut self, permits: usize) {
        self.handed = self.handed.wrapping_sub(1);
        self.owner = None;
        self.put_back(permits);
    }
}

/// What one who waits wants.
#[derive(Default)]
pub(crate) struct Ask {
    permits: usize,
    /// In CONDITION: that of the condition.
    number: u64,
    /// Whether it wants all, to own them.
    owns: bool,
    answer: Answer,
    /// Whose turn counts.
    who: Who,
}

/// What one is told who waits no more.
#[derive(Clone, Copy, Default, PartialEq)]
enum Answer {
    /// That the line is broken.
    #[default]
    Broken,
    /// It may go on without a permit.
    LetIn,
    /// It was handed what it wants, for a turn: in a note.
    Handed,
    /// It was handed what it wants, for good.
    Given,
}

/// Who stands behind a wait.
#[derive(Default)]
enum Who {
    /// A thread, which does nothing but wait.
    #[default]
    Thread,
    /// The task whose waker the wait has: one reference is enough.
    Woken,
    /// A task that polls the wait with another waker, that of a combinator, say.
    Task(TaskRef),
}

type QuietLine<'a> = Quiet<'a, State, Ask, QUEUES>;

/// Why nothing was acquired at once.
#[derive(Debug)]
pub enum Refusal {
    /// Not enough are free, or others stand in line.
    WouldBlock,
    /// See there.
    Broken(Broken),
}

#[cfg(not(loom))]
type LazyLine = std::sync::OnceLock<Arc<Line>>;

/// The model checker does not know `OnceLock`: there the line is made at once.
#[cfg(loom)]
struct LazyLine(Arc<Line>);

#[cfg(loom)]
impl LazyLine {
    fn new() -> Self {
        Self(Line::new())
    }

    fn get(&self) -> Option<&Arc<Line>> {
        Some(&self.0)
    }

    fn get_or_init(&self, _make: impl FnOnce() -> Arc<Line>) -> &Arc<Line> {
        &self.0
    }
}

impl Permits {
    /// `permits` are free; at most [`MOST`].
    #[cfg(not(loom))]
    pub const fn new(permits: usize) -> Self {
        assert!(permits <= MOST, "trioxide: too many permits");
        Self { word: AtomicU64::new((permits as u64) << SHIFT), line: LazyLine::new() }
    }

    /// As above, for the models.
    #[cfg(loom)]
    pub fn new(permits: usize) -> Self {
        Self { word: AtomicU64::new((permits as u64) << SHIFT), line: LazyLine::new() }
    }

    fn line(&self) -> &Arc<Line> {
        self.line.get_or_init(Line::new)
    }

    /// Takes `permits` without the line, or `None` if they are not there or the line must be asked.
    #[inline]
    fn take_fast(&self, permits: usize) -> Option<()> {
        let mut word = self.word.load(Ordering::Relaxed);
        loop {
            if word & (BUSY | OWNED) != 0 {
                return None;
            }
            let rest = (word >> SHIFT).checked_sub(permits as u64)?;
            // Acquire pairs with the release of who has given them back.
            match self.word.compare_exchange_weak(word, rest << SHIFT, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return Some(()),
                Err(now) => word = now,
            }
        }
    }

    /// Takes all `permits` that there are for `holder`, as `take_fast`.
    #[inline]
    fn own_fast(&self, permits: usize, holder: u64) -> Option<()> {
        let (free, owned) = ((permits as u64) << SHIFT, holder << SHIFT | OWNED);
        // As in `take_fast`.
        self.word.compare_exchange(free, owned, Ordering::Acquire, Ordering::Relaxed).ok().map(drop)
    }

    /// Takes what is wanted if that can be done at once, and nobody is passed by that.
    pub fn try_take(&self, want: Want) -> Result<(), Refusal> {
        if self.fast(want).is_some() {
            return Ok(());
        }
        if self.word.load(Ordering::Relaxed) & BUSY == 0 && self.line.get().is_none() {
            return Err(Refusal::WouldBlock);
        }
        let line = self.line();
        let mut quiet = line.lot.lock_quietly();
        self.busy(&mut quiet);
        if want.holder.is_some() {
            line.may_be_owned(&mut quiet);
        }
        let taken = take_new(&mut quiet, want);
        self.settle(&mut quiet);
        taken
    }

    #[inline]
    fn fast(&self, want: Want) -> Option<()> {
        match want.holder {
            None => self.take_fast(want.permits),
            Some(holder) => self.own_fast(want.permits, holder),
        }
    }

    /// The first half of the operation of a task that wants permits: a checkpoint; then they are had at once. Or `None`: then [`acquire`](Self::acquire) goes on in the same poll. Apart from that
    /// because it is short, and nearly always enough; and always inlined, as the operation is little else.
    #[inline(always)]
    pub fn poll_take(&self, cx: &mut Context<'_>, permits: usize, operation: &'static str) -> Poll<Option<()>> {
        context::poll_past_checkpoint(cx, operation, |_| self.take_fast(permits))
    }

    /// As [`poll_take`](Self::poll_take), of all `permits` that there are, in the name of the task: with the number of who owns them.
    #[inline(always)]
    pub fn poll_own(&self, cx: &mut Context<'_>, permits: usize, operation: &'static str) -> Poll<Option<u64>> {
        context::poll_past_checkpoint(cx, operation, |task| {
            let holder = task.map_or(0, Header::holder);
            self.own_fast(permits, holder)?;
            if let Some(task) = task {
                task.hold();
            }
            Some(holder)
        })
    }

    /// Waits for what is wanted. No checkpoint: see [`poll_take`](Self::poll_take), or a thread waits.
    #[inline]
    pub fn acquire(&self, permits: usize, owns: bool) -> Acquire<'_> {
        Acquire::new(self, permits, owns)
    }

    /// Gives `permits` back.
    #[inline]
    pub fn give(&self, permits: usize) {
        let mut word = self.word.load(Ordering::Relaxed);
        while word & BUSY == 0 {
            let free = if word & OWNED != 0 { 0 } else { word >> SHIFT };
            let sum = (free + permits as u64) << SHIFT;
            // Release pairs with the acquire of who takes them next.
            match self.word.compare_exchange_weak(word, sum, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return,
                Err(now) => word = now,
            }
        }
        self.give_busy(permits);
    }

    /// Gives all `permits` back, for `holder`, who has owned them.
    #[inline]
    pub(crate) fn give_owned(&self, permits: usize, holder: u64) {
        let (owned, free) = (holder << SHIFT | OWNED, (permits as u64) << SHIFT);
        // Release: as in `give`. Otherwise it is `BUSY`.
        if self.word.compare_exchange(owned, free, Ordering::Release, Ordering::Relaxed).is_err() {
            self.give_busy(permits);
        }
    }

    #[cold]
    fn give_busy(&self, permits: usize) {
        let line = self.line();
        let mut quiet = line.lot.lock_quietly();
        // Meanwhile the last one may have left the line.
        self.busy(&mut quiet);
        quiet.put_back(permits);
        quiet.owner = None;
        // Leaked for all that one could know, and now it has come back.
        if quiet.broken.is_some_and(|broken| !broken.is_panic()) {
            quiet.broken = None;
        }
        // As `serve_and_settle`, but in the way of each permit that somebody waits for.
        if let Some(mut quiet) = line.serve(quiet) {
            self.settle(&mut quiet);
        }
    }

    /// Takes away so many: what is free now, the rest as it comes back.
    pub fn withdraw(&self, permits: usize) {
        let line = self.line();
        let mut quiet = line.lot.lock_quietly();
        self.busy(&mut quiet);
        let now = quiet.free.min(permits);
        quiet.free -= now;
        quiet.debt += permits - now;
        self.settle(&mut quiet);
    }

    /// Serves those in `line`, which is locked, as far as the permits go; if nobody is there, the word stands for them again.
    fn serve_and_settle<'a>(&self, line: &'a Arc<Line>, quiet: QuietLine<'a>) {
        if let Some(mut quiet) = line.serve(quiet) {
            self.settle(&mut quiet);
        }
    }

    /// From here on, and until `settle`, the line, whose state is locked, stands for the word (P1).
    #[inline]
    fn busy(&self, state: &mut State) {
        if self.word.load(Ordering::Relaxed) & BUSY == 0 {
            self.make_busy(state);
        }
    }

    #[cold]
    fn make_busy(&self, state: &mut State) {
        let mut word = self.word.load(Ordering::Relaxed);
        while word & BUSY == 0 {
            // Acquire: as in `take_fast`, for those who take from the line.
            match self.word.compare_exchange_weak(word, BUSY, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) if word & OWNED != 0 => state.owner = Some(word >> SHIFT),
                Ok(_) => state.free = (word >> SHIFT) as usize,
                Err(now) => {
                    word = now;
                    continue;
                }
            }
            return;
        }
    }

    /// The word stands for the line again if nobody is there.
    #[inline]
    fn settle(&self, quiet: &mut QuietLine<'_>) {
        let is_empty = quiet.waiting(LINE) == 0 && quiet.waiting(CONDITION) == 0;
        let is_alone = is_empty && !self.line.get().is_some_and(|line| line.has_notes(quiet));
        // Ordering: it is set and cleared under this lock. The last one may have settled while another was serving and had let go of the lock.
        if is_alone && self.word.load(Ordering::Relaxed) & BUSY != 0 && quiet.broken.is_none() && quiet.debt == 0 {
            self.settle_alone(quiet);
        }
    }

    #[cold]
    fn settle_alone(&self, state: &mut State) {
        let word = match state.owner.take() {
            Some(owner) => owner << SHIFT | OWNED,
            None => (std::mem::take(&mut state.free) as u64) << SHIFT,
        };
        // Release: what was done before permits were given back in the line is seen by who takes them from the word.
        self.word.store(word, Ordering::Release);
    }

    /// The one who has taken all has panicked: it breaks for those who wait, and who come.
    #[cold]
    pub fn break_by_panic(&self, permits: usize, holder: u64) {
        let line = self.line();
        let mut quiet = line.lot.lock_quietly();
        self.busy(&mut quiet);
        (quiet.free, quiet.owner) = (permits, None);
        quiet.broken = Some(Broken::by_panic(holder));
        drop(quiet);
        line.tell_broken();
    }

    /// What was broken by a panic may be taken again.
    pub fn repair(&self) {
        let Some(line) = self.line.get() else { return };
        let mut quiet = line.lot.lock_quietly();
        if quiet.broken.is_some_and(|broken| broken.is_panic()) {
            quiet.broken = None;
            self.settle(&mut quiet);
        }
    }

    /// Whether it is broken, and by whom.
    pub fn broken(&self) -> Option<Broken> {
        self.line.get().and_then(|line| line.lot.lock().broken)
    }

    /// Another task has what `from` has taken; `to` is to be held responsible.
    pub fn change_owner(&self, from: u64, to: u64) {
        let (before, after) = (from << SHIFT | OWNED, to << SHIFT | OWNED);
        if self.word.compare_exchange(before, after, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            return;
        }
        let line = self.line();
        let mut quiet = line.lot.lock_quietly();
        self.busy(&mut quiet);
        line.may_be_owned(&mut quiet);
        quiet.owner = Some(to);
        quiet.broken = None;
        self.settle(&mut quiet);
    }

    /// How many are free, who has all, how many wait.
    pub fn snapshot(&self) -> Snapshot {
        let of_word = |word: u64| Snapshot {
            debt: 0,
            free: if word & OWNED != 0 { 0 } else { (word >> SHIFT) as usize },
            owner: (word & OWNED != 0).then_some(word >> SHIFT),
            waiting: 0,
        };
        let Some(line) = self.line.get() else { return of_word(self.word.load(Ordering::Relaxed)) };
        let locked = line.lot.lock();
        let word = self.word.load(Ordering::Relaxed);
        if word & BUSY == 0 {
            return of_word(word);
        }
        let waiting = locked.waiting(LINE) + locked.passed_over.waiting(locked.free);
        Snapshot { free: locked.free, owner: locked.owner, debt: locked.debt, waiting }
    }
}

/// What somebody wants: `permits`, or all of them (so many there are), in the name of a holder.
#[derive(Clone, Copy)]
pub struct Want {
    /// How many.
    pub permits: usize,
    /// Of all: who.
    pub holder: Option<u64>,
}

/// See [`Permits::snapshot`].
pub struct Snapshot {
    /// How many are free.
    pub free: usize,
    /// Who has all of them.
    pub owner: Option<u64>,
    /// So many are to be taken away as they come back.
    pub debt: usize,
    /// Who stands in line, or was passed over and would find less than it wants; not who was handed something.
    pub waiting: usize,
}

impl Line {
    fn new() -> Arc<Self> {
        Arc::new(Self { lot: Lot::new(State::default()), claimed: AtomicUsize::new(0) })
    }

    /// All permits are owned, or somebody waits for all: from now on the line, whose state is locked, is told of holders that are gone. Most lines are of permits that nobody can own.
    #[inline]
    fn may_be_owned(self: &Arc<Self>, state: &mut State) {
        if !std::mem::replace(&mut state.is_known, true) {
            holders::remember(self);
        }
    }

    fn tell_broken(&self) {
        for queue in [LINE, CONDITION] {
            self.lot.notify_all(queue);
        }
    }

    /// The task `holder` has ended: if it has not given back what it owns, the line is broken.
    fn holder_ended(&self, holder: u64) {
        let mut locked = self.lot.lock();
        if locked.owner != Some(holder) || locked.broken.is_some() || self.has_notes(&locked) {
            return;
        }
        locked.broken = Some(Broken::by_end(holder));
        drop(locked);
        self.tell_broken();
    }
}

/// Takes what is wanted for one who has not waited.
#[inline]
fn take_new(quiet: &mut QuietLine<'_>, want: Want) -> Result<(), Refusal> {
    if let Some(broken) = quiet.broken {
        return Err(Refusal::Broken(broken));
    }
    if quiet.waiting(LINE) == 0 && take(quiet, want) { Ok(()) } else { Err(Refusal::WouldBlock) }
}

/// Takes what is wanted out of what is free; nothing if that is not enough.
#[inline]
fn take(quiet: &mut QuietLine<'_>, want: Want) -> bool {
    let Some(rest) = quiet.free.checked_sub(want.permits) else { return false };
    quiet.free = rest;
    if want.holder.is_some() {
        quiet.owner = want.holder;
    }
    true
}
