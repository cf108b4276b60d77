//! The state word of a task. Whoever gets a queue entry runs the task at once, so nothing but the word orders the threads.
#![allow(unsafe_code)] // `loom::cell::UnsafeCell` hands out raw pointers, and checks each access itself.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize as Count;
use std::task::Waker;

use loom::cell::UnsafeCell;
use loom::sync::atomic::AtomicUsize;
use loom::sync::atomic::Ordering::Relaxed;
use loom::thread;
use trioxide_loom::{Baton, explore};
use trioxide_runtime::models::{Completed, HandleGoes, HandleStep, LastNotify, Notify, State, Stopped};

/// A task whose future waits until `data` has the bits of `wanted`.
struct Task {
    state: State,
    data: AtomicUsize,
    wanted: usize,
    /// So often its poll ends by waking itself.
    yields: Count,
    /// Rule 1.
    future: UnsafeCell<()>,
    /// Rule 4.
    output: UnsafeCell<Option<Output>>,
    /// Rule 3.
    slot: UnsafeCell<Option<Waker>>,
    /// What those who had a token have left behind, for who ends the task.
    left: UnsafeCell<()>,
    frees: Count,
    outputs: Arc<Count>,
}

/// Counts how often it is dropped.
struct Output(Arc<Count>);

impl Drop for Output {
    fn drop(&mut self) {
        self.0.fetch_add(1, Relaxed);
    }
}

impl Task {
    fn new(wanted: usize) -> Arc<Self> {
        Arc::new(Self {
            state: State::new(),
            data: AtomicUsize::new(0),
            wanted,
            yields: Count::new(0),
            future: UnsafeCell::new(()),
            output: UnsafeCell::new(None),
            slot: UnsafeCell::new(None),
            left: UnsafeCell::new(()),
            frees: Count::new(0),
            outputs: Arc::default(),
        })
    }

    /// The owner of the queue entry.
    fn run(&self) {
        loop {
            self.state.start_running(false);
            let ready = self.future.with_mut(|_| self.data.load(Relaxed) & self.wanted == self.wanted);
            if ready {
                return self.give_token_back();
            }
            let woken = self.yields.load(Relaxed) > 0;
            self.yields.fetch_sub(usize::from(woken), Relaxed);
            let stopped = self.state.stop_running(false, woken);
            assert!(!woken || stopped == Stopped::Again);
            if stopped == Stopped::Idle {
                return;
            }
        }
    }

    /// As `task::leave`.
    fn give_token_back(&self) {
        if self.state.give_token_back() {
            self.end();
        }
    }

    /// As `task::cell::end`.
    fn end(&self) {
        self.future.with_mut(|_| ());
        self.left.with_mut(|_| ());
        self.put_output(Some(Output(Arc::clone(&self.outputs))));
        if self.state.is_alone() {
            self.put_output(None);
            return self.free();
        }
        if self.state.complete_for_handle() {
            return;
        }
        let Completed { has_handle, has_waker } = self.state.complete();
        if !has_handle {
            self.put_output(None);
        } else if has_waker {
            // SAFETY: loom checks the access.
            self.slot.with(|slot| unsafe { &*slot }.as_ref().map(Waker::wake_by_ref));
        }
        self.drop_reference();
    }

    fn wake(&self) {
        if self.state.notify() == Notify::Enqueue {
            self.run();
        }
    }

    /// As the waker's `wake`.
    fn wake_and_drop(&self) {
        match self.state.notify_and_drop() {
            LastNotify::Enqueue => self.run(),
            LastNotify::Nothing => {}
            LastNotify::Ended => self.drop_reference(),
        }
    }

    fn put_output(&self, output: Option<Output>) -> Option<Output> {
        // SAFETY: loom checks the access.
        self.output.with_mut(|slot| std::mem::replace(unsafe { &mut *slot }, output))
    }

    fn put_waker(&self, waker: Option<Waker>) {
        // SAFETY: loom checks the access.
        drop(self.slot.with_mut(|slot| std::mem::replace(unsafe { &mut *slot }, waker)));
    }

    fn drop_reference(&self) {
        if self.state.drop_reference() {
            self.free();
        }
    }

    fn free(&self) {
        self.frees.fetch_add(1, Relaxed);
        self.future.with_mut(|_| ());
        self.put_output(None);
        self.put_waker(None);
    }

    /// As `Task::store_waker`.
    fn store_waker(&self, baton: &Arc<Baton>) -> HandleStep {
        if self.state.has_join_waker() && self.state.unset_join_waker() == HandleStep::TooLate {
            return HandleStep::TooLate;
        }
        self.put_waker(Some(baton.waker()));
        self.state.set_join_waker()
    }

    /// As the drop of `Task`.
    fn drop_handle(&self, taken: bool) {
        match self.state.drop_handle() {
            HandleGoes::Entirely => return,
            HandleGoes::WithWaker => self.put_waker(None),
            HandleGoes::WithOutput if !taken => drop(self.put_output(None)),
            HandleGoes::WithOutput => {}
        }
        self.drop_reference();
    }

