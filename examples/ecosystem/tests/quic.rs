//! QUIC by quinn in nurseries: both ends in this process, over real sockets.

use std::future::poll_fn;
use std::net::UdpSocket;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::try_join_all;
use quinn::rustls::RootCertStore;
use quinn::rustls::pki_types::PrivatePkcs8KeyDer;
use quinn::{ClientConfig, Connection, Endpoint, EndpointConfig, Runtime, ServerConfig};
use trioxide::io::QuinnRuntime;
use trioxide::testing::{on_each, on_each_with_clock};
use trioxide::{AnyError, CancelScope, Nursery, NurseryError, now, nursery};

const ALL: &[usize] = &[1, 2, 8];

/// A connection, from both of its ends.
async fn connected(n: &Nursery<AnyError>) -> Result<(Connection, Connection), AnyError> {
    let made = rcgen::generate_simple_self_signed(["server.example".to_owned()])?;
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()).into();
    let config = ServerConfig::with_single_cert(vec![made.cert.der().clone()], key)?;
    let runtime = Arc::new(QuinnRuntime::new(n.clone()));
    let endpoint =
        |server| Endpoint::new(EndpointConfig::default(), server, UdpSocket::bind("127.0.0.1:0")?, runtime.clone());
    let (server, mut client) = (endpoint(Some(config))?, endpoint(None)?);
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone())?;
    client.set_default_client_config(ClientConfig::with_root_certificates(Arc::new(roots))?);
    let connecting = client.connect(server.local_addr()?, "server.example")?;
    let accepted = async { Ok(server.accept().await.expect("the endpoint is open").await?) };
    let (near, far) = trioxide::try_join!(async { Ok::<_, AnyError>(connecting.await?) }, accepted)?;
    Ok((near, far))
}

#[test]
fn many_streams_are_echoed_and_quinn_s_tasks_end_with_the_last_handle() {
    on_each(ALL, async || {
        let outcome = nursery(async |n: Nursery<AnyError>| {
            let (near, far) = connected(&n).await?;
            let echo = n.task("echo").spawn(async move {
                while let Ok((mut back, mut stream)) = far.accept_bi().await {
                    let all = stream.read_to_end(1 << 20).await?;
                    back.write_all(&all).await?;
                    back.finish()?;
                }
                Ok::<_, AnyError>(())
            });
            let streams = (0..20_usize).map(async |number| {
                let sent = vec![number as u8; number * 5000];
                let (mut stream, mut back) = near.open_bi().await?;
                stream.write_all(&sent).await?;
                stream.finish()?;
                assert_eq!(back.read_to_end(1 << 20).await?, sent);
                Ok::<_, AnyError>(())
            });
            try_join_all(streams).await?;
            near.close(0_u32.into(), b"enough");
            echo.await.expect("it was not cancelled");
            Ok(())
            // The handles go; and the nursery waits for quinn's tasks, which say goodbye.
        });
        outcome.await.unwrap();
    });
}

#[test]
fn a_cancelled_nursery_cuts_quinn_s_tasks_and_what_waits() {
    on_each(ALL, async || {
        let scope = CancelScope::new();
        let handle = scope.handle();
        let outcome = scope.run(nursery(async |n: Nursery<AnyError>| {
            let (near, far) = connected(&n).await?;
            let (mut stream, mut back) = near.open_bi().await?;
            stream.write_all(b"x").await?;
            // A half that is dropped is finished, and that is an answer.
            let (_open, mut stream) = far.accept_bi().await?;
            let mut buf = [0; 8];
            assert_eq!(stream.read(&mut buf).await?, Some(1));
            handle.cancel("while somebody reads");
            back.read(&mut buf).await?; // nobody answers
            unreachable!("it was cut");
            #[expect(unreachable_code)]
            Ok::<(), AnyError>(())
        }));
        // Cut; or quinn's tasks were cut first, on another worker, and the reader heard that the connection is lost.
        assert!(!matches!(outcome.await, Ok(Ok(()))));
    });
}

#[test]
fn timers_follow_the_clock_of_the_run_and_can_be_asked_again() {
    on_each_with_clock(ALL, async |clock| {
        let outcome: Result<(), NurseryError<AnyError>> = nursery(async |n: Nursery<AnyError>| {
            let runtime = QuinnRuntime::new(n);
            let start = runtime.now();
            assert_eq!(start, now());
            let mut timer = runtime.new_timer(start + Duration::from_secs(3600));
            timer.as_mut().reset(start + Duration::from_secs(5));
            poll_fn(|cx| timer.as_mut().poll(cx)).await;
            assert_eq!(clock.elapsed(), Duration::from_secs(5));
            timer.as_mut().reset(start + Duration::from_secs(6));
            poll_fn(|cx| timer.as_mut().poll(cx)).await;
            assert_eq!(clock.elapsed(), Duration::from_secs(6));
            Ok(())
        })
        .await;
        outcome.unwrap();
    });
}
