//! What other threads send into a run, against its shutdown.

use std::task::Poll;

use loom::sync::Arc;
use loom::sync::atomic::AtomicUsize;
use loom::sync::atomic::Ordering::SeqCst;
use loom::thread;
use std::task::Context;
use trioxide_loom::{Baton, explore};
use trioxide_runtime::models::{Left, Live, Mailbox, Posted};

/// Takes until the end; how many there were.
fn take_all(mailbox: &Mailbox<u32>) -> usize {
    let baton = Baton::new();
    let waker = baton.waker();
    let mut taken = 0;
    loop {
        match mailbox.poll_take(&mut Context::from_waker(&waker)) {
            Poll::Ready(Some(_)) => taken += 1,
            Poll::Ready(None) => return taken,
            Poll::Pending => baton.wait(),
        }
    }
}

#[test]
fn what_is_accepted_is_taken() {
    explore("token: posts against the close", 2, || {
        let mailbox = Arc::new(Mailbox::new());
        let posting = {
            let mailbox = mailbox.clone();
            thread::spawn(move || (0..2).filter(|&n| mailbox.post(|| true, || Some(n)) != Posted::Refused).count())
        };
        let closing = {
            let mailbox = mailbox.clone();
            thread::spawn(move || mailbox.close())
        };
        let taken = take_all(&mailbox);
        closing.join().unwrap();
        assert_eq!(taken, posting.join().unwrap());
        assert_eq!(mailbox.post(|| true, || Some(0)), Posted::Refused);
    });
}

#[test]
fn the_run_ends_after_the_system_task() {
    explore("token: the first post against the end of the main task", 2, || {
        let parts = Arc::new((Mailbox::new(), Live::with_body(), AtomicUsize::new(0)));
        // Leaves the root; whether that ended the run. By then whatever was accepted has been called.
        let leave = |parts: &(Mailbox<u32>, Live, AtomicUsize), accepted: usize| match parts.1.leave(1) {
            Left::Nothing => {
                assert_eq!(parts.2.load(SeqCst), accepted);
                true
            }
            Left::Open => false,
            Left::Services => unreachable!("there is none"),
        };
        let posting = {
            let parts = parts.clone();
            thread::spawn(move || match parts.0.post(|| parts.1.enter(), || Some(1)) {
                Posted::Refused => false,
                Posted::AcceptedFirst => {
                    // The system task, with the count that the post has taken.
                    parts.2.fetch_add(take_all(&parts.0), SeqCst);
                    leave(&parts, 1)
                }
                Posted::Accepted => unreachable!("it is the first"),
            })
        };
        // The main task.
        parts.0.close();
        let main_was_last = match parts.1.leave(1) {
            Left::Nothing => true,
            _ => false,
        };
        assert_ne!(main_was_last, posting.join().unwrap(), "one of them ends the run");
    });
}
