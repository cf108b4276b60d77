//! `blocking_scope`: closures on threads that borrow from a frame.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::common::{ALL, PanicOnDrop, blow, panic_in};
use trioxide_runtime::{blocking, blocking_scope, current_task, from_thread, run};
use trioxide_testing::on_each;

#[test]
fn closures_borrow_and_change_what_surrounds_the_call() {
    let numbers = [1, 2, 3, 4];
    let mut last = 0;
    let sum = AtomicUsize::new(0);
    let doubled = blocking_scope(|s| {
        for number in &numbers {
            s.spawn(|| sum.fetch_add(*number, Ordering::Relaxed));
        }
        s.spawn(|| last = 9);
        let calls = numbers.each_ref().map(|number| s.spawn(move || 2 * number));
        calls.map(|call| call.join().unwrap())
    });
    assert_eq!((doubled, last, sum.into_inner()), ([2, 4, 6, 8], 9, 10));
}

#[test]
fn in_a_blocking_call_it_uses_the_threads_of_the_run_and_its_task() {
    on_each(ALL, async || {
        let own = current_task().id();
        let seen = blocking(|| {
            let names = Mutex::new(Vec::new());
            blocking_scope(|s| {
                for _ in 0..5 {
                    s.spawn(|| {
                        let id = from_thread::run(async { current_task().id() }).unwrap();
                        let thread = std::thread::current().name().unwrap().to_owned();
                        names.lock().unwrap().push((id, thread));
                    });
                }
            });
            names.into_inner().unwrap()
        })
        .await;
        assert_eq!(seen.len(), 5);
        assert!(seen.iter().all(|(id, thread)| *id == own && thread.starts_with("trioxide-blocking-")));
    });
}

#[test]
fn panics_are_joined_or_resumed_when_all_have_ended() {
    let ended = AtomicUsize::new(0);
    let count = || ended.fetch_add(1, Ordering::Relaxed);
    assert_eq!(panic_in(|| blocking_scope(|s| drop((s.spawn(|| blow("a closure")), s.spawn(count))))), "a closure");
    assert_eq!(panic_in(|| blocking_scope(|s| drop(s.spawn(|| PanicOnDrop("a value"))))), "a value");
    let text = panic_in(|| {
        blocking_scope(|s| {
            s.spawn(count);
            blow("the body");
        })
    });
    assert_eq!(text, "the body");
    let joined = blocking_scope(|s| s.spawn(|| blow("joined")).join().is_err());
    assert!(joined);
    assert_eq!(ended.into_inner(), 2);
}

#[test]
fn a_handle_that_is_forgotten_changes_nothing() {
    let mut value = 0;
    blocking_scope(|s| std::mem::forget(s.spawn(|| value = 1)));
    assert_eq!(value, 1);
}

#[test]
fn scopes_nest() {
    let outer = [1, 2, 3];
    let sum: u32 = blocking_scope(|s| {
        let calls = outer.each_ref().map(|number| {
            s.spawn(move || {
                blocking_scope(|t| {
                    let calls = [1, 10].map(|times| t.spawn(move || number * times));
                    calls.into_iter().map(|call| call.join().unwrap()).sum::<u32>()
                })
            })
        });
        calls.into_iter().map(|call| call.join().unwrap()).sum()
    });
    assert_eq!(sum, 66);
}

#[test]
fn on_a_thread_that_runs_tasks_it_is_an_error() {
    run(async {
        let text = panic_in(|| blocking_scope(|_| ()));
        assert!(text.contains("`blocking_scope` was called on a thread that runs tasks"), "{text}");
    });
}
