//! In place of `signals`, where there are none of the kind (and under the model checker).

use std::sync::Arc;
use std::time::Duration;

use crate::scope::Node;

#[expect(clippy::unnecessary_wraps, reason = "as the real one")]
pub(crate) fn prepare() -> std::io::Result<()> {
    Ok(())
}

pub(crate) struct Watched;

pub(crate) fn watch(_root: &Arc<Node>, _grace: Duration) -> Watched {
    Watched
}

impl Watched {
    pub(crate) fn main_was_cut(&self) {}
}

impl Drop for Watched {
    fn drop(&mut self) {}
}
