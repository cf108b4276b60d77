//! What runs a test: numbers of workers, outcomes, fixtures, clocks, and tests that hang.

#[cfg(unix)]
#[path = "../../runtime/tests/common/process.rs"]
mod process;

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use trioxide_runtime::{
    AnyError, Nursery, checkpoint, current_task, finally, move_on_after, shield, sleep, sleep_forever, task_tree,
};
use trioxide_testing::simulate::is_simulated;
use trioxide_testing::{Bench, Fixture, Harness, MockClock, OutOfWork, wait_all_tasks_blocked, with_fixture};

const ALL: [usize; 3] = [1, 2, 8];
/// Long over when anybody looks.
const AT_ONCE: Duration = Duration::from_millis(1);

fn panic_in<R>(f: impl FnOnce() -> R) -> String {
    let Err(payload) = catch_unwind(AssertUnwindSafe(f)) else { panic!("it should have panicked") };
    match (payload.downcast_ref::<&str>(), payload.downcast_ref::<String>()) {
        (Some(text), _) => (*text).to_owned(),
        (_, Some(text)) => text.clone(),
        _ => "(no text)".to_owned(),
    }
}

#[test]
fn a_test_runs_once_for_each_number_of_workers() {
    let runs = Cell::new(0);
    Harness::new().workers(ALL).run(async |_| {
        checkpoint().await;
        runs.set(runs.get() + 1);
    });
    assert_eq!(runs.take(), 3);
    for harness in [Harness::new(), Harness::new().workers(2), Harness::new().workers(&[3][..])] {
        harness.run(async |_| runs.set(runs.get() + 1));
        assert_eq!(runs.take(), 1);
    }
    let none: &[usize] = &[];
    assert!(panic_in(|| Harness::new().workers(none)).contains("needs a number of workers, got none"));
}

#[test]
fn the_first_run_that_fails_is_the_last() {
    let runs = Cell::new(0);
    let failing = |at: usize| {
        Harness::new().workers(ALL).run(async |_| {
            runs.set(runs.get() + 1);
            if runs.get() == at { Err(at) } else { Ok("passed") }
        })
    };
    assert_eq!((failing(2), runs.take()), (Err(2), 2));
    assert_eq!((failing(3), runs.take()), (Err(3), 3));
    assert_eq!((failing(9), runs.take()), (Ok("passed"), 3));
    let failed = Harness::new().workers(ALL).run(async |_| {
        runs.set(runs.get() + 1);
        ExitCode::FAILURE
    });
    assert_eq!((failed, runs.take()), (ExitCode::FAILURE, 1));
    let text = panic_in(|| Harness::new().workers(ALL).run(async |_| -> () { panic!("on purpose") }));
    assert_eq!(text, "on purpose");
}

#[test]
fn a_test_with_a_clock_has_a_new_one_for_each_run() {
    Harness::new().workers(ALL).clock(MockClock::autojump).run(async |bench| {
        let clock = bench.clock().expect("it was given one");
        assert_eq!(clock.elapsed(), Duration::ZERO);
        sleep(Duration::from_secs(3600)).await;
        assert_eq!(clock.elapsed(), Duration::from_secs(3600));
    });
    Harness::new().run(async |bench| assert!(bench.clock().is_none()));
}

#[test]
fn a_run_with_a_mock_clock_fails_in_a_deadlock_and_shows_what_waits() {
    let text = panic_in(|| Harness::new().clock(MockClock::autojump).run(async |_| sleep_forever().await));
    assert!(text.contains("deadlock") && text.contains("suspended in `sleep_forever`"), "{text}");
    let text = panic_in(|| Harness::new().fail_on_deadlock(true).run(async |_| sleep_forever().await));
    assert!(text.contains("deadlock"), "{text}");
}

/// A thread that nobody knows of wakes it.
#[test]
fn a_deadlock_is_none_if_that_is_switched_off() {
    Harness::new().workers(ALL).clock(MockClock::autojump).fail_on_deadlock(false).run(async |_| {
        let event = std::sync::Arc::new(trioxide_sync::Event::new());
        wait_all_tasks_blocked(Duration::ZERO).await;
        let (set, main) = (event.clone(), OutOfWork::new());
        let thread = std::thread::spawn(move || {
            main.wait();
            set.set();
        });
        event.wait().await;
        thread.join().unwrap();
    });
}

