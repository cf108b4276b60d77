//! A future, cancelled and dropped wherever it can be, outside of simulations: [`cancel_everywhere_real`].

use std::cell::Cell;
use std::convert::Infallible;

use trioxide_runtime::Nursery;

use crate::Harness;
use crate::cut::{Cut, Ended, Place, cut};

/// As [`cancel_everywhere`](crate::cancel_everywhere), on a runtime with one worker, in real time, and so for what has no part in a simulation: descriptors of the system, processes, signals, threads.
///
/// Each run has a runtime of its own, and ends with `check`, which is called in it when all other tasks have ended. One run counts the suspensions of `body`. Then it is cut at each of them, in each way: cancelled and dropped, before its
/// first poll, at each suspension, and at each suspension just when it has been woken.
///
/// How often `body` is suspended is not the same in each run here, for what it waits for comes when it comes. So a run may end before its cut; it is checked as one that [was not cut](Cut::is_cut). And the sweep goes on behind the
/// number that was counted, until a run ends before its cut. What comes to `body` from elsewhere decides what happens at a cut: a check has to hold for all that may.
///
/// Gives the number of runs.
///
/// # Panics
///
/// With the panics of `setup`, `body` and `check`; if a run has not ended after 60 s, with the tree of its tasks. Standard error tells the cut. Inside a run.
///
/// ```
/// # #[cfg(unix)] {
/// use std::cell::RefCell;
/// use trioxide_io::pipe;
/// use trioxide_testing::cancel_everywhere_real;
///
/// let runs = cancel_everywhere_real(
///     async |n| {
///         let (sender, receiver) = pipe().unwrap();
///         n.spawn(async move {
///             for byte in 0..3 {
///                 sender.write_all(&[byte]).await.unwrap();
///                 trioxide_runtime::checkpoint().await;
///             }
///         });
///         (receiver, RefCell::new(vec![]))
///     },
///     async |(receiver, read)| {
///         let mut byte = [0];
///         while receiver.read(&mut byte).await.unwrap() > 0 {
///             read.borrow_mut().push(byte[0]);
///         }
///     },
///     async |(receiver, read), cut| {
///         let (mut read, mut byte) = (read.take(), [0]);
///         while receiver.read(&mut byte).await.unwrap() > 0 {
///             read.push(byte[0]);
///         }
///         assert_eq!(read, [0, 1, 2], "{cut}"); // no byte is lost
///     },
/// );
/// assert!(runs > 5);
/// # }
/// ```
pub fn cancel_everywhere_real<S, T>(
    setup: impl AsyncFn(&Nursery<Infallible>) -> S,
    body: impl AsyncFn(&S) -> T,
    check: impl AsyncFn(&S, &Cut<T>),
) -> usize {
    let mut runs = 0;
    let mut once = |place| {
        runs += 1;
        run_once(&setup, &body, &check, place)
    };
    let counted = once(None).suspensions;
    for suspension in 0.. {
        let mut ended_before = false;
        for place in Place::all(suspension) {
            ended_before |= !once(Some(place)).is_cut;
        }
        if ended_before && suspension > counted {
            break;
        }
    }
    runs
}

#[derive(Clone, Copy, Default)]
struct Ran {
    suspensions: usize,
    is_cut: bool,
}

fn run_once<S, T>(
    setup: &impl AsyncFn(&Nursery<Infallible>) -> S,
    body: &impl AsyncFn(&S) -> T,
    check: &impl AsyncFn(&S, &Cut<T>),
    place: Option<Place>,
) -> Ran {
    let _named = Named(place);
    let ran = Cell::new(Ran::default());
    Harness::new().workers(1).run(async |_| {
        let Ended { state, cut, suspensions } = cut(setup, body, place).await;
        ran.set(Ran { suspensions, is_cut: cut.is_cut() });
        check(&state, &cut).await;
    });
    ran.get()
}

/// Says which run it was that panicked.
struct Named(Option<Place>);

impl Drop for Named {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("trioxide: the future that was {}: see the panic above", Place::told(self.0));
        }
    }
}
