//! Calls that are interrupted, put off and cut short: nothing of it is seen above.

use trioxide_io::{BufReader, Frames, write_frame};
use trioxide_runtime::join;
use trioxide_testing::network::{Link, Storm};
use trioxide_testing::stream::{check_half_closeable_stream, check_one_way_stream};

use crate::common::{counted, on_networks, pair};

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
