//! Loom models of the channels.

use super::{block_on, poll_once, spawn_with};
use crate::channel::{self, RecvError, TryRecvError, TrySendError};
use loom::thread;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;

/// A message is sent while a task begins to wait for it.
pub fn send_against_recv() {
    loom::model(|| {
        let (sender, receiver) = channel::bounded(1);
        let sending = thread::spawn(move || sender.try_send(1).unwrap());
        assert_eq!(block_on(receiver.recv()), Ok(1));
        sending.join().unwrap();
        assert_eq!(block_on(receiver.recv()), Err(RecvError));
    });
}

/// A message is sent while the only waiting receive is dropped: it is in the channel afterwards.
pub fn send_against_dropped_recv() {
    loom::model(|| {
        let (sender, receiver) = channel::bounded(1);
        let sending = {
            let mut receiving = pin!(receiver.recv());
            assert!(poll_once(receiving.as_mut()).is_pending());
            thread::spawn(move || sender.try_send(1).unwrap())
        };
        sending.join().unwrap();
        assert_eq!(receiver.try_recv(), Ok(1));
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Closed));
    });
}

/// A message is sent while the first of two waiting receives is dropped: the second gets it.
pub fn dropped_recv_passes_on() {
    loom::model(|| {
        let (sender, receiver) = channel::bounded(1);
        let mut second = pin!(receiver.recv());
        let sending = {
            let mut first = pin!(receiver.recv());
            assert!(poll_once(first.as_mut()).is_pending());
            assert!(poll_once(second.as_mut()).is_pending());
            let sender = sender.clone();
            thread::spawn(move || sender.try_send(1).unwrap())
        };
        assert_eq!(block_on(second), Ok(1));
        sending.join().unwrap();
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
    });
}

/// A permit is given back while the reservation that is first in line goes away: the send behind it gets the place.
pub fn permit_dropped_against_dropped_reservation() {
    loom::model(|| {
        let (sender, receiver) = channel::bounded(1);
        let returning = {
            let other = sender.clone();
            assert!(other.try_reserve().is_ok_and(|permit| {
                std::mem::forget(permit); // Given back below, by another thread.
                true
            }));
            let mut send = Box::pin(sender.send(1));
            let returning = {
                let mut leaving = pin!(sender.reserve());
                assert!(poll_once(leaving.as_mut()).is_pending());
                assert!(poll_once(send.as_mut()).is_pending());
                thread::spawn(move || drop(channel::Permit::granted(&other)))
            };
            assert_eq!(block_on(send.as_mut()), Ok(()));
            returning
        };
        returning.join().unwrap();
        assert_eq!(receiver.try_recv(), Ok(1));
        assert_eq!(receiver.statistics().reserved, 0);
    });
}

/// A permit is used while the only waiting receive is dropped: the message is in the channel afterwards, and nothing is reserved.
pub fn permit_used_against_dropped_recv() {
    loom::model(|| {
        let (sender, receiver) = channel::bounded(1);
        let using = {
            let mut receiving = pin!(receiver.recv());
            assert!(poll_once(receiving.as_mut()).is_pending());
            thread::spawn(move || sender.try_reserve().unwrap().send(1).unwrap())
        };
        using.join().unwrap();
        assert_eq!(receiver.statistics().reserved, 0);
        assert_eq!(receiver.try_recv(), Ok(1));
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Closed));
    });
}

/// A receive is polled with another waker while a message is sent: the new one is woken.
pub fn send_against_another_waker() {
    loom::model(|| {
        let (sender, receiver) = channel::bounded(1);
        let mut receiving = pin!(receiver.recv());
        assert!(poll_once(receiving.as_mut()).is_pending());
        let sending = thread::spawn(move || sender.try_send(1).unwrap());
        assert_eq!(block_on(receiving), Ok(1));
        sending.join().unwrap();
    });
}

/// A place gets free while the send that waits for it is dropped: sent or not, and never half.
pub fn recv_against_dropped_send() {
    loom::model(|| {
        let (sender, receiver) = channel::bounded(1);
        sender.try_send(1).unwrap();
        let receiver = loom::sync::Arc::new(receiver);
        let receiving = {
            let mut sending = pin!(sender.send(2));
            assert!(poll_once(sending.as_mut()).is_pending());
            spawn_with(&receiver, |receiver| assert_eq!(receiver.try_recv(), Ok(1)))
        };
        receiving.join().unwrap();
        sender.try_send(3).unwrap_or_else(|full| assert!(full.is_full()));
        drop(sender);
        let rest: Vec<_> = std::iter::from_fn(|| receiver.try_recv().ok()).collect();
        assert!(rest == [2] || rest == [3], "{rest:?}");
    });
}

/// Two sends meet two receives in a rendezvous.
pub fn rendezvous() {
    loom::model(|| {
        let (sender, receiver) = channel::bounded(0);
        let sending = thread::spawn(move || {
            block_on(sender.send(1)).unwrap();
            block_on(sender.send(2)).unwrap();
        });
        assert_eq!(block_on(receiver.recv()), Ok(1));
        assert_eq!(block_on(receiver.recv()), Ok(2));
        sending.join().unwrap();
    });
}

