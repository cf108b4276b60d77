//! What is of the whole process, so that no other test may run beside it: open descriptors, and SIGCHLD.
#![cfg(target_os = "linux")]
#![allow(unsafe_code)] // signal(2), in a test that is alone

use std::collections::HashSet;
use std::fs;

use parking_lot::Mutex;
use trioxide_io::process::{Command, StatusLost, Stdio};
use trioxide_testing::on_each;

static ALONE: Mutex<()> = Mutex::new(());

/// What each is, once the threads have ended that hold some for a moment: those that wait for a process where there is no pidfd, or after a drop.
fn open_descriptors() -> Vec<String> {
    let names =
        || fs::read_dir("/proc/self/task").unwrap().filter_map(|task| fs::read(task.ok()?.path().join("comm")).ok());
    let is_one = |name: &[u8]| name.starts_with(b"trioxide-wait") || name.starts_with(b"trioxide-reap");
    // A thread that has not run yet has the name of the one that has started it: of a worker, which are otherwise all different.
    let has_run = |names: &[Vec<u8>]| {
        let workers = names.iter().filter(|name| !name.starts_with(b"trioxide-block"));
        workers.clone().collect::<HashSet<_>>().len() == workers.count()
    };
    while let names = names().collect::<Vec<_>>()
        && (names.iter().any(|name| is_one(name)) || !has_run(&names))
    {
        std::thread::yield_now(); // retry: the threads are nobody's, so nobody hears of their end
    }
    let open = fs::read_dir("/proc/self/fd").unwrap().filter_map(|fd| fs::read_link(fd.ok()?.path()).ok());
    // Without the number of what it is, which is another each time.
    let mut open: Vec<_> =
        open.map(|what| what.to_string_lossy().split(":[").next().unwrap_or_default().to_owned()).collect();
    open.sort();
    open
}

#[test]
fn c247_no_descriptor_is_left_also_of_a_program_that_does_not_exist() {
    let _alone = ALONE.lock();
    // Who has started the tests may have left something open to all.
    let inherited = std::process::Command::new("ls").arg("/proc/self/fd").stdin(Stdio::null()).output().unwrap().stdout;
    let inherited = String::from_utf8(inherited).unwrap();
    on_each(&[1, 2, 8], async || {
        let piped = || Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // The reactor and the threads of the pool are there after the first.
        Command::new("true").run().await.unwrap();
        let before = open_descriptors();
        for _ in 0..20 {
            Command::new("cat").input("text").capture().run().await.unwrap();
            Command::new("cat").input("text").stderr_to_stdout().run().await.unwrap();
            Command::new("no-such-program").input("text").capture().run().await.unwrap_err();
            Command::new("no-such-program").stderr_to_stdout().spawn().await.unwrap_err();
            drop(piped().spawn().await.unwrap());
        }
        assert_eq!(open_descriptors(), before);
        // Nor does a child get what is not meant for it.
        let _open = piped().spawn().await.unwrap();
        let listed = Command::new("ls").arg("/proc/self/fd").output().await.unwrap();
        assert_eq!(String::from_utf8(listed.stdout).unwrap(), inherited);
    });
}

#[test]
fn c245_with_sigchld_ignored_the_end_is_noticed_and_the_status_is_lost() {
    let _alone = ALONE.lock();
    let ignore = |how| {
        // SAFETY: `SIG_IGN` and `SIG_DFL` run no code of ours, and no other test runs.
        unsafe { libc::signal(libc::SIGCHLD, how) };
    };
    ignore(libc::SIG_IGN);
    on_each(&[1, 2, 8], async || {
        let child = Command::new("cat").stdin(Stdio::piped()).spawn().await.unwrap();
        child.kill().unwrap();
        let error = child.wait().await.unwrap_err();
        assert!(StatusLost::is(&error), "{error}");
        child.kill().unwrap(); // it is left alone: the number may be another's
        let error = Command::new("true").run().await.unwrap_err();
        assert!(error.to_string().starts_with("`true` has ended, and its status is lost"), "{error}");
    });
    ignore(libc::SIG_DFL);
}
