//! `nursery_with`: children that borrow from what the nursery owns.
//!
//! A future may be forgotten at any suspension, and its children run on; so children can not safely borrow from their parent's stack.
//! They can borrow from something that is kept for them: here the nursery takes `env`, and keeps it until the last child has ended.
//!
//! Invariant **E1**: the `'s` of a `Scope<'s, T, E>` is chosen by nobody (`for<'s>`), so nothing that has it in its type leaves body and children. Each
//! child's future is dropped before the child leaves `live`, and `env` is dropped after the last one has left (J3); the future of the
//! body goes before its own reference to `env`.
//!
//! `Scope` is invariant in `'s`: otherwise it could be shortened to a borrow of the body's locals.
#![allow(unsafe_code)]

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::ops::{AsyncFnOnce, Deref};
use std::panic::Location;
use std::sync::Arc;

use super::handle::{Options, closed, spawn_raw};
use super::joining::{Joining, Opened};
use super::start::start_raw;
use super::{BodyOutput, Nursery, StartError, Started, TaskOutput};
use crate::task::Task;

/// As [`nursery`](crate::nursery), with children that borrow from `env`.
///
/// The nursery owns `env` until the last child has ended, also if its future is dropped or forgotten. Children on other threads get it shared,
/// so what they are to change needs a lock, an atomic, or a cell of its own for each.
///
/// # Errors, cancellation, panics
///
/// As for [`nursery`](crate::nursery).
///
/// ```
/// use std::sync::atomic::{AtomicU64, Ordering};
/// use trioxide_runtime::{nursery_with, run};
/// let numbers: Vec<u64> = (0..100).collect();
/// let total = run(nursery_with((numbers, AtomicU64::new(0)), async |s| {
///     let (numbers, total) = s.env();
///     let halves = numbers.chunks(50).map(|half| {
///         s.spawn(async move {
///             total.fetch_add(half.iter().sum::<u64>(), Ordering::Relaxed);
///         })
///     });
///     for half in halves.collect::<Vec<_>>() {
///         let _ = half.await;
///     }
///     Ok::<_, std::convert::Infallible>(total.load(Ordering::Relaxed))
/// }));
/// assert_eq!(total.unwrap(), 4950);
/// ```
pub async fn nursery_with<T, E, F, Out>(env: T, body: F) -> Out::Joined
where
    T: Send + Sync + 'static,
    E: Send + 'static,
    F: for<'s> AsyncFnOnce(Scope<'s, T, E>) -> Out,
    Out: BodyOutput<E>,
{
    let env = Arc::new(env);
    let opened = Opened::open("nursery_with");
    opened.node().inner.lock().extra().env = Some(Arc::clone(&env) as _);
    // SAFETY: E1: `env` outlives the body, declared after it, and every child. Nobody can name this lifetime.
    let lent: &T = unsafe { &*Arc::as_ptr(&env) };
    let scope = Scope { nursery: Nursery::new(Arc::clone(opened.node())), env: lent, invariant: PhantomData };
    Joining::new(opened, || body(scope)).await
}

/// The nursery of [`nursery_with`], and what it lends: it derefs to `T`.
pub struct Scope<'s, T, E> {
    nursery: Nursery<E>,
    env: &'s T,
    invariant: PhantomData<fn(&'s ()) -> &'s ()>,
}

