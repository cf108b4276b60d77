//! `start` against a cancel of either side, on the real tree of scopes.

use std::sync::Arc;

use loom::thread;
use trioxide_loom::{Baton, explore};
use trioxide_runtime::models::{End, Handover, Kind, Node, Set};

/// A caller in a scope of its own, and a child of another nursery.
struct Places {
    /// The caller's scope, and the node in which `start` waits there.
    scope: Node,
    caller: Node,
    child: Node,
}

impl Places {
    fn new() -> Self {
        let (scope, target) = (Node::root(), Node::root());
        Self { caller: scope.below(Kind::Nursery), child: target.below(Kind::Task), scope }
    }
}

fn cancel(node: &Node) -> thread::JoinHandle<()> {
    let node = node.clone();
    thread::spawn(move || node.cancel())
}

/// The child is ready, or the caller's cancel has reached it before that cancel returns; never both, never neither.
#[test]
fn set_against_a_cancel_of_the_caller() {
    explore("start: set against a cancel of the caller", 5, || {
        let places = Places::new();
        let handover = places.caller.start(&places.child);
        let (setter, child) = (Arc::clone(&handover), places.child.clone());
        let running = thread::spawn(move || {
            let set = setter.set();
            if set == Set::Ready {
                assert!(!child.is_effective(), "no cancel of the caller comes through any more");
                assert_eq!(setter.end(), End::Targets);
            }
            set
        });
        places.scope.cancel();
        let cut = places.child.is_effective();
        match running.join().unwrap() {
            Set::Ready => assert!(!cut && !places.child.is_effective()),
            Set::Late => assert!(cut, "the cancel had reached the child when it returned"),
            Set::TooLate => unreachable!("the child has not ended"),
        }
    });
}

/// The caller's scope is cancelled while `start` begins: the relay is found, or the mark is.
#[test]
fn begin_against_a_cancel_of_the_caller() {
    explore("start: begin against a cancel of the caller", 5, || {
        let places = Places::new();
        let canceller = cancel(&places.scope);
        let handover = places.caller.start(&places.child);
        canceller.join().unwrap();
        assert!(places.child.is_effective());
        assert_eq!(handover.set(), Set::Late);
        assert_eq!(handover.end(), End::Callers);
    });
}

/// A suspended child that is starting is woken by a cancel of its caller or of itself, and ends as the caller's. (A cancel of the target wakes it as every
/// suspended child: `whole.rs`.)
#[test]
fn a_suspended_child_against_two_cancels() {
    explore("start: a suspended child against two cancels", 5, || {
        let places = Places::new();
        let handover = places.caller.start(&places.child);
        let cancellers = [cancel(&places.scope), cancel(&places.child)];
        wait_until_cut(&places.child);
        assert_eq!(handover.end(), End::Callers);
        for canceller in cancellers {
            canceller.join().unwrap();
        }
        assert!(handover.has_ended());
    });
}

/// Another task says that the child is ready while it is cut: ready and the nursery's, or ended and the caller's.
#[test]
fn set_by_another_against_the_end() {
    explore("start: set by another against the end", 5, || {
        let places = Places::new();
        let handover = places.caller.start(&places.child);
        let setter = Arc::clone(&handover);
        let setting = thread::spawn(move || setter.set());
        let canceller = cancel(&places.child);
        wait_until_cut(&places.child);
        let end = handover.end();
        let set = setting.join().unwrap();
        canceller.join().unwrap();
        assert_eq!(end == End::Targets, set == Set::Ready, "{end:?}, {set:?}");
        assert_eq!(handover.has_ended(), end == End::Callers);
    });
}

/// Late and shielded: the child is let go by itself, once, or ends as the caller's.
#[test]
fn late_and_shielded() {
    explore("start: late and shielded", 5, || {
        let places = Places::new();
        let handover: Arc<Handover> = places.caller.start(&places.child);
        let shield = places.child.below(Kind::Shield);
        shield.hold();
        let canceller = cancel(&places.scope);
        let setter = Arc::clone(&handover);
        let setting = thread::spawn(move || setter.set());
        let set = setting.join().unwrap();
        canceller.join().unwrap();
        let released = handover.suspended();
        assert_eq!(released, set == Set::Late);
        assert!(!handover.suspended(), "once");
        assert_eq!(handover.end(), End::Targets);
    });
}

fn wait_until_cut(child: &Node) {
    let baton = Baton::new();
    loop {
        child.set_owner(&baton.waker());
        if child.is_effective() {
            return;
        }
        baton.wait();
    }
}
