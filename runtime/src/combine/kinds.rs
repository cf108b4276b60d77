//! What decides, and what comes out: the three combinators.

use super::Kind;
use super::list::Judge;
use crate::scope::CancelReason;

/// All values.
pub struct Join;

impl<O> Judge<O> for Join {
    type Value = O;

    fn judge(&mut self, output: O) -> Option<O> {
        Some(output)
    }
}

impl<Values> Kind<Values> for Join {
    type Output = Values;
    const NAME: &'static str = "join!";

    fn reason(&self) -> CancelReason {
        unreachable!("only a panic decides a `join!`")
    }

    fn finish(&mut self, values: Option<Values>) -> Option<Values> {
        values
    }
}

/// All values, or the first error.
pub struct TryJoin<E>(pub Option<E>);

impl<T, E> Judge<Result<T, E>> for TryJoin<E> {
    type Value = T;

    fn judge(&mut self, output: Result<T, E>) -> Option<T> {
        match output {
            Ok(value) => Some(value),
            Err(error) => {
                self.0.get_or_insert(error);
                None
            }
        }
    }
}

impl<Values, E> Kind<Values> for TryJoin<E> {
    type Output = Result<Values, E>;
    const NAME: &'static str = "try_join!";

    fn reason(&self) -> CancelReason {
        "another branch of `try_join!` failed".into()
    }

    fn finish(&mut self, values: Option<Values>) -> Option<Result<Values, E>> {
        match self.0.take() {
            Some(error) => Some(Err(error)),
            None => values.map(Ok),
        }
    }
}

/// The value of whoever ends first.
pub struct Race<T>(pub Option<T>);

impl<T> Judge<T> for Race<T> {
    type Value = ();

    fn judge(&mut self, output: T) -> Option<()> {
        self.0.get_or_insert(output);
        None
    }
}

impl<Values, T> Kind<Values> for Race<T> {
    type Output = T;
    const NAME: &'static str = "race!";
    const BEGINS_WITH_ANY: bool = true;

    fn reason(&self) -> CancelReason {
        "another branch of `race!` ended first".into()
    }

    fn finish(&mut self, _values: Option<Values>) -> Option<T> {
        self.0.take()
    }
}
