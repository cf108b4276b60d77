//! Child processes.

use std::io::ErrorKind;
use std::os::unix::process::ExitStatusExt;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, select};
use futures_util::poll;
use parking_lot::Mutex;
use rustix::process::{Pid, WaitId, WaitIdOptions, test_kill_process, waitid};
use trioxide_io::process::{Child, Command, Failed, NotStarted, Process, Stdio, Trouble};
use trioxide_io::signal::SignalKind;
use trioxide_io::{BufReader, pipe};
use trioxide_runtime::{
    CancelScope, Nursery, NurseryError, StartError, blocking, finally, join, nursery, sleep_forever,
};
use trioxide_testing::{on_each, on_each_with_clock};

use crate::common::{ALL, bytes, is_checkpoint, waits};

fn shell(script: &str) -> Command {
    Command::new("sh").arg("-c").arg(script)
}

async fn cat() -> Child {
    Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().await.unwrap()
}

/// Ended, and its status taken: no process has the number. (Numbers go round; a test is over long before.)
fn is_reaped(id: u32) -> bool {
    test_kill_process(Pid::from_raw(id as i32).unwrap()).is_err()
}

#[test]
fn c242_exit_codes_come_and_the_status_is_there_without_a_wait() {
    on_each(ALL, async || {
        let codes = [("true", 0), ("exit 7", 7), ("false", 1)];
        for (script, code) in codes {
            let child = shell(script).spawn().await.unwrap();
            assert_eq!(child.wait().await.unwrap().code(), Some(code), "{script}");
            assert_eq!(child.wait().await.unwrap().code(), Some(code), "again");
            assert_eq!(child.try_status().unwrap().unwrap().code(), Some(code));
            assert!(is_reaped(child.id()));
        }
        // Without a wait: its output ends with it, and then the status is a matter of moments.
        let mut child = cat().await;
        assert_eq!(child.try_status().unwrap(), None);
        drop(child.stdin.take());
        assert_eq!(child.stdout.take().unwrap().read(&mut [0]).await.unwrap(), 0);
        while child.try_status().unwrap().is_none() {
            std::thread::yield_now(); // retry: nothing tells when the system has the status, and `wait` is what is not tested here
        }
        assert!(is_checkpoint(child.wait()).await);
        assert!(is_checkpoint(shell("exit 1").spawn()).await);
    });
}

#[test]
fn c242_three_wait_and_one_is_cancelled() {
    on_each(ALL, async || {
        let mut child = cat().await;
        let (stdin, process) = (child.stdin.take().unwrap(), child.process().clone());
        let scope = CancelScope::new();
        let handle = scope.handle();
        let mut cut = pin!(scope.run(process.wait()));
        let (mut one, mut other) = (pin!(process.wait()), pin!(process.wait()));
        waits(cut.as_mut()).await;
        waits(one.as_mut()).await;
        waits(other.as_mut()).await;
        handle.cancel("enough");
        assert!(cut.await.is_err());
        assert!(poll!(one.as_mut()).is_pending());
        drop(stdin);
        let (one, other) = join!(one, other);
        assert!(one.unwrap().success() && other.unwrap().success());
    });
}

