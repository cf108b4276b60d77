//! Timer against completion, on the real wheel: what a timer was to do is done or given back, once.

use loom::thread;
use trioxide_loom::{Baton, explore};
use trioxide_runtime::models::{Timer, Timers};

fn fire_on_thread(timers: &Timers) -> thread::JoinHandle<()> {
    let timers = timers.clone();
    thread::spawn(move || timers.fire_due())
}

/// The wait ends by itself while the timer fires.
#[test]
fn fire_against_disarm() {
    explore("timer: fire against disarm", 5, || {
        let timers = Timers::new();
        let timer = Timer::new(&timers);
        let baton = Baton::new();
        timer.arm(true, &baton.waker());
        let firing = fire_on_thread(&timers);
        let given_back = timer.disarm().is_some();
        firing.join().unwrap();
        assert_eq!(baton.wakes(), usize::from(!given_back), "fired or given back, and not both");
        assert!(timer.disarm().is_none());
    });
}

/// The future that waits is dropped while the timer fires, and another one uses the wheel.
#[test]
fn fire_against_drop() {
    explore("timer: fire against drop", 5, || {
        let timers = Timers::new();
        let (first, second) = (Baton::new(), Baton::new());
        let timer = Timer::new(&timers);
        timer.arm(true, &first.waker());
        let other = Timer::new(&timers);
        other.arm(true, &second.waker());
        let firing = fire_on_thread(&timers);
        drop(timer);
        firing.join().unwrap();
        assert!(first.wakes() <= 1);
        assert_eq!(second.wakes(), 1);
    });
}

/// The task is polled with another waker while the timer fires: that one is woken, or it is told that it is too late.
#[test]
fn fire_against_rewake() {
    explore("timer: fire against rewake", 5, || {
        let timers = Timers::new();
        let timer = Timer::new(&timers);
        let (old, new) = (Baton::new(), Baton::new());
        timer.arm(true, &old.waker());
        let firing = fire_on_thread(&timers);
        let replaced = timer.rewake(&new.waker());
        firing.join().unwrap();
        assert_eq!((old.wakes(), new.wakes()), if replaced { (0, 1) } else { (1, 0) });
    });
}

/// The timer is reset while it fires: its place in the wheel is used again at once, and the new action is not mixed up with the old.
#[test]
fn fire_against_reset() {
    explore("timer: fire against reset", 5, || {
        let timers = Timers::new();
        let timer = Timer::new(&timers);
        let (old, new) = (Baton::new(), Baton::new());
        timer.arm(true, &old.waker());
        let firing = fire_on_thread(&timers);
        let given_back = timer.disarm().is_some();
        timer.arm(false, &new.waker());
        firing.join().unwrap();
        assert_eq!(old.wakes(), usize::from(!given_back));
        assert_eq!(new.wakes(), 0, "it is armed for the far future");
        assert!(timer.disarm().is_some());
    });
}

/// Two workers fire the same wheel, as a clock that is moved by hand makes them: each timer goes off once.
#[test]
fn two_fire_at_once() {
    explore("timer: two fire at once", 5, || {
        let timers = Timers::new();
        let batons = [Baton::new(), Baton::new()];
        let armed = batons.each_ref().map(|baton| {
            let timer = Timer::new(&timers);
            timer.arm(true, &baton.waker());
            timer
        });
        let firing = fire_on_thread(&timers);
        timers.fire_due();
        firing.join().unwrap();
        assert_eq!(batons.each_ref().map(|baton| baton.wakes()), [1, 1]);
        assert!(armed.iter().all(|timer| timer.disarm().is_none()));
    });
}
