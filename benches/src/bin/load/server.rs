//! The server: what it does, how it is started, and what it is asked.
//!
//! It answers each line with the same line. A line that has begun must end within [`PATIENCE`], or else the connection is closed. On standard output it says where it listens;
//! for each line of standard input it says what it has and what it has done, and it stops at the end of it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use trioxide::io::process::{Child, Command, Stdio};
use trioxide::io::{BufReader, Server as Serving, TcpListener, TcpStream, Trouble, stdin, stdout};
use trioxide::{Nursery, fail_after, nursery, sleep};

use trioxide_benches::measure::resident_bytes;
use trioxide_benches::open_files;

use crate::clients::Tally;
use crate::{Kind, Load};

/// How long a line may take once its first byte is there.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long a line may be.
pub(super) const LONGEST: usize = 100;
/// Listeners, each on an address of its own: one pair of addresses has some 28,000 ports for clients.
const LISTENERS: u8 = 8;
/// After so long what is still there stays there.
const SETTLED: Duration = Duration::from_secs(20);

/// What a process has, and what the server has done.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Counts {
    pub(super) descriptors: u64,
    pub(super) tasks: u64,
    pub(super) resident: u64,
    /// Lines that were answered.
    answered: u64,
    /// Connections that were closed because a line took too long.
    too_slow: u64,
    /// Handlers that ended with an error: the connection was broken.
    failed: u64,
    panicked: u64,
}

static DONE: Done = Done {
    answered: AtomicU64::new(0),
    too_slow: AtomicU64::new(0),
    failed: AtomicU64::new(0),
    panicked: AtomicU64::new(0),
};

struct Done {
    answered: AtomicU64,
    too_slow: AtomicU64,
    failed: AtomicU64,
    panicked: AtomicU64,
}

impl Counts {
    /// Of this process.
    pub(super) fn here() -> io::Result<Counts> {
        Ok(Counts {
            descriptors: std::fs::read_dir("/proc/self/fd")?.count() as u64,
            tasks: trioxide::statistics().tasks_living as u64,
            resident: resident_bytes().unwrap_or(0),
            answered: DONE.answered.load(Relaxed),
            too_slow: DONE.too_slow.load(Relaxed),
            failed: DONE.failed.load(Relaxed),
            panicked: DONE.panicked.load(Relaxed),
        })
    }

    fn write(&self) -> String {
        let Counts { descriptors, tasks, resident, answered, too_slow, failed, panicked } = self;
        format!("{descriptors} {tasks} {resident} {answered} {too_slow} {failed} {panicked}\n")
    }

    fn read(line: &str) -> Option<Counts> {
        let numbers: Vec<u64> = line.split(' ').map(|number| number.parse().ok()).collect::<Option<_>>()?;
        let [descriptors, tasks, resident, answered, too_slow, failed, panicked] = numbers.try_into().ok()?;
        Some(Counts { descriptors, tasks, resident, answered, too_slow, failed, panicked })
    }
}

/// The process that serves.
pub(super) fn main(workers: usize) -> io::Result<()> {
    open_files::raise_limit();
    trioxide::Runtime::builder().workers(workers).build()?.run(async {
        let mut listeners = Vec::new();
        for last in 1..=LISTENERS {
            listeners.push(TcpListener::bind(SocketAddr::from(([127, 0, 0, last], 0))).await?);
        }
        let served = nursery(async move |n: Nursery<io::Error>| {
            let report = |trouble: Trouble<'_>| match trouble {
                Trouble::Failed { .. } => drop(DONE.failed.fetch_add(1, Relaxed)),
                Trouble::Panicked { .. } => drop(DONE.panicked.fetch_add(1, Relaxed)),
                other => eprintln!("load server: {other}"),
            };
            let server = Serving::new(answer).report(report);
            let addresses = n.start(async move |started| server.run_started(listeners, started).await).await;
            let addresses = addresses.map_err(io::Error::other)?;
            let mut says: String = addresses.iter().map(|address| format!("{address} ")).collect();
            let mut asked = BufReader::new(stdin()?);
            let mut says_to = stdout()?;
            loop {
                says.push('\n');
                says_to.write_all(says.as_bytes()).await?;
                if asked.read_line(LONGEST).await?.is_none() {
                    break;
                }
                says = Counts::here()?.write().trim_end().to_owned();
            }
            n.stop(Duration::from_secs(5));
            Ok::<_, io::Error>(())
        });
        served.await.map_err(|error| io::Error::other(format!("{error}")))
    })
}