#[test]
fn c243_pipes_both_ways_at_once() {
    on_each(ALL, async || {
        let mut child = cat().await;
        let (stdin, stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let sent = bytes(1 << 20, 3);
        let (_, read) = join!(
            async {
                stdin.write_all(&sent).await.unwrap();
                drop(stdin);
            },
            async {
                let mut read = vec![0; 1 << 20];
                stdout.read_exact(&mut read).await.unwrap();
                assert_eq!(stdout.read(&mut [0]).await.unwrap(), 0);
                read
            },
        );
        assert_eq!(read, bytes(1 << 20, 3));
        assert!(child.wait().await.unwrap().success());
    });
}

#[test]
fn c243_a_dialogue() {
    on_each(ALL, async || {
        let script = "while read line; do echo \"you said $line\"; done; echo bye >&2";
        let dialogue = shell(script).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = dialogue.spawn().await.unwrap();
        let stdin = child.stdin.take().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        for word in ["one", "two", "three"] {
            stdin.write_all(format!("{word}\n").as_bytes()).await.unwrap();
            assert_eq!(stdout.read_line(80).await.unwrap(), Some(format!("you said {word}")));
        }
        drop(stdin);
        assert_eq!(stderr.read_line(80).await.unwrap().as_deref(), Some("bye"));
        assert_eq!(stdout.read_line(80).await.unwrap(), None);
        assert!(child.wait().await.unwrap().success());
    });
}

#[test]
fn c243_standard_error_in_the_pipe_of_standard_output() {
    on_each(ALL, async || {
        let output = shell("echo one; echo two >&2; echo three").stderr_to_stdout().run().await.unwrap();
        assert_eq!(output.stdout, b"one\ntwo\nthree\n");
        assert!(output.stderr.is_empty());
    });
}

#[test]
fn c244_a_run_feeds_and_collects() {
    on_each(ALL, async || {
        let sent = bytes(256 << 10, 5);
        let output = Command::new("cat").input(sent.clone()).capture().run().await.unwrap();
        assert_eq!(output.stdout, sent);
        // Without input there is an end at once; what is not captured is not in the output.
        let output = shell("cat; echo said >&2").stderr(Stdio::null()).run().await.unwrap();
        assert!(output.stdout.is_empty() && output.stderr.is_empty());
        let output = shell("echo out; echo err >&2; exit 3").output().await.unwrap();
        assert_eq!((output.status.code(), &*output.stdout, &*output.stderr), (Some(3), &b"out\n"[..], &b"err\n"[..]));
        assert_eq!(shell("exit 4").status().await.unwrap().code(), Some(4));
        // A pipe is collected also if nobody has said `capture`: it would fill otherwise.
        let script = "head -c 300000 /dev/zero";
        let output = shell(script).stdout(Stdio::piped()).run().await.unwrap();
        assert_eq!(output.stdout.len(), 300_000);
    });
}

#[test]
fn c244_another_status_than_0_is_an_error_that_carries_the_output() {
    on_each(ALL, async || {
        let error = shell("echo out; echo no such flag >&2; exit 9").capture().run().await.unwrap_err();
        let failed = Failed::in_error(&error).unwrap();
        assert_eq!((failed.status().code(), &*failed.output().stdout), (Some(9), &b"out\n"[..]));
        assert_eq!(error.to_string(), "`sh` ended with exit status: 9; the last it said: no such flag");
        let error = shell("kill -9 $$").run().await.unwrap_err();
        assert_eq!(Failed::in_error(&error).unwrap().status().signal(), Some(9));
    });
}

#[test]
fn c244_a_program_that_closes_its_input_is_no_error() {
    on_each(ALL, async || {
        // More than a pipe takes, and nobody reads it.
        let output = shell("exec <&-; echo done").input(bytes(1 << 20, 7)).capture().run().await.unwrap();
        assert_eq!(output.stdout, b"done\n");
    });
}

#[test]
fn c244_a_program_that_cannot_be_started_is_named() {
    on_each(ALL, async || {
        let error = Command::new("no-such-program").run().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert_eq!(NotStarted::in_error(&error).unwrap().program(), "no-such-program");
        let text = "cannot start `no-such-program`: No such file or directory (os error 2); it was looked up in PATH";
        assert_eq!(error.to_string(), text);
        let error = Command::new("ls -l").run().await.unwrap_err();
        assert!(error.to_string().ends_with("give each argument to `arg`"), "{error}");
        let error = Command::new("true").current_dir("/no/such/place").run().await.unwrap_err();
        assert_eq!(error.to_string(), "cannot start `true` in /no/such/place: there is no such directory");
        let error = Command::new("/etc/passwd").run().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    });
}

#[test]
fn c245_a_process_that_is_killed_says_by_what() {
    on_each(ALL, async || {
        type Way = fn(&Process) -> std::io::Result<()>;
        let ways: [(Way, i32); 3] = [
            (|process| process.kill(), 9),
            (|process| process.terminate(), 15),
            (|process| process.signal(SignalKind::USER1), SignalKind::USER1.as_raw()),
        ];
        for (end, number) in ways {
            let child = cat().await;
            end(&child).unwrap();
            assert_eq!(child.wait().await.unwrap().signal(), Some(number));
            end(&child).unwrap(); // one that has ended is left alone
        }
        let child = cat().await;
        assert_eq!(child.signal(SignalKind::from_raw(4096)).unwrap_err().kind(), ErrorKind::InvalidInput);
    });
}

/// Of a command that says its number when it has begun, and waits for its input to end, which it does not. Gives the number.
async fn cancelled_when_it_runs(command: Command) -> u32 {
    let (said, heard) = pipe().unwrap();
    let (_stays, stdin) = pipe().unwrap();
    let command = command.stdout(said.into_fd().unwrap()).stdin(stdin.into_fd().unwrap());
    let scope = CancelScope::new();
    let handle = scope.handle();
    let (outcome, id) = join!(scope.run(command.run()), async {
        let id = BufReader::new(&heard).read_line(80).await.unwrap().unwrap();
        handle.cancel("enough");
        id.parse().unwrap()
    });
    assert!(outcome.is_err(), "cut");
    id
}

#[test]
fn c246_a_cancel_is_a_signal_and_the_end_is_waited_for() {
    on_each(ALL, async || {
        let id = cancelled_when_it_runs(shell("echo $$; exec cat")).await;
        assert!(is_reaped(id));
        // Its clean-up is waited for.
        let script = "trap 'rm -f \"$0\"; exit 0' TERM; echo $$; read x";
        let file = std::env::temp_dir().join(format!("trioxide-c246-{}", std::process::id()));
        std::fs::write(&file, "").unwrap();
        let id = cancelled_when_it_runs(shell(script).arg(&file)).await;
        assert!(is_reaped(id) && !file.exists());
    });
}

#[test]
fn c246_after_five_seconds_it_is_killed_and_that_is_reported() {
    on_each_with_clock(ALL, async |clock| {
        let said = Arc::new(Mutex::new(String::new()));
        let heard = said.clone();
        let stubborn = shell("trap '' TERM; echo $$; exec cat");
        let began = clock.elapsed();
        let report = move |trouble: Trouble<'_>| *heard.lock() = trouble.to_string();
        let id = cancelled_when_it_runs(stubborn.report(report)).await;
        assert!(is_reaped(id));
        assert_eq!(clock.elapsed() - began, Duration::from_secs(5));
        let text = format!("`sh` (process {id}) was killed: it did not end within 5s after SIGTERM");
        assert_eq!(*said.lock(), text);
    });
}

#[test]
fn c246_another_way_to_end_it_is_cancelled_when_it_has_ended_and_its_error_is_reported() {
    on_each(ALL, async || {
        let steps = Arc::new(Mutex::new(Vec::new()));
        let said = steps.clone();
        let end = async move |process: Process| {
            said.lock().push("asked");
            process.signal(SignalKind::USER1)?;
            finally(sleep_forever(), async { said.lock().push("cancelled") }).await;
            Ok(())
        };
        let id = cancelled_when_it_runs(shell("echo $$; exec cat").on_cancel(end)).await;
        assert!(is_reaped(id));
        assert_eq!(*steps.lock(), ["asked", "cancelled"]);

        let said = steps.clone();
        let failing = shell("echo $$; exec cat")
            .on_cancel(async |_| Err(std::io::Error::other("no way")))
            .report(move |trouble| said.lock().push(trouble.to_string().leak()));
        let id = cancelled_when_it_runs(failing).await;
        assert!(is_reaped(id));
        let text = format!("`sh` (process {id}) was killed, for it could not be asked to end: no way");
        assert_eq!(steps.lock().last().unwrap(), &text);
    });
}

#[test]
fn c246_dropped_right_after_it_was_started_it_is_killed() {
    on_each(ALL, async || {
        let child = cat().await;
        let (id, process) = (child.id(), child.process().clone());
        drop(child);
        assert_eq!(process.try_status().unwrap(), None, "its input has not ended before the drop of the pipes is seen");
        drop(process);
        gone(id).await;
        // A foreign drop of a call that runs it.
        let (said, heard) = pipe().unwrap();
        let (_stays, stdin) = pipe().unwrap();
        let command = shell("echo $$; exec cat").stdin(stdin.into_fd().unwrap()).stdout(said.into_fd().unwrap());
        let mut running = Box::pin(command.run());
        let mut lines = BufReader::new(&heard);
        let id = match select(running.as_mut(), pin!(lines.read_line(80))).await {
            Either::Right((line, _)) => line.unwrap().unwrap().parse().unwrap(),
            Either::Left(_) => panic!("it has ended"),
        };
        drop(running);
        gone(id).await;
    });
}

/// Waits until the process has ended and somebody has taken its status.
async fn gone(id: u32) {
    let pid = Pid::from_raw(id as i32).unwrap();
    blocking(move || {
        while waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT).is_ok() {
            std::thread::yield_now(); // retry: who takes the status is another thread, which tells nobody
        }
    })
    .await;
}

