//! Cancel against suspension, attaching and guards, on the real tree of scopes.

use std::sync::Arc;

use loom::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};
use loom::sync::atomic::{AtomicBool, AtomicUsize};
use loom::thread;
use trioxide_loom::{Baton, explore};
use trioxide_runtime::models::{Handle, Kept, Kind, Left, Live, Node};

fn on_thread(node: &Node, act: impl FnOnce(&Node) + 'static) -> thread::JoinHandle<()> {
    let node = node.clone();
    thread::spawn(move || act(&node))
}

/// A scope stores its waker, then reads the flag: cancelled meanwhile, it sees that or is woken.
#[test]
fn cancel_against_suspension() {
    explore("cancel: against suspension", 5, || {
        let root = Node::root();
        let scope = root.below(Kind::Scope);
        let canceller = on_thread(&scope, Node::cancel);
        let baton = Baton::new();
        loop {
            scope.set_owner(&baton.waker());
            if scope.is_effective() {
                break;
            }
            baton.wait();
        }
        scope.detach();
        canceller.join().unwrap();
        assert!(!root.is_effective());
        assert_eq!(scope.references(), 1, "nothing below, and in no list");
    });
}

/// A scope is cancelled twice at once: each cancel that returns has come to everything below.
#[test]
fn a_second_cancel_reaches_everything() {
    explore("cancel: a second one at once", 5, || {
        let root = Node::root();
        let (left, right) = (root.below(Kind::Scope), root.below(Kind::Nursery));
        let canceller = on_thread(&root, Node::cancel);
        root.cancel();
        assert!(left.is_effective() && right.is_effective());
        canceller.join().unwrap();
    });
}

/// Two scopes, one in the other, are cancelled at once: both end up cancelled, and the outer one, which does the dropping, is woken.
#[test]
fn two_cancels_at_once() {
    explore("cancel: two at once", 5, || {
        let outer = Node::root();
        let inner = outer.below(Kind::Scope);
        let baton = Baton::new();
        let cancellers = [on_thread(&outer, Node::cancel), on_thread(&inner, Node::cancel)];
        loop {
            outer.set_owner(&baton.waker());
            if outer.is_effective() {
                break;
            }
            baton.wait();
        }
        for canceller in cancellers {
            canceller.join().unwrap();
        }
        assert!(inner.is_effective());
    });
}

/// A node is hung into a tree that is being cancelled: it inherits the bit, or the walk finds it. A shield keeps it out.
#[test]
fn cancel_against_attaching() {
    explore("cancel: against attaching", 5, || {
        let root = Node::root();
        let middle = root.below(Kind::Scope);
        let canceller = on_thread(&root, Node::cancel);
        let task = middle.below(Kind::Task);
        let scope = task.below(Kind::Scope);
        let shield = middle.below(Kind::Shield);
        canceller.join().unwrap();
        assert!(middle.is_effective() && task.is_effective() && scope.is_effective());
        assert!(!shield.is_effective());
    });
}

/// A nursery that nobody has used is linked by whoever uses it first, while what is around is cancelled: once, and neither misses the cancel.
#[test]
fn cancel_against_a_first_use() {
    explore("cancel: against a nursery's first use", 5, || {
        let root = Node::root();
        let nursery = root.unlinked_below();
        let canceller = on_thread(&root, Node::cancel);
        let user = on_thread(&nursery, |nursery| {
            nursery.link();
            drop(nursery.below(Kind::Task));
        });
        let was_cancelled = nursery.is_effective();
        if !nursery.take_back() {
            nursery.link();
            assert!(!was_cancelled || nursery.is_effective(), "what was seen once stays");
        }
        user.join().unwrap();
        canceller.join().unwrap();
        assert!(nursery.is_effective());
        nursery.detach();
    });
}

/// The handle that is lent and one that was cloned from it are dropped on two threads while the owner takes the nursery back, or pays: each reference is taken off once, whoever is first.
#[test]
fn a_lent_handle_is_dropped_or_paid_for() {
    explore("cancel: a lent handle against its owner", 5, || {
        let root = Node::root();
        let nursery = root.unlinked_below();
        let lent = nursery.lend();
        let users = [lent.clone(), lent].map(|handle| thread::spawn(move || drop(handle)));
        let back = nursery.take_back();
        if !back {
            nursery.link();
            nursery.pay();
        }
        for user in users {
            user.join().unwrap();
        }
        if !back {
            assert_eq!(nursery.references(), 2, "its list's, and this");
            nursery.detach();
        }
        assert_eq!(nursery.references(), 1);
    });
}

/// Two workers keep the references of the handles that their children drop, one of which is lent and one counted, pass them on to their next children, and give them up before their counts. Whoever leaves
/// last pays for the loan, and finds that no reference is out (`nursery::kept` J7).
#[test]
fn kept_references_are_given_up_before_the_last_count() {
    explore("cancel: kept references, one of them lent", 5, || {
        let root = Node::root();
        let nursery = root.unlinked_below();
        let lent = nursery.lend();
        let handles = [lent.clone(), lent];
        nursery.link();
        let live = Live::with_body();
        assert!(live.enter() && live.enter());
        let shared = Arc::new((nursery, live, AtomicUsize::new(0)));
        let leave = |(nursery, live, closed): &(Node, Live, AtomicUsize)| {
            if live.leave(1) == Left::Nothing {
                closed.fetch_add(1, Relaxed);
                nursery.pay();
                assert_eq!(nursery.references(), 2, "its list's, and the owner's");
            }
        };
        let workers = handles.map(|handle| {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                let kept = Kept::new();
                handle.leave_with(&kept);
                Handle::of_kept(&shared.0, &kept).leave_with(&kept);
                Handle::give_up(&kept);
                leave(&shared);
            })
        });
        leave(&shared);
        for worker in workers {
            worker.join().unwrap();
        }
        assert_eq!(shared.2.load(Relaxed), 1);
        shared.0.detach();
    });
}

