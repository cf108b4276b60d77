//! Cancel scopes: the tree, the one door of cancellation, guards, and the futures that stand on them.
//!
//! A scope is a future around a future. Its poll: (1) poll the inside; (2) `Ready` is the result, cancelled or not; (3) `Pending`, in a
//! cancelled scope whose surroundings are not cancelled, and no guard below: drop the inside, the result is `Cancelled`;
//! (4) otherwise `Pending`.
//!
//! | file | duty |
//! | --- | --- |
//! | `node` | the tree; what is inherited, what is under which lock |
//! | `cancel` | cancel and stop: mark downwards, wake what sleeps |
//! | `guard` | what must finish first, and what if it never does |
//! | `scoped` | the future of a scope, also as a shield |
//! | `unmade` | scopes that need no node |
//! | `unlinked` | nurseries that nobody has used yet |
//! | `suspended` | the lists of suspended tasks, and a list for each worker where they fight over one |
//! | `owner` | who is woken for a node |
//! | `deadline`, `shield` | both may change at any time |
//! | `cancel_scope`, `timeout`, `stop`, `finally`, `condition`, `group`, `ended` | what users call |
//! | `live` | the count behind a nursery's join |
//! | `reason` | why |

mod cancel;
mod cancel_scope;
mod condition;
mod deadline;
mod ended;
mod finally;
mod group;
pub(crate) mod guard;
pub(crate) mod live;
pub(crate) mod node;
mod owner;
mod reason;
pub(crate) mod scoped;
mod shield;
mod stop;
pub(crate) mod suspended;
mod timeout;
mod unlinked;
pub(crate) mod unmade;

pub use cancel_scope::{CancelScope, ScopeHandle};
pub use condition::move_on_when;
pub use deadline::{EffectiveDeadline, current_effective_deadline};
pub use finally::{finally, finally_within};
pub use group::CancelGroup;
pub(crate) use node::Node;
pub use reason::{CancelReason, CancelSource, Cancelled, CancelledBy, TooSlow, current_cancel_reason};
pub use scoped::shield;
pub(crate) use shield::{is_cut_here, unmarked};
pub use stop::{stopping, until_stopping};
pub use timeout::{fail_after, fail_at, move_on_after, move_on_at};
