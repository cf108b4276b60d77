//! What events and channels promise, a file for each part.

mod common;

mod channel;
mod channel_cancel;
mod channel_close;
mod channel_kinds;
mod channel_reserve;
mod channel_stress;
mod deadlock;
mod event;
mod futurelock;
mod guards;
mod linear;
mod linear_more;
mod meeting;
mod mutex;
mod notify;
mod oneshot;
mod rw_lock;
mod semaphore;