    fn is_over(&self) {
        assert_eq!(self.frees.load(Relaxed), 1, "a wake was lost");
        assert_eq!(self.outputs.load(Relaxed), 1);
    }
}

fn on_thread(task: &Arc<Task>, act: impl FnOnce(&Task) + 'static) -> thread::JoinHandle<()> {
    let task = Arc::clone(task);
    thread::spawn(move || act(&task))
}

/// Two wakes, each after a write, against the first polls: the last poll has seen both writes, and no two polls overlap.
#[test]
fn wake_against_the_end_of_a_poll() {
    explore("state: wake against the end of a poll", 5, || {
        let task = Task::new(0b11);
        let wakers = [0b01, 0b10].map(|bit| {
            on_thread(&task, move |task| {
                task.data.fetch_or(bit, Relaxed);
                task.wake();
            })
        });
        task.run();
        for waker in wakers {
            waker.join().unwrap();
        }
        task.drop_handle(false);
        task.is_over();
    });
}

/// A task that has woken itself, of which its word knows nothing yet, is woken by another thread, which then lets go of it: it runs once more for both or for each.
#[test]
fn wake_against_the_end_of_a_poll_that_has_woken_itself() {
    explore("state: wake against the end of a poll that has woken itself", 5, || {
        let task = Task::new(1);
        task.yields.store(2, Relaxed);
        task.state.add_reference();
        let waker = on_thread(&task, |task| {
            task.data.fetch_or(1, Relaxed);
            task.wake_and_drop();
        });
        task.drop_handle(false);
        task.run();
        waker.join().unwrap();
        task.is_over();
    });
}

/// The handle waits, each time with another waker, while the task completes: it is woken, and reads the output.
#[test]
fn completion_against_await() {
    explore("state: completion against an await with changing wakers", 5, || {
        let task = Task::new(0);
        let worker = on_thread(&task, Task::run);
        let (first, second) = (Baton::new(), Baton::new());
        let pending = |baton: &Arc<Baton>| !task.state.is_complete() && task.store_waker(baton) == HandleStep::Done;
        if pending(&first) && pending(&second) {
            second.wait();
        }
        assert!(task.state.is_complete());
        assert!(task.put_output(None).is_some());
        task.drop_handle(true);
        worker.join().unwrap();
        task.is_over();
    });
}

/// The handle has waited, and goes while the task completes: one of both drops the output.
#[test]
fn completion_against_the_drop_of_the_handle() {
    explore("state: completion against the drop of the handle", 5, || {
        let task = Task::new(0);
        let worker = on_thread(&task, Task::run);
        let baton = Baton::new();
        if !task.state.is_complete() {
            let _ = task.store_waker(&baton);
        }
        task.drop_handle(false);
        worker.join().unwrap();
        task.is_over();
    });
}

/// A waker (one more reference) is used and dropped, the handle goes, the task completes: the last of the three frees.
#[test]
fn the_last_reference_frees() {
    explore("state: the last reference frees", 5, || {
        let task = Task::new(1);
        task.state.add_reference();
        let waker = on_thread(&task, |task| {
            task.data.fetch_or(1, Relaxed);
            task.wake();
            task.drop_reference();
        });
        let worker = on_thread(&task, Task::run);
        task.drop_handle(false);
        waker.join().unwrap();
        worker.join().unwrap();
        task.is_over();
    });
}

/// A waker is used up, and only then the task is run that it has woken: nobody else may refer to it then (rule 5). The handle goes meanwhile.
#[test]
fn a_task_that_is_alone_begins_and_ends_without_the_others() {
    explore("state: a task that is alone", 5, || {
        let task = Task::new(1);
        task.state.add_reference();
        let waker = on_thread(&task, |task| {
            task.data.fetch_or(1, Relaxed);
            task.wake_and_drop();
        });
        let handle = on_thread(&task, |task| task.drop_handle(false));
        task.run();
        waker.join().unwrap();
        handle.join().unwrap();
        task.is_over();
    });
}

/// What the task has begun holds a token, wakes it and gives that back on another thread (`task` T5), while the task wakes itself and its future ends: the last of both ends the task, and sees what
/// the other has done.
#[test]
fn the_last_token_ends_the_task() {
    explore("state: the last token ends the task", 5, || {
        let task = Task::new(1);
        task.yields.store(1, Relaxed);
        task.state.add_reference();
        task.state.add_token();
        let begun = on_thread(&task, |task| {
            task.left.with_mut(|_| ());
            task.data.fetch_or(1, Relaxed);
            task.wake_and_drop();
            task.give_token_back();
        });
        task.drop_handle(false);
        task.run();
        begun.join().unwrap();
        task.is_over();
    });
}
