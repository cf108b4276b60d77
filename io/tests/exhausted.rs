//! No descriptors left, in earnest. The limit is the whole process's, so this test is alone.
#![cfg(target_os = "linux")]

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::{Domain, Socket, Type};
use trioxide_io::{Server, TcpListener, TcpStream, Trouble};
use trioxide_runtime::{Nursery, nursery, sleep};
use trioxide_sync::Event;
use trioxide_testing::on_each_with_clock;

fn limit(open: Option<u64>) {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: open.or(maximum), maximum }).unwrap();
}

#[test]
fn c204_accepting_rests_while_no_descriptor_is_left_and_loses_no_connection() {
    on_each_with_clock(&[1, 2, 8], async |clock| {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let reports = Arc::new(AtomicUsize::new(0));
        let (served, enough) = (Arc::new(AtomicUsize::new(0)), Arc::new(Event::new()));
        let (count, counted, all) = (reports.clone(), served.clone(), enough.clone());
        let server = Server::new(move |stream: TcpStream, _| {
            let (counted, all) = (counted.clone(), all.clone());
            async move {
                stream.write_all(b"hello").await?;
                if counted.fetch_add(1, Ordering::SeqCst) == 2 {
                    all.set();
                }
                Ok::<_, io::Error>(())
            }
        })
        .report(move |trouble| {
            assert!(matches!(trouble, Trouble::Exhausted { .. }), "{trouble}");
            assert!(trouble.to_string().contains("Too many open files"), "{trouble}");
            count.fetch_add(1, Ordering::SeqCst);
        });
        nursery(async |n: Nursery<io::Error>| {
            let addresses = n.start(async move |started| server.run_started([listener], started).await).await.unwrap();
            // The clients are there, and then nothing more can be opened: they wait in the system's queue.
            let before = clock.elapsed();
            let clients: Vec<_> = (0..3).map(|_| Socket::new(Domain::IPV4, Type::STREAM, None).unwrap()).collect();
            limit(Some(0)); // what is open stays so; no number is below it for anything new
            for client in &clients {
                client.connect(&addresses[0].into()).unwrap();
            }
            // A second of the clock is ten tries.
            sleep(Duration::from_secs(1)).await;
            let tries = reports.load(Ordering::SeqCst);
            limit(None);
            assert!((1..=11).contains(&tries), "{tries} tries in {:?}", clock.elapsed() - before);
            assert_eq!(served.load(Ordering::SeqCst), 0);
            enough.wait().await;
            drop(clients);
            n.cancel("done");
            Ok(())
        })
        .await
        .unwrap();
    });
}
