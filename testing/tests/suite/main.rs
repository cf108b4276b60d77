//! What may stand beside other tests in one process: sweeps of cancellation in virtual time, the clock, the small helpers, criterion.

mod cancel_everywhere;
mod cancel_sweep_channels;
mod cancel_sweep_io;
mod cancel_sweep_runtime;
mod cancel_sweep_sockets;
mod cancel_sweep_sync;
mod cancel_sweep_tls;
mod clock;
#[cfg(feature = "criterion")]
mod criterion_rt;
mod helpers;
mod sequencer;
mod slot;
