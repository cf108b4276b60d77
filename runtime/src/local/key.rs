//! `task_local!` and its keys.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use super::{Locals, Value, find};

/// Declares locals: values that a task and all it calls can see without being handed them, and that its children inherit.
///
/// Each is a static of type [`LocalKey`]. A value is bound for the time of a future with [`LocalKey::scope`]; a default may be given.
///
/// ```
/// use trioxide_runtime::{nursery, run, task_local};
///
/// task_local! {
///     /// Whose request this is.
///     pub static REQUEST: u64;
///     static LANGUAGE: &'static str = "en";
/// }
///
/// run(async {
///     REQUEST
///         .scope(7, nursery(async |n| {
///             n.spawn(async {
///                 assert_eq!(REQUEST.get(), 7); // inherited, on whichever worker
///                 assert_eq!(LANGUAGE.get(), "en");
///             });
///         }))
///         .await;
///     assert_eq!(REQUEST.try_get(), None);
/// });
/// ```
#[macro_export]
macro_rules! task_local {
    () => {};
    ($(#[$meta:meta])* $vis:vis static $name:ident : $type:ty = $default:expr $(; $($rest:tt)*)?) => {
        $(#[$meta])*
        $vis static $name: $crate::LocalKey<$type> =
            $crate::LocalKey::new(::core::stringify!($name), ::core::option::Option::Some(|| $default));
        $($crate::task_local! { $($rest)* })?
    };
    ($(#[$meta:meta])* $vis:vis static $name:ident : $type:ty $(; $($rest:tt)*)?) => {
        $(#[$meta])*
        $vis static $name: $crate::LocalKey<$type> =
            $crate::LocalKey::new(::core::stringify!($name), ::core::option::Option::None);
        $($crate::task_local! { $($rest)* })?
    };
}

/// A local, declared with [`task_local!`](crate::task_local).
///
/// A child sees what was bound where it was *spawned* (for the place of its nursery instead, see [`TreeVar`](crate::TreeVar)). It holds the values as they
/// were then: what is bound later, by the child or by its parent, the other does not see. So does [`blocking`](crate::blocking). After Python's context variables, which Trio hands on at spawn in the same way.
pub struct LocalKey<T: 'static> {
    name: &'static str,
    default: Option<fn() -> T>,
}

impl<T: Send + Sync + 'static> LocalKey<T> {
    #[doc(hidden)]
    pub const fn new(name: &'static str, default: Option<fn() -> T>) -> Self {
        Self { name, default }
    }

    /// Binds `value` for `future` and what it spawns.
    ///
    /// # Cancellation
    ///
    /// A checkpoint only where `future` is. Needs no run.
    pub fn scope<F: Future>(&'static self, value: T, future: F) -> LocalScope<T, F> {
        LocalScope {
            inside: Some(future),
            value: Some(value),
            key: self.key(),
            bound: Locals::default(),
            of: PhantomData,
        }
    }

    /// Binds `value` for a call of `f`.
    pub fn sync_scope<R>(&'static self, value: T, f: impl FnOnce() -> R) -> R {
        Locals::current().with_value(self.key(), Arc::new(value)).enter(f)
    }

    /// Calls `f` with the value.
    ///
    /// # Panics
    ///
    /// If nothing is bound here and there is no default.
    #[track_caller]
    pub fn with<R>(&'static self, f: impl FnOnce(&T) -> R) -> R {
        match self.bound() {
            Some(value) => f(self.typed(&value)),
            None => match self.default {
                Some(default) => f(&default()),
                None => self.unbound(),
            },
        }
    }

    /// Calls `f` with the value, if one is bound here or there is a default.
    pub fn try_with<R>(&'static self, f: impl FnOnce(&T) -> R) -> Option<R> {
        match self.bound() {
            Some(value) => Some(f(self.typed(&value))),
            None => self.default.map(|default| f(&default())),
        }
    }

    /// The value.
    ///
    /// # Panics
    ///
    /// If nothing is bound here and there is no default.
    #[track_caller]
    pub fn get(&'static self) -> T
    where
        T: Clone,
    {
        self.try_get().unwrap_or_else(|| self.unbound())
    }

    /// The value, if one is bound here or there is a default.
    pub fn try_get(&'static self) -> Option<T>
    where
        T: Clone,
    {
        self.try_with(T::clone)
    }

    /// No two statics have the same address.
    fn key(&'static self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    fn bound(&'static self) -> Option<Value> {
        find(self.key())
    }

    fn typed<'a>(&self, value: &'a Value) -> &'a T {
        value.downcast_ref().expect("only this key's `scope` binds to this key")
    }

    #[cold]
    #[track_caller]
    fn unbound(&self) -> ! {
        panic!(
            "trioxide: the local `{0}` has no value here; run the code in `{0}.scope(value, future)`, \
             give it a default in `task_local!`, or use `try_get`",
            self.name
        )
    }
}

impl<T> fmt::Debug for LocalKey<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalKey").field("name", &self.name).finish_non_exhaustive()
    }
}

pin_project! {
    /// The future of [`LocalKey::scope`].
    #[must_use = "futures do nothing unless polled"]
    pub struct LocalScope<T: 'static, F> {
        #[pin]
        inside: Option<F>,
        // Until the first poll, which finds out what else is bound.
        value: Option<T>,
        key: usize,
        bound: Locals,
        of: PhantomData<LocalKey<T>>,
    }

    impl<T, F> PinnedDrop for LocalScope<T, F> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            // What is dropped half-way still sees its values.
            if this.value.is_none() {
                this.bound.enter(|| this.inside.set(None));
            }
        }
    }
}

impl<T: Send + Sync + 'static, F: Future> Future for LocalScope<T, F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let mut this = self.project();
        if let Some(value) = this.value.take() {
            *this.bound = Locals::current().with_value(*this.key, Arc::new(value));
        }
        this.bound.enter(|| {
            let inside = this.inside.as_mut().as_pin_mut().expect("a `LocalScope` is not polled after its end");
            let polled = inside.poll(cx);
            if polled.is_ready() {
                this.inside.set(None);
            }
            polled
        })
    }
}

impl<T, F> fmt::Debug for LocalScope<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalScope").finish_non_exhaustive()
    }
}