#[test]
fn a_test_that_hangs_is_cancelled_and_shows_what_it_was_at() {
    for workers in ALL {
        let (begun, cleaned) = (Cell::new(false), Cell::new(false));
        let text = panic_in(|| {
            Harness::new().workers(workers).timeout(AT_ONCE).grace(Duration::MAX).run(async |bench| {
                bench.nursery().task("other").spawn(sleep_forever());
                begun.set(true);
                finally(sleep_forever(), async { cleaned.set(true) }).await;
            });
        });
        assert!(text.starts_with("trioxide: the test has not ended after 1ms, its time-out."), "{text}");
        assert!(text.contains("run\n"), "with the tree: {text}");
        assert_eq!(cleaned, begun, "on a slow machine it may be over before it has begun");
    }
}

/// Too late is too late, also if it ends when it is cancelled; in virtual time nothing has passed.
#[test]
fn the_time_out_is_one_of_real_time() {
    let text = panic_in(|| {
        let hangs = Harness::new().clock(MockClock::new).timeout(AT_ONCE).grace(Duration::MAX);
        hangs.run(async |_| finally(sleep(Duration::from_secs(1)), checkpoint()).await);
    });
    assert!(text.contains("its time-out"), "{text}");
    let passed = Harness::new().clock(MockClock::autojump).timeout(Duration::MAX).run(async |_| {
        sleep(Duration::from_secs(1_000_000)).await;
        Ok::<_, ()>(move_on_after(Duration::ZERO, sleep_forever()).await)
    });
    assert_eq!(passed, Ok(None));
}

#[cfg(unix)]
#[test]
fn a_test_that_does_not_end_when_it_is_cancelled_aborts_the_process() {
    let mut child = process::Child::start("child", "stuck");
    child.expect("stuck");
    assert_eq!(child.end(), -libc::SIGABRT);
}

/// Plays a case, in a child process; in a run of all tests it does nothing.
#[cfg(unix)]
#[test]
fn child() {
    if process::case().is_some_and(|case| case == "stuck") {
        Harness::new().timeout(AT_ONCE).grace(AT_ONCE).run(async |_| {
            process::say("stuck");
            shield(sleep_forever()).await;
        });
    }
}

/// Notes what becomes of it in a log that it finds in its own thread.
struct Noted<const NAME: char>;

thread_local! {
    static LOG: Rc<RefCell<String>> = Rc::default();
}

fn note(text: impl AsRef<str>) {
    LOG.with(|log| log.borrow_mut().push_str(text.as_ref()));
}

fn noted() -> String {
    LOG.with(|log| log.take())
}

impl<const NAME: char> Fixture for Noted<NAME> {
    async fn set_up(_bench: &Bench) -> Self {
        checkpoint().await;
        note(format!("+{NAME}"));
        Self
    }

    async fn take_down(self) {
        checkpoint().await; // Also when the test is cancelled.
        note(format!("-{NAME}"));
    }
}

async fn with_three(bench: &Bench, test: impl AsyncFnOnce()) {
    with_fixture(bench, async |_: &mut Noted<'a'>| {
        with_fixture(bench, async |_: &mut Noted<'b'>| {
            with_fixture(bench, async |_: &mut Noted<'c'>| test().await).await;
        })
        .await;
    })
    .await;
}

#[test]
fn fixtures_are_taken_down_in_the_reverse_order_whatever_becomes_of_the_test() {
    Harness::new().workers(ALL).run(async |bench| {
        with_three(bench, async || note("!")).await;
        assert_eq!(noted(), "+a+b+c!-c-b-a");
    });
    let text =
        panic_in(|| Harness::new().run(async |bench| with_three(bench, async || -> () { panic!("on purpose") }).await));
    assert_eq!((text.as_str(), noted().as_str()), ("on purpose", "+a+b+c-c-b-a"));
    let hangs = Harness::new().timeout(AT_ONCE).grace(Duration::MAX);
    let text = panic_in(|| hangs.run(async |bench| with_three(bench, async || sleep_forever().await).await));
    assert!(text.contains("its time-out"), "{text}");
    let log = noted();
    let set_up = log.split('-').next().unwrap();
    let names = set_up.replace('+', "").chars().rev().map(|name| format!("-{name}")).collect::<String>();
    assert_eq!(log, format!("{set_up}{names}"), "as many as were set up before it was over");
    let deadlock = Harness::new().clock(MockClock::autojump);
    let text = panic_in(|| deadlock.run(async |bench| with_three(bench, async || sleep_forever().await).await));
    assert!(text.contains("deadlock"), "{text}");
    assert_eq!(noted(), "+a+b+c-c-b-a");
}

/// A task beside the test, in the nursery that all fixtures share.
struct Beside;

impl Fixture for Beside {
    async fn set_up(bench: &Bench) -> Self {
        bench.nursery().task("beside").spawn(sleep_forever());
        Self
    }
}

struct Failing;

