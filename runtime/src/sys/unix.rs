//! SIGINT and SIGTERM on Unix: the handler, the thread that it wakes, and the way out by a signal.
//!
//! Invariants of the unsafe code:
//! - **U1** `handle` does only what signal-safety(7) allows: atomics that are lock-free, `sigaction`, `raise`, and one `write` of a byte. `TOLD` sees to it
//!   that never more than two bytes lie in the pipe, so the write neither blocks nor fails, and `errno` stays as it was.
//! - **U2** The pipe and its thread, once made, stay for as long as the process.
//! - **U3** `sigaction` is given pointers to locals that are initialised (zeroed is a valid value of that plain C struct), and numbers of signals that
//!   exist and may be handled.
#![allow(unsafe_code)]

use std::ffi::c_int;
use std::io::{self, PipeReader, Read, Write};
use std::os::fd::IntoRawFd;
use std::{mem, ptr};

use crate::primitives::Mutex;
use crate::primitives::atomic::Ordering::{AcqRel, Acquire, Release};
use crate::primitives::atomic::{AtomicBool, AtomicI32, AtomicU32};
use crate::primitives::thread;

const HANDLED: [c_int; 2] = [libc::SIGINT, libc::SIGTERM];

/// How often each of `HANDLED` has come and was not taken.
static CAME: [AtomicU32; 2] = [AtomicU32::new(0), AtomicU32::new(0)];
/// There is a run; otherwise the handler does what would happen without it.
static WANTED: AtomicBool = AtomicBool::new(false);
/// The thread has been written to and has not woken yet.
static TOLD: AtomicBool = AtomicBool::new(false);
/// The end of the pipe that the handler writes to.
static PIPE: AtomicI32 = AtomicI32::new(-1);
static STARTED: Mutex<bool> = Mutex::new(false);

/// Starts the thread that calls `deliver` when signals have come.
pub(crate) fn start(deliver: fn()) -> io::Result<()> {
    let mut started = STARTED.lock();
    if *started {
        return Ok(());
    }
    let (reader, writer) = io::pipe()?;
    thread::Builder::new()
        .name("trioxide-signals".to_owned())
        .stack_size(256 * 1024)
        .spawn(move || listen(reader, deliver))?;
    // Release pairs with the acquire in `handle`.
    PIPE.store(writer.into_raw_fd(), Release);
    *started = true;
    Ok(())
}

fn listen(mut reader: PipeReader, deliver: fn()) {
    loop {
        match reader.read(&mut [0]) {
            Ok(0) => return, // Cannot be: U2. But if it were, it would be so for ever.
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => return,
        }
        // Before the counts are read, so what comes later writes again. Pairs with the swap in `handle`.
        TOLD.swap(false, AcqRel);
        deliver();
    }
}

/// Takes those of the signals that have their default disposition.
pub(crate) fn install() {
    // Release pairs with the acquire in `handle`.
    WANTED.store(true, Release);
    for signal in HANDLED {
        if disposition(signal) == libc::SIG_DFL {
            set(signal, own());
        }
    }
}

/// Gives them back, unless somebody has put another handler there.
pub(crate) fn uninstall() {
    WANTED.store(false, Release);
    for signal in HANDLED {
        if disposition(signal) == own() {
            set(signal, libc::SIG_DFL);
        }
    }
}

/// The signals that have come since the last call, each as often as it came.
pub(crate) fn take() -> Vec<c_int> {
    let mut taken = Vec::new();
    for (signal, came) in HANDLED.iter().zip(&CAME) {
        // Acquire pairs with the release of the count in `handle`.
        taken.extend((0..came.swap(0, AcqRel)).map(|_| *signal));
    }
    taken
}

/// Sends `signal` to this process.
pub(crate) fn raise(signal: c_int) {
    // SAFETY: kill(2) asks nothing of its caller.
    unsafe { libc::kill(libc::getpid(), signal) };
}

/// Ends the process by `signal`, as if nobody had handled it: so a shell or supervisor sees what happened.
pub(crate) fn die_by(signal: c_int) -> ! {
    let _ = io::stdout().flush();
    set(signal, libc::SIG_DFL);
    // SAFETY: the set is initialised by `sigemptyset`; a zeroed one is a valid value of that plain C type. raise(3) asks nothing of its caller.
    unsafe {
        let mut only: libc::sigset_t = mem::zeroed();
        libc::sigemptyset(&raw mut only);
        libc::sigaddset(&raw mut only, signal);
        libc::pthread_sigmask(libc::SIG_UNBLOCK, &raw const only, ptr::null_mut());
        libc::raise(signal);
    }
    // The first process of a container does not die by its own signals. What a shell would show for one that did:
    std::process::exit(128 + signal)
}

pub(crate) fn name(signal: c_int) -> &'static str {
    if signal == libc::SIGINT { "SIGINT" } else { "SIGTERM" }
}

extern "C" fn handle(signal: c_int) {
    if disposition(signal) != own() {
        return; // Somebody else has taken the signal, and calls us because we were here before.
    }
    // Acquire pairs with `install`.
    if !WANTED.load(Acquire) {
        set(signal, libc::SIG_DFL);
        // SAFETY: U1. It is delivered when this handler returns.
        unsafe { libc::raise(signal) };
        return;
    }
    for (known, came) in HANDLED.iter().zip(&CAME) {
        if *known == signal {
            // Release pairs with `take`.
            came.fetch_add(1, Release);
        }
    }
    // Pairs with the swap in `listen`: either that thread sees our count, or we write again.
    if !TOLD.swap(true, AcqRel) {
        let byte = 0_u8;
        // SAFETY: U1, U2; one byte of a local.
        unsafe { libc::write(PIPE.load(Acquire), (&raw const byte).cast(), 1) };
    }
}

fn own() -> libc::sighandler_t {
    handle as extern "C" fn(c_int) as libc::sighandler_t
}

fn disposition(signal: c_int) -> libc::sighandler_t {
    // SAFETY: U3.
    unsafe {
        let mut now: libc::sigaction = mem::zeroed();
        libc::sigaction(signal, ptr::null(), &raw mut now);
        now.sa_sigaction
    }
}

fn set(signal: c_int, handler: libc::sighandler_t) {
    // SAFETY: U3; `handler` is the default or `handle`, which takes what a handler without SA_SIGINFO is given.
    unsafe {
        let mut next: libc::sigaction = mem::zeroed();
        next.sa_sigaction = handler;
        next.sa_flags = libc::SA_RESTART | libc::SA_ONSTACK;
        libc::sigemptyset(&raw mut next.sa_mask);
        libc::sigaction(signal, &raw const next, ptr::null_mut());
    }
}
