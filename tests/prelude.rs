//! The prelude is enough for a program, and gets in nobody's way.

use std::convert::Infallible;

use trioxide::prelude::*;

/// The first program of the design, with an end: two clients, then a stop.
#[test]
fn an_echo_server_needs_nothing_but_the_prelude() {
    async fn echo(stream: TcpStream) -> io::Result<()> {
        let mut buffer = [0; 64];
        loop {
            match stream.read(&mut buffer).await? {
                0 => return Ok(()),
                count => stream.write_all(&buffer[..count]).await?,
            }
        }
    }

    async fn ask(address: std::net::SocketAddr, text: &[u8]) -> io::Result<Vec<u8>> {
        let stream = TcpStream::connect(address).await?;
        stream.write_all(text).await?;
        let mut answer = vec![0; text.len()];
        stream.read_exact(&mut answer).await?;
        Ok(answer)
    }

    async fn serve() -> Result<u32, NurseryError<io::Error>> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        nursery(async |n| {
            let server = n.clone();
            n.spawn(async move {
                for text in [&b"one"[..], b"two"] {
                    let answer = fail_after(Duration::from_secs(30), ask(address, text)).await??;
                    assert_eq!(answer, text);
                }
                server.stop(Duration::from_secs(30));
                Ok::<_, io::Error>(())
            });
            let mut connections = 0;
            while let Some(accepted) = until_stopping(listener.accept()).await {
                let (stream, _peer) = accepted?;
                connections += 1;
                n.spawn(echo(stream));
            }
            Ok(connections)
        })
        .await
    }

    assert_eq!(trioxide::run(serve()).expect("nothing fails"), 2);
}

/// Names of one's own win over a glob, so the prelude can grow without breaking anybody.
#[test]
fn names_of_ones_own_win() {
    #[allow(dead_code)]
    struct Event;
    fn sleep() -> u32 {
        7
    }
    assert_eq!(sleep(), 7);
    assert_eq!(size_of::<Event>(), 0);
}

/// Everything else that the prelude promises is there.
#[test]
fn the_other_names_are_there() {
    trioxide::run(async {
        let (sender, receiver) = channel::bounded(1);
        let event = Event::new();
        let sum = nursery_with(vec![1, 2, 3], async |s| {
            let numbers = s.env();
            let sum: Task<i32> = s.spawn(async move { Ok::<_, Infallible>(numbers.iter().sum()) });
            Ok::<Result<i32, Cancelled>, Infallible>(sum.await)
        });
        sender
            .send(sum.await.expect("no child can fail").expect("nobody cancels"))
            .await
            .expect("the receiver is there");
        assert_eq!(receiver.recv().await, Ok(6));

        let cut: Option<()> = move_on_after(Duration::ZERO, event.wait()).await;
        assert_eq!(cut, None);
        let late: Result<(), TooSlow> = fail_after(Duration::ZERO, stopping()).await;
        assert!(late.is_err());
        let scope = CancelScope::new();
        scope.handle().cancel("enough");
        let mut cleaned = false;
        let outcome = scope.run(finally(sleep_forever(), async {
            shield(checkpoint()).await;
            sleep(Duration::ZERO).await;
            cleaned = blocking(|| true).await;
        }));
        assert_eq!(outcome.await.expect_err("cancelled").reason().message(), Some("enough"));
        assert!(cleaned);
    });
    fn _a_handle_can_be_named(_: Nursery<io::Error>) {}
}
