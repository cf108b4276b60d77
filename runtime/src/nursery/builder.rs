//! `TaskBuilder`: a child with a name and other wishes.

use std::future::Future;
use std::panic::Location;
use std::sync::Arc;

use super::handle::{Options, closed};
use super::{Closed, Nursery, StartError, Started, TaskOutput};
use crate::task::Task;

/// What a child is to be before it is spawned: [`Nursery::task`].
#[must_use = "call `spawn` or `start`"]
pub struct TaskBuilder<'a, E> {
    nursery: &'a Nursery<E>,
    name: Arc<str>,
    service: bool,
}

impl<'a, E: Send + 'static> TaskBuilder<'a, E> {
    pub(super) fn new(nursery: &'a Nursery<E>, name: Arc<str>) -> Self {
        Self { nursery, name, service: false }
    }

    /// Makes it a service: [`Nursery::service`].
    pub fn service(mut self) -> Self {
        self.service = true;
        self
    }

    /// As [`Nursery::spawn`].
    ///
    /// # Panics
    ///
    /// If the nursery is closed.
    #[track_caller]
    pub fn spawn<F>(self, future: F) -> Task<<F::Output as TaskOutput<E>>::Value>
    where
        F: Future + Send + 'static,
        F::Output: TaskOutput<E>,
        <F::Output as TaskOutput<E>>::Value: Send,
    {
        match self.try_spawn(future) {
            Ok(task) => task,
            Err(_) => closed(),
        }
    }

    /// As [`Nursery::try_spawn`].
    ///
    /// # Errors
    ///
    /// [`Closed`], with the future.
    #[track_caller]
    pub fn try_spawn<F>(self, future: F) -> Result<Task<<F::Output as TaskOutput<E>>::Value>, Closed<F>>
    where
        F: Future + Send + 'static,
        F::Output: TaskOutput<E>,
        <F::Output as TaskOutput<E>>::Value: Send,
    {
        let (nursery, options) = self.options(Location::caller());
        nursery.spawn_with(future, options)
    }

    /// As [`Nursery::start`].
    #[track_caller]
    pub fn start<T, F, Fut>(self, child: F) -> impl Future<Output = Result<T, StartError<E>>> + use<E, T, F, Fut>
    where
        T: Send + 'static,
        F: FnOnce(Started<T>) -> Fut,
        Fut: Future + Send + 'static,
        Fut::Output: TaskOutput<E>,
    {
        let (nursery, options) = self.options(Location::caller());
        nursery.start_with(child, options)
    }

    fn options(self, at: &'static Location<'static>) -> (&'a Nursery<E>, Options) {
        let mut options = Options::at(at);
        options.name = Some(self.name);
        options.service = self.service;
        (self.nursery, options)
    }
}
