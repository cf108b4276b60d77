//! What users call. The macros make the list of branches, and take its nested values apart again.

/// Runs several futures at once, in this task, and gives all their values: `let (a, b) = join!(f, g);`.
///
/// It awaits by itself. The futures run interleaved and not in parallel, so they may borrow from what surrounds them, also mutably if each
/// borrows something of its own, and need not be `Send`. Any number of anything that is `IntoFuture`. For all workers:
/// [`parallel::join`](crate::parallel::join), or a nursery. After the `gather` that Trio's users write on a nursery.
///
/// A future is polled only when it was woken. Do not build on the order: the first poll goes from first to last, each further one begins with another future than the
/// last did, so none is always first; in a simulation the seed says with which a poll begins.
///
/// # Cancellation
///
/// A checkpoint only where the futures are. If a scope around is cancelled, each future is cut where it is suspended, its clean-up runs, and
/// the scope waits for that; the values of futures that had ended are dropped. If all have ended, the values are delivered.
///
/// If something else than a scope drops it (a foreign `select!`), the futures are dropped with it; a panic that has waited for the others to unwind
/// becomes the task's.
///
/// # Panics
///
/// When polled outside a run. A panic in one future cancels the others; when they have unwound, it is resumed here (the first one, if there are
/// several; the others were reported by the panic hook).
///
/// ```
/// use trioxide_runtime::{checkpoint, join, run};
/// run(async {
///     let (mut left, mut right) = (0, 0);
///     let (a, b) = join!(
///         async {
///             left += 1;
///             checkpoint().await;
///             "a"
///         },
///         async {
///             right += 1;
///             2
///         },
///     );
///     assert_eq!((a, b, left, right), ("a", 2, 1, 1));
/// });
/// ```
#[macro_export]
macro_rules! join {
    ($($future:expr),* $(,)?) => {
        $crate::__named!(__join [] [] $($future,)*)
    };
}

/// Runs several futures at once, in this task, until one fails: `let (a, b) = try_join!(f, g)?;`.
///
/// As [`join!`](crate::join), for futures that give a `Result`, all with the same type of error.
///
/// # Errors
///
/// The first error. The others are cancelled, each through a scope of its own, and it waits until they have unwound, clean-up included; then
/// the error comes out. What they return while they unwind is dropped, errors too: a [`nursery`](fn@crate::nursery) keeps them all.
///
/// # Cancellation
///
/// As [`join!`](crate::join); an error of a future that unwinds still comes out. Of a future that is stopped because another has failed, what was
/// handed to it and not yet taken is lost nowhere: it is not polled again, unless something in it must finish (a nursery, `finally`, `shield`, `blocking`).
///
/// # Panics
///
/// As [`join!`](crate::join): a panic comes before an error.
///
/// ```
/// use trioxide_runtime::{run, sleep_forever, try_join};
/// let outcome: Result<(u32, ()), std::num::ParseIntError> = run(async {
///     let never = async {
///         sleep_forever().await; // cut when the other fails
///         Ok(())
///     };
///     try_join!(async { "12x".parse::<u32>() }, never)
/// });
/// assert!(outcome.is_err());
/// ```
#[macro_export]
macro_rules! try_join {
    ($($future:expr),* $(,)?) => {
        $crate::__named!(__try_join [] [] $($future,)*)
    };
}

/// Runs several futures at once, in this task, and gives the value of the one that ends first: `let answer = race!(f, g);`.
///
/// As [`join!`](crate::join), for futures that all give the same type. The losers are cancelled, each through a scope of its own, and it waits until they have
/// unwound, clean-up included. So when it has ended nothing of them runs any more; that is what a `select!` that drops cannot give.
/// After the `race` of Trio's manual.
///
/// If several could end at the same poll, the one that is polled first wins. The first poll begins with any of them, so that none starves where this is called in a
/// loop; each further poll begins with another future than the last. In a simulation the seed says with which.
///
/// # Cancellation
///
/// As [`join!`](crate::join); a value that was won is delivered. A loser is not polled again, so what was handed to it and not yet taken (a message, a
/// permit) goes back. Only a loser in which something must finish (a nursery, `finally`, `shield`, `blocking`) is polled until that is done;
/// if such a one completes, its value is dropped. `&mut` of a future that is needed afterwards is no good branch: it stays cancelled.
///
/// # Panics
///
/// As [`join!`](crate::join): a panic of a loser that unwinds comes before the value.
///
/// ```
/// use std::time::Duration;
/// use trioxide_runtime::{race, run, sleep};
/// let first = run(async {
///     race!(
///         async {
///             sleep(Duration::from_secs(3600)).await;
///             "slow"
///         },
///         async {
///             sleep(Duration::from_millis(1)).await;
///             "fast"
///         },
///     )
/// });
/// assert_eq!(first, "fast");
/// ```
#[macro_export]
macro_rules! race {
    () => {
        ::std::compile_error!("`race!` of nothing never ends: give it at least one future")
    };
    ($($future:expr),+ $(,)?) => {
        $crate::combine::combined($crate::combine::Race(::std::option::Option::None), $crate::__branches!($($future,)+)).await
    };
}

/// The list of branches.
#[doc(hidden)]
#[macro_export]
macro_rules! __branches {
    () => { $crate::combine::Nil };
    ($future:expr, $($rest:expr,)*) => {
        $crate::combine::Cons::new($future, $crate::__branches!($($rest,)*))
    };
}

/// Gives each future a name of its own (the same word, from another expansion), then calls `$then`.
#[doc(hidden)]
#[macro_export]
macro_rules! __named {
    ($then:ident [$($name:ident)*] [$($future:expr,)*]) => {
        $crate::$then!([$($name)*] [$($future,)*])
    };
    ($then:ident [$($name:ident)*] [$($future:expr,)*] $next:expr, $($rest:expr,)*) => {
        $crate::__named!($then [$($name)* value] [$($future,)* $next,] $($rest,)*)
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __join {
    ([$($name:ident)*] [$($future:expr,)*]) => {
        match $crate::combine::combined($crate::combine::Join, $crate::__branches!($($future,)*)).await {
            $crate::__nested!($($name)*) => ($($name,)*),
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __try_join {
    ([$($name:ident)*] [$($future:expr,)*]) => {
        match $crate::combine::combined($crate::combine::TryJoin(::std::option::Option::None), $crate::__branches!($($future,)*)).await {
            ::std::result::Result::Ok($crate::__nested!($($name)*)) => ::std::result::Result::Ok(($($name,)*)),
            ::std::result::Result::Err(error) => ::std::result::Result::Err(error),
        }
    };
}

/// The pattern of nested values.
#[doc(hidden)]
#[macro_export]
macro_rules! __nested {
    () => { () };
    ($name:ident $($rest:ident)*) => { ($name, $crate::__nested!($($rest)*)) };
}
