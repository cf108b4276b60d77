//! Signals sent to this process. The tests run at the same time in one process, so each has a signal of its own.
#![cfg(unix)]

use std::io::ErrorKind;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::join;
use trioxide_io::signal::{SignalKind, ctrl_c, signal};
use trioxide_runtime::{checkpoint, move_on_after, race};
use trioxide_testing::{on_each, on_each_with_clock};

const HOUR: Duration = Duration::from_secs(3600);

/// Sends the signal to this thread: it has been handled when this returns. (`kill` may pick another thread,
/// and return before.)
#[allow(unsafe_code)]
fn raise(kind: SignalKind) {
    // SAFETY: raise(3) asks nothing of its caller. There is a handler: each test listens first.
    let result = unsafe { libc::raise(kind.as_raw()) };
    assert_eq!(result, 0);
}

#[test]
fn received_whether_it_comes_before_or_during_recv() {
    on_each(&[1, 2, 8], async || {
        let mut user1 = signal(SignalKind::USER1).unwrap();
        raise(SignalKind::USER1);
        user1.recv().await;
        join(user1.recv(), async {
            checkpoint().await;
            raise(SignalKind::USER1);
        })
        .await;
        raise(SignalKind::USER1);
        assert_eq!(user1.next().await, Some(()));
    });
}

#[test]
fn c236_signals_before_recv_are_one() {
    on_each_with_clock(&[1, 2], async |_| {
        let mut user2 = signal(SignalKind::USER2).unwrap();
        for _ in 0..3 {
            raise(SignalKind::USER2);
        }
        user2.recv().await;
        assert!(move_on_after(HOUR, user2.recv()).await.is_none());
        raise(SignalKind::USER2);
        user2.recv().await;
    });
}

#[test]
fn c238_of_two_that_are_always_pending_none_starves() {
    on_each(&[1, 2, 8], async || {
        let mut alarm = signal(SignalKind::ALARM).unwrap();
        let mut child = signal(SignalKind::from_raw(libc::SIGURG)).unwrap();
        let mut taken = [0; 2];
        // Both are pending before each turn, and one of them is taken.
        for _ in 0..100 {
            raise(SignalKind::ALARM);
            raise(SignalKind::from_raw(libc::SIGURG));
            let which = race!(
                async {
                    alarm.recv().await;
                    0
                },
                async {
                    child.recv().await;
                    1
                },
            );
            taken[which] += 1;
        }
        assert!(taken[0] > 0 && taken[1] > 0, "{taken:?}");
    });
}

/// A thread that is interrupted all the time goes on working: neither the wait for events nor a call on a socket shows it.
#[test]
#[allow(unsafe_code)]
fn a_worker_in_a_storm_of_signals_goes_on() {
    use std::io::{Read, Write};
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;

    /// Sets it also when an assertion fails.
    struct Over<'a>(&'a AtomicBool);

    impl Drop for Over<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    let over = AtomicBool::new(false);
    thread::scope(|threads| {
        on_each(&[1], async || {
            let kind = SignalKind::from_raw(libc::SIGIO);
            let mut interrupts = signal(kind).unwrap();
            // The only worker is this thread.
            // SAFETY: pthread_self(3) asks nothing of its caller.
            let worker = unsafe { libc::pthread_self() } as usize;
            let over = &over;
            let until_here = Over(over);
            threads.spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    // SAFETY: the thread lives until `over` is set and longer; there is a handler.
                    unsafe { libc::pthread_kill(worker as libc::pthread_t, kind.as_raw()) };
                    thread::yield_now(); // retry: waits for nothing; the worker is to have its turn, too
                }
            });
            let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
            let echo = threads.spawn(move || {
                let (mut theirs, mut buf) = (theirs, [0; 100]);
                while theirs.read_exact(&mut buf).is_ok() {
                    theirs.write_all(&buf).unwrap();
                }
            });
            let ours = trioxide_io::UnixStream::from_std(ours).unwrap();
            interrupts.recv().await;
            for number in 0..2_000_u32 {
                let (message, mut answer) = ([number as u8; 100], [0; 100]);
                ours.write_all(&message).await.unwrap();
                ours.read_exact(&mut answer).await.unwrap();
                assert_eq!(answer, message);
            }
            drop(ours);
            drop(until_here);
            echo.join().unwrap();
        });
    });
}

#[test]
fn every_listener_gets_it_and_one_that_was_dropped_does_not_matter() {
    on_each(&[1, 2], async || {
        let mut first = signal(SignalKind::HANGUP).unwrap();
        let mut second = signal(SignalKind::HANGUP).unwrap();
        drop(signal(SignalKind::HANGUP).unwrap());
        raise(SignalKind::HANGUP);
        first.recv().await;
        second.recv().await;
        drop(first);
        raise(SignalKind::HANGUP);
        second.recv().await;
    });
}

#[test]
fn cancelled_recv_keeps_the_signal() {
    on_each_with_clock(&[1, 2], async |_| {
        let mut window = signal(SignalKind::WINDOW_CHANGE).unwrap();
        assert!(move_on_after(HOUR, window.recv()).await.is_none());
        raise(SignalKind::WINDOW_CHANGE);
        window.recv().await;
    });
}

#[test]
fn control_c() {
    on_each(&[1, 2], async || {
        let (result, ()) = join(ctrl_c(), async { raise(SignalKind::INTERRUPT) }).await;
        result.unwrap();
    });
}

#[test]
fn c237_what_cannot_be_listened_for_is_said_and_handlers_are_as_before() {
    on_each(&[1], async || {
        for (number, text) in [
            (9, "cannot listen for signal 9: a program cannot, or must not, go on after it"),
            (1000, "cannot listen for signal 1000: the system has no such signal"),
        ] {
            let error = signal(SignalKind::from_raw(number)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            assert_eq!(error.to_string(), text);
        }
        assert_eq!(format!("{:?}", SignalKind::TERMINATE), "SIGTERM");
        // Listeners that were there go on.
        let mut quit = signal(SignalKind::QUIT).unwrap();
        signal(SignalKind::from_raw(9)).unwrap_err();
        raise(SignalKind::QUIT);
        quit.recv().await;
    });
}

#[test]
#[should_panic(expected = "`signal` was called outside a run")]
fn outside_a_run_signal_says_so() {
    let _ = signal(SignalKind::ALARM);
}
