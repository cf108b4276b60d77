//! What each public function that gives a future is swept by, or why not.

pub(crate) enum Covered {
    /// By this test, in this file of `testing/tests`, in whose text the name stands.
    By(&'static str, &'static str),
    /// Not by a sweep of its own, for this reason.
    Because(&'static str),
}

use Covered::{Because, By};

type Rows = &'static [(&'static str, &'static [&'static str], Covered)];

const RUNTIME: &str = "suite/cancel_sweep_runtime.rs";
const CHANNELS: &str = "suite/cancel_sweep_channels.rs";
const SYNC: &str = "suite/cancel_sweep_sync.rs";
const IO: &str = "suite/cancel_sweep_io.rs";
const SOCKETS: &str = "suite/cancel_sweep_sockets.rs";
const TLS: &str = "suite/cancel_sweep_tls.rs";
const BYTES: &str = "cancel_sweep_real/bytes.rs";
const REAL: &str = "cancel_sweep_real/sockets.rs";
const FILES: &str = "cancel_sweep_real/files.rs";
const PROCESSES: &str = "cancel_sweep_real/processes.rs";
const SIGNALS: &str = "cancel_sweep_real/signals.rs";
const STDIO: &str = "cancel_sweep_real/stdio.rs";
const ADAPTERS: &str = "cancel_sweep_real/adapters.rs";

