//! Sizes that no program should reach, and mishaps that none should have: no overflow of the stack, no leak, no hang.
#![allow(unsafe_code)]

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::atomic::{AtomicIsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use common::{ALL, Count, Flag, PanicOnDrop, a_while, panic_in, until};
use trioxide_runtime::{CancelScope, NurseryError, Runtime, checkpoint, finally, nursery, sleep, sleep_forever};
use trioxide_testing::MockClock;

/// Counts the bytes that are in use.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

static LIVE: AtomicIsize = AtomicIsize::new(0);

// SAFETY: the system's allocator does the work; the count changes nothing about it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size().cast_signed(), Relaxed);
        // SAFETY: passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size().cast_signed(), Relaxed);
        // SAFETY: passed on.
        unsafe { System.dealloc(at, layout) }
    }
}

/// One at a time: memory is counted for the whole process.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs `test` some times on runtimes of its own, with each number of workers, and looks whether more memory is in use afterwards. What the threads of a
/// runtime leave to be collected later goes up and down; a leak grows in every round.
fn without_leak(times: usize, test: impl AsyncFn()) {
    let _alone = alone();
    quiet();
    for workers in ALL {
        let play = || {
            let builder = Runtime::builder().workers(*workers).clock(MockClock::autojump()).signals(false);
            builder.build().unwrap().run(test());
        };
        play(); // what is made once for the process
        let mut grown = Vec::new();
        let round = |_| {
            let before = LIVE.load(Relaxed);
            (0..times).for_each(|_| play());
            grown.push(LIVE.load(Relaxed) - before);
            *grown.last().unwrap() <= 0
        };
        assert!((0..10).any(round), "{workers} workers: so many bytes are left by rounds of {times}: {grown:?}");
    }
}

/// The panics that the tests make are not told: what is told would be kept, and so counted.
fn quiet() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !info.payload().downcast_ref::<&str>().is_some_and(|text| MADE.contains(text)) {
                hook(info);
            }
        }));
    });
}

const MADE: [&str; 3] = ["in the drop of a child", "a waker that panics", "of the main task"];

type Boxed = Pin<Box<dyn Future<Output = ()> + Send>>;

const DEEP: usize = 5_000;

/// A poll goes through all of them, and each takes some stack: more than a kilobyte in a build without optimization. The 8 MB of a usual main thread
/// would not be enough for that, nor the 2 MB of a test's, so this runs on threads with more.
#[test]
fn five_thousand_nested_scopes_are_cancelled_from_the_outermost() {
    let deep = std::thread::Builder::new().stack_size(256 << 20).spawn(|| {
        without_leak(1, async || {
            let (reached, unwound) = (Flag::default(), Count::default());
            let mut future: Boxed = {
                let reached = reached.clone();
                Box::pin(async move {
                    reached.set();
                    sleep_forever().await;
                })
            };
            let mut outermost = None;
            for _ in 0..DEEP {
                let (scope, unwound) = (CancelScope::new(), unwound.clone());
                outermost = Some(scope.handle());
                future = Box::pin(async move {
                    let _unwound = CountOnDrop(unwound);
                    let _ = scope.run(future).await;
                });
            }
            let cancel = async {
                reached.wait().await;
                outermost.expect("there are some").cancel("enough");
            };
            futures_util::future::join(future, cancel).await;
            assert_eq!(unwound.get(), DEEP);
        });
    });
    deep.unwrap().join().unwrap();
}

struct CountOnDrop(Count);

impl Drop for CountOnDrop {
    fn drop(&mut self) {
        self.0.add();
    }
}

const MANY: usize = 100_000;

#[test]
fn a_hundred_thousand_children_fail_at_once() {
    let _alone = alone();
    for workers in ALL {
        let runtime = Runtime::builder().workers(*workers).signals(false).build().unwrap();
        let joined = runtime.run(nursery(async |n| {
            let gate = common::Gate::default();
            for number in 0..MANY {
                let gate = gate.clone();
                // Half of them have failed before they ever wait; the others are cut, or fail as well.
                n.spawn(async move {
                    if number % 2 == 1 {
                        gate.pass().await;
                    }
                    Err::<Infallible, _>(number)
                });
            }
            gate.open();
            Ok::<_, usize>(())
        }));
        let Err(NurseryError::Failed(group)) = joined else { panic!("half of the children have failed for sure") };
        let mut numbers: Vec<_> = group.into_iter().collect();
        assert!(numbers.len() >= MANY / 2);
        numbers.sort_unstable();
        numbers.dedup();
        assert!((0..MANY).step_by(2).all(|number| numbers.binary_search(&number).is_ok()), "{workers} workers");
    }
}

