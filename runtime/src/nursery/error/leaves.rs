//! Down to the leaves of a tree of errors, and taking trees apart by them.

use std::any::Any;
use std::error::Error;

use super::{AnyError, ErrorGroup, Failure, NurseryError, Origin};

/// An error at the end of a tree of errors: see [`ErrorGroup::leaves`].
#[derive(Debug)]
pub struct Leaf<'a, E> {
    /// The error.
    pub error: &'a E,
    path: Vec<&'a Origin>,
}

impl<'a, E> Leaf<'a, E> {
    /// Who returned it.
    pub fn origin(&self) -> &'a Origin {
        self.path[self.path.len() - 1]
    }

    /// The way to it: the child of the outermost nursery that returned a group first, the one that returned the leaf last. At least one.
    pub fn path(&self) -> &[&'a Origin] {
        &self.path
    }
}

/// The iterator of [`ErrorGroup::leaves`].
#[derive(Debug)]
pub struct Leaves<'a, E> {
    /// What is left to visit, for each group from the outermost down to the present one.
    levels: Vec<std::slice::Iter<'a, Failure<E>>>,
    /// Who returned each of these groups but for the outermost.
    path: Vec<&'a Origin>,
}

impl<'a, E> Leaves<'a, E> {
    pub(super) fn of(group: Option<&'a ErrorGroup<E>>) -> Self {
        Self { levels: group.into_iter().map(|group| group.failures.iter()).collect(), path: Vec::new() }
    }
}

impl<'a, E: 'static> Iterator for Leaves<'a, E> {
    type Item = Leaf<'a, E>;

    fn next(&mut self) -> Option<Leaf<'a, E>> {
        loop {
            let Some(failure) = self.levels.last_mut()?.next() else {
                self.levels.pop();
                self.path.pop();
                continue;
            };
            let Some(group) = group_in(&failure.error) else {
                let path = self.path.iter().copied().chain([&failure.origin]).collect();
                return Some(Leaf { error: &failure.error, path });
            };
            self.path.push(&failure.origin);
            self.levels.push(group.failures.iter());
        }
    }
}

impl<E: 'static> ErrorGroup<E> {
    /// The errors at the ends of the tree, in order: where an [`AnyError`] is a group, those in it.
    pub fn leaves(&self) -> Leaves<'_, E> {
        Leaves::of(Some(self))
    }

    /// The leaves by value, each with who returned it; the groups around them are gone.
    pub fn into_leaves(self) -> Vec<Failure<E>> {
        let mut leaves = Vec::new();
        let mut levels = vec![self.failures.into_iter()];
        while let Some(level) = levels.last_mut() {
            match level.next() {
                None => drop(levels.pop()),
                Some(Failure { error, origin }) => match into_group(error) {
                    Ok(group) => levels.push(group.failures.into_iter()),
                    Err(error) => leaves.push(Failure { error, origin }),
                },
            }
        }
        leaves
    }

    /// Takes the group apart: the leaves for which `matches` says true, and the rest. Both keep their groups in groups.
    pub fn split(self, mut matches: impl FnMut(&E) -> bool) -> (Option<Self>, Option<Self>) {
        self.split_by(&mut matches)
    }

    fn split_by(self, matches: &mut dyn FnMut(&E) -> bool) -> (Option<Self>, Option<Self>) {
        let (mut matching, mut rest) = (Vec::new(), Vec::new());
        for Failure { error, origin } in self.failures {
            match into_group(error) {
                Ok(group) => {
                    let (yes, no) = group.split_by(matches);
                    matching.extend(yes.map(|yes| Failure { error: from_group(yes), origin: origin.clone() }));
                    rest.extend(no.map(|no| Failure { error: from_group(no), origin }));
                }
                Err(error) if matches(&error) => matching.push(Failure { error, origin }),
                Err(error) => rest.push(Failure { error, origin }),
            }
        }
        (Self::of(matching), Self::of(rest))
    }

    /// Gives `f` the part of the group for which `matches` says true, if there is one: as `except*` does in Python.
    ///
    /// # Errors
    ///
    /// The rest.
    pub fn handle(self, matches: impl FnMut(&E) -> bool, f: impl FnOnce(Self)) -> Result<(), Self> {
        let (matching, rest) = self.split(matches);
        if let Some(matching) = matching {
            f(matching);
        }
        rest.map_or(Ok(()), Err)
    }
}

impl ErrorGroup<AnyError> {
    /// Takes all errors that are a `T` out of the tree, and leaves the rest as it is.
    ///
    /// ```
    /// use std::{io, time::Duration};
    /// use trioxide_runtime::{AnyError, NurseryError, TooSlow, fail_after, nursery, run, sleep_forever};
    /// let joined: Result<(), NurseryError<AnyError>> = run(nursery(async |n| {
    ///     n.spawn(fail_after(Duration::ZERO, sleep_forever()));
    ///     Ok(())
    /// }));
    /// let (slow, rest) = joined.unwrap_err().into_group().unwrap().catch::<TooSlow>();
    /// for failure in slow.unwrap().failures() {
    ///     println!("too slow: {}", failure.origin);
    /// }
    /// assert!(rest.is_none());
    /// ```
    pub fn catch<T: Error + 'static>(self) -> (Option<ErrorGroup<T>>, Option<Self>) {
        let (caught, rest) = self.split(AnyError::is::<T>);
        let caught = caught.map(|group| {
            let leaves = group.into_leaves().into_iter();
            ErrorGroup::new(
                leaves
                    .map(|Failure { error, origin }| Failure {
                        error: error.downcast().expect("split has chosen these"),
                        origin,
                    })
                    .collect(),
            )
        });
        (caught, rest)
    }
}

impl NurseryError<AnyError> {
    /// Takes all errors that are a `T` out of the tree, and leaves the rest as it is. See [`ErrorGroup::catch`].
    pub fn catch<T: Error + 'static>(self) -> (Option<ErrorGroup<T>>, Option<Self>) {
        match self {
            Self::Failed(group) => {
                let (caught, rest) = group.catch();
                (caught, rest.map(Self::Failed))
            }
            cancelled @ Self::Cancelled(_) => (None, Some(cancelled)),
        }
    }
}

/// The group that `error` is, if `E` is `AnyError` and it is one.
fn group_in<E: 'static>(error: &E) -> Option<&ErrorGroup<E>> {
    let group = (error as &dyn Any).downcast_ref::<AnyError>()?.group()?;
    (group as &dyn Any).downcast_ref()
}

fn into_group<E: 'static>(error: E) -> Result<ErrorGroup<E>, E> {
    if group_in(&error).is_none() {
        return Err(error);
    }
    let nested = same::<E, AnyError>(error).into_nested().expect("looked at above");
    Ok(same(nested.into_group().expect("looked at above")))
}

fn from_group<E: 'static>(group: ErrorGroup<E>) -> E {
    same(AnyError::from(same::<ErrorGroup<E>, ErrorGroup<AnyError>>(group)))
}

/// `A` and `B` are the same type, as the caller knows and the compiler does not.
fn same<A: 'static, B: 'static>(value: A) -> B {
    let mut value = Some(value);
    (&mut value as &mut dyn Any).downcast_mut::<Option<B>>().and_then(Option::take).expect("one type")
}
