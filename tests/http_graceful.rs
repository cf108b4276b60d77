//! A SIGTERM under load loses no request: the example `http_server`, stopped while 64 clients keep it busy.
//!
//! What is asserted: every request that the server has begun is answered in full; a connection on which a request is not answered
//! was closed before the server had read it, with not one byte of an answer; and the server exits with 0.
#![cfg(unix)]

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

const CLIENTS: usize = 64;
/// A server that hangs fails the test, and does not hang it.
const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn a_sigterm_under_load_loses_no_request() {
    let mut server = Server::start(&[]);
    let (answered, answers) = mpsc::channel();
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let (address, answered) = (server.address, answered.clone());
            // Every fourth asks for something that takes a while, so that the signal finds some at work.
            let path = if number % 4 == 0 { "/slow?ms=20" } else { "/" };
            thread::spawn(move || ask_until_closed(address, path, &answered))
        })
        .collect();
    drop(answered);

    // Under way: every client has been answered, and some often.
    for _ in 0..CLIENTS * 50 {
        answers.recv_timeout(PATIENCE).expect("the server answers");
    }
    server.terminate();

    let answered: usize =
        clients.into_iter().map(|client| client.join().expect("no client has seen half an answer")).sum();
    let begun = server.stopped();
    assert_eq!(answered, begun, "requests answered in full, and requests that the server has begun");
}

#[test]
fn a_request_in_flight_is_answered_and_an_idle_connection_closed() {
    let mut server = Server::start(&["--workers", "2"]);
    let mut fresh = connect(server.address);
    let mut idle = connect(server.address);
    ask(&mut idle, "/").expect("an answer");
    let mut slow = in_flight(server.address, "/slow?ms=2000");
    server.terminate();

    // Both end well before the slow request does.
    assert_eq!(idle.read(&mut [0; 16]).expect("a clean close"), 0);
    assert_eq!(fresh.read(&mut [0; 16]).expect("a clean close"), 0);
    assert!(server.child.try_wait().expect("a status").is_none(), "it waits for the request in flight");
    let answer = receive(&mut slow).expect("an answer");
    assert!(answer.head.starts_with("HTTP/1.1 200 OK"), "{}", answer.head);
    assert!(answer.head.contains("connection: close"), "{}", answer.head);
    assert_eq!(answer.body, b"after 2000 ms\n");
    assert_eq!(slow.read(&mut [0; 16]).expect("a clean close"), 0);
    assert_eq!(server.stopped(), 3);
}

#[test]
fn what_is_not_done_after_the_grace_is_cut() {
    let mut server = Server::start(&["--grace", "1"]);
    let mut slow = in_flight(server.address, "/slow?ms=600000");
    server.terminate();
    assert!(matches!(slow.read(&mut [0; 16]), Ok(0) | Err(_)), "no answer");
    server.stopped();
}

#[test]
fn a_second_signal_cuts_at_once() {
    let mut server = Server::start(&["--grace", "3600"]);
    let mut slow = in_flight(server.address, "/slow?ms=3600000");
    server.terminate();
    server.line("stopping");
    server.terminate();
    assert!(matches!(slow.read(&mut [0; 16]), Ok(0) | Err(_)), "no answer");
    server.stopped();
}

#[test]
fn a_panic_fails_its_request_alone() {
    let mut server = Server::start(&[]);
    let mut client = connect(server.address);
    assert!(ask(&mut client, "/panic").expect("an answer").head.starts_with("HTTP/1.1 500"));
    assert!(ask(&mut client, "/").expect("an answer").head.starts_with("HTTP/1.1 200"));
    server.terminate();
    assert_eq!(server.stopped(), 2);
}

#[test]
fn a_port_in_use_is_said() {
    let mut server = Server::start(&[]);
    let address = server.address.to_string();
    let second = Command::new(example()).args(["--addr", &address]).output().expect("started");
    assert_eq!(second.status.code(), Some(1));
    let said = String::from_utf8_lossy(&second.stderr);
    assert!(said.contains(&address) && said.contains("address in use; another program listens there"), "{said}");
    server.terminate();
    server.stopped();
}