/// The file, functions of it, and what covers them.
#[rustfmt::skip]
pub(crate) const TABLE: Rows = &[
    ("runtime/src/blocking/mod.rs", &["blocking", "Blocking::run"], By(RUNTIME, "blocking_calls")),
    ("runtime/src/checkpoint.rs", &["checkpoint"], By(RUNTIME, "time")),
    ("runtime/src/combine/mod.rs", &["combined"], Because("what `join!`, `race!` and `try_join!` are made of, which `several_in_one_task` sweeps")),
    ("runtime/src/limiter.rs", &["CapacityLimiter::acquire", "CapacityLimiter::acquire_for", "CapacityLimiter::acquire_owned"], By(RUNTIME, "limiters")),
    ("runtime/src/line.rs", &["Permits::acquire"], Because("not public outside of the workspace: what `Semaphore`, `Mutex`, `RwLock` and `CapacityLimiter` are made of, which are swept")),
    ("runtime/src/local/key.rs", &["LocalKey::scope"], By(RUNTIME, "values_of_a_place")),
    ("runtime/src/local/tree_var.rs", &["TreeVar::scope"], By(RUNTIME, "values_of_a_place")),
    ("runtime/src/nursery/builder.rs", &["TaskBuilder::spawn"], By(RUNTIME, "tasks_are_waited_for")),
    ("runtime/src/nursery/builder.rs", &["TaskBuilder::start"], By(RUNTIME, "start")),
    ("runtime/src/nursery/handle.rs", &["Nursery::spawn"], By(RUNTIME, "tasks_are_waited_for")),
    ("runtime/src/nursery/handle.rs", &["Nursery::service"], Because("gives the `Task` that `spawn` gives, which is swept")),
    ("runtime/src/nursery/handle.rs", &["Nursery::start"], By(RUNTIME, "start")),
    ("runtime/src/nursery/joining.rs", &["nursery"], By(RUNTIME, "nurseries")),
    ("runtime/src/nursery/limit.rs", &["Limited::spawn"], By(RUNTIME, "spawning_with_a_limit")),
    ("runtime/src/nursery/local/handle.rs", &["$handle::spawn"], By(RUNTIME, "local_nurseries")),
    ("runtime/src/nursery/local/handle.rs", &["LocalTaskBuilder::spawn"], Because("gives the `LocalTask` that `spawn` gives")),
    ("runtime/src/nursery/local/mod.rs", &["local_nursery", "local_nursery_send"], By(RUNTIME, "local_nurseries")),
    ("runtime/src/nursery/scoped.rs", &["nursery_with", "Scope::spawn"], By(RUNTIME, "nurseries")),
    ("runtime/src/nursery/scoped.rs", &["Scope::start"], By(RUNTIME, "start")),
    ("runtime/src/nursery/scoped.rs", &["Scope::service", "ScopedTaskBuilder::spawn", "ScopedTaskBuilder::start"], Because("give what `Scope::spawn` and `Scope::start` give")),
    ("runtime/src/parallel/each.rs", &["map", "try_map", "for_each", "try_for_each"], By(RUNTIME, "parallel_functions")),
    ("runtime/src/parallel/race.rs", &["race", "race_all"], By(RUNTIME, "parallel_functions")),
    ("runtime/src/parallel/tuples.rs", &["join", "try_join"], By(RUNTIME, "parallel_functions")),
    ("runtime/src/parallel/streams.rs", &["ordered", "completed", "Results::next"], By(RUNTIME, "parallel_streams")),
    ("runtime/src/scheduler/quiet.rs", &["wait_all_tasks_blocked"], By(RUNTIME, "when_all_is_blocked")),
    ("runtime/src/scope/cancel_scope.rs", &["CancelScope::run"], By(RUNTIME, "scopes")),
    ("runtime/src/scope/condition.rs", &["move_on_when"], By(RUNTIME, "scopes")),
    ("runtime/src/scope/ended.rs", &["ScopeHandle::ended", "ScopeHandle::cancel_and_wait"], By(RUNTIME, "who_waits_for_the_end_of_a_scope")),
    ("runtime/src/scope/finally.rs", &["finally", "finally_within"], By(RUNTIME, "clean_up_runs_once")),
    ("runtime/src/scope/group.rs", &["CancelGroup::run"], By(RUNTIME, "scopes")),
    ("runtime/src/scope/scoped.rs", &["shield"], By(RUNTIME, "shields_are_waited_for")),
    ("runtime/src/scope/stop.rs", &["until_stopping", "stopping"], By(RUNTIME, "scopes")),
    ("runtime/src/scope/timeout.rs", &["move_on_after", "move_on_at", "fail_after", "fail_at"], By(RUNTIME, "scopes")),
    ("runtime/src/time/sleep.rs", &["sleep", "sleep_until", "sleep_forever"], By(RUNTIME, "time")),

    ("sync/src/barrier.rs", &["Barrier::wait"], By(SYNC, "barrier")),
    ("sync/src/channel/broadcast.rs", &["Receiver::recv"], By(CHANNELS, "broadcast")),
    ("sync/src/channel/broadcast.rs", &["Sender::subscribe"], Because("gives a receiver, which is no future in this kind of channel")),
    ("sync/src/channel/generate.rs", &["generate"], By(CHANNELS, "generate")),
    ("sync/src/channel/receiver.rs", &["Receiver::recv"], By(CHANNELS, "recv")),
    ("sync/src/channel/sender.rs", &["Sender::send"], By(CHANNELS, "send")),
    ("sync/src/channel/sender.rs", &["Sender::reserve"], By(CHANNELS, "reserve_and_sink")),
    ("sync/src/channel/watch.rs", &["Receiver::changed", "Receiver::wait_for"], By(CHANNELS, "watch")),
    ("sync/src/channel/watch.rs", &["Sender::subscribe"], Because("gives a receiver, which is no future in this kind of channel")),
    ("sync/src/condition.rs", &["Condition::wait", "Condition::wait_while"], By(SYNC, "condition")),
    ("sync/src/event.rs", &["Event::wait"], By(SYNC, "event")),
    ("sync/src/mutex.rs", &["Mutex::lock", "Mutex::lock_owned"], By(SYNC, "mutex")),
    ("sync/src/notify.rs", &["Notify::wait"], By(SYNC, "notify")),
    ("sync/src/once_cell.rs", &["OnceCell::get_or_init", "OnceCell::get_or_try_init"], By(SYNC, "once_cell")),
    ("sync/src/once_cell.rs", &["Lazy::force"], By(SYNC, "lazy")),
    ("sync/src/parking_lot.rs", &["ParkingLot::park"], By(SYNC, "parking_lot")),
    ("sync/src/rw_lock.rs", &["RwLock::read", "RwLock::read_owned", "RwLock::write", "RwLock::write_owned"], By(SYNC, "rw_lock")),
    ("sync/src/semaphore.rs", &["Semaphore::acquire", "Semaphore::acquire_many", "Semaphore::acquire_owned", "Semaphore::acquire_many_owned"], By(SYNC, "semaphore")),

    ("io/src/any.rs", &["Async::readable", "Async::writable", "Async::read_with", "Async::write_with"], By(BYTES, "any_descriptor")),
    ("io/src/buffer.rs", &["BufReader::read_line", "BufReader::read_until", "BufReader::read_exact"], By(IO, "buffered_reads")),
    ("io/src/buffer.rs", &["BufWriter::write_all", "BufWriter::flush"], By(IO, "buffered_writes")),
    ("io/src/connect/mod.rs", &["connect"], By(REAL, "a_client")),
    ("io/src/connect/mod.rs", &["Connect::to", "Connect::to_with"], By(REAL, "binding_and_connecting_with_options")),
    ("io/src/copy.rs", &["copy"], By(IO, "what_may_be_half_done_is_done_from_its_begin")),
    ("io/src/copy.rs", &["copy_bidirectional"], By(SOCKETS, "a_copy_both_ways_ends_both")),
    ("io/src/frames.rs", &["Frames::next"], By(IO, "frames")),
    ("io/src/frames.rs", &["write_frame"], By(IO, "what_may_be_half_done_is_done_from_its_begin")),
    ("io/src/fs/file.rs", &[
        "File::open", "File::create", "File::into_std", "File::close", "File::read", "File::read_to_end", "File::write", "File::write_all", "File::seek", "File::sync_all", "File::sync_data", "File::set_len",
        "File::metadata", "File::set_permissions", "OpenOptions::open",
    ], By(FILES, "methods")),
    ("io/src/fs/mod.rs", &[
        "read", "read_to_string", "write", "create_dir", "create_dir_all", "remove_file", "remove_dir", "remove_dir_all", "metadata", "symlink_metadata", "set_permissions", "read_link", "canonicalize", "try_exists",
        "read_dir", "rename", "copy", "hard_link", "symlink",
    ], By(FILES, "functions")),
    ("io/src/methods.rs", &["read", "read_vectored", "readable"], By(BYTES, "reads_of_a_pipe")),
    ("io/src/methods.rs", &["read_exact"], By(BYTES, "exact_reads_of_a_pipe")),
    ("io/src/methods.rs", &["write", "write_vectored", "write_all", "writable"], By(BYTES, "writes_to_a_pipe")),
    ("io/src/methods.rs", &["sendfile"], By(BYTES, "files_to_tcp")),
    ("io/src/network/mod.rs", &["within"], Because("what `Host::run` of the simulated network is, in which all of `cancel_sweep_sockets.rs` is swept")),
    ("io/src/process/command.rs", &["Command::spawn"], By(PROCESSES, "spawn_and_wait")),
    ("io/src/process/run.rs", &["Command::run", "Command::output", "Command::status"], By(PROCESSES, "run_output_status")),
    ("io/src/process/run.rs", &["Command::run_started"], By(PROCESSES, "run_in_a_nursery")),
    ("io/src/process/running.rs", &["Process::wait"], By(PROCESSES, "a_wait_takes_nothing")),
    ("io/src/serve/listener.rs", &["Listen::accept"], Because("that of the listeners, which are swept; and called by each server")),
    ("io/src/serve/mod.rs", &["serve"], By(REAL, "a_server")),
    ("io/src/serve/mod.rs", &["Server::run", "Server::run_started"], By(REAL, "servers_with_options")),
    ("io/src/signal.rs", &["Signal::recv"], By(SIGNALS, "recv")),
    ("io/src/signal.rs", &["ctrl_c"], By(SIGNALS, "control_c")),
    ("io/src/stdio.rs", &["Stdin::read"], By(STDIO, "reads")),
    ("io/src/stdio.rs", &["Stdout::write", "Stdout::write_all"], By(STDIO, "writes")),
    ("io/src/stream.rs", &["ReceiveStream::read"], By(IO, "reads_of_a_stream")),
    ("io/src/stream.rs", &["SendStream::write_all", "SendStream::writable", "HalfCloseableStream::finish"], Because("a trait: the methods of those who have it are swept")),
    ("io/src/tcp/listener.rs", &["TcpListener::accept"], By(REAL, "accepting_tcp")),
    ("io/src/tcp/listener.rs", &["TcpListener::bind", "ListenOptions::bind"], By(REAL, "binding_and_connecting_with_options")),
    ("io/src/tcp/split.rs", &["$type::read", "$type::read_exact", "$type::write", "$type::write_all"], By(BYTES, "halves")),
    ("io/src/tcp/stream.rs", &["TcpStream::connect"], By(REAL, "binding_and_connecting_with_options")),
    ("io/src/tcp/stream.rs", &["TcpStream::peek"], By(SOCKETS, "no_byte_is_lost")),
    ("io/src/tls/config.rs", &["connect"], By(TLS, "connecting")),
    ("io/src/tls/stream.rs", &["TlsStream::handshake", "TlsStream::close"], By(TLS, "handshake_and_close")),
    ("io/src/tls/stream.rs", &["TlsStream::write", "TlsStream::write_all", "TlsStream::writable"], By(TLS, "writes")),
    ("io/src/tls/stream.rs", &["TlsStream::finish"], By(TLS, "a_finish_that_was_cut")),
    ("io/src/tls/stream.rs", &["TlsStream::read"], By(TLS, "reads")),
    ("io/src/tls/stream.rs", &["TlsStream::read_exact"], By(TLS, "exact_reads")),
    ("io/src/tls/stream.rs", &["TlsStream::into_parts"], By(TLS, "into_parts")),
    ("io/src/tokio_compat.rs", &["with_tokio"], By(ADAPTERS, "the_context_of_tokio")),
    ("io/src/udp/mod.rs", &["UdpSocket::bind", "UdpSocket::connect"], By(REAL, "binding_and_connecting_with_options")),
    ("io/src/udp/mod.rs", &["UdpSocket::recv", "UdpSocket::recv_from"], By(REAL, "messages_over_udp")),
    ("io/src/udp/mod.rs", &["UdpSocket::send", "UdpSocket::send_to", "UdpSocket::peek_from"], By(REAL, "peeking_and_sending_over_udp")),
    ("io/src/udp/many.rs", &["UdpSocket::send_many", "UdpSocket::send_many_to", "UdpSocket::recv_many"], By(REAL, "many_messages_over_udp")),
    ("io/src/unix/datagram.rs", &["UnixDatagram::recv", "UnixDatagram::recv_from"], By(REAL, "messages_over_a_unix_socket")),
    ("io/src/unix/datagram.rs", &["UnixDatagram::send", "UnixDatagram::send_to"], By(REAL, "sending_over_a_unix_socket")),
    ("io/src/unix/listener.rs", &["UnixListener::accept"], By(REAL, "accepting_on_a_unix_socket")),
    ("io/src/unix/stream.rs", &["UnixStream::connect"], By(REAL, "connecting_to_a_unix_socket")),
];