/// The last sender goes while a receive begins to wait.
pub fn close_against_recv() {
    loom::model(|| {
        let (sender, receiver) = channel::bounded(1);
        let closing = thread::spawn(move || {
            sender.try_send(1).unwrap();
            drop(sender);
        });
        assert_eq!(block_on(receiver.recv()), Ok(1));
        assert_eq!(block_on(receiver.recv()), Err(RecvError));
        closing.join().unwrap();
    });
}

/// The last receiver goes while a send waits, or begins to: the value comes back, and nothing leaks.
pub fn close_against_send() {
    loom::model(|| {
        let value = Arc::new(());
        let (sender, receiver) = channel::bounded(1);
        assert!(sender.try_send(value.clone()).is_ok());
        let closing = thread::spawn(move || drop(receiver));
        assert!(block_on(sender.send(value.clone())).is_err());
        closing.join().unwrap();
        assert_eq!(Arc::strong_count(&value), 1);
    });
}

/// Two messages are sent past the lock while a task receives both.
pub fn sends_past_the_lock_against_recv() {
    loom::model(|| {
        let (sender, receiver) = channel::bounded(2);
        let other = sender.clone();
        let sending = [(sender, 1), (other, 2)].map(|(sender, number)| thread::spawn(move || sender.try_send(number)));
        assert_eq!(block_on(receiver.recv()).unwrap() + block_on(receiver.recv()).unwrap(), 3);
        assert_eq!(block_on(receiver.recv()), Err(RecvError));
        assert!(sending.map(|thread| thread.join().unwrap()) == [Ok(()); 2]);
    });
}

/// Messages are sent past the lock while another is taken out: all arrive, in order.
pub fn sends_past_the_lock_against_try_recv() {
    loom::model(|| {
        let (sender, receiver) = channel::bounded(3);
        sender.try_send(1).unwrap();
        let sending = thread::spawn(move || {
            sender.try_send(2).unwrap();
            sender.try_send(3).unwrap();
        });
        assert_eq!(receiver.try_recv(), Ok(1));
        sending.join().unwrap();
        assert_eq!([receiver.try_recv(), receiver.try_recv()], [Ok(2), Ok(3)]);
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Closed));
    });
}

/// Three send past the lock at once: each has a place of its own.
pub fn sends_past_the_lock_against_each_other() {
    loom::model(|| {
        let (sender, receiver) = channel::bounded(3);
        let sending = [1, 2].map(|number| {
            let sender = sender.clone();
            thread::spawn(move || sender.try_send(number).unwrap())
        });
        sender.try_send(3).unwrap();
        sending.into_iter().for_each(|thread| thread.join().unwrap());
        let mut received = [(); 3].map(|()| receiver.try_recv().unwrap());
        received.sort_unstable();
        assert_eq!(received, [1, 2, 3]);
    });
}

/// Messages go beyond the ring while they are received: they arrive in order.
pub fn sends_beyond_the_ring_against_recv() {
    loom::model(|| {
        let (sender, receiver) = channel::unbounded();
        let sending = thread::spawn(move || {
            for number in 0..4 {
                sender.try_send(number).unwrap();
            }
        });
        for number in 0..4 {
            assert_eq!(block_on(receiver.recv()), Ok(number));
        }
        sending.join().unwrap();
    });
}

/// The last receiver goes while a message is sent past the lock: it comes back, or is dropped with the receiver.
pub fn close_against_send_past_the_lock() {
    loom::model(|| {
        let value = Arc::new(());
        let (sender, receiver) = channel::bounded(1);
        let closing = thread::spawn(move || drop(receiver));
        let _ = sender.try_send(value.clone());
        closing.join().unwrap();
        assert_eq!(Arc::strong_count(&value), 1);
        assert!(sender.try_send(value).is_err_and(|error| !error.is_full()));
    });
}

/// A place gets free while a send waits for it: it is that one's, and no other's.
pub fn nobody_overtakes_a_send_that_waits() {
    loom::model(|| {
        let (sender, receiver) = channel::bounded(1);
        sender.try_send(1).unwrap();
        let mut sending = pin!(sender.send(2));
        assert!(poll_once(sending.as_mut()).is_pending());
        let receiving = thread::spawn(move || {
            assert_eq!(receiver.try_recv(), Ok(1));
            receiver
        });
        assert_eq!(sender.try_send(3), Err(TrySendError::Full(3)));
        let receiver = receiving.join().unwrap();
        assert_eq!(block_on(sending), Ok(()));
        assert_eq!(receiver.try_recv(), Ok(2));
    });
}

