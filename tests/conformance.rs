//! The table of conformance, `docs/conformance.md`, is made from the tests; this makes it, and checks that nothing is missing.
//!
//! `runtime/tests/conformance/behaviours.txt` lists what Trio's own tests assert, by number. A test of behaviour 14 is a function named
//! `c014_…`, anywhere in the workspace. What cannot occur here stands in `cannot.txt` beside it, with the reason.
//!
//! `TRIOXIDE_UPDATE=1 cargo test -p trioxide --test conformance` writes the table.

mod common;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::ops::RangeInclusive;

use common::{Test, is_fresh, read, tests};

const BEHAVIOURS: &str = "runtime/tests/conformance/behaviours.txt";
const CANNOT: &str = "runtime/tests/conformance/cannot.txt";
/// The numbers that must all be there: all but those of what is not made here (a prompt for Python, a loop inside of another).
const REQUIRED: RangeInclusive<u32> = 1..=247;
const TABLE: &str = "docs/conformance.md";

/// A number of the list, and what is there for it.
struct Behaviour {
    topic: String,
    mark: String,
    text: String,
    reason: Option<String>,
    tests: Vec<Test>,
}

impl Behaviour {
    fn is_shown(&self, number: u32) -> bool {
        is_required(number) || self.reason.is_some() || !self.tests.is_empty()
    }
}

fn is_required(number: u32) -> bool {
    REQUIRED.contains(&number)
}

struct Conformance {
    behaviours: BTreeMap<u32, Behaviour>,
    /// Tests and reasons whose number is not in the list.
    strangers: Vec<String>,
}

impl Conformance {
    fn read() -> Self {
        let mut this = Self { behaviours: behaviours(), strangers: Vec::new() };
        for line in read(CANNOT).lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let (number, reason) =
                line.split_once(": ").unwrap_or_else(|| panic!("{CANNOT}: `NNN: reason`, not `{line}`"));
            match number.parse().ok().and_then(|number: u32| this.behaviours.get_mut(&number)) {
                Some(behaviour) if behaviour.reason.is_none() => behaviour.reason = Some(reason.to_owned()),
                Some(_) => this.strangers.push(format!("{CANNOT}: {number} stands there twice")),
                None => this.strangers.push(format!("{CANNOT}: {line}")),
            }
        }
        for test in tests() {
            let Some(number) = number_of(&test.name) else { continue };
            match this.behaviours.get_mut(&number) {
                Some(behaviour) => behaviour.tests.push(test),
                None => this.strangers.push(format!("{}: {}", test.file, test.name)),
            }
        }
        this
    }

    fn table(&self) -> String {
        let mut out = String::from(HEAD);
        let (reasons, tested) = self.behaviours.values().fold((0, 0), |(reasons, tested), behaviour| {
            (reasons + u32::from(behaviour.reason.is_some()), tested + u32::from(!behaviour.tests.is_empty()))
        });
        let _ = writeln!(out, "{tested} behaviours are tested, {reasons} cannot occur here.");
        let mut topic = "";
        for (number, behaviour) in self.behaviours.iter().filter(|(number, behaviour)| behaviour.is_shown(**number)) {
            if behaviour.topic != topic {
                topic = &behaviour.topic;
                let _ = writeln!(out, "\n## {topic}\n\n| | | behaviour | tests |\n| --- | --- | --- | --- |");
            }
            let what = match &behaviour.reason {
                Some(reason) => format!("*cannot occur here*: {reason}"),
                None if behaviour.tests.is_empty() => "*missing*".to_owned(),
                None => behaviour.tests.iter().map(link).collect::<Vec<_>>().join("<br>"),
            };
            let _ = writeln!(out, "| {number} | {} | {} | {what} |", behaviour.mark, behaviour.text);
        }
        out
    }

    /// What must not be: one line for each.
    fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        for (number, behaviour) in &self.behaviours {
            match (&behaviour.reason, behaviour.tests.is_empty()) {
                (None, true) if is_required(*number) => {
                    faults.push(format!("{number} has neither a test nor a reason: {}", behaviour.text))
                }
                (Some(_), false) => faults.push(format!("{number} has a reason, and a test all the same")),
                _ => {}
            }
            if behaviour.mark == "M" && !behaviour.tests.is_empty() && !behaviour.tests.iter().any(on_all) {
                faults.push(format!("{number} is marked M, and no test of it runs on `ALL` numbers of workers"));
            }
        }
        faults
    }
}

const HEAD: &str = "# Conformance

What Trio's own tests assert, and the tests that assert it here. Marks: P as it stands; M asserted with 1, 2 and 8 workers; R restated for results,
panics and drops instead of exceptions; W bound to a platform. They are all there, up to those
of a prompt and of loops inside of other loops, of which those stand here that have a test.

This file is generated from the tests: `TRIOXIDE_UPDATE=1 cargo test -p trioxide --test conformance`.

";

fn behaviours() -> BTreeMap<u32, Behaviour> {
    let text = read(BEHAVIOURS);
    let mut topic = String::new();
    let mut behaviours = BTreeMap::new();
    for line in text.lines() {
        if let Some(title) = line.strip_prefix("## ") {
            topic = title.to_owned();
        } else if !line.starts_with('#') {
            let mut words = line.splitn(3, ' ');
            let mut word = || words.next().unwrap_or_else(|| panic!("{BEHAVIOURS}: `number mark text`, not `{line}`"));
            let number = word().parse().unwrap_or_else(|_| panic!("{BEHAVIOURS}: no number at the start of `{line}`"));
            let (mark, text) = (word().to_owned(), word().to_owned());
            let behaviour = Behaviour { topic: topic.clone(), mark, text, reason: None, tests: Vec::new() };
            assert!(behaviours.insert(number, behaviour).is_none(), "{BEHAVIOURS}: {number} stands there twice");
        }
    }
    behaviours
}

/// 14 for `c014_…`.
fn number_of(name: &str) -> Option<u32> {
    let (digits, _) = name.strip_prefix('c')?.split_once('_')?;
    (digits.len() == 3).then(|| digits.parse().ok())?
}

fn on_all(test: &Test) -> bool {
    test.body.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == "ALL")
}

fn link(test: &Test) -> String {
    format!("[`{}`](../{})", test.name, test.file)
}

#[test]
fn every_number_is_in_the_list() {
    let conformance = Conformance::read();
    assert!(conformance.strangers.is_empty(), "not in {BEHAVIOURS}:\n{}", conformance.strangers.join("\n"));
    assert_eq!(conformance.behaviours.keys().filter(|number| is_required(**number)).count(), 247);
}

#[test]
fn every_behaviour_of_the_core_has_a_test_or_a_reason() {
    let faults = Conformance::read().faults();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn the_table_is_fresh() {
    let fresh = is_fresh(TABLE, &Conformance::read().table());
    assert!(fresh, "{TABLE} is stale; run `TRIOXIDE_UPDATE=1 cargo test -p trioxide --test conformance`");
}
