//! Standard input and output. Each check starts this program again, as a child that answers its standard input in capitals and
//! says in the end whether its standard input was made non-blocking. So it has a `main` of its own.

#[cfg(unix)]
mod checks {
    use std::fs;
    use std::os::fd::{AsFd, OwnedFd};

    use rustix::fs::{OFlags, fcntl_getfl};
    use trioxide_io::process::{Child, Command, Stdio};
    use trioxide_io::{BufReader, pipe, stdin, stdout};
    use trioxide_runtime::{CancelScope, Runtime, checkpoint, join};

    const CHILD: &str = "TRIOXIDE_STDIO_CHILD";

    pub(super) fn main() {
        if std::env::var_os(CHILD).is_some() {
            return answer();
        }
        for workers in [1, 2, 8] {
            let runtime = Runtime::builder().workers(workers).signals(false).build().unwrap();
            runtime.run(async {
                a_dialogue_through_pipes().await;
                more_than_a_pipe_takes().await;
                files_and_nothing().await;
                a_terminal_stays_as_it_is().await;
                closed_from_the_start().await;
            });
        }
        println!("5 passed, 0 failed");
    }

    /// The child. While it waits for input its one worker is not blocked: the other future ends. And a read that is cancelled takes nothing.
    fn answer() {
        let runtime = Runtime::builder().workers(1).build().unwrap();
        runtime.run(async {
            let mut stdout = stdout().unwrap();
            let mut stdin = match stdin() {
                Ok(stdin) => stdin,
                Err(error) => return stdout.write_all(error.to_string().as_bytes()).await.unwrap(),
            };
            let scope = CancelScope::new();
            scope.handle().cancel("before it began");
            assert!(scope.run(stdin.read(&mut [0])).await.is_err());
            let mut buf = [0; 4096];
            loop {
                let (read, ()) = join!(stdin.read(&mut buf), checkpoint());
                let count = read.unwrap();
                if count == 0 {
                    break;
                }
                stdout.write_all(&buf[..count].to_ascii_uppercase()).await.unwrap();
            }
            let nonblocking = fcntl_getfl(std::io::stdin()).unwrap().contains(OFlags::NONBLOCK);
            stdout.write_all(format!("<{nonblocking}>").as_bytes()).await.unwrap();
        });
    }

    fn child() -> Command {
        Command::new(std::env::current_exe().unwrap()).env(CHILD, "1")
    }

    async fn output(stdin: impl Into<Stdio>, stdout: impl Into<Stdio>) {
        child().stdin(stdin).stdout(stdout).run().await.unwrap();
    }

    async fn a_dialogue_through_pipes() {
        let mut child: Child = child().stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().await.unwrap();
        let (stdin, stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let mut lines = BufReader::new(stdout);
        for (said, heard) in [("one\n", "ONE"), ("two\n", "TWO")] {
            stdin.write_all(said.as_bytes()).await.unwrap();
            assert_eq!(lines.read_line(80).await.unwrap().as_deref(), Some(heard));
        }
        drop(stdin);
        assert_eq!(lines.read_line(80).await.unwrap().as_deref(), Some("<false>"));
        assert!(child.wait().await.unwrap().success());
    }

    /// The parent reads nothing before it has written as much as goes: so the child's standard output fills.
    async fn more_than_a_pipe_takes() {
        let sent = vec![b'a'; 1 << 20];
        let output = child().input(sent).stdout(Stdio::piped()).run().await.unwrap();
        assert_eq!(output.stdout.len(), (1 << 20) + "<false>".len());
        assert!(output.stdout.ends_with(b"AAA<false>"));
    }

    async fn files_and_nothing() {
        let path = |name| std::env::temp_dir().join(format!("trioxide-stdio-{}-{name}", std::process::id()));
        fs::write(path("in"), vec![b'b'; 100_000]).unwrap();
        output(fs::File::open(path("in")).unwrap(), fs::File::create(path("out")).unwrap()).await;
        let mut all = vec![b'B'; 100_000];
        all.extend_from_slice(b"<false>");
        assert!(fs::read(path("out")).unwrap() == all);
        output(Stdio::null(), fs::File::create(path("out")).unwrap()).await;
        assert_eq!(fs::read(path("out")).unwrap(), b"<false>");
        for name in ["in", "out"] {
            fs::remove_file(path(name)).unwrap();
        }
    }

    /// Both ends of a terminal of our own.
    async fn a_terminal_stays_as_it_is() {
        use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
        let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&ours).unwrap();
        unlockpt(&ours).unwrap();
        let name = ptsname(&ours, Vec::new()).unwrap();
        let theirs = rustix::fs::open(&name, OFlags::RDWR | OFlags::NOCTTY, rustix::fs::Mode::empty()).unwrap();
        let copy = |fd: &OwnedFd| fd.as_fd().try_clone_to_owned().unwrap();
        let child = child().stdin(copy(&theirs)).stdout(copy(&theirs)).spawn().await.unwrap();
        let (sender, receiver) = (pipe::Sender::from_fd(copy(&ours)).unwrap(), pipe::Receiver::from_fd(ours).unwrap());
        let mut lines = BufReader::new(receiver);
        sender.write_all(b"typed\n").await.unwrap();
        // The terminal echoes, the child answers.
        assert_eq!(lines.read_line(80).await.unwrap().as_deref(), Some("typed"));
        assert_eq!(lines.read_line(80).await.unwrap().as_deref(), Some("TYPED"));
        let flags = fcntl_getfl(&theirs).unwrap();
        assert!(!flags.contains(OFlags::NONBLOCK), "while the child uses it");
        sender.write_all(&[4]).await.unwrap(); // control-D
        assert!(child.wait().await.unwrap().success());
        assert!(!fcntl_getfl(&theirs).unwrap().contains(OFlags::NONBLOCK));
    }

    async fn closed_from_the_start() {
        let script = "exec \"$0\" <&-";
        let command = Command::new("sh").args(["-c", script]).arg(std::env::current_exe().unwrap()).env(CHILD, "1");
        let output = command.output().await.unwrap();
        // Rust opens /dev/null in the place of what is closed, so this is an end and no error.
        assert_eq!(String::from_utf8(output.stdout).unwrap(), "<false>");
    }
}

fn main() {
    #[cfg(unix)]
    checks::main();
}
