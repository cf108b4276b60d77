//! Processes: each is reaped, and a run that was cancelled has waited for its end. That none is left is looked at after each run.

use std::cell::RefCell;
use std::io;
use std::time::Duration;

use trioxide_io::process::{Child, Command, Stdio};
use trioxide_runtime::nursery;

use crate::slot::Slot;
use crate::sweep;

/// Whether this process has a child, ended or not.
fn has_children() -> bool {
    use rustix::process::{WaitId, WaitIdOptions, waitid};
    let look = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
    waitid(WaitId::All, look).is_ok()
}

/// What is run to its end has ended when its future has, unless that was dropped.
fn runs_to_its_end<T>(body: impl AsyncFn() -> T, check: impl Fn(&T)) {
    let runs = sweep(
        async |_| (),
        async |()| body().await,
        async |(), cut| {
            assert!(cut.is_drop() || !has_children(), "{cut}: a process is left");
            cut.outcome().into_iter().for_each(&check);
        },
    );
    assert!(runs > 8, "{runs}");
}

#[test]
fn run_output_status() {
    let input = vec![b'x'; 300_000];
    let cat = || Command::new("cat").input(input.clone()).capture();
    runs_to_its_end(async || cat().run().await.unwrap(), |output| assert!(output.stdout == input));
    runs_to_its_end(async || cat().output().await.unwrap(), |output| assert!(output.stdout == input));
    runs_to_its_end(
        async || Command::new("sh").args(["-c", "exit 3"]).status().await.unwrap(),
        |status| assert_eq!(status.code(), Some(3)),
    );
}

/// One that SIGTERM does not end is killed after the grace; and one with an end of its own.
#[test]
fn run_with_a_grace_and_with_on_cancel() {
    let deaf = || Command::new("sh").args(["-c", "trap '' TERM; read line; read line"]).stdin(Stdio::piped());
    let deaf = || deaf().grace(Duration::from_millis(1)).report(|_| {});
    runs_to_its_end(
        async || deaf().input("one\ntwo\n").run().await.unwrap(),
        |output| assert!(output.status.success()),
    );
    let own = || {
        Command::new("cat").input("there and back").capture().on_cancel(async |process| {
            process.kill()?;
            process.wait().await.map(drop)
        })
    };
    runs_to_its_end(async || own().run().await.unwrap(), |output| assert_eq!(output.stdout, b"there and back"));
}

#[test]
fn run_in_a_nursery() {
    let cat = || Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped());
    let body = async || {
        nursery(async |n| {
            let mut child: Child = n.start(|started| cat().run_started(started)).await.unwrap();
            child.stdin.take().unwrap().write_all(b"meow").await?;
            let mut buf = [0; 4];
            child.stdout.take().unwrap().read_exact(&mut buf).await?;
            Ok::<_, io::Error>(buf)
        })
        .await
        .unwrap()
    };
    runs_to_its_end(body, |buf| assert_eq!(buf, b"meow"));
}

/// Spawned, talked to, waited for. Cut, it is killed with its handle.
#[test]
fn spawn_and_wait() {
    let runs = sweep(
        async |_| (),
        async |()| {
            let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().await.unwrap();
            let (stdin, stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
            stdin.write_all(b"there and back").await.unwrap();
            drop(stdin);
            let mut buf = [0; 14];
            stdout.read_exact(&mut buf).await.unwrap();
            assert_eq!(&buf, b"there and back");
            child.wait().await.unwrap()
        },
        async |(), cut| assert!(cut.outcome().is_none_or(|status| status.success()), "{cut}"),
    );
    assert!(runs > 8, "{runs}");
}

/// Who waits next gets the status.
#[test]
fn a_wait_takes_nothing() {
    let runs = sweep(
        async |n| {
            let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().await.unwrap();
            let stdin = child.stdin.take();
            n.spawn(async move {
                trioxide_runtime::checkpoint().await;
                drop(stdin); // its end
            });
            (Slot::new(child), RefCell::new(None))
        },
        async |(child, status)| *status.borrow_mut() = Some(child.lend().wait().await.unwrap()),
        async |(child, status), cut| {
            let next = child.lend().wait().await.unwrap();
            assert!(next.success() && status.take().is_none_or(|status| status == next), "{cut}");
        },
    );
    assert!(runs > 5, "{runs}");
}