/// Answers lines until the client ends.
async fn answer(stream: TcpStream, _: SocketAddr) -> io::Result<()> {
    loop {
        // First the wait, then the buffer, and the clock: a connection that says nothing has neither. (`readable` may be mistaken.)
        stream.peek(&mut [0; 1]).await?;
        let mut reader = BufReader::new(&stream);
        loop {
            match fail_after(PATIENCE, reader.read_line(LONGEST)).await {
                Ok(Ok(Some(mut line))) => {
                    line.push('\n');
                    stream.write_all(line.as_bytes()).await?;
                    DONE.answered.fetch_add(1, Relaxed);
                }
                Ok(Ok(None)) => return Ok(()),
                Ok(Err(error)) => return Err(error),
                Err(_too_slow) => {
                    DONE.too_slow.fetch_add(1, Relaxed);
                    return Ok(());
                }
            }
            if reader.buffer().is_empty() {
                break;
            }
        }
    }
}

/// The server, as the process of the clients sees it.
pub(super) struct Server {
    child: Child,
    says: BufReader<trioxide::io::pipe::Receiver>,
    asked: trioxide::io::pipe::Sender,
    pub(super) addresses: Arc<[SocketAddr]>,
}

impl Server {
    pub(super) async fn start(workers: usize) -> io::Result<Server> {
        let command = Command::new(std::env::current_exe()?).args(["server", "--workers", &workers.to_string()]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().await?;
        let asked = child.stdin.take().expect("it is piped");
        let mut says = BufReader::new(child.stdout.take().expect("it is piped"));
        let line = says.read_line(1024).await?.ok_or_else(|| io::Error::other("the server did not start"))?;
        let addresses = line.split_whitespace().map(|address| address.parse().map_err(io::Error::other));
        let addresses = addresses.collect::<io::Result<_>>()?;
        Ok(Server { child, says, asked, addresses })
    }

    pub(super) async fn counts(&mut self) -> io::Result<Counts> {
        self.asked.write_all(b"counts\n").await?;
        let line = self.says.read_line(1024).await?.ok_or_else(|| io::Error::other("the server is gone"))?;
        Counts::read(&line).ok_or_else(|| io::Error::other(format!("the server said {line:?}")))
    }

    /// Waits until both processes are as `before`; gives what is left over, and what the server has not done of `load`.
    pub(super) async fn came_back_to(
        &mut self,
        before: &[Counts; 2],
        load: Load,
        tally: &Tally,
    ) -> io::Result<Vec<String>> {
        let began = Instant::now();
        let now = loop {
            let now = [self.counts().await?, Counts::here()?];
            let settled = (0..2).all(|end| is_left(before[end], now[end]) == [0, 0]);
            if settled || began.elapsed() > SETTLED {
                break now;
            }
            sleep(Duration::from_millis(10)).await;
        };
        let mut losses = Vec::new();
        for (end, name) in ["the server", "the clients"].into_iter().enumerate() {
            let [descriptors, tasks] = is_left(before[end], now[end]);
            if [descriptors, tasks] != [0, 0] {
                losses.push(format!("{name} are left with {descriptors} descriptors and {tasks} tasks"));
            }
        }
        let done = |of: fn(&Counts) -> u64| of(&now[0]) - of(&before[0]);
        let mut expect = |what: &str, is: u64, should: u64| {
            if is != should {
                losses.push(format!("the server has {what} {is} times in place of {should}"));
            }
        };
        expect("panicked", done(|counts| counts.panicked), 0);
        let slow = if load.kind == Kind::Slow { load.connections } else { 0 };
        expect("lost its patience", done(|counts| counts.too_slow), slow);
        if load.kind != Kind::Broken {
            expect("answered", done(|counts| counts.answered), tally.answered());
            expect("seen a connection break", done(|counts| counts.failed), 0);
        }
        Ok(losses)
    }

    pub(super) async fn stop(self) -> io::Result<()> {
        drop(self.asked);
        let status = self.child.wait().await?;
        if status.success() { Ok(()) } else { Err(io::Error::other(format!("the server has ended with {status}"))) }
    }
}

/// How many descriptors and tasks there are more.
fn is_left(before: Counts, now: Counts) -> [u64; 2] {
    [now.descriptors.saturating_sub(before.descriptors), now.tasks.saturating_sub(before.tasks)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_survive_the_way_between_processes() {
        let counts = Counts { descriptors: 1, tasks: 2, resident: 3, answered: 4, too_slow: 5, failed: 6, panicked: 7 };
        assert_eq!(Counts::read(counts.write().trim_end()), Some(counts));
        assert_eq!(Counts::read("1 2 3"), None);
    }
}
