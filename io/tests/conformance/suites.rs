//! The suites of `trioxide-testing` on every kind of stream that there is here. A new kind is added to the lists below: one line for each suite
//! that it can pass.

use std::cell::RefCell;
use std::io::ErrorKind;

use trioxide_io::process::{Command, Stdio};
use trioxide_io::{TcpStream, UnixStream, pipe};
use trioxide_testing::on_each;
use trioxide_testing::stream::{
    check_clogged_half_closeable_stream, check_clogged_stream, check_half_closeable_stream, check_one_way_stream,
    check_two_way_stream,
};

use crate::common::{ALL, Tx, new_pipe, tcp};

/// Writes until there is no room.
fn clog(tx: &impl Tx) {
    loop {
        match tx.try_write(&[0; 4096]) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return,
            Err(error) => panic!("{error}"),
        }
    }
}

fn unix() -> (UnixStream, UnixStream) {
    UnixStream::pair().unwrap()
}

async fn clogged_tcp() -> (TcpStream, TcpStream) {
    let (one, other) = tcp().await;
    clog(&one);
    (one, other)
}

fn clogged_unix() -> (UnixStream, UnixStream) {
    let (one, other) = unix();
    clog(&one);
    (one, other)
}

fn clogged_pipe() -> (pipe::Sender, pipe::Receiver) {
    let (tx, rx) = new_pipe();
    clog(&tx);
    (tx, rx)
}

#[test]
fn c191_pipes_pass_the_suite_of_one_way_streams() {
    on_each(ALL, async || check_one_way_stream(async || new_pipe()).await);
}

/// What goes in at a child's standard input and comes out at its standard output, over both pipes and the child. (They have no suite of clogged streams: the child takes some, whenever it runs, of what
/// nobody reads.)
#[test]
fn c191_the_standard_streams_of_a_child_pass_the_suite_of_one_way_streams() {
    on_each(ALL, async || {
        // A child that is dropped is killed: they live until the suite has ended.
        let children = RefCell::new(vec![]);
        let through_cat = async || {
            let cat = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped());
            let mut child = cat.spawn().await.unwrap();
            let ends = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
            children.borrow_mut().push(child);
            ends
        };
        check_one_way_stream(through_cat).await;
        // Whose input has ended, or whose output nobody reads, has ended too.
        for child in children.take() {
            child.wait().await.unwrap();
        }
    });
}

#[test]
fn c198_streams_without_room_pass_the_suite_of_clogged_streams() {
    on_each(ALL, async || {
        check_clogged_stream(async || clogged_pipe()).await;
        check_clogged_half_closeable_stream(clogged_tcp).await;
        check_clogged_half_closeable_stream(async || clogged_unix()).await;
    });
}

#[test]
fn c199_streams_that_go_both_ways_pass_their_suite() {
    on_each(ALL, async || {
        check_two_way_stream(tcp).await;
        check_two_way_stream(async || unix()).await;
    });
}

#[test]
fn c200_streams_whose_directions_end_apart_pass_their_suite() {
    on_each(ALL, async || {
        check_half_closeable_stream(tcp).await;
        check_half_closeable_stream(async || unix()).await;
    });
}
