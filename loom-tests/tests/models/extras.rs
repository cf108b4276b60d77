//! What a task has besides its future, in one word until there is more than one of it (`task::extras`): the task, its handle, one who cancels and one who arms, at once. What moves from
//! the word to its own place goes with it, whatever the others do meanwhile.

use std::sync::Arc;

use loom::thread;
use trioxide_loom::{Baton, explore};
use trioxide_runtime::models::{Completed, Extras, HandleGoes, HandleStep, Kind, Node, State};

fn on_thread(extras: &Arc<Extras>, act: impl FnOnce(&Extras) + 'static) -> thread::JoinHandle<()> {
    let extras = Arc::clone(extras);
    thread::spawn(move || act(&extras))
}

fn node() -> Node {
    Node::root().below(Kind::Task)
}

/// The task gets a node of its own while somebody asks to cancel it, and somebody arms: the node is cancelled, by one or the other.
#[test]
fn a_node_against_a_request() {
    explore("extras: a node against a request", 3, || {
        let (extras, own) = (Arc::new(Extras::none()), node());
        let others = own.references();
        let cancels = on_thread(&extras, |extras| {
            extras.cancel();
        });
        let arms = on_thread(&extras, Extras::arm);
        extras.adopt(&own);
        cancels.join().unwrap();
        arms.join().unwrap();
        assert!(own.is_effective(), "the request was lost");
        assert!(extras.is_armed() && !extras.has_request());
        drop(extras);
        assert_eq!(own.references(), others, "the task's reference has gone with it");
    });
}

/// Two ask at once: one of them wakes the task, which then finds a request.
#[test]
fn two_requests_against_a_waker() {
    explore("extras: two requests against a waker", 3, || {
        let (extras, baton) = (Arc::new(Extras::none()), Baton::new());
        let first = {
            let extras = Arc::clone(&extras);
            thread::spawn(move || extras.cancel())
        };
        let second = {
            let extras = Arc::clone(&extras);
            thread::spawn(move || extras.cancel())
        };
        extras.put_waker(&baton.waker());
        let woken = [first.join().unwrap(), second.join().unwrap()];
        assert_eq!(woken.into_iter().filter(|&woken| woken).count(), 1);
        assert!(extras.has_request());
        extras.wake_waker();
        assert!(baton.take());
        drop(extras);
        assert_eq!(Arc::strong_count(&baton), 1);
    });
}

/// The handle waits, with one waker after the other, while the task gets a node and somebody cancels it: the last waker is there to be woken, and the first is gone.
#[test]
fn wakers_against_a_node_and_a_request() {
    explore("extras: wakers against a node and a request", 2, || {
        let (extras, own) = (Arc::new(Extras::none()), node());
        let task = {
            let own = own.clone();
            on_thread(&extras, move |extras| extras.adopt(&own))
        };
        let cancels = on_thread(&extras, |extras| {
            extras.cancel();
        });
        let (first, last) = (Baton::new(), Baton::new());
        extras.put_waker(&first.waker());
        extras.put_waker(&last.waker());
        task.join().unwrap();
        cancels.join().unwrap();
        extras.wake_waker();
        assert!(last.take() && !first.take(), "the handle's last waker");
        assert!(own.is_effective());
        drop(extras);
        assert_eq!([&first, &last].map(Arc::strong_count), [1, 1], "wakers that nobody holds are dropped");
    });
}

/// The task completes while its handle waits, or goes, and somebody arms: the state word says who may touch the waker, wherever that lies.
#[test]
fn the_completer_against_who_arms() {
    explore("extras: the completer against who arms", 3, || {
        let (extras, state) = (Arc::new(Extras::none()), Arc::new(State::new()));
        state.start_running(false);
        let baton = Baton::new();
        let arms = on_thread(&extras, Extras::arm);
        let completer = {
            let state = Arc::clone(&state);
            on_thread(&extras, move |extras| {
                let Completed { has_waker, .. } = state.complete();
                if has_waker {
                    extras.wake_waker();
                }
            })
        };
        extras.put_waker(&baton.waker());
        let waits = state.set_join_waker() == HandleStep::Done;
        let gone = waits && state.drop_handle() == HandleGoes::WithWaker;
        if gone {
            extras.take_waker();
        }
        completer.join().unwrap();
        arms.join().unwrap();
        assert_eq!(baton.take(), waits && !gone, "woken if it waits to the end");
        assert_eq!(Arc::strong_count(&baton), if gone { 1 } else { 2 });
        drop(extras);
        assert_eq!(Arc::strong_count(&baton), 1);
    });
}