/// What is around was cancelled before: at no moment does it look otherwise. And the owner takes the nursery back only if the other handle is gone, unused.
#[test]
fn a_nursery_is_taken_back_or_linked() {
    explore("cancel: a nursery taken back or linked", 5, || {
        let root = Node::root();
        let nursery = root.unlinked_below();
        root.cancel();
        let user = on_thread(&nursery, |nursery| assert!(nursery.is_effective()));
        assert!(nursery.is_effective());
        let back = nursery.take_back();
        if !back {
            nursery.link();
            assert!(nursery.is_effective());
        }
        user.join().unwrap();
        if !back {
            assert_eq!(nursery.references(), 2, "its list's, and this");
            nursery.detach();
        }
        assert_eq!(nursery.references(), 1);
        assert_eq!(
            root.references(),
            if back { 1 } else { 2 },
            "of a nursery that is linked the reference to its parent counts"
        );
    });
}

/// A node leaves the tree while the walk is in it: nothing is freed too early or left behind.
#[test]
fn cancel_against_detaching() {
    explore("cancel: against detaching", 5, || {
        let root = Node::root();
        let (first, second) = (root.below(Kind::Scope), root.below(Kind::Scope));
        let canceller = on_thread(&root, Node::cancel);
        first.detach();
        canceller.join().unwrap();
        assert!(second.is_effective());
        second.detach();
        assert_eq!((first.references(), second.references()), (1, 1));
        assert_eq!(root.references(), 3, "its handle, and two children");
    });
}

/// A holder begins to hold while a cancel passes: one of both asks it to show itself.
#[test]
fn cancel_against_hold() {
    for kind in [Kind::Nursery, Kind::Shield] {
        explore(&format!("cancel: against hold, {kind:?}"), 5, move || {
            let root = Node::root();
            let holder = root.below(kind);
            let baton = Baton::new();
            let canceller = on_thread(&root, Node::cancel);
            holder.set_owner(&baton.waker());
            holder.hold();
            canceller.join().unwrap();
            assert!(root.has_guards());
            assert!(holder.is_woken() && baton.is_due(), "a holder in a cancelled scope was not asked");
            holder.let_go();
            assert!(!root.has_guards());
        });
    }
}

/// The last guard is let go, by a thread to which the holder was moved, while the scope is cancelled: that is woken when it may drop its
/// inside.
#[test]
fn the_last_guard_wakes_the_scope() {
    explore("cancel: against the last guard", 5, || {
        let root = Node::root();
        let nursery = root.below(Kind::Nursery);
        nursery.hold();
        let canceller = on_thread(&root, Node::cancel);
        let child = on_thread(&nursery, Node::let_go);
        let baton = Baton::new();
        loop {
            root.set_owner(&baton.waker());
            if root.is_effective() && root.settle(baton.is_due(), &baton.waker()) {
                break;
            }
            baton.wait();
        }
        canceller.join().unwrap();
        child.join().unwrap();
    });
}

/// One task: a scope with a shield in it, whose inside is done when another thread says so, while a third cancels the scope. The scope
/// never drops a shield that answers, and it ends.
#[test]
fn a_holder_that_answers_is_waited_for() {
    explore("cancel: a holder that answers is waited for", 1, || {
        let scope = Node::root();
        let shield = scope.below(Kind::Shield);
        let done = Arc::new(AtomicBool::new(false));
        let canceller = on_thread(&scope, Node::cancel);
        let work = {
            let (shield, done) = (shield.clone(), Arc::clone(&done));
            thread::spawn(move || {
                done.swap(true, AcqRel);
                shield.wake();
            })
        };
        let baton = Baton::new();
        // The shield stands in a combinator, which polls it only if its own waker was used.
        let own = Baton::within(&baton);
        let mut inside = true;
        loop {
            if inside && own.take() {
                // As `Scoped::poll` of the shield: the inside, then hold or let go.
                shield.answer(&own.waker());
                inside = !done.load(Acquire);
                if inside {
                    shield.hold();
                } else {
                    shield.let_go();
                    shield.detach();
                }
            }
            // As `Scoped::poll` of the scope, whose inside waits for ever after the shield.
            scope.set_owner(&baton.waker());
            if scope.is_effective() && scope.settle(baton.is_due(), &baton.waker()) {
                break;
            }
            baton.wait();
        }
        assert!(!inside, "the scope has dropped a shield that was being polled");
        canceller.join().unwrap();
        work.join().unwrap();
    });
}

/// A holder that nobody polls any more does not hold up the cancelled scope.
#[test]
fn a_silent_holder_is_given_up() {
    explore("cancel: a silent holder is given up", 5, || {
        let scope = Node::root();
        let shield = scope.below(Kind::Shield);
        let baton = Baton::new();
        shield.set_owner(&baton.waker());
        shield.hold();
        let canceller = on_thread(&scope, Node::cancel);
        loop {
            scope.set_owner(&baton.waker());
            if scope.is_effective() && scope.settle(baton.is_due(), &baton.waker()) {
                break;
            }
            baton.wait();
        }
        canceller.join().unwrap();
        assert!(!scope.has_guards());
    });
}
