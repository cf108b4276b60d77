//! The checks: what is fed, what must come of it. Shared by the test and the example.
//!
//! Bytes come and go in pieces by chance, and each future is dropped at each wait and made anew: neither may show.

use std::fmt::Debug;
use std::io::{self, ErrorKind};
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::Poll;

use futures_util::poll;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{TestCaseError, TestRunner};
use trioxide_io::{
    BufReader, BufWriter, Frames, Resolver, TcpListener, TcpStream, TooLong, copy, copy_bidirectional, set_resolver,
    write_frame,
};
use trioxide_runtime::Runtime;
use trioxide_testing::pending_once;
use trioxide_testing::stream::Choppy;

/// One of the checks.
pub(crate) struct Check {
    pub(crate) name: &'static str,
    /// Runs it for as many cases as the runner says; the error has the smallest case that fails.
    pub(crate) run: fn(&mut TestRunner) -> Result<(), String>,
}

pub(crate) const ALL: &[Check] = &[
    Check {
        name: "buffered reader",
        run: |runner| run(runner, &(text(), vec(reading(), 1..12), any::<u64>()), reader),
    },
    Check { name: "frames", run: |runner| run(runner, &(framed(), 0..40_usize, any::<u64>()), frames) },
    Check { name: "writing", run: |runner| run(runner, &(vec(bytes(), 0..8), any::<u64>()), writing) },
    Check { name: "copying", run: |runner| run(runner, &(bytes(), bytes(), any::<u64>()), copying) },
    Check { name: "addresses", run: |runner| run(runner, &address(), addresses) },
];

/// A runtime for each check, and not for each case.
fn run<S: Strategy<Value: Debug>>(
    runner: &mut TestRunner,
    strategy: &S,
    check: impl AsyncFn(S::Value) -> Result<(), TestCaseError>,
) -> Result<(), String> {
    let runtime = Runtime::builder().workers(1).build().map_err(|error| error.to_string())?;
    runner.run(strategy, |case| runtime.run(check(case))).map_err(|failed| failed.to_string())
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![40 => vec(any::<u8>(), 0..200), 1 => vec(any::<u8>(), 8_000..9_000)]
}

/// Bytes of which many are ends of lines, or no text.
fn text() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![Just(b'\n'), Just(b'\r'), Just(b','), Just(b'a'), Just(0xc3), Just(0xbc), any::<u8>()];
    // Longer than a piece of the reader's.
    let long = vec(any::<u8>(), 8_000..9_000);
    prop_oneof![40 => vec(byte, 0..120), 1 => long]
}

/// What is read next.
#[derive(Clone, Debug)]
enum Reading {
    Line(usize),
    Until(u8, usize),
    Exact(usize),
}

fn reading() -> impl Strategy<Value = Reading> {
    prop_oneof![
        (0..30_usize).prop_map(Reading::Line),
        (prop_oneof![Just(b','), any::<u8>()], 0..30_usize).prop_map(|(end, limit)| Reading::Until(end, limit)),
        (0..20_usize).prop_map(Reading::Exact),
        (8_000..9_000_usize).prop_map(Reading::Line),
    ]
}

/// What reading gives, so that it can be compared.
#[derive(Debug, PartialEq)]
enum Got {
    Part(Option<Vec<u8>>),
    TooLong(usize),
    Failed(ErrorKind),
}

impl Got {
    fn of(result: io::Result<Option<Vec<u8>>>) -> Got {
        match result {
            Ok(part) => Got::Part(part),
            Err(error) => match TooLong::of(&error) {
                Some(too_long) => Got::TooLong(too_long.limit()),
                None => Got::Failed(error.kind()),
            },
        }
    }
}

/// What [`BufReader`] is to do, with all bytes at hand.
struct Model<'a> {
    left: &'a [u8],
    /// A part was too long: up to this byte the rest of it is thrown away first.
    skips_to: Option<u8>,
}

