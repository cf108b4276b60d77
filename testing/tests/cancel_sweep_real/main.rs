//! What waits for descriptors of the system, processes, signals and the threads of the pool, cancelled and dropped at each of its suspensions, in earnest: nothing that has come is lost, no descriptor stays open,
//! each child process is reaped, and what was listening still does.
//!
//! | file | sweeps |
//! | --- | --- |
//! | `main` (here) | what each sweep looks at |
//! | `bytes` | streams of bytes: TCP, Unix sockets, pipes; `Async` |
//! | `sockets` | listeners, `connect`, datagrams, servers |
//! | `files` | files, on the threads of the pool |
//! | `processes`, `signals`, `stdio` | of those names |
//! | `adapters` | the traits of futures-io, tokio and hyper; tokio's context; tower's time-out |
#![cfg(target_os = "linux")]

#[path = "../suite/slot.rs"]
mod slot;

mod adapters;
mod bytes;
mod files;
mod processes;
mod signals;
mod sockets;
mod stdio;

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use rustix::io::Errno;
use rustix::process::{WaitId, WaitIdOptions, waitid};
use trioxide_testing::{Cut, cancel_everywhere_real};

type Nursery = trioxide_runtime::Nursery<Infallible>;

/// Descriptors and children are the whole process's, so only one of the tests runs at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// [`cancel_everywhere_real`], whose runs leave no descriptor and no child process.
fn sweep<S, T>(
    setup: impl AsyncFn(&Nursery) -> S,
    body: impl AsyncFn(&S) -> T,
    check: impl AsyncFn(&S, &Cut<T>),
) -> usize {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    trioxide_io::tokio_compat::enter(); // The runtime beside ours has descriptors, which stay.
    let (before, last) = (Cell::new(None), RefCell::new("not begun".to_owned()));
    let nothing_is_left = || {
        let open = descriptors();
        assert_eq!(open, before.get().unwrap_or(open), "descriptors after the run that was {}", last.borrow());
        before.set(Some(open));
        all_are_reaped();
    };
    // At the begin of a run there is nothing of the one before.
    let runs = cancel_everywhere_real(
        async |n| {
            nothing_is_left();
            setup(n).await
        },
        body,
        async |state, cut| {
            last.replace(cut.to_string());
            check(state, cut).await;
        },
    );
    cancel_everywhere_real(async |_| nothing_is_left(), async |()| {}, async |(), _| {});
    runs
}

/// How many descriptors this process has.
fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Returns when there are no children: a process that was killed is reaped by a thread.
fn all_are_reaped() {
    // It waits until one has ended, and does not reap it; so this ends only when another does.
    while waitid(WaitId::All, WaitIdOptions::EXITED | WaitIdOptions::NOWAIT).err() != Some(Errno::CHILD) {
        std::thread::yield_now(); // retry: the threads that reap are nobody's, so nobody hears of their end
    }
}

/// Where nothing is yet.
fn new_path() -> PathBuf {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let name = format!("real-{}-{}", std::process::id(), NUMBER.fetch_add(1, Relaxed));
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name)
}

/// A file that is removed in the end.
struct Path(PathBuf);

impl Path {
    fn new() -> Self {
        Self(new_path())
    }
}

impl Drop for Path {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0); // It need not have come to be.
    }
}
