//! Turns a tree that hangs into a report: a thread looks whether the tree that is being played goes on for far too long.

use std::sync::{LazyLock, Mutex};
use std::thread;
use std::time::{Duration, Instant};

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

static PLAYING: Mutex<Option<Playing>> = Mutex::new(None);

static WATCHING: LazyLock<()> = LazyLock::new(|| {
    // A tree takes a millisecond or so; a machine that is busy with other things, a thousand times as long.
    let patience = if is_child() {
        Duration::from_millis(200)
    } else {
        Duration::from_secs(crate::number("TORTURE_PATIENCE").unwrap_or(100))
    };
    thread::spawn(move || {
        loop {
            thread::sleep(patience / 10);
            if let Some(playing) = &*PLAYING.lock().unwrap()
                && playing.since.elapsed() > patience
            {
                let Playing { seed, workers, tree, .. } = playing;
                eprintln!("@hangs: seed {seed}, {workers} worker(s)\n{tree}\n{}", drive::command(*seed, *workers, &[]));
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
    let result = play();
    *PLAYING.lock().unwrap() = None;
    result
}