impl Model<'_> {
    fn read(&mut self, reading: &Reading) -> Got {
        if let Some(end) = self.skips_to.take() {
            let next = self.left.iter().position(|byte| *byte == end).map_or(self.left.len(), |at| at + 1);
            self.left = &self.left[next..];
        }
        match *reading {
            Reading::Until(end, limit) => self.part(end, limit),
            Reading::Line(limit) => match self.part(b'\n', limit) {
                Got::Part(Some(mut line)) => {
                    if line.ends_with(b"\n") {
                        line.pop();
                        if line.ends_with(b"\r") {
                            line.pop();
                        }
                    }
                    match std::str::from_utf8(&line) {
                        Ok(_) => Got::Part(Some(line)),
                        Err(_) => Got::Failed(ErrorKind::InvalidData),
                    }
                }
                other => other,
            },
            Reading::Exact(count) if count > self.left.len() => Got::Failed(ErrorKind::UnexpectedEof),
            Reading::Exact(count) => Got::Part(Some(self.take(count))),
        }
    }

    fn part(&mut self, end: u8, limit: usize) -> Got {
        match self.left.iter().position(|byte| *byte == end).map(|at| at + 1) {
            Some(length) if length <= limit => Got::Part(Some(self.take(length))),
            None if self.left.is_empty() => Got::Part(None),
            None if self.left.len() <= limit => Got::Part(Some(self.take(self.left.len()))),
            _ => {
                self.skips_to = Some(end);
                Got::TooLong(limit)
            }
        }
    }

    fn take(&mut self, count: usize) -> Vec<u8> {
        let (part, left) = self.left.split_at(count);
        self.left = left;
        part.to_vec()
    }
}

async fn reader((bytes, readings, seed): (Vec<u8>, Vec<Reading>, u64)) -> Result<(), TestCaseError> {
    let mut model = Model { left: &bytes, skips_to: None };
    let mut reader = BufReader::new(Choppy::by_chance(&bytes[..], seed));
    for (number, reading) in readings.iter().enumerate() {
        let got = dropped_at_each_wait(&mut reader, async |reader| match *reading {
            Reading::Line(limit) => reader.read_line(limit).await.map(|line| line.map(String::into_bytes)),
            Reading::Until(end, limit) => reader.read_until(end, limit).await,
            Reading::Exact(count) => reader.read_exact(count).await.map(Some),
        });
        prop_assert_eq!(Got::of(got.await), model.read(reading), "reading number {}", number);
    }
    Ok(())
}

/// Frames, and what looks like them.
fn framed() -> impl Strategy<Value = Vec<u8>> {
    let whole = vec(any::<u8>(), 0..60).prop_map(|frame| {
        let mut bytes = (frame.len() as u32).to_be_bytes().to_vec();
        bytes.extend(frame);
        bytes
    });
    let piece = prop_oneof![6 => whole, 1 => vec(any::<u8>(), 0..10)];
    vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

async fn frames((bytes, limit, seed): (Vec<u8>, usize, u64)) -> Result<(), TestCaseError> {
    let mut left = &bytes[..];
    let mut frames = Frames::new(Choppy::by_chance(&bytes[..], seed), limit);
    // So many can there be, and then the end, or a cut, again and again.
    for number in 0..bytes.len() / 4 + 3 {
        let expected = match left {
            [] => Got::Part(None),
            [a, b, c, d, rest @ ..] => match u32::from_be_bytes([*a, *b, *c, *d]) as usize {
                length if length > limit => {
                    left = &rest[length.min(rest.len())..];
                    Got::TooLong(limit)
                }
                length if length > rest.len() => Got::Failed(ErrorKind::UnexpectedEof),
                length => {
                    left = &rest[length..];
                    Got::Part(Some(rest[..length].to_vec()))
                }
            },
            _ => Got::Failed(ErrorKind::UnexpectedEof),
        };
        let got = dropped_at_each_wait(&mut frames, async |frames| frames.next().await).await;
        prop_assert_eq!(Got::of(got), expected, "frame number {}", number);
    }
    Ok(())
}

async fn writing((parts, seed): (Vec<Vec<u8>>, u64)) -> Result<(), TestCaseError> {
    let mut writer = BufWriter::new(Choppy::by_chance(Vec::new(), seed));
    for part in &parts {
        dropped_at_each_wait(&mut writer, async |writer| writer.write_all(part).await).await?;
    }
    dropped_at_each_wait(&mut writer, async |writer| writer.flush().await).await?;
    prop_assert_eq!(writer.get_ref().get_ref(), &parts.concat());

    let mut stream = Choppy::by_chance(Vec::new(), seed);
    for part in &parts {
        write_frame(&mut stream, part, usize::MAX).await?;
    }
    let bytes = stream.into_inner();
    let mut frames = Frames::new(Choppy::by_chance(&bytes[..], !seed), usize::MAX);
    for part in &parts {
        prop_assert_eq!(&frames.next().await?, &Some(part.clone()));
    }
    prop_assert_eq!(frames.next().await?, None);
    Ok(())
}

async fn copying((there, back, seed): (Vec<u8>, Vec<u8>, u64)) -> Result<(), TestCaseError> {
    let mut copied = Choppy::by_chance(Vec::new(), seed);
    let count = copy(Choppy::by_chance(&there[..], !seed), &mut copied).await?;
    prop_assert_eq!(count, there.len() as u64);
    prop_assert_eq!(copied.get_ref(), &there);

    let mut one = Choppy::by_chance(Ends { says: &there, heard: Vec::new(), closed: false }, seed);
    let mut other = Choppy::by_chance(Ends { says: &back, heard: Vec::new(), closed: false }, !seed);
    let counts = copy_bidirectional(&mut one, &mut other).await?;
    prop_assert_eq!(counts, (there.len() as u64, back.len() as u64));
    let (one, other) = (one.into_inner(), other.into_inner());
    prop_assert_eq!((&one.heard, &other.heard), (&back, &there));
    prop_assert!(one.closed && other.closed);
    Ok(())
}

/// Says something and then ends; keeps what it hears.
struct Ends<'a> {
    says: &'a [u8],
    heard: Vec<u8>,
    closed: bool,
}