#[test]
fn c247_in_the_background_a_bad_end_fails_the_nursery() {
    on_each(ALL, async || {
        let outcome = nursery(async |n| {
            let script = shell("read line; echo got $line; exit 5").stdin(Stdio::piped()).stdout(Stdio::piped());
            let mut child = n.start(|started| script.run_started(started)).await.unwrap();
            child.stdin.take().unwrap().write_all(b"word\n").await?;
            let mut lines = BufReader::new(child.stdout.take().unwrap());
            assert_eq!(lines.read_line(80).await?.as_deref(), Some("got word"));
            sleep_forever().await;
            Ok::<_, std::io::Error>(())
        });
        let NurseryError::Failed(errors) = outcome.await.unwrap_err() else { panic!("cancelled") };
        assert_eq!(Failed::in_error(&errors.into_first()).unwrap().status().code(), Some(5));
        // One that cannot be started fails the call of `start`, and not the nursery.
        nursery(async |n| {
            let started = n.start(|started| Command::new("no-such-program").run_started(started)).await;
            let StartError::Failed(error) = started.unwrap_err() else { panic!("another error") };
            assert!(NotStarted::in_error(&error).is_some());
            Ok::<_, std::io::Error>(())
        })
        .await
        .unwrap();
    });
}

#[test]
fn c247_in_the_background_it_ends_with_the_nursery() {
    on_each(ALL, async || {
        let mut seen = None;
        let outcome = nursery(async |n: Nursery<std::io::Error>| {
            let cat = Command::new("cat").stdin(Stdio::piped());
            seen = Some(n.start(|started| cat.run_started(started)).await.unwrap());
            n.cancel("enough");
            sleep_forever().await;
            Ok(())
        });
        assert!(matches!(outcome.await, Err(NurseryError::Cancelled(_))));
        let status = seen.unwrap().try_status().unwrap().unwrap();
        assert_eq!(status.signal(), Some(15));
    });
}
