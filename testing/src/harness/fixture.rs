//! What a test is given: [`Fixture`], and the [`Bench`] on which it is set up.

use std::cell::RefCell;
use std::fmt;
use std::future::Future;

use trioxide_runtime::{AnyError, Nursery, finally};

use crate::MockClock;

/// Something that a test needs, such as a server or a directory: set up before the test, taken down after it. A test names it as a parameter, by reference.
///
/// Fixtures are set up in the order of the parameters and taken down in the reverse order, each also when the test fails, panics or takes too long: taking down is clean-up, which
/// runs under a shield ([`finally`](trioxide_runtime::finally())). What a fixture spawns into the [nursery of the bench](Bench::nursery) runs beside the test and is cancelled when all fixtures are
/// taken down; if it fails, the test fails.
///
/// A fixture that needs another has it as a field, and sets it up and takes it down itself. After pytest-trio's fixtures, whose `yield` is the place of the test.
///
/// ```
/// use trioxide_runtime::sleep_forever;
/// use trioxide_sync::channel::{self, Sender};
/// use trioxide_testing::{Bench, Fixture};
///
/// /// A task that keeps accounts.
/// struct Ledger {
///     entries: Sender<i64>,
/// }
///
/// impl Fixture for Ledger {
///     async fn set_up(bench: &Bench) -> Self {
///         let (entries, received) = channel::bounded(1);
///         bench.nursery().task("ledger").spawn(async move {
///             let mut sum = 0;
///             while let Ok(entry) = received.recv().await {
///                 sum += entry;
///             }
///             assert_eq!(sum, 0, "the books balance");
///             sleep_forever().await;
///         });
///         Self { entries }
///     }
///
///     async fn take_down(self) {
///         drop(self.entries); // The ledger adds up.
///     }
/// }
///
/// // With the crate `trioxide`:
/// // #[trioxide::test]
/// // async fn what_is_spent_was_earned(ledger: &Ledger) { … }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no fixture, so a test cannot be given it",
    label = "implement `trioxide::testing::Fixture` for it, or make it in the test"
)]
pub trait Fixture: Sized {
    /// Makes it.
    fn set_up(bench: &Bench) -> impl Future<Output = Self>;

    /// Takes it down; default: drops it. It may await, for it is shielded from what has ended the test; a time-out of its own keeps it short.
    fn take_down(self) -> impl Future<Output = ()> {
        async move { drop(self) }
    }
}

/// The surroundings of one run of a test, which its fixtures share.
#[derive(Clone)]
pub struct Bench {
    nursery: Nursery<AnyError>,
    clock: Option<MockClock>,
}

impl Bench {
    pub(super) fn new(nursery: Nursery<AnyError>, clock: Option<MockClock>) -> Self {
        Self { nursery, clock }
    }

    /// The nursery round the test, for what is to run beside it. It is cancelled when the test is over and its fixtures are taken down; if a task in it fails, so does the test.
    pub fn nursery(&self) -> &Nursery<AnyError> {
        &self.nursery
    }

    /// The clock of the run, if it is a mock clock.
    pub fn clock(&self) -> Option<&MockClock> {
        self.clock.as_ref()
    }
}

impl fmt::Debug for Bench {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bench").field("clock", &self.clock).finish_non_exhaustive()
    }
}

/// The clock of the run.
impl Fixture for MockClock {
    /// # Panics
    ///
    /// If the run has no mock clock.
    async fn set_up(bench: &Bench) -> Self {
        bench.clock().cloned().unwrap_or_else(|| {
            panic!("trioxide: this test has no mock clock; write `#[trioxide::test(clock = MockClock::autojump)]`, or call `Harness::clock`")
        })
    }
}

/// The nursery of the bench.
impl Fixture for Nursery<AnyError> {
    async fn set_up(bench: &Bench) -> Self {
        bench.nursery().clone()
    }
}

/// Runs `test` with a fixture: what the attribute writes for a parameter. For another one, `test` calls this again, so they nest.
#[doc(hidden)]
#[expect(clippy::await_holding_refcell_ref, reason = "it is borrowed again only when the body is gone")]
pub async fn with_fixture<F: Fixture, T>(bench: &Bench, test: impl AsyncFnOnce(&mut F) -> T) -> T {
    let slot = RefCell::new(Some(F::set_up(bench).await));
    let body = async {
        let mut fixture = slot.borrow_mut();
        test(fixture.as_mut().expect("taken out after this")).await
    };
    // Whatever becomes of the body, it has let go of the fixture then.
    let cleanup = async {
        let fixture = slot.take();
        if let Some(fixture) = fixture {
            fixture.take_down().await;
        }
    };
    finally(body, cleanup).await
}
