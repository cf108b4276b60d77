//! Where an operation's locked instructions stand: the read-modify-writes, locks and full fences that a processor cannot hide.
//!
//! `callgrind` counts how often each instruction was executed between the start and the stop of the clock, with one worker; `objdump` says
//! which of them are locked, and `addr2line` in which function of which file. So the figures of the cost model can be counted anew after each
//! change. With one worker nothing is contended: these are what is executed, and not what it costs when others want the same line.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};

use clap::Parser;

use crate::contenders::{Body, Contender};
use crate::counts::{Scratch, callgrind, dumps, repeat};
use crate::report::Settings;
use crate::rows::{ROWS, Row, Scale};
use crate::runner;

/// Counts the locked instructions per operation of each row, by the place where they stand. Needs valgrind and binutils; Linux on x86-64.
#[derive(Debug, Parser)]
#[command(name = "locked", args_conflicts_with_subcommands = true)]
struct Options {
    #[command(subcommand)]
    command: Option<runner::Hidden>,
    /// Only rows whose name contains NAME (repeatable)
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// On which runtime
    #[arg(long, value_name = "RUNTIME", default_value = "trioxide")]
    runtime: Contender,
    /// Write locked.md to DIR, which exists, instead of to the screen
    #[arg(long, value_name = "DIR")]
    into: Option<PathBuf>,
    /// Leave out places below so many times per operation
    #[arg(long, value_name = "TIMES", default_value_t = 0.1)]
    least: f64,
}

/// The program: reads the command line, counts, prints.
#[must_use]
pub fn main() -> ExitCode {
    let options = Options::parse();
    match execute(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("locked: {error}");
            ExitCode::FAILURE
        }
    }
}

fn execute(options: &Options) -> io::Result<()> {
    if let Some(hidden) = &options.command {
        return hidden.serve();
    }
    let (mut objects, mut text) = (Objects::default(), String::new());
    let wanted =
        |row: &&Row| options.only.is_empty() || options.only.iter().any(|part| row.name.contains(part.as_str()));
    for row in ROWS.iter().filter(|row| row.needs.is_none()).filter(wanted) {
        let of_row = of_row(row, options, &mut objects)?;
        if options.into.is_none() {
            print!("{of_row}");
        }
        text += &of_row;
    }
    match &options.into {
        Some(directory) => fs::write(directory.join("locked.md"), text.trim_start()),
        None => Ok(()),
    }
}

/// What a row of the list says, in Markdown.
fn of_row(row: &'static Row, options: &Options, objects: &mut Objects) -> io::Result<String> {
    let contenders = vec![options.runtime];
    let settings =
        Settings { contenders, workers: 1, repetitions: 1, scale: Scale::Quick, body: Body::Main, counts: false };
    let scratch = Scratch::new()?;
    let mut command = callgrind(&scratch);
    command.arg("--dump-instr=yes");
    let ran = repeat(command, row, options.runtime, &settings, 1)?;
    let Some(operations) = ran.operations else {
        return Err(io::Error::other(format!("callgrind: {}", String::from_utf8_lossy(&ran.output.stderr))));
    };
    let mut times: BTreeMap<(String, u64), u64> = BTreeMap::new();
    for dump in dumps(&scratch)? {
        executed(&fs::read_to_string(dump)?, &mut |object, address, count| {
            *times.entry((object.to_owned(), address)).or_default() += count;
        });
    }
    let mut places: BTreeMap<(String, String), f64> = BTreeMap::new();
    for ((object, address), count) in &times {
        if let Some(instruction) = objects.locked(object)?.get(address).cloned() {
            let place = objects.place(object, *address)?;
            *places.entry((place, instruction)).or_default() += *count as f64 / operations as f64;
        }
    }
    let total: f64 = places.values().sum();
    let mut text = format!("\n**{}: {total:.2} locked instructions per operation**\n\n", row.name);
    text += "| times | instruction | where |\n| ---: | --- | --- |\n";
    let mut places: Vec<_> = places.into_iter().filter(|(_, times)| *times >= options.least).collect();
    places.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    for ((place, instruction), times) in places {
        let _ = writeln!(text, "| {times:.2} | `{instruction}` | {place} |");
    }
    Ok(text)
}

