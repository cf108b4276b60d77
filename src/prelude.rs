//! What nearly every program uses: `use trioxide::prelude::*`.
//!
//! `io` is the standard library's, for `io::Result` and `io::Error`; so is `Duration`. A name that you import yourself, or
//! define, wins over one from here.

pub use std::io;
pub use std::time::Duration;

#[doc(no_inline)]
pub use crate::io::{TcpListener, TcpStream};
#[doc(no_inline)]
pub use crate::sync::{Event, channel};
#[doc(no_inline)]
pub use crate::{
    AnyError, CancelScope, Cancelled, Nursery, NurseryError, Started, Task, TooSlow, blocking, checkpoint, fail_after,
    finally, join, move_on_after, nursery, nursery_with, race, shield, sleep, sleep_forever, stopping, try_join,
    until_stopping,
};