/// A place is reserved, and given back, while a message is sent past the lock: both never have it, and in the end it is free.
pub fn reserve_against_send_past_the_lock() {
    loom::model(|| {
        let (sender, receiver) = channel::bounded(1);
        let other = sender.clone();
        let reserving = thread::spawn(move || {
            if let Ok(permit) = other.try_reserve() {
                assert_eq!(other.len(), 0);
                drop(permit);
            }
        });
        let sent = sender.try_send(1);
        reserving.join().unwrap();
        assert_eq!(receiver.try_recv().ok(), sent.ok().map(|()| 1));
        assert_eq!((sender.try_send(2), receiver.try_recv()), (Ok(()), Ok(2)));
    });
}

/// A oneshot is sent while its receiver begins to wait.
pub fn oneshot_send_against_recv() {
    loom::model(|| {
        let (sender, receiver) = channel::oneshot();
        let sending = thread::spawn(move || sender.send(1).unwrap());
        assert_eq!(block_on(receiver), Ok(1));
        sending.join().unwrap();
    });
}

/// A oneshot is sent while its receiver is polled with one waker after another.
pub fn oneshot_send_against_another_waker() {
    loom::model(|| {
        let (sender, mut receiver) = channel::oneshot();
        let sending = thread::spawn(move || sender.send(1).unwrap());
        match poll_once(Pin::new(&mut receiver)) {
            Poll::Ready(received) => assert_eq!(received, Ok(1)),
            Poll::Pending => assert_eq!(block_on(receiver), Ok(1)),
        }
        sending.join().unwrap();
    });
}

/// A oneshot is sent while its receiver, which has waited, goes away: the value has one owner.
pub fn oneshot_send_against_drop() {
    loom::model(|| {
        let value = Arc::new(());
        let (sender, mut receiver) = channel::oneshot();
        assert!(poll_once(Pin::new(&mut receiver)).is_pending());
        let sent = value.clone();
        let sending = thread::spawn(move || {
            // Comes back, or is dropped with the receiver.
            let _ = sender.send(sent);
        });
        drop(receiver);
        sending.join().unwrap();
        assert_eq!(Arc::strong_count(&value), 1);
    });
}

/// A oneshot is sent while its receiver, which has waited with one waker and another, goes away.
pub fn oneshot_send_against_drop_after_another_waker() {
    loom::model(|| {
        let (sender, mut receiver) = channel::oneshot();
        let sending = thread::spawn(move || {
            let _ = sender.send(1);
        });
        let _first = poll_once(Pin::new(&mut receiver));
        let _second = poll_once(Pin::new(&mut receiver));
        drop(receiver);
        sending.join().unwrap();
    });
}

/// A oneshot is sent while its receiver, which has never waited, goes away: it is received by nobody, and whether it came back says so.
pub fn oneshot_send_against_unpolled_drop() {
    loom::model(|| {
        let value = Arc::new(());
        let (sender, receiver) = channel::oneshot();
        let sent = value.clone();
        let sending = thread::spawn(move || drop(sender.send(sent)));
        drop(receiver);
        sending.join().unwrap();
        assert_eq!(Arc::strong_count(&value), 1);
    });
}

/// A oneshot's sender goes without having sent while its receiver, which has waited, goes away.
pub fn oneshot_close_against_drop() {
    loom::model(|| {
        let (sender, mut receiver) = channel::oneshot::<u32>();
        assert!(poll_once(Pin::new(&mut receiver)).is_pending());
        let closing = thread::spawn(move || drop(sender));
        drop(receiver);
        closing.join().unwrap();
    });
}

/// A oneshot's sender goes without having sent while its receiver begins to wait.
pub fn oneshot_close_against_recv() {
    loom::model(|| {
        let (sender, receiver) = channel::oneshot::<u32>();
        let closing = thread::spawn(move || drop(sender));
        assert_eq!(block_on(receiver), Err(channel::oneshot::Closed));
        closing.join().unwrap();
    });
}

/// The value of a watch changes twice, and its sender goes, while a task waits: it sees the last value, then the end.
pub fn watch_send_against_changed() {
    loom::model(|| {
        let (sender, mut receiver) = channel::watch(0);
        let sending = thread::spawn(move || {
            sender.send(1);
            sender.send(2);
        });
        while *receiver.borrow_and_update() < 2 {
            block_on(receiver.changed()).unwrap();
        }
        assert_eq!(block_on(receiver.changed()), Err(RecvError));
        sending.join().unwrap();
    });
}

/// A message is broadcast while one receiver waits and another goes away.
pub fn broadcast_send_against_recv_and_drop() {
    loom::model(|| {
        let (sender, mut receiver) = channel::broadcast(1);
        let other = receiver.clone();
        let leaving = thread::spawn(move || drop(other));
        let sending = thread::spawn(move || sender.send(1).map(drop).unwrap());
        assert_eq!(block_on(receiver.recv()), Ok(1));
        assert_eq!(block_on(receiver.recv()), Err(channel::broadcast::RecvError::Closed));
        leaving.join().unwrap();
        sending.join().unwrap();
    });
}
