//! What other threads call into the run of a portal, against its close and its drop. The run, its nursery and the scope that ends the body, by their
//! real types; the thread of the run is a thread of the model.

use loom::sync::Arc;
use loom::sync::atomic::AtomicUsize;
use loom::sync::atomic::Ordering::SeqCst;
use loom::thread;
use trioxide_loom::{Baton, explore};
use trioxide_runtime::models::{Kind, Left, Live, Node};

/// The nursery of a portal's run: its count, and what has happened.
struct Run {
    live: Live,
    accepted: AtomicUsize,
    ended: AtomicUsize,
    closed: AtomicUsize,
}

impl Run {
    fn new() -> Arc<Self> {
        let zero = || AtomicUsize::new(0);
        Arc::new(Self { live: Live::with_body(), accepted: zero(), ended: zero(), closed: zero() })
    }

    /// A call begins, or is refused.
    fn accepts(&self) -> bool {
        let accepts = self.live.enter();
        self.accepted.fetch_add(usize::from(accepts), SeqCst);
        accepts
    }

    fn leave(&self) {
        if self.live.leave(1) == Left::Nothing {
            assert_eq!(self.ended.load(SeqCst), self.accepted.load(SeqCst), "the run ends after what it has accepted");
            assert_eq!(self.closed.fetch_add(1, SeqCst), 0, "it ends once");
        }
    }

    fn is_over(&self) {
        assert_eq!(self.closed.load(SeqCst), 1);
        assert!(!self.accepts());
    }
}

/// Suspended in `node` until that is cancelled: registers, then looks.
fn until_cancelled(node: &Node) {
    let baton = Baton::new();
    loop {
        node.set_owner(&baton.waker());
        if node.is_effective() {
            return;
        }
        baton.wait();
    }
}

#[test]
fn a_call_against_the_close() {
    explore("portal: a call against the close", 4, || {
        let (run, closing) = (Run::new(), Node::root().below(Kind::Scope));
        let body = {
            let (run, closing) = (run.clone(), closing.clone());
            thread::spawn(move || {
                until_cancelled(&closing);
                run.leave();
            })
        };
        let closer = thread::spawn(move || closing.cancel());
        if run.accepts() {
            run.ended.fetch_add(1, SeqCst);
            run.leave();
        }
        closer.join().unwrap();
        body.join().unwrap();
        run.is_over();
    });
}

#[test]
fn a_call_that_waits_against_the_drop() {
    explore("portal: a call that waits against the drop", 3, || {
        let (run, nursery) = (Run::new(), Node::root().below(Kind::Nursery));
        let body = {
            let (run, nursery) = (run.clone(), nursery.clone());
            thread::spawn(move || {
                until_cancelled(&nursery);
                run.leave();
            })
        };
        let dropper = {
            let nursery = nursery.clone();
            thread::spawn(move || nursery.cancel())
        };
        if run.accepts() {
            until_cancelled(&nursery.below(Kind::Task));
            run.ended.fetch_add(1, SeqCst);
            run.leave();
        }
        dropper.join().unwrap();
        body.join().unwrap();
        run.is_over();
    });
}