impl futures_io::AsyncRead for Ends<'_> {
    fn poll_read(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(io::Read::read(&mut self.says, buf))
    }
}

impl futures_io::AsyncWrite for Ends<'_> {
    fn poll_write(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        assert!(!self.closed, "a write after the end");
        self.heard.extend_from_slice(buf);
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: std::pin::Pin<&mut Self>, _: &mut std::task::Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(mut self: std::pin::Pin<&mut Self>, _: &mut std::task::Context<'_>) -> Poll<io::Result<()>> {
        self.closed = true;
        Poll::Ready(Ok(()))
    }
}

/// Text of the characters that addresses are made of, and of others.
fn address() -> impl Strategy<Value = String> {
    let character = prop_oneof![
        4 => prop_oneof![Just(':'), Just('['), Just(']'), Just('.'), Just('%'), Just('/')],
        4 => proptest::char::range('0', '9'),
        2 => proptest::char::range('a', 'h'),
        1 => any::<char>(),
    ];
    let anything = vec(character, 0..24).prop_map(String::from_iter);
    let host =
        vec(prop_oneof![proptest::char::range('a', 'z'), Just('.'), Just('-')], 1..12).prop_map(String::from_iter);
    let named = (host, any::<u16>()).prop_map(|(host, port)| format!("{host}:{port}"));
    prop_oneof![3 => anything, 1 => named]
}

/// Whatever is given as an address: it is one, or a name that is looked up, or an error that shows it. Nobody is connected to.
async fn addresses(text: String) -> Result<(), TestCaseError> {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let told = asked.clone();
    set_resolver(Some(Resolver::new(move |host: String, port| {
        told.lock().unwrap().push((host, port));
        async { Err(ErrorKind::NotFound.into()) }
    })));
    let name = text.rsplit_once(':').and_then(|(host, port)| Some((host.to_owned(), port.parse::<u16>().ok()?)));
    let is_known = |(host, _): &(String, u16)| host.parse::<std::net::IpAddr>().is_ok();
    if text.parse::<std::net::SocketAddr>().is_ok() || name.as_ref().is_some_and(is_known) {
        return Ok(());
    }
    let errors = [TcpStream::connect(&text).await.map(drop), TcpListener::bind(&text).await.map(drop)];
    for error in errors.map(|outcome| outcome.expect_err("there is no such address")) {
        let kind = if name.is_some() { ErrorKind::NotFound } else { ErrorKind::InvalidInput };
        prop_assert_eq!(error.kind(), kind);
        prop_assert!(error.to_string().contains(&text) || name.is_some(), "{} does not name {}", error, text);
    }
    let asked = std::mem::take(&mut *asked.lock().unwrap());
    prop_assert_eq!(asked, name.map_or_else(Vec::new, |name| vec![name.clone(), name]));
    Ok(())
}

/// Runs what `begin` makes, and drops it each time it waits, once for each wait; what such a future has not done, the next one does.
async fn dropped_at_each_wait<C, T>(context: &mut C, mut begin: impl AsyncFnMut(&mut C) -> T) -> T {
    loop {
        let mut future = pin!(begin(context));
        if let Poll::Ready(value) = poll!(future.as_mut()) {
            return value;
        }
        // The budget of a task is full again in its next turn.
        pending_once().await;
    }
}
