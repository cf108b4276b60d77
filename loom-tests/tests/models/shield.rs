//! A shield that is switched against a cancel, an entry, a guard, and another switch, on the real tree of scopes.

use loom::thread;
use trioxide_loom::{Baton, explore};
use trioxide_runtime::models::{Kind, Node};

fn on_thread(node: &Node, act: impl FnOnce(&Node) + 'static) -> thread::JoinHandle<()> {
    let node = node.clone();
    thread::spawn(move || act(&node))
}

/// A shield is switched on while its surroundings are cancelled: what is below is cancelled or not, but all of it alike.
#[test]
fn switching_on_against_cancel() {
    explore("shield: on against cancel", 5, || {
        let root = Node::root();
        let scope = root.below(Kind::Scope);
        let below = scope.below(Kind::Scope);
        let canceller = on_thread(&root, Node::cancel);
        scope.set_shield(true);
        canceller.join().unwrap();
        assert!(root.is_effective());
        assert!(!scope.is_effective() && !below.is_effective(), "the shield is on");
    });
}

/// The same for a shield that is switched off: everything below is cancelled in the end.
#[test]
fn switching_off_against_cancel() {
    explore("shield: off against cancel", 5, || {
        let root = Node::root();
        let scope = root.below(Kind::Scope);
        scope.set_shield(true);
        let below = scope.below(Kind::Scope);
        let canceller = on_thread(&root, Node::cancel);
        scope.set_shield(false);
        canceller.join().unwrap();
        assert!(scope.is_effective() && below.is_effective());
        assert!(!root.has_guards());
    });
}

/// On and off at once in a cancelled scope: what is below agrees with the shield, and so do the guards.
#[test]
fn switching_on_against_switching_off() {
    explore("shield: on against off", 4, || {
        let root = Node::root();
        let scope = root.below(Kind::Scope);
        let below = scope.below(Kind::Scope);
        root.cancel();
        let other = on_thread(&scope, |scope| scope.set_shield(true));
        scope.set_shield(false);
        other.join().unwrap();
        assert_eq!(scope.is_effective(), !scope.is_shielded());
        assert_eq!(below.is_effective(), !scope.is_shielded());
        assert_eq!(root.has_guards(), scope.is_shielded());
    });
}

/// Something is hung below a scope whose shield is switched.
#[test]
fn switching_against_entry() {
    for on in [true, false] {
        explore(&format!("shield: {} against entry", if on { "on" } else { "off" }), 5, move || {
            let root = Node::root();
            let scope = root.below(Kind::Scope);
            scope.set_shield(!on);
            root.cancel();
            let other = on_thread(&scope, move |scope| scope.set_shield(on));
            let below = scope.below(Kind::Task);
            let deeper = below.below(Kind::Scope);
            other.join().unwrap();
            assert_eq!((below.is_effective(), deeper.is_effective()), (!on, !on));
        });
    }
}

/// The guard of a shield that is switched off goes back while the scope around is being cancelled: that is woken when it may drop its inside.
#[test]
fn switching_off_wakes_the_scope_that_waits() {
    explore("shield: off against a scope that waits", 4, || {
        let root = Node::root();
        let scope = root.below(Kind::Scope);
        scope.set_shield(true);
        let canceller = on_thread(&root, Node::cancel);
        let other = on_thread(&scope, |scope| scope.set_shield(false));
        let baton = Baton::new();
        loop {
            root.set_owner(&baton.waker());
            if root.is_effective() && root.is_free() {
                break;
            }
            baton.wait();
        }
        canceller.join().unwrap();
        other.join().unwrap();
        assert!(scope.is_effective());
    });
}

/// A cancelled scope that waits for the cancelled scope around to drop it all: if a shield comes between, it is woken, for it is the outermost now.
#[test]
fn switching_on_above_a_cancelled_scope_that_waits() {
    explore("shield: on above a cancelled scope that waits", 5, || {
        let root = Node::root();
        let scope = root.below(Kind::Scope);
        let inner = scope.below(Kind::Scope);
        root.cancel();
        let switcher = on_thread(&scope, |scope| scope.set_shield(true));
        inner.cancel();
        let baton = Baton::new();
        loop {
            inner.set_owner(&baton.waker());
            if !scope.is_effective() {
                break;
            }
            baton.wait();
        }
        assert!(inner.is_effective());
        switcher.join().unwrap();
    });
}

/// A scope ends as its shield is switched on: no guard stays behind.
#[test]
fn switching_on_against_the_end() {
    explore("shield: on against the end", 5, || {
        let root = Node::root();
        let scope = root.below(Kind::Scope);
        let other = on_thread(&scope, |scope| scope.set_shield(true));
        scope.detach();
        scope.let_go();
        other.join().unwrap();
        assert!(!root.has_guards(), "a guard that nobody will give back");
    });
}

/// A leaf begins in a cancelled scope whose shield is being switched on: it is let in, or asked again.
#[test]
fn switching_on_against_a_leaf_in_a_combinator() {
    explore("shield: on against a leaf in a combinator", 5, || {
        let root = Node::root();
        let scope = root.below(Kind::Scope);
        let below = scope.below(Kind::Scope);
        root.cancel();
        let switcher = on_thread(&scope, |scope| scope.set_shield(true));
        let leaf = Baton::new();
        while !below.admits(&leaf.waker()) {
            leaf.wait();
        }
        switcher.join().unwrap();
    });
}

/// The same for a leaf with the waker of its task, which registers everything at the end of its poll, and looks whether it must go round again.
#[test]
fn switching_on_against_a_leaf_in_the_first_poll_of_its_task() {
    explore("shield: on against a leaf in the task", 5, || {
        let root = Node::root();
        let scope = root.below(Kind::Scope);
        root.cancel();
        let switcher = on_thread(&scope, |scope| scope.set_shield(true));
        let task = Baton::new();
        loop {
            let before = Node::unmarked();
            if !scope.is_effective() {
                break;
            }
            scope.set_owner(&task.waker());
            if before == Node::unmarked() {
                task.wait();
            }
        }
        switcher.join().unwrap();
    });
}
