//! Variables that exist once per run.

use std::collections::HashMap;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use super::Value;
use crate::blocking::host::Host;
use crate::context;
use crate::primitives::Mutex;

/// A variable with one value per run, seen by all its tasks: what a global is to a program with one run.
///
/// Declare it as a `static`. Each run begins without a value; the values are dropped when the run ends. A call of [`blocking`](crate::blocking)
/// belongs to the run of its task. After Trio's `RunVar`.
///
/// ```
/// use trioxide_runtime::{RunVar, run};
///
/// static POOL_SIZE: RunVar<usize> = RunVar::with_default("POOL_SIZE", || 4);
///
/// run(async {
///     assert_eq!(POOL_SIZE.get(), 4);
///     let token = POOL_SIZE.set(8);
///     assert_eq!(POOL_SIZE.get(), 8);
///     POOL_SIZE.reset(token);
///     assert_eq!(POOL_SIZE.get(), 4);
/// });
/// ```
pub struct RunVar<T: 'static> {
    name: &'static str,
    default: Option<fn() -> T>,
}

/// What [`RunVar::set`] has replaced; for [`RunVar::reset`], once.
#[must_use = "keep it for `reset`, or drop it with `let _ = …` or `drop`"]
pub struct RunVarToken<T> {
    key: usize,
    variables: Arc<Variables>,
    before: Option<Value>,
    of: PhantomData<fn() -> T>,
}

/// The variables of one run.
pub(crate) struct Variables(Mutex<HashMap<usize, Value>>);

impl Default for Variables {
    fn default() -> Self {
        Self(Mutex::new(HashMap::new()))
    }
}

/// Those of the run that the caller is in, if any.
pub(super) fn current() -> Option<Arc<Variables>> {
    context::carried(|carried| carried.and_then(|carried| carried.variables.clone()))
        .or_else(|| context::worker(|worker| worker.and_then(|worker| worker.shared().present.variables())))
        .or_else(|| Host::current()?.threads().runtime()?.present.variables())
}

impl Variables {
    /// Drops every value.
    pub(crate) fn clear(&self) {
        let values = std::mem::take(&mut *self.0.lock());
        drop(values); // Outside the lock: their `Drop` is not ours.
    }

    fn get(&self, key: usize) -> Option<Value> {
        self.0.lock().get(&key).cloned()
    }

    fn replace(&self, key: usize, value: Option<Value>) -> Option<Value> {
        let mut values = self.0.lock();
        match value {
            Some(value) => values.insert(key, value),
            None => values.remove(&key),
        }
    }
}

impl<T: Send + Sync + 'static> RunVar<T> {
    /// A variable without a default.
    pub const fn new(name: &'static str) -> Self {
        Self { name, default: None }
    }

    /// A variable that has the value of `default` while it is not set. `default` is called at each such `get`.
    pub const fn with_default(name: &'static str, default: fn() -> T) -> Self {
        Self { name, default: Some(default) }
    }

    /// The value.
    ///
    /// # Panics
    ///
    /// Outside a run; and if the variable is not set and has no default.
    #[track_caller]
    pub fn get(&'static self) -> T
    where
        T: Clone,
    {
        let value = self.variables("get").get(self.key()).map(|value| self.typed(&value).clone());
        value.or_else(|| self.default.map(|default| default())).unwrap_or_else(|| {
            panic!(
                "trioxide: the variable `{}` is not set in this run; call `set` first, give it a default with \
                 `RunVar::with_default`, or use `try_get`",
                self.name
            )
        })
    }

    /// The value, or `None`: outside a run, or if the variable is not set and has no default.
    pub fn try_get(&'static self) -> Option<T>
    where
        T: Clone,
    {
        let value = current()?.get(self.key()).map(|value| self.typed(&value).clone());
        value.or_else(|| self.default.map(|default| default()))
    }

    /// Sets the value for the whole run. The token takes it back.
    ///
    /// # Panics
    ///
    /// Outside a run.
    #[track_caller]
    pub fn set(&'static self, value: T) -> RunVarToken<T> {
        let variables = self.variables("set");
        let before = variables.replace(self.key(), Some(Arc::new(value)));
        RunVarToken { key: self.key(), variables, before, of: PhantomData }
    }

    /// Makes the variable what it was before the `set` that gave `token`: also unset. A token is used once: it is taken by value.
    ///
    /// # Panics
    ///
    /// Outside a run; and if `token` is of another variable or of another run.
    #[track_caller]
    pub fn reset(&'static self, token: RunVarToken<T>) {
        let variables = self.variables("reset");
        assert!(
            token.key == self.key(),
            "trioxide: `reset` of the run variable `{}` with the token of another variable; each `set` gives the token for its own",
            self.name
        );
        assert!(
            Arc::ptr_eq(&variables, &token.variables),
            "trioxide: `reset` of the run variable `{}` with a token of another run; each run has values of its own",
            self.name
        );
        drop(variables.replace(self.key(), token.before));
    }

    #[track_caller]
    fn variables(&'static self, operation: &str) -> Arc<Variables> {
        current().unwrap_or_else(|| {
            panic!(
                "trioxide: `{operation}` of the run variable `{}` outside a run; it has one value for each run, so use it in a task, \
                 or in `blocking`",
                self.name
            )
        })
    }

    fn key(&'static self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    fn typed<'a>(&self, value: &'a Value) -> &'a T {
        value.downcast_ref().expect("only this variable sets its value")
    }
}

impl<T> fmt::Debug for RunVar<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunVar").field("name", &self.name).finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for RunVarToken<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunVarToken").field("was_set", &self.before.is_some()).finish_non_exhaustive()
    }
}