#[test]
fn a_child_that_panics_in_drop_while_it_is_cancelled() {
    without_leak(5, async || {
        let (waits, cleaned) = (Flag::default(), Flag::default());
        let text = common::panic_of(nursery(async |n| {
            let told = waits.clone();
            n.spawn(async move {
                let _brittle = PanicOnDrop("in the drop of a child");
                told.set();
                sleep_forever().await;
            });
            let done = cleaned.clone();
            n.spawn(finally(sleep_forever(), async move {
                a_while().await;
                done.set();
            }));
            waits.wait().await;
            n.cancel("enough");
        }))
        .await;
        assert_eq!(text, "in the drop of a child");
        assert!(cleaned.is_set(), "the clean-up of the sibling has run");
        checkpoint().await; // and this task goes on
    });
}

/// Panics whenever it is woken.
struct PanicWaker;

impl Wake for PanicWaker {
    fn wake(self: Arc<Self>) {
        panic!("a waker that panics");
    }
}

#[test]
fn a_waker_that_panics_stops_nobody_else() {
    without_leak(5, async || {
        let clock_ran = Flag::default();
        // A timer with such a waker: it is woken by a worker, which must go on.
        let mut sleeping = Box::pin(sleep(Duration::from_millis(1)));
        poll_fn(|_| {
            let waker = Waker::from(Arc::new(PanicWaker));
            assert!(sleeping.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
            Poll::Ready(())
        })
        .await;
        // A `Task` that wakes it at the end of the child.
        nursery(async |n| {
            let go = Flag::default();
            let passed = go.clone();
            let mut task = Box::pin(n.spawn(async move { passed.wait().await }));
            poll_fn(|_| {
                let waker = Waker::from(Arc::new(PanicWaker));
                assert!(task.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
                Poll::Ready(())
            })
            .await;
            go.set();
            let task_ended = || n.len() == 0;
            until(task_ended).await;
            let ran = clock_ran.clone();
            n.spawn(async move {
                sleep(Duration::from_millis(1)).await; // a later timer still fires
                ran.set();
            });
        })
        .await;
        assert!(clock_ran.is_set());
    });
}

#[test]
fn a_cancel_from_a_thread_outside_reaches_all() {
    without_leak(5, async || {
        let scope = CancelScope::new();
        let handle = scope.handle();
        let outside = std::thread::spawn(move || handle.cancel("from outside"));
        let cut = scope.run(nursery(async |n: trioxide_runtime::Nursery<Infallible>| {
            for _ in 0..10 {
                n.spawn(sleep_forever());
            }
            sleep_forever().await;
        }));
        assert_eq!(cut.await.unwrap_err().reason().message(), Some("from outside"));
        outside.join().unwrap();
    });
}

#[test]
fn a_thousand_runs_one_after_another_leave_nothing() {
    without_leak(100, async || {
        let sum = nursery(async |n| {
            let child = n.spawn(async {
                checkpoint().await;
                Ok::<_, Infallible>(7)
            });
            Ok::<_, Infallible>(child.await.unwrap())
        });
        assert_eq!(sum.await.unwrap(), 7);
    });
    let _alone = alone();
    let runtime = Runtime::builder().workers(2).signals(false).build().unwrap();
    for number in 0..1_000 {
        assert_eq!(runtime.run(async move { number }), number);
    }
}

#[test]
fn a_run_that_panics_leaves_its_runtime_usable() {
    let _alone = alone();
    quiet();
    let runtime = Runtime::builder().workers(2).signals(false).build().unwrap();
    for _ in 0..100 {
        let text = panic_in(|| runtime.run(async { panic!("of the main task") }));
        assert_eq!(text, "of the main task");
    }
    assert_eq!(runtime.run(async { 1 }), 1);
}