impl<'s, T, E: Send + 'static> Scope<'s, T, E> {
    /// What the nursery owns, for as long as the nursery is open.
    pub fn env(&self) -> &'s T {
        self.env
    }

    /// As [`Nursery::spawn`], for a future that may borrow from [`env`](Self::env).
    ///
    /// # Panics
    ///
    /// If the nursery is closed.
    #[track_caller]
    pub fn spawn<F>(&self, future: F) -> Task<<F::Output as TaskOutput<E>>::Value>
    where
        F: Future + Send + 's,
        F::Output: TaskOutput<E>,
        <F::Output as TaskOutput<E>>::Value: Send + 's,
    {
        self.spawn_with(future, Options::at(Location::caller()))
    }

    /// As [`Nursery::service`], for a future that may borrow from [`env`](Self::env).
    ///
    /// # Panics
    ///
    /// If the nursery is closed, or its services have been sent home.
    #[track_caller]
    pub fn service<F>(&self, future: F) -> Task<<F::Output as TaskOutput<E>>::Value>
    where
        F: Future + Send + 's,
        F::Output: TaskOutput<E>,
        <F::Output as TaskOutput<E>>::Value: Send + 's,
    {
        let mut options = Options::at(Location::caller());
        options.service = true;
        self.spawn_with(future, options)
    }

    /// As [`Nursery::start`], for a child that may borrow from [`env`](Self::env).
    #[track_caller]
    pub fn start<C, F, Fut>(
        &self,
        child: F,
    ) -> impl Future<Output = Result<C, StartError<E>>> + use<'s, C, T, E, F, Fut>
    where
        C: Send + 's,
        F: FnOnce(Started<C>) -> Fut,
        Fut: Future + Send + 's,
        Fut::Output: TaskOutput<E>,
    {
        self.start_with(child, Options::at(Location::caller()))
    }

    /// Names the child that is spawned next: `s.task("reader").spawn(…)`. The name stands in errors, and in the tree of tasks.
    ///
    /// ```
    /// use trioxide_runtime::{NurseryError, nursery_with, run};
    /// let joined = run(nursery_with("12x".to_owned(), async |s| {
    ///     let text = s.env();
    ///     s.task("parser").spawn(async move { text.parse::<u32>().map(drop) });
    ///     Ok::<_, std::num::ParseIntError>(())
    /// }));
    /// let Err(NurseryError::Failed(group)) = joined else { unreachable!() };
    /// assert!(group.to_string().contains("\"parser\""));
    /// ```
    pub fn task(&self, name: impl Into<Arc<str>>) -> ScopedTaskBuilder<'_, 's, T, E> {
        ScopedTaskBuilder { scope: self, name: name.into(), service: false }
    }

    #[track_caller]
    fn spawn_with<F>(&self, future: F, options: Options) -> Task<<F::Output as TaskOutput<E>>::Value>
    where
        F: Future + Send + 's,
        F::Output: TaskOutput<E>,
        <F::Output as TaskOutput<E>>::Value: Send + 's,
    {
        // SAFETY: the future and its value are `Send`, and what they borrow for `'s` is `env` (E1).
        match unsafe { spawn_raw::<F, E>(self.nursery.node(), future, options) } {
            Ok(task) => task,
            Err(_) => closed(),
        }
    }

    fn start_with<C, F, Fut>(
        &self,
        child: F,
        options: Options,
    ) -> impl Future<Output = Result<C, StartError<E>>> + use<'s, C, T, E, F, Fut>
    where
        C: Send + 's,
        F: FnOnce(Started<C>) -> Fut,
        Fut: Future + Send + 's,
        Fut::Output: TaskOutput<E>,
    {
        // SAFETY: as in `spawn_with`.
        unsafe { start_raw(Arc::clone(self.nursery.node()), child, options) }
    }

    /// The nursery itself, for children that own what they use, and for code that wants a [`Nursery`].
    pub fn nursery(&self) -> &Nursery<E> {
        &self.nursery
    }
}

impl<T, E> Clone for Scope<'_, T, E> {
    fn clone(&self) -> Self {
        Self { nursery: self.nursery.clone(), env: self.env, invariant: PhantomData }
    }
}

impl<T, E> Deref for Scope<'_, T, E> {
    type Target = T;

    fn deref(&self) -> &T {
        self.env
    }
}

impl<T, E> fmt::Debug for Scope<'_, T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.nursery.fmt(f)
    }
}

/// What a child that borrows is to be before it is spawned: [`Scope::task`].
#[must_use = "call `spawn` or `start`"]
pub struct ScopedTaskBuilder<'a, 's, T, E> {
    scope: &'a Scope<'s, T, E>,
    name: Arc<str>,
    service: bool,
}

impl<'s, T, E: Send + 'static> ScopedTaskBuilder<'_, 's, T, E> {
    /// Makes it a service: [`Nursery::service`].
    pub fn service(mut self) -> Self {
        self.service = true;
        self
    }

    /// As [`Scope::spawn`].
    ///
    /// # Panics
    ///
    /// If the nursery is closed.
    #[track_caller]
    pub fn spawn<F>(self, future: F) -> Task<<F::Output as TaskOutput<E>>::Value>
    where
        F: Future + Send + 's,
        F::Output: TaskOutput<E>,
        <F::Output as TaskOutput<E>>::Value: Send + 's,
    {
        let scope = self.scope;
        scope.spawn_with(future, self.options(Location::caller()))
    }

    /// As [`Scope::start`].
    #[track_caller]
    pub fn start<C, F, Fut>(self, child: F) -> impl Future<Output = Result<C, StartError<E>>> + use<'s, C, T, E, F, Fut>
    where
        C: Send + 's,
        F: FnOnce(Started<C>) -> Fut,
        Fut: Future + Send + 's,
        Fut::Output: TaskOutput<E>,
    {
        let scope = self.scope;
        scope.start_with(child, self.options(Location::caller()))
    }

    fn options(self, at: &'static Location<'static>) -> Options {
        let mut options = Options::at(at);
        options.name = Some(self.name);
        options.service = self.service;
        options
    }
}

impl<T, E> fmt::Debug for ScopedTaskBuilder<'_, '_, T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScopedTaskBuilder").field("name", &self.name).field("service", &self.service).finish()
    }
}
