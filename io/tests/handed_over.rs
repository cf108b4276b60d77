//! A listener is handed to the next process. Each check starts this program again, as the next one. So it has a `main` of its own.

#[cfg(unix)]
mod checks {
    use std::cell::RefCell;

    use trioxide_io::process::{Command, Stdio};
    use trioxide_io::{BufReader, TcpListener, TcpStream, UnixListener, inherited};
    use trioxide_runtime::{Runtime, checkpoint, run};
    use trioxide_testing::cancel_everywhere_real;

    const NEXT: &str = "TRIOXIDE_NEXT";

    pub(super) fn main() {
        match std::env::var(NEXT).as_deref() {
            Ok("serve") => return run(next()),
            Ok("wrong") => return run(wrong()),
            Ok("sweep") => return sweep(),
            _ => {}
        }
        assert!(inherited().unwrap().is_empty(), "nothing was given to this one");
        for workers in [1, 2, 8] {
            let runtime = Runtime::builder().workers(workers).signals(false).build().unwrap();
            runtime.run(async {
                no_connection_is_refused_or_lost().await;
                another_kind_of_socket_is_named().await;
            });
        }
        run(a_wait_at_an_inherited_listener_that_is_cut_loses_no_connection());
        println!("3 passed, 0 failed");
    }

    /// The next program: answers until its standard input ends.
    async fn next() {
        let mut given = inherited().unwrap();
        assert!(inherited().unwrap().is_empty(), "taken once");
        let listener = given.pop().unwrap().tcp_listener().unwrap();
        println!("ready");
        for _ in 0..3 {
            let (stream, _) = listener.accept().await.unwrap();
            stream.write_all(b"next").await.unwrap();
        }
    }

    async fn wrong() {
        let error = inherited().unwrap().pop().unwrap().unix_listener().unwrap_err();
        println!("{error}");
    }

    /// The next program, in which the wait for a connection is cut at each of its suspensions.
    fn sweep() {
        let inherited = inherited().unwrap().pop().unwrap().into_fd();
        let runs = cancel_everywhere_real(
            async |n| {
                let listener = TcpListener::from_std(inherited.try_clone().unwrap().into()).unwrap();
                let at = listener.local_addr().unwrap();
                let accepted = RefCell::new(vec![]);
                n.spawn(async move {
                    for number in 0..2 {
                        checkpoint().await;
                        TcpStream::connect(at).await.unwrap().write_all(&[number]).await.unwrap();
                    }
                });
                (listener, accepted)
            },
            async |(listener, accepted)| {
                for _ in 0..2 {
                    let (stream, _) = listener.accept().await.unwrap();
                    accepted.borrow_mut().push(stream);
                }
            },
            async |(listener, accepted), cut| {
                let mut accepted = accepted.take();
                while accepted.len() < 2 {
                    accepted.push(listener.accept().await.unwrap().0);
                }
                let mut numbers = [9; 2];
                for (stream, number) in accepted.iter().zip(&mut numbers) {
                    stream.read_exact(std::slice::from_mut(number)).await.unwrap();
                }
                assert_eq!(numbers, [0, 1], "{cut}");
            },
        );
        println!("{runs} runs");
    }

    async fn a_wait_at_an_inherited_listener_that_is_cut_loses_no_connection() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let said = String::from_utf8(this(&listener, "sweep").run().await.unwrap().stdout).unwrap();
        let runs: usize = said.strip_suffix(" runs\n").unwrap().parse().unwrap();
        assert!(runs > 5, "{runs}");
    }

    fn this(listener: &impl std::os::fd::AsFd, what: &str) -> Command {
        let program = std::env::current_exe().unwrap();
        Command::hand_over(program, listener).unwrap().env(NEXT, what).stdout(Stdio::piped())
    }

    async fn no_connection_is_refused_or_lost() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let answer = async |client: TcpStream| {
            let mut buf = [0; 4];
            client.read_exact(&mut buf).await.unwrap();
            String::from_utf8(buf.to_vec()).unwrap()
        };
        // Served here; waiting in the queue while the other starts; after this one has let go.
        let client = TcpStream::connect(address).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"this").await.unwrap();
        assert_eq!(answer(client).await, "this");
        let waiting = TcpStream::connect(address).await.unwrap();
        let mut child = this(&listener, "serve").spawn().await.unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        assert_eq!(lines.read_line(80).await.unwrap().as_deref(), Some("ready"));
        assert_eq!(answer(waiting).await, "next");
        drop(listener);
        for _ in 0..2 {
            let client = TcpStream::connect(address).await.unwrap();
            assert_eq!(answer(client).await, "next");
        }
        assert!(child.wait().await.unwrap().success());
    }

    async fn another_kind_of_socket_is_named() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let said = this(&listener, "wrong").run().await.unwrap().stdout;
        let text = "descriptor 3, which was open when the program began, is not a listener on a Unix socket\n";
        assert_eq!(String::from_utf8(said).unwrap(), text);
        let path = std::env::temp_dir().join(format!("trioxide-handed-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let listener = UnixListener::bind(&path).unwrap();
        assert!(
            this(&listener, "wrong").stderr(Stdio::null()).run().await.is_err(),
            "this one is; the program says so by a panic"
        );
        std::fs::remove_file(&path).unwrap();
    }
}

fn main() {
    #[cfg(unix)]
    checks::main();
}
