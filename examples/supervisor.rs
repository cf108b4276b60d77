//! A supervisor of processes: starts them, starts those again that fail, and ends them all when it is stopped.
//!
//! Each process has a task. A process is the task's: when that is cut, at SIGINT or SIGTERM, the process is sent SIGTERM, has a grace,
//! is killed, and its end is waited for. So none is left when this one ends.
//!
//! ```text
//! cargo run --example supervisor -- 'sleep 5' 'while :; do date; sleep 1; done'
//! ```

use std::process::ExitCode;

use clap::Parser;
use trioxide::prelude::*;
use trioxide::process::Command;

#[derive(Parser)]
#[command(about = "Runs commands, and again those that fail")]
struct Arguments {
    /// Commands, each as the shell reads it
    #[arg(required = true)]
    commands: Vec<String>,
    /// Milliseconds before the first restart; they double, up to a minute
    #[arg(long, default_value_t = 500)]
    backoff: u64,
    /// Seconds between SIGTERM and SIGKILL
    #[arg(long, default_value_t = 5)]
    grace: u64,
}

#[trioxide::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    nursery(async |n| {
        for command in arguments.commands {
            let (backoff, grace) = (Duration::from_millis(arguments.backoff), Duration::from_secs(arguments.grace));
            n.task(command.clone()).spawn(supervise(command, backoff, grace));
        }
    })
    .await;
    println!("all have ended");
    ExitCode::SUCCESS
}

/// Until the command has ended well, or this program is stopped.
async fn supervise(command: String, mut backoff: Duration, grace: Duration) {
    loop {
        let process = Command::new("sh").arg("-c").arg(&command).grace(grace);
        // Cut here when it is stopped: that ends the process.
        match until_stopping(process.run()).await {
            None => return println!("{command}: stopped"),
            Some(Ok(_)) => return println!("{command}: done"),
            Some(Err(error)) => println!("{command}: {error}; again in {backoff:?}"),
        }
        if until_stopping(sleep(backoff)).await.is_none() {
            return;
        }
        backoff = (backoff * 2).min(Duration::from_secs(60));
    }
}