/// Asks again and again on one connection until the server closes it; gives the number of complete answers.
fn ask_until_closed(address: SocketAddr, path: &str, answered: &mpsc::Sender<()>) -> usize {
    let mut stream = connect(address);
    let mut answers = 0;
    loop {
        if send(&mut stream, path).is_err() {
            return answers; // closed while nothing was in flight
        }
        match receive(&mut stream) {
            Ok(answer) => {
                assert!(answer.head.starts_with("HTTP/1.1 200 OK"), "{}", answer.head);
                answers += 1;
                let _ = answered.send(()); // nobody listens any more once there have been enough
                if answer.head.contains("connection: close") {
                    assert_eq!(stream.read(&mut [0; 16]).expect("a clean close"), 0);
                    return answers;
                }
            }
            Err(Closed::BeforeTheAnswer) => return answers,
            Err(Closed::Within(part)) => panic!("half an answer: {:?}", String::from_utf8_lossy(&part)),
        }
    }
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    stream.set_nodelay(true).expect("no delay");
    stream
}

/// A connection with a request that the server has read and not answered: it was sent in one piece with one that has been answered.
fn in_flight(address: SocketAddr, path: &str) -> TcpStream {
    let mut stream = connect(address);
    stream.write_all(format!("{}{}", request("/"), request(path)).as_bytes()).expect("sent");
    receive(&mut stream).expect("an answer");
    stream
}

fn ask(stream: &mut TcpStream, path: &str) -> Result<Answer, Closed> {
    send(stream, path).map_err(|_| Closed::BeforeTheAnswer)?;
    receive(stream)
}

fn send(stream: &mut TcpStream, path: &str) -> io::Result<()> {
    stream.write_all(request(path).as_bytes())
}

fn request(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n")
}

struct Answer {
    head: String,
    body: Vec<u8>,
}

#[derive(Debug)]
enum Closed {
    BeforeTheAnswer,
    Within(Vec<u8>),
}

fn receive(stream: &mut TcpStream) -> Result<Answer, Closed> {
    let mut bytes = Vec::new();
    loop {
        if let Some(answer) = complete(&bytes) {
            return Ok(answer);
        }
        let mut part = [0; 1024];
        match stream.read(&mut part) {
            Ok(count) if count > 0 => bytes.extend_from_slice(&part[..count]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => panic!("no answer within {PATIENCE:?}"),
            _ if bytes.is_empty() => return Err(Closed::BeforeTheAnswer),
            _ => return Err(Closed::Within(bytes)),
        }
    }
}

fn complete(bytes: &[u8]) -> Option<Answer> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let head = String::from_utf8(bytes[..end].to_vec()).expect("a head in ASCII");
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).expect("a length");
    let body = bytes.get(end..end + length.parse::<usize>().expect("a number"))?;
    Some(Answer { head, body: body.to_vec() })
}

/// The example, running.
struct Server {
    child: Child,
    output: mpsc::Receiver<String>,
    address: SocketAddr,
}

impl Server {
    fn start(arguments: &[&str]) -> Self {
        let mut command = Command::new(example());
        let mut child =
            command.args(["--addr", "127.0.0.1:0"]).args(arguments).stdout(Stdio::piped()).spawn().expect("started");
        let stdout = BufReader::new(child.stdout.take().expect("piped"));
        let (lines, output) = mpsc::channel();
        thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|line| lines.send(line)));
        let mut server = Server { child, output, address: SocketAddr::from(([0, 0, 0, 0], 0)) };
        server.address = server.line("listening on http://").parse().expect("an address");
        server
    }

    /// What follows `start` in the first line that begins so.
    fn line(&self, start: &str) -> String {
        loop {
            let line = self.output.recv_timeout(PATIENCE).expect("the server says something");
            if let Some(rest) = line.strip_prefix(start) {
                return rest.to_owned();
            }
        }
    }

    fn terminate(&self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).expect("it runs");
    }

    /// Waits for the exit, with 0; gives the number of requests that the server has begun.
    fn stopped(&mut self) -> usize {
        let text = self.line("stopped after ");
        assert_eq!(self.child.wait().expect("a status").code(), Some(0));
        text.split(' ').next().and_then(|number| number.parse().ok()).expect("a number")
    }
}

impl Drop for Server {
    /// After a test that has failed half-way.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where cargo has put the example: beside the directory of this test.
fn example() -> PathBuf {
    let test = std::env::current_exe().expect("a path");
    let path = test.ancestors().nth(2).expect("target/…/deps/test").join("examples/http_server");
    assert!(
        path.exists(),
        "{} is not there; `cargo build --example http_server` makes it (`cargo test` does so, too)",
        path.display()
    );
    path
}
