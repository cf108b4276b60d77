//! Turns a tree that hangs into a report: a thread waits for the end of the tree that is being played, and not for ever.

use std::sync::{Condvar, LazyLock, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use trioxide_runtime::{Observer, Runtime};

use crate::drive;
use crate::plan::Op;

/// The exit code after a hang.
pub(crate) const HUNG: i32 = 86;

struct Playing {
    since: Instant,
    seed: u64,
    workers: usize,
    tree: Op,
}

/// The runtime on which the tree is played at present.
static ON: Mutex<Option<Observer>> = Mutex::new(None);

/// While a tree is played on `runtime`: a report shows what its tasks do.
pub(crate) fn on(runtime: &Runtime) -> impl Drop {
    struct Off;
    impl Drop for Off {
        fn drop(&mut self) {
            *ON.lock().unwrap() = None;
        }
    }
    *ON.lock().unwrap() = Some(runtime.observer());
    Off
}

/// One at a time: see `alone`.
static PLAYING: Mutex<Option<Playing>> = Mutex::new(None);
/// Rung at the beginning and at the end of each.
static CHANGED: Condvar = Condvar::new();

static WATCHING: LazyLock<()> = LazyLock::new(|| {
    // A tree takes a millisecond or so; a machine that is busy with other things, a thousand times as long.
    let patience = if is_child() {
        Duration::from_millis(200)
    } else {
        Duration::from_secs(crate::number("TORTURE_PATIENCE").unwrap_or(100))
    };
    thread::spawn(move || {
        loop {
            let playing = CHANGED.wait_while(PLAYING.lock().unwrap(), |playing| playing.is_none()).unwrap();
            let since = playing.as_ref().map(|playing| playing.since);
            let same = |playing: &mut Option<Playing>| playing.as_ref().map(|playing| playing.since) == since;
            let (playing, waited) = CHANGED.wait_timeout_while(playing, patience, same).unwrap();
            if waited.timed_out()
                && let Some(Playing { seed, workers, tree, .. }) = &*playing
            {
                eprintln!("@hangs: seed {seed}, {workers} worker(s)\n{tree}\n{}", drive::command(*seed, *workers, &[]));
                if let Some(what) = ON.lock().unwrap().as_ref().and_then(Observer::task_tree) {
                    eprintln!("{what}");
                }
                std::process::exit(HUNG);
            }
        }
    });
});

/// This process is here to hang, for the test of the watchdog.
fn is_child() -> bool {
    #[cfg(unix)]
    return crate::process::case().is_some();
    #[cfg(not(unix))]
    return false;
}

/// Runs `play`, which plays `tree`.
pub(crate) fn watched<R>(seed: u64, workers: usize, tree: &Op, play: impl FnOnce() -> R) -> R {
    LazyLock::force(&WATCHING);
    *PLAYING.lock().unwrap() = Some(Playing { since: Instant::now(), seed, workers, tree: tree.clone() });
    CHANGED.notify_one();
    let result = play();
    *PLAYING.lock().unwrap() = None;
    CHANGED.notify_one();
    result
}
