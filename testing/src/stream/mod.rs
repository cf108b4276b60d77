//! Streams that exist only in memory, and suites that check streams.
//!
//! | | what it does |
//! | --- | --- |
//! | [`memory_stream_pair`], [`memory_stream_one_way_pair`] | as much room as is wanted; hooks see and delay each operation |
//! | [`memory_stream_pump`] | carries bytes over by hand, as many as the test likes |
//! | [`lockstep_stream_pair`], [`lockstep_stream_one_way_pair`] | no room at all: a write is done when its bytes have been read |
//! | [`Choppy`] | any stream, in pieces of all sizes, each waited for |
//! | [`check_one_way_stream`], [`check_two_way_stream`], [`check_half_closeable_stream`] | what every stream promises |
//! | [`check_clogged_stream`], [`check_clogged_half_closeable_stream`] | what it promises when it has no room |
//!
//! All are read and written as [`trioxide_io::stream`] says, and through `futures-io`'s traits. After Trio's testing streams.
//!
//! | file | duty |
//! | --- | --- |
//! | `memory`, `queue`, `turn` | memory streams; the bytes between the two ends; one operation at a time |
//! | `lockstep` | lockstep streams |
//! | `choppy` | partial reads and writes |
//! | `check` | the suites |

mod check;
mod choppy;
mod lockstep;
mod memory;
mod queue;
mod turn;

pub use check::{
    check_clogged_half_closeable_stream, check_clogged_stream, check_half_closeable_stream, check_one_way_stream,
    check_two_way_stream,
};
pub use choppy::Choppy;
pub use lockstep::{LockstepReceiveStream, LockstepSendStream, lockstep_stream_one_way_pair, lockstep_stream_pair};
pub use memory::{
    MemoryReceiveStream, MemorySendStream, memory_stream_one_way_pair, memory_stream_pair, memory_stream_pump,
};
