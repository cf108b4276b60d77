//! Input that is wrong, where no other file has it: what is said names what was tried, at whom, and why it failed.

use std::io::ErrorKind;

use trioxide_io::process::{Command, Stdio};
use trioxide_io::{BufReader, Frames, Resolver, TcpListener, TcpStream, TooLong, UdpSocket, set_resolver, write_frame};
use trioxide_runtime::join;
use trioxide_testing::on_each;

use crate::tcp::refusing;

#[test]
fn each_address_that_refuses_is_listed() {
    let ((_taken, one), (_taken_too, other)) = (refusing(), refusing());
    on_each(&[1, 2], async || {
        let advice = "connection refused; nothing listens there, or a firewall is in the way";
        let error = TcpStream::connect([one, other]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        assert_eq!(
            error.to_string(),
            format!("cannot connect to {one}: {advice}\ncannot connect to {other}: {advice}")
        );
        // One alone is not a list; the system's own error is behind it.
        let error = TcpStream::connect(one).await.unwrap_err();
        assert_eq!(error.to_string(), format!("cannot connect to {one}: {advice}"));
        assert!(error.get_ref().unwrap().source().unwrap().to_string().starts_with("Connection refused"));
    });
}

#[test]
fn a_name_that_nobody_knows_is_named_by_all_who_take_one() {
    on_each(&[1, 2], async || {
        set_resolver(Some(Resolver::new(async |_, _| Err(std::io::Error::other("nobody of that name")))));
        let text = "cannot resolve `nowhere.example:80`: nobody of that name";
        let name = "nowhere.example:80";
        assert_eq!(TcpStream::connect(name).await.unwrap_err().to_string(), text);
        assert_eq!(TcpListener::bind(name).await.unwrap_err().to_string(), text);
        assert_eq!(UdpSocket::bind(name).await.unwrap_err().to_string(), text);
        assert_eq!(trioxide_io::connect("nowhere.example", 80).await.unwrap_err().to_string(), text);
    });
}

#[test]
fn what_is_too_long_names_the_limit_and_the_connection_goes_on() {
    on_each(&[1, 2], async || {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (client, accepted) = join!(TcpStream::connect(address), listener.accept());
        let (client, (server, _)) = (client.unwrap(), accepted.unwrap());
        let send = async {
            client.write_all(&[b'x'; 100_000]).await.unwrap();
            client.write_all(b"\nshort\n").await.unwrap();
            write_frame(&client, &[1; 100_000], 100_000).await.unwrap();
            write_frame(&client, b"short", 100).await.unwrap();
        };
        let receive = async {
            let mut lines = BufReader::new(&server);
            let error = lines.read_line(80).await.unwrap_err();
            assert_eq!(error.to_string(), "a line of more than 80 bytes is over the limit of 80");
            assert_eq!(lines.read_line(80).await.unwrap().as_deref(), Some("short"));
            let (_, left) = lines.into_parts();
            let mut frames = Frames::new(futures_util::AsyncReadExt::chain(&left[..], &server), 80);
            let error = frames.next().await.unwrap_err();
            assert_eq!(TooLong::of(&error).map(|error| (error.limit(), error.length())), Some((80, Some(100_000))));
            assert_eq!(frames.next().await.unwrap().as_deref(), Some(&b"short"[..]));
        };
        join!(send, receive);
    });
}

/// A program that has closed its standard input: who writes to it is told, and who only offers input is not.
#[test]
fn a_closed_standard_input_is_told_to_who_writes() {
    on_each(&[1, 2], async || {
        // It stops, so that it is not its end that closes the pipe.
        let deaf = Command::new("sh").args(["-c", "exec <&-; echo closed; kill -STOP $$"]);
        let mut child = deaf.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().await.unwrap();
        let mut said = BufReader::new(child.stdout.take().unwrap());
        assert_eq!(said.read_line(80).await.unwrap().as_deref(), Some("closed"));
        let error = child.stdin.take().unwrap().write_all(b"hello").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
        child.kill().unwrap();
        child.wait().await.unwrap();

        let output = Command::new("sh").args(["-c", "exec <&-; echo closed"]).input(vec![0; 1 << 20]).output().await;
        assert_eq!(output.unwrap().stdout, b"closed\n");
    });
}
