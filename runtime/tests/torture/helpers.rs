//! Threads outside of the runtime, which do things to a tree while it is played.
//!
//! Their queues are made once and keep their memory, so that they do not disturb the count of what is allocated.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, LazyLock, Mutex};
use std::thread;

use crate::plan::By;

type Job = Box<dyn FnOnce() + Send>;

struct Helper {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    jobs: VecDeque<Job>,
    busy: bool,
}

static THREADS: LazyLock<Vec<&'static Helper>> = LazyLock::new(|| (0..2).map(|_| start()).collect());
static NEXT: AtomicUsize = AtomicUsize::new(0);

fn start() -> &'static Helper {
    let state = Mutex::new(State { jobs: VecDeque::with_capacity(1024), busy: false });
    let helper: &Helper = Box::leak(Box::new(Helper { state, changed: Condvar::new() }));
    thread::spawn(|| {
        loop {
            let mut state =
                helper.changed.wait_while(helper.state.lock().unwrap(), |state| state.jobs.is_empty()).unwrap();
            let job = state.jobs.pop_front().expect("waited for");
            state.busy = true;
            drop(state);
            job();
            helper.state.lock().unwrap().busy = false;
            helper.changed.notify_all();
        }
    });
    helper
}

/// Has `job` done by one of the threads, some time.
pub(crate) fn elsewhere(job: impl FnOnce() + Send + 'static) {
    let helper = THREADS[NEXT.fetch_add(1, Ordering::Relaxed) % THREADS.len()];
    helper.state.lock().unwrap().jobs.push_back(Box::new(job));
    helper.changed.notify_all();
}

pub(crate) fn done_by(by: By, job: impl FnOnce() + Send + 'static) {
    match by {
        By::Task => job(),
        By::Thread => elsewhere(job),
    }
}

/// Waits until all that was given to the threads has been done.
pub(crate) fn settle() {
    for helper in THREADS.iter() {
        let busy = |state: &mut State| state.busy || !state.jobs.is_empty();
        drop(helper.changed.wait_while(helper.state.lock().unwrap(), busy).unwrap());
    }
}
