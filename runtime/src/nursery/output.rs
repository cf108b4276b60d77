//! What bodies and children of a nursery may return.

use std::convert::Infallible;

use super::NurseryError;

/// What the body of a nursery may return: `()`, or `Result<T, E>`.
#[diagnostic::on_unimplemented(
    message = "the body of a nursery returns `()` or a `Result`, not `{Self}`",
    label = "this nursery's body returns `{Self}`",
    note = "return `Ok::<_, E>(value)` to get a value out of the nursery, with `E` the error type of its children (`std::convert::Infallible` if they cannot fail)"
)]
pub trait BodyOutput<E>: private::Body<E> {
    /// The value of a body that has succeeded.
    type Value;
    /// What the nursery gives.
    type Joined;

    #[doc(hidden)]
    fn into_result(self) -> Result<Self::Value, E>;

    #[doc(hidden)]
    fn join(joined: Result<Self::Value, NurseryError<E>>) -> Self::Joined;
}

impl BodyOutput<Infallible> for () {
    type Value = ();
    type Joined = ();

    fn into_result(self) -> Result<(), Infallible> {
        Ok(())
    }

    fn join(_joined: Result<(), NurseryError<Infallible>>) {}
}

/// A body that never ends, as `loop { … }`.
#[diagnostic::do_not_recommend]
impl BodyOutput<Infallible> for private::Never {
    type Value = ();
    type Joined = ();

    fn into_result(self) -> Result<(), Infallible> {
        self
    }

    fn join(_joined: Result<(), NurseryError<Infallible>>) {}
}

impl<T, E> BodyOutput<E> for Result<T, E> {
    type Value = T;
    type Joined = Result<T, NurseryError<E>>;

    fn into_result(self) -> Self {
        self
    }

    fn join(joined: Result<T, NurseryError<E>>) -> Self::Joined {
        joined
    }
}

/// What a child of a nursery may return: `()`, or a `Result` whose error converts into the nursery's.
#[diagnostic::on_unimplemented(
    message = "a child of this nursery returns `()` or a `Result` whose error converts into `{E}`, not `{Self}`",
    label = "this child returns `{Self}`",
    note = "return `Ok::<_, {E}>(value)` to hand a value to the `Task`; end the future with `;` to return nothing",
    note = "the error type of a nursery is that of its body: `Result<T, E>`; a body of `()` has children that cannot fail"
)]
pub trait TaskOutput<E>: private::Child<E> {
    /// What the child's `Task` gives.
    type Value;

    #[doc(hidden)]
    fn into_result(self) -> Result<Self::Value, E>;
}

impl<E> TaskOutput<E> for () {
    type Value = ();

    fn into_result(self) -> Result<(), E> {
        Ok(())
    }
}

/// A child that never ends, as `loop { … }`, or only panics.
#[diagnostic::do_not_recommend]
impl<E> TaskOutput<E> for private::Never {
    type Value = ();

    fn into_result(self) -> Result<(), E> {
        self
    }
}

// So that an error that does not convert is told in the words above.
#[diagnostic::do_not_recommend]
impl<T, E, E2> TaskOutput<E> for Result<T, E2>
where
    E: From<E2>,
{
    type Value = T;

    fn into_result(self) -> Result<T, E> {
        self.map_err(E::from)
    }
}

mod private {
    /// The type `!`, which has no name of its own on stable Rust: what a function that never returns gives.
    pub trait Gives {
        type Output;
    }
    impl<R> Gives for fn() -> R {
        type Output = R;
    }
    pub(super) type Never = <fn() -> ! as Gives>::Output;

    pub trait Body<E> {}
    impl Body<std::convert::Infallible> for () {}
    impl Body<std::convert::Infallible> for Never {}
    impl<T, E> Body<E> for Result<T, E> {}

    pub trait Child<E> {}
    impl<E> Child<E> for () {}
    impl<E> Child<E> for Never {}
    impl<T, E, E2> Child<E> for Result<T, E2> where E: From<E2> {}
}
