//! The first things that anybody does.
use std::time::Duration;
use trioxide_runtime::*;

#[test]
fn sums() {
    for workers in [1, 2, 8] {
        let rt = Runtime::builder().workers(workers).build().unwrap();
        for _ in 0..20 {
            let total = rt.run(async {
                nursery(async |n| {
                    let tasks: Vec<_> = (0..1000u64)
                        .map(|i| {
                            n.spawn(async move {
                                checkpoint().await;
                                Ok::<_, std::convert::Infallible>(i)
                            })
                        })
                        .collect();
                    let mut sum = 0;
                    for t in tasks {
                        sum += t.await.unwrap();
                    }
                    Ok::<_, std::convert::Infallible>(sum)
                })
                .await
                .unwrap()
            });
            assert_eq!(total, 499500);
        }
    }
}

#[test]
fn timeout_cuts() {
    let rt = Runtime::builder().workers(2).build().unwrap();
    let r = rt.run(move_on_after(Duration::from_millis(20), async {
        nursery(async |n| {
            for _ in 0..100 {
                let _ = n.spawn(sleep_forever());
            }
            sleep_forever().await;
        })
        .await
    }));
    assert!(r.is_none());
}

#[test]
fn blocks() {
    assert_eq!(run(blocking(|| 42)), 42);
}
