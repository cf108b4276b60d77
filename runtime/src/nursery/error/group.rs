//! `ErrorGroup`: at least one error, each with its origin.

use std::error::Error;
use std::fmt;

use super::Origin;

/// The errors of a nursery, at least one, in the order in which they were reported.
///
/// Its `Display` is a tree: a branch for each error, with the task that returned it and where that was spawned; the tree of an inner nursery
/// hangs in that of the outer one.
///
/// ```text
/// 2 errors in the nursery
/// ├─ task #7 "reader", spawned at src/main.rs:12:9: connection reset by peer
/// └─ task #8, spawned at src/main.rs:13:9: 1 error in the nursery
///    └─ body: invalid digit found in string
/// ```
#[derive(Debug)]
pub struct ErrorGroup<E> {
    /// Never empty (G1).
    pub(super) failures: Vec<Failure<E>>,
}

/// One error of a group, and where it comes from.
#[derive(Debug)]
pub struct Failure<E> {
    /// The error.
    pub error: E,
    /// Who returned it.
    pub origin: Origin,
}

impl<E> ErrorGroup<E> {
    pub(in crate::nursery) fn new(failures: Vec<Failure<E>>) -> Self {
        assert!(!failures.is_empty(), "a group of errors has at least one");
        Self { failures }
    }

    pub(super) fn of_one(error: E, origin: Origin) -> Self {
        Self { failures: vec![Failure { error, origin }] }
    }

    /// A group of what there is, or nothing.
    pub(super) fn of(failures: Vec<Failure<E>>) -> Option<Self> {
        (!failures.is_empty()).then_some(Self { failures })
    }

    /// The errors, in the order in which they were reported.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &E> {
        self.failures.iter().map(|failure| &failure.error)
    }

    /// The errors with their origins.
    pub fn failures(&self) -> &[Failure<E>] {
        &self.failures
    }

    /// The errors with their origins, by value.
    pub fn into_failures(self) -> Vec<Failure<E>> {
        self.failures
    }

    /// The error that was reported first.
    pub fn first(&self) -> &E {
        &self.failures[0].error
    }

    /// The error that was reported first, by value; the others are dropped.
    pub fn into_first(mut self) -> E {
        self.failures.swap_remove(0).error
    }

    /// The error, if it is the only one.
    ///
    /// # Errors
    ///
    /// The group, if there are several: none gets lost.
    pub fn into_single(self) -> Result<E, Self> {
        if self.len() == 1 { Ok(self.into_first()) } else { Err(self) }
    }

    /// How many there are: at least one.
    #[expect(clippy::len_without_is_empty, reason = "a group is never empty")]
    pub fn len(&self) -> usize {
        self.failures.len()
    }

    /// The same with every error changed by `f`; who returned them stays.
    pub fn map<E2>(self, mut f: impl FnMut(E) -> E2) -> ErrorGroup<E2> {
        let failures = self.failures.into_iter();
        ErrorGroup { failures: failures.map(|Failure { error, origin }| Failure { error: f(error), origin }).collect() }
    }
}

impl<E> IntoIterator for ErrorGroup<E> {
    type Item = E;
    type IntoIter = std::iter::Map<std::vec::IntoIter<Failure<E>>, fn(Failure<E>) -> E>;

    fn into_iter(self) -> Self::IntoIter {
        self.failures.into_iter().map(|failure| failure.error)
    }
}

impl<E: fmt::Display> fmt::Display for ErrorGroup<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.failures.len();
        write!(f, "{count} {} in the nursery", if count == 1 { "error" } else { "errors" })?;
        for (index, failure) in self.failures.iter().enumerate() {
            let (branch, stem) = if index + 1 == count { ("└─ ", "   ") } else { ("├─ ", "│  ") };
            write!(f, "\n{branch}{}: ", failure.origin)?;
            let text = if f.alternate() { format!("{:#}", failure.error) } else { failure.error.to_string() };
            for (line_number, line) in text.lines().enumerate() {
                if line_number > 0 {
                    write!(f, "\n{stem}")?;
                }
                f.write_str(line)?;
            }
        }
        Ok(())
    }
}

impl<E: Error + 'static> Error for ErrorGroup<E> {
    /// The error that was reported first.
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(self.first())
    }
}