/// Reads a callgrind file: the object, the address and the count of each instruction's own cost.
fn executed(text: &str, tell: &mut dyn FnMut(&str, u64, u64)) {
    let (mut names, mut object, mut address) = (HashMap::new(), String::new(), 0_u64);
    let mut call = false;
    for line in text.lines() {
        if let Some((kind @ ("ob" | "cob"), name)) = line.split_once('=') {
            // A name stands there the first time only: `(3) /usr/bin/x`, and `(3)` afterwards.
            let (id, rest) = name.split_once(' ').unwrap_or((name, ""));
            if !rest.is_empty() {
                names.insert(id.to_owned(), rest.to_owned());
            }
            if kind == "ob" {
                object = names.get(id).cloned().unwrap_or_default();
            }
        } else if line.starts_with("calls=") {
            call = true;
        } else if line.starts_with(['0', '+', '-', '*']) {
            let mut fields = line.split(' ');
            address = relative(address, fields.next().unwrap_or_default());
            // What a call has cost below is not the instruction's own.
            if !std::mem::take(&mut call)
                && let Some(count) = fields.nth(1).and_then(|count| count.parse().ok())
            {
                tell(&object, address, count);
            }
        }
    }
}

/// Addresses are `0x1f`, or `+5`, `-5` and `*` after the one before.
fn relative(before: u64, field: &str) -> u64 {
    let number = |digits: &str| match digits.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).unwrap_or(0),
        None => digits.parse().unwrap_or(0),
    };
    match field.split_at_checked(1) {
        Some(("+", more)) => before + number(more),
        Some(("-", less)) => before - number(less),
        Some(("*", _)) => before,
        _ => number(field),
    }
}

/// What is known of programs and libraries.
#[derive(Default)]
struct Objects {
    locked: HashMap<String, HashMap<u64, String>>,
    places: HashMap<(String, u64), String>,
}

impl Objects {
    /// The locked instructions of `object`, by address.
    fn locked(&mut self, object: &str) -> io::Result<&HashMap<u64, String>> {
        if !self.locked.contains_key(object) {
            let text = output("objdump", &["-d", "--no-show-raw-insn", object], "")?;
            self.locked.insert(object.to_owned(), text.lines().filter_map(locked).collect());
        }
        Ok(&self.locked[object])
    }

    /// In which functions it stands: the innermost of this project, and what that has inlined.
    fn place(&mut self, object: &str, address: u64) -> io::Result<String> {
        let key = (object.to_owned(), address);
        if !self.places.contains_key(&key) {
            let text = output("addr2line", &["-i", "-f", "-C", "-e", object], &format!("{address:#x}\n"))?;
            self.places.insert(key.clone(), place(&text).unwrap_or_else(|| object.to_owned()));
        }
        Ok(self.places[&key].clone())
    }
}

/// The address and the name of a locked instruction in a line of `objdump`. An exchange with memory is one without saying so.
fn locked(line: &str) -> Option<(u64, String)> {
    let (address, instruction) = line.split_once(":\t")?;
    let mut words = instruction.split_whitespace();
    let name = match words.next()? {
        "lock" => format!("lock {}", words.next()?),
        name if name.starts_with("xchg") && instruction.contains('(') => name.to_owned(),
        "mfence" => "mfence".to_owned(),
        _ => return None,
    };
    Some((u64::from_str_radix(address.trim(), 16).ok()?, name))
}

/// Of the lines of `addr2line -f -i` (function, file, function, file …, innermost first) the first two functions of this project's sources,
/// or else the outermost of all.
fn place(text: &str) -> Option<String> {
    let lines: Vec<&str> = text.lines().collect();
    let frames: Vec<(&str, &str)> = lines.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect();
    let own = |file: &str| -> Option<String> {
        let path = file.split(':').next()?;
        let crates = ["runtime", "sync", "io", "benches"].map(|name| format!("/{name}/src/"));
        let at = crates.iter().find_map(|part| path.find(part.as_str()))?;
        (!path.contains("/registry/") && !path.contains("/rustc/")).then(|| path[at + 1..].to_owned())
    };
    let ours: Vec<(&str, String)> = frames.iter().filter_map(|(name, file)| Some((*name, own(file)?))).collect();
    let short = |name: &str| {
        let name = plain(name);
        // The last two parts of a path tell enough: `State::finish`.
        let parts: Vec<&str> = name.split("::").collect();
        parts[parts.len().saturating_sub(2)..].join("::")
    };
    match ours.as_slice() {
        [] => frames.last().map(|(name, _)| format!("`{}`", plain(name))),
        // The doors of `primitives` are everywhere: who called it is what one wants to know.
        [(name, file)] => Some(format!("`{}` in `{file}`", short(name))),
        [(name, _), (caller, file), ..] => Some(format!("`{}` in `{}` in `{file}`", short(name), short(caller))),
    }
}

