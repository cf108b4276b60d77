//! Real sockets under a clock that jumps: what has arrived comes before time moves. Sockets of the Unix kind: there, what was sent has arrived.

use std::time::Duration;

use trioxide_io::UnixStream;
use trioxide_runtime::{Nursery, fail_after, nursery, sleep};
use trioxide_testing::{OutOfWork, on_each_with_clock, wait_all_tasks_blocked};

#[test]
fn a_round_trip_takes_no_virtual_time() {
    on_each_with_clock(&[1, 2, 8], async |clock| {
        nursery(async |n: Nursery<std::convert::Infallible>| {
            let (near, far) = UnixStream::pair().unwrap();
            n.spawn(async move {
                let mut byte = [0];
                while far.read_exact(&mut byte).await.is_ok() {
                    far.write_all(&byte).await.unwrap();
                }
            });
            for second in 0..20 {
                let echoed = async {
                    near.write_all(&[second]).await.unwrap();
                    let mut byte = [0];
                    near.read_exact(&mut byte).await.unwrap();
                    byte
                };
                assert_eq!(fail_after(Duration::from_millis(1), echoed).await, Ok([second]));
                assert_eq!(clock.elapsed(), Duration::from_secs(second.into()));
                sleep(Duration::from_secs(1)).await;
            }
            wait_all_tasks_blocked(Duration::ZERO).await; // The other side waits for the next byte.
        })
        .await;
        assert_eq!(clock.elapsed(), Duration::from_secs(20));
    });
}

/// Who waits for a socket may be woken; once the sockets are gone, nobody is.
#[test]
fn a_socket_is_no_deadlock_until_it_is_closed() {
    for workers in [1, 2, 8] {
        let runtime = trioxide_runtime::Runtime::builder().workers(workers).signals(false).fail_on_deadlock(true);
        let runtime = runtime.build().unwrap();
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            runtime.run(async {
                let (near, far) = UnixStream::pair().unwrap();
                let main = OutOfWork::new();
                let outside = std::thread::spawn(move || {
                    main.wait();
                    drop(far);
                });
                assert_eq!(near.read(&mut [0]).await.unwrap(), 0);
                outside.join().unwrap();
                drop(near);
                std::future::pending::<()>().await;
            });
        }));
        let text = outcome.unwrap_err();
        assert!(text.downcast_ref::<String>().unwrap().starts_with("trioxide: deadlock"), "{text:?}");
    }
}