impl Fixture for Failing {
    async fn set_up(bench: &Bench) -> Self {
        bench.nursery().task("failing").spawn(async { Err::<(), _>(std::io::Error::other("no longer there")) });
        Self
    }
}

#[test]
fn fixtures_share_a_nursery_that_ends_with_them() {
    Harness::new().workers(ALL).run(async |bench| {
        with_fixture(bench, async |_: &mut Beside| {
            with_fixture(bench, async |nursery: &mut Nursery<AnyError>| {
                wait_all_tasks_blocked(Duration::ZERO).await;
                assert_eq!(nursery.len(), 1);
                let tree = task_tree();
                let beside = tree.tasks().find(|task| task.task().unwrap().name() == Some("beside")).unwrap();
                assert_eq!(beside.task().unwrap().parent(), Some(current_task().id()));
            })
            .await;
        })
        .await;
    });
    let text = panic_in(|| {
        Harness::new().run(async |bench| {
            with_three(bench, async || with_fixture(bench, async |_: &mut Failing| sleep_forever().await).await).await;
        });
    });
    assert!(text.contains("a task in the nursery of a test has failed"), "{text}");
    assert!(text.contains("\"failing\"") && text.contains("no longer there"), "{text}");
    assert_eq!(noted(), "+a+b+c-c-b-a", "and the test was cut");
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config { cases: 32, failure_persistence: None, ..Default::default() })]

    #[test]
    fn a_property_is_tested_in_a_run_for_each_case(naps in proptest::collection::vec(0_u64..1000, 0..10)) {
        Harness::new().workers([1, 2]).clock(MockClock::autojump).run(async |bench| {
            for &millis in &naps {
                sleep(Duration::from_millis(millis)).await;
            }
            let elapsed = bench.clock().expect("it was given one").elapsed();
            proptest::prop_assert_eq!(elapsed, Duration::from_millis(naps.iter().sum()));
            Ok(())
        })?;
    }
}

#[test]
fn a_property_that_does_not_hold_is_found_and_shrunk() {
    use proptest::test_runner::{Config, TestError, TestRunner};
    let mut runner = TestRunner::new(Config { failure_persistence: None, ..Config::default() });
    let found = runner.run(&(0_u64..1000), |number| {
        Harness::new().workers(1).run(async |_| {
            checkpoint().await;
            proptest::prop_assert!(number < 100);
            Ok(())
        })
    });
    assert!(matches!(found, Err(TestError::Fail(_, 100))), "{found:?}");
}

#[test]
fn without_a_mock_clock_there_is_none_to_be_given() {
    let text = panic_in(|| Harness::new().run(async |bench| with_fixture(bench, async |_: &mut MockClock| {}).await));
    assert!(
        text.contains("this test has no mock clock; write `#[trioxide::test(clock = MockClock::autojump)]`"),
        "{text}"
    );
}

#[test]
fn a_test_with_seeds_is_simulated_after_it_has_run_on_workers() {
    let (simulated, on_workers) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let harness = Harness::new().workers([1, 2]).seeds(0..20);
    let value = harness.run(async |bench| {
        let count = if is_simulated() { &simulated } else { &on_workers };
        count.fetch_add(1, Ordering::SeqCst);
        with_fixture(bench, async |clock: &mut MockClock| {
            sleep(Duration::from_secs(60)).await;
            assert_eq!(clock.elapsed(), Duration::from_secs(60));
        })
        .await;
        Ok::<_, ()>("passed")
    });
    assert_eq!(value, Ok("passed"));
    // Once more for the value.
    assert_eq!((on_workers.into_inner(), simulated.into_inner()), (2, 21));
}

#[test]
fn a_run_on_workers_that_fails_leaves_nothing_to_be_simulated() {
    let failed = Harness::new().workers(2).seeds(0..20).run(async |_| {
        assert!(!is_simulated());
        Err::<(), _>("no good")
    });
    assert_eq!(failed, Err("no good"));
}

#[test]
fn a_seed_fails_by_a_panic_by_an_error_and_by_a_task_beside_the_test() {
    let seeds = || Harness::new().seeds(3..5);
    assert_eq!(panic_in(|| seeds().run(async |_| -> () { panic!("on purpose") })), "on purpose");
    let text = panic_in(|| seeds().run(async |_| Err::<(), _>("no good")));
    assert_eq!(text, "the test has failed: \"no good\"");
    let text = panic_in(|| {
        seeds().run(async |bench| with_fixture(bench, async |_: &mut Failing| sleep_forever().await).await);
    });
    assert!(text.contains("a task in the nursery of a test has failed"), "{text}");
    assert!(panic_in(|| drop(Harness::new().seeds(3..3))).contains("needs a seed"));
}
