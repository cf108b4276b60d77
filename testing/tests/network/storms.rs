//! Calls that are interrupted, put off and cut short: nothing of it is seen above. In virtual time.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use trioxide_io::{BufReader, Frames, write_frame};
use trioxide_runtime::{join, sleep};
use trioxide_testing::network::{Link, Network, Storm};
use trioxide_testing::stream::{check_half_closeable_stream, check_one_way_stream};
use trioxide_testing::wait_all_tasks_blocked;

use crate::common::{counted, drain, on_networks, pair};

const STORM: Storm = Storm { interrupted: 0.3, would_block: 0.3, partial: 0.5 };

#[test]
fn c196_streams_in_a_storm_pass_their_suites() {
    on_networks(async |network| {
        network.host("a").set_storm(STORM);
        network.host("b").set_storm(STORM);
        network.set_default_link(Link::new().buffer(5000));
        check_one_way_stream(async || pair(&network).await).await;
        check_half_closeable_stream(async || pair(&network).await).await;
    });
}

#[test]
fn codecs_in_a_storm_give_what_was_sent() {
    let statistics = counted(async |network| {
        network.host("a").set_storm(STORM);
        network.host("b").set_storm(STORM);
        let (one, other) = pair(&network).await;
        let send = async {
            for number in 0..200_usize {
                write_frame(&one, &vec![number as u8; number * 7], 1 << 20).await.unwrap();
            }
            one.finish().unwrap();
            let mut lines = BufReader::new(&one);
            for number in 0..200 {
                let line = lines.read_line(80).await.unwrap().unwrap();
                assert_eq!(line, format!("line {number}"));
            }
            assert_eq!(lines.read_line(80).await.unwrap(), None);
        };
        let receive = async {
            let mut frames = Frames::new(&other, 1 << 20);
            for number in 0..200_usize {
                let frame = frames.next().await.unwrap().unwrap();
                assert!(frame == vec![number as u8; number * 7], "frame {number}");
                other.write_all(format!("line {number}\n").as_bytes()).await.unwrap();
            }
            assert_eq!(frames.next().await.unwrap(), None);
            other.finish().unwrap();
        };
        join!(send, receive);
    });
    assert!(statistics.interrupted > 100 && statistics.blocked > 100 && statistics.partial > 100, "{statistics:?}");
}

/// Each call of several bytes goes through in part, and all of it arrives: also while there is nothing to read, or no room to write.
#[test]
fn a_storm_in_which_every_call_is_cut_short_lets_everything_through() {
    let statistics = counted(async |network| {
        let always = Storm { partial: 1.0, ..Storm::default() };
        network.host("a").set_storm(always);
        network.host("b").set_storm(always);
        network.set_default_link(Link::new().buffer(100));
        let (one, other) = pair(&network).await;
        let sent: Vec<_> = (0..1000_u32).map(|number| number as u8).collect();
        let send = async {
            wait_all_tasks_blocked(Duration::ZERO).await; // The other waits for the first byte.
            one.write_all(&sent).await.unwrap();
            one.finish().unwrap();
        };
        let receive = async {
            let mut first = [0];
            other.read_exact(&mut first).await.unwrap();
            sleep(Duration::from_secs(1)).await; // There is no room any more.
            let rest = drain(&other).await.unwrap();
            assert!(first == sent[..1] && rest == sent[1..]);
        };
        join!(send, receive);
    });
    assert!(statistics.partial > 10 && statistics.stalled > 0, "{statistics:?}");
}

#[test]
fn a_storm_that_would_let_nothing_through_is_refused() {
    let refused = |storm: Storm| {
        let network = Network::new(1);
        let panic = catch_unwind(AssertUnwindSafe(|| network.host("a").set_storm(storm))).unwrap_err();
        *panic.downcast::<String>().unwrap()
    };
    let calm = Storm::default();
    let text = refused(Storm { interrupted: 1.0, ..calm });
    assert!(
        text.starts_with("trioxide: `Storm::interrupted` of 1: ") && text.ends_with("use `Network::cut`"),
        "{text}"
    );
    assert!(refused(Storm { would_block: 1.5, ..calm }).contains("`Storm::would_block` of 1.5: "));
    assert!(refused(Storm { partial: f64::NAN, ..calm }).contains("`Storm::partial` of NaN: it is from 0 to 1"));
    assert!(refused(Storm { partial: -0.5, ..calm }).contains("`Storm::partial` of -0.5"));
}
