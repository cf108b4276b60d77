//! The watchdog. Every hog blocks until the report of itself lets it go on, so nothing depends on how fast the machine is.

use std::panic::Location;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use trioxide_runtime::{
    Hogging, Nursery, Runtime, TaskId, TaskState, checkpoint, current_task, nursery, sleep_forever, task_tree,
};

use crate::common::{ALL, Never, all_wait};

/// A runtime whose watchdog sends what it reports.
fn watched(workers: usize, limit: Duration) -> (Runtime, Receiver<Hogging>) {
    let (send, receive) = channel();
    let report = move |hogging: &Hogging| drop(send.send(hogging.clone()));
    let runtime = Runtime::builder().workers(workers).signals(false).watchdog(limit, report).build().unwrap();
    (runtime, receive)
}

const LIMIT: Duration = Duration::from_millis(1);

/// Blocks the worker until the calling task is reported. Others may be, too: a loaded machine makes hogs of anybody.
fn until_reported(reports: &Receiver<Hogging>, also: &mut Vec<Hogging>) -> Hogging {
    let me = current_task().id();
    loop {
        let report = reports.recv().unwrap();
        if report.task().id() == me {
            return report;
        }
        also.push(report);
    }
}

#[test]
fn the_watchdog_names_who_keeps_which_worker_busy() {
    for &workers in ALL {
        let (runtime, reports) = watched(workers, LIMIT);
        let (send, receive) = channel();
        let mut line = 0;
        runtime.run(nursery(async |n: Nursery<Never>| {
            line = Location::caller().line() + 1;
            n.task("hog").spawn(async move {
                checkpoint().await;
                let id = current_task().id();
                send.send((id, until_reported(&reports, &mut Vec::new()))).unwrap();
            });
        }));
        let (id, report) = receive.recv().unwrap();
        assert_eq!((report.task().id(), report.task().name()), (id, Some("hog")));
        assert!(report.task().spawned_at().file().ends_with("watchdog.rs"));
        assert_eq!(report.task().spawned_at().line(), line);
        assert!(report.worker() < workers && report.so_far() >= LIMIT, "{report:?}");
        let text = report.to_string();
        assert!(text.contains("\"hog\", spawned at ") && text.contains("without suspending"), "{text}");
    }
}

#[test]
fn each_poll_is_reported_once_and_the_next_one_again() {
    for &workers in ALL {
        let (runtime, reports) = watched(workers, LIMIT);
        let mine = runtime.run(async {
            let me = current_task().id();
            let mut mine = 0;
            for _ in 0..3 {
                until_reported(&reports, &mut Vec::new());
                mine += 1;
                checkpoint().await; // Between two polls: the slot was cleared.
            }
            (me, mine)
        });
        drop(runtime); // Its watchdog has ended: no report can come any more.
        // The end of the last poll may have been a hog by the machine's doing.
        let late = reports.iter().filter(|report| report.task().id() == mine.0).count();
        assert!(late <= 1 && mine.1 == 3, "{late} more");
    }
}

/// Reported twice within one poll is what must not happen: so the poll goes on until another task was reported twice meanwhile.
#[test]
fn a_poll_that_goes_on_is_not_reported_again() {
    let (runtime, reports) = watched(2, LIMIT);
    let reports = Arc::new(Mutex::new(reports));
    runtime.run(nursery(async |n: Nursery<Never>| {
        let (go, begin): (Sender<TaskId>, _) = channel();
        let (done, wait) = channel();
        let shared = Arc::clone(&reports);
        n.task("other").spawn(async move {
            let first = begin.recv().unwrap();
            checkpoint().await; // The report of this poll may have gone to the first.
            for _ in 0..3 {
                let mut also = Vec::new();
                until_reported(&shared.lock().unwrap(), &mut also);
                assert!(also.iter().all(|report| report.task().id() != first), "reported again");
                checkpoint().await;
            }
            done.send(()).unwrap();
        });
        n.task("first").spawn(async move {
            let _ = until_reported(&reports.lock().unwrap(), &mut Vec::new());
            go.send(current_task().id()).unwrap();
            wait.recv().unwrap();
        });
    }));
}

#[test]
fn who_is_suspended_is_not_reported() {
    for &workers in ALL {
        let (runtime, reports) = watched(workers, LIMIT);
        runtime.run(nursery(async |n: Nursery<Never>| {
            for _ in 0..4 {
                n.task("rests").spawn(sleep_forever());
            }
            all_wait().await;
            let suspended = task_tree().tasks().filter(|entry| entry.state() == Some(TaskState::Suspended)).count();
            assert_eq!(suspended, 4);
            let suspended = Instant::now();
            let mut also = Vec::new();
            for _ in 0..3 {
                until_reported(&reports, &mut also);
                checkpoint().await;
            }
            // The machine may have stopped a worker while it polled one of them, but not since.
            also.retain(|report| report.task().name() == Some("rests"));
            assert!(also.iter().all(|report| report.since() + report.so_far() <= suspended), "{also:?}");
            n.cancel("seen");
        }));
    }
}

#[test]
fn a_report_that_panics_is_called_again_for_the_next() {
    let (send, receive) = channel();
    let report = move |hogging: &Hogging| {
        let _ = send.send(hogging.task().id());
        panic!("the report's own");
    };
    let runtime = Runtime::builder().workers(1).signals(false).watchdog(LIMIT, report).build().unwrap();
    runtime.run(async {
        for _ in 0..2 {
            receive.recv().unwrap();
            checkpoint().await;
        }
    });
}

#[test]
#[should_panic(expected = "a limit above zero")]
fn a_limit_of_zero_is_refused() {
    let _ = Runtime::builder().watchdog_to_stderr(Duration::ZERO);
}
