//! What hyper asks of a runtime.

use std::future::poll_fn;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::time::Duration;

use futures_util::future::try_join;
use hyper::rt::{Executor, Read, ReadBuf, Timer as _, Write};
use trioxide_io::hyper_rt::{NurseryExecutor, Timer};
use trioxide_io::{TcpListener, TcpStream};
use trioxide_runtime::nursery;
use trioxide_testing::{CountDrops, on_each, on_each_with_clock};

#[test]
fn reads_into_memory_that_is_not_initialised() {
    on_each(&[1, 2], async || {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let accepted = try_join(TcpStream::connect(address), listener.accept()).await;
        let (mut client, (mut server, _)) = accepted.unwrap();
        let count = poll_fn(|cx| Write::poll_write(Pin::new(&mut client), cx, b"abc")).await;
        assert_eq!(count.unwrap(), 3);
        assert!(client.is_write_vectored());
        let mut space = [MaybeUninit::uninit(); 16];
        let mut buf = ReadBuf::uninit(&mut space);
        for after in [&b"abc"[..], b"abc"] {
            poll_fn(|cx| Read::poll_read(Pin::new(&mut server), cx, buf.unfilled())).await.unwrap();
            assert_eq!(buf.filled(), after);
            poll_fn(|cx| Write::poll_shutdown(Pin::new(&mut client), cx)).await.unwrap();
        }
    });
}

#[test]
fn the_executor_spawns_in_the_nursery_and_drops_once_it_is_closed() {
    on_each(&[1, 2, 8], async || {
        let drops = CountDrops::new();
        let ran = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let job = || {
            let (guard, ran) = (drops.guard(), ran.clone());
            async move {
                let _guard = guard;
                ran.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            }
        };
        let mut executor = None;
        nursery(async |n| {
            let spawns = NurseryExecutor::new(n);
            spawns.execute(job());
            executor = Some(spawns);
        })
        .await;
        executor.unwrap().execute(job());
        assert_eq!(ran.load(std::sync::atomic::Ordering::Relaxed), 1);
        assert!(drops.all_dropped());
    });
}

#[test]
fn the_timer_follows_the_run_s_clock_and_resets_in_place() {
    on_each_with_clock(&[1, 2], async |clock| {
        let start = Timer.now();
        let mut sleep = Timer.sleep(Duration::from_secs(3600));
        let before: *const () = (&raw const *sleep).cast();
        Timer.reset(&mut sleep, start + Duration::from_secs(10));
        assert_eq!(before, (&raw const *sleep).cast(), "nothing was allocated");
        sleep.await;
        assert_eq!(clock.elapsed(), Duration::from_secs(10));
        assert_eq!(Timer.now() - start, Duration::from_secs(10));
        Timer.sleep_until(start + Duration::from_secs(11)).await;
        assert_eq!(clock.elapsed(), Duration::from_secs(11));
    });
}

#[test]
fn a_timer_of_any_length_begins_and_is_reset() {
    on_each_with_clock(&[1, 2, 8], async |clock| {
        let timer = Timer;
        let mut sleep = timer.sleep(Duration::MAX);
        assert!(futures_util::poll!(&mut sleep).is_pending(), "it is never over");
        timer.reset(&mut sleep, timer.now() + Duration::from_secs(1));
        clock.jump(Duration::from_secs(1));
        sleep.await;
    });
}
