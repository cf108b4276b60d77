//! A sleep of the run that is reset in place, for the timers that libraries of others ask for (features `hyper`, `quinn`).

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use pin_project_lite::pin_project;
use trioxide_runtime::{Sleep, sleep, sleep_until};

pin_project! {
    /// Follows the run's clock: with a mock clock, so do the time-outs of those libraries.
    #[derive(Debug)]
    pub(crate) struct RunSleep {
        #[pin]
        sleep: Sleep,
    }
}

impl RunSleep {
    /// However long: what is too far away to be reached is never over.
    #[cfg(feature = "hyper")]
    pub(crate) fn lasting(duration: Duration) -> Pin<Box<RunSleep>> {
        Box::pin(RunSleep { sleep: sleep(duration) })
    }

    pub(crate) fn until(deadline: Instant) -> Pin<Box<RunSleep>> {
        Box::pin(RunSleep { sleep: sleep_until(deadline) })
    }

    /// Sleeps until then instead, also if it is over. Allocates nothing.
    pub(crate) fn restart(self: Pin<&mut Self>, deadline: Instant) {
        self.project().sleep.reset(deadline);
    }
}

impl Future for RunSleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.project().sleep.poll(cx)
    }
}