/// A function's name without what it is generic over: `<Task<T> as Drop>::drop` is `Task::drop`.
fn plain(name: &str) -> String {
    let name = name.split("::h0").next().unwrap_or(name);
    let mut depth = 0;
    let end_of_type = name.starts_with('<').then(|| {
        name.find(|c| {
            depth += i32::from(c == '<') - i32::from(c == '>');
            depth == 0
        })
    });
    let name = match end_of_type.flatten() {
        Some(end) => {
            let of = &name[1..end];
            let implementor = of.rsplit_once(" as ").map_or(of, |(implementor, _)| implementor);
            format!("{implementor}{}", &name[end + 1..])
        }
        None => name.to_owned(),
    };
    let (mut plain, mut depth) = (String::new(), 0);
    let mut before = ' ';
    for c in name.chars() {
        // `->` is in no name that matters, and `{{closure}}` has no angles.
        depth += i32::from(c == '<');
        if depth == 0 {
            plain.push(c);
        }
        depth -= i32::from(c == '>' && before != '-');
        before = c;
    }
    plain.replace("::::", "::")
}

fn output(program: &str, arguments: &[&str], input: &str) -> io::Result<String> {
    let mut command = Command::new(program);
    let mut child = command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    child.stdin.take().expect("it is piped").write_all(input.as_bytes())?;
    Ok(String::from_utf8_lossy(&child.wait_with_output()?.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_costs_are_read_and_those_of_calls_are_not() {
        let text = "\
ob=(1) /bin/compare
fn=(1) main
0x10 3 7
+6 4 2
cob=(2) /lib/libc.so
cfn=(2) malloc
calls=2 0x99 0
* 4 500
-2 5 1
ob=(2)
0x99 0 9
";
        let mut seen = Vec::new();
        executed(text, &mut |object, address, count| seen.push((object.to_owned(), address, count)));
        let compare = |address, count| ("/bin/compare".to_owned(), address, count);
        assert_eq!(seen, [compare(0x10, 7), compare(0x16, 2), compare(0x14, 1), ("/lib/libc.so".to_owned(), 0x99, 9)]);
    }

    #[test]
    fn locked_instructions_are_known() {
        let found = |line: &str| locked(line).map(|(address, name)| format!("{address:x} {name}"));
        assert_eq!(found("  1f40:\tlock xadd %eax,(%rdi)").as_deref(), Some("1f40 lock xadd"));
        assert_eq!(found("  1f44:\txchg   %rax,0x8(%rdi)").as_deref(), Some("1f44 xchg"));
        assert_eq!(found("  1f48:\txchg   %ax,%ax"), None);
        assert_eq!(found("  1f4c:\tmov    %rax,(%rdi)"), None);
        assert_eq!(found("1f40 <lock>:"), None);
    }

    #[test]
    fn a_place_is_the_innermost_function_of_the_project() {
        let text = "\
core::sync::atomic::AtomicUsize::fetch_add
/rustc/0/library/core/src/sync/atomic.rs:10
trioxide_runtime::scope::live::Live::enter
/home/me/trioxide/runtime/src/scope/live.rs:66
trioxide_runtime::nursery::handle::Nursery<E>::spawn
/home/me/trioxide/runtime/src/nursery/handle.rs:9
";
        assert_eq!(
            place(text).as_deref(),
            Some("`Live::enter` in `Nursery::spawn` in `runtime/src/nursery/handle.rs`")
        );
        assert_eq!(
            plain("<trioxide_runtime::task::Task<T> as core::ops::Drop>::drop"),
            "trioxide_runtime::task::Task::drop"
        );
        assert_eq!(plain("core::ptr::drop_in_place<a::B<c::D>>"), "core::ptr::drop_in_place");
        assert_eq!(place("malloc\n??:0\n").as_deref(), Some("`malloc`"));
        assert_eq!(place(""), None);
    }
}
