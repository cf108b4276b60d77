//! The laws of `docs/semantics.md` name tests that exist, and bounds that have that value in the code.

mod common;

use std::collections::BTreeSet;

use common::{read, tests};

const LAWS: &str = "docs/semantics.md";

/// `**L7. …` and what follows, up to the next law or heading.
struct Law {
    number: usize,
    tests: Vec<String>,
}

fn laws() -> Vec<Law> {
    let mut laws: Vec<Law> = Vec::new();
    let mut in_law = false;
    for line in read(LAWS).lines() {
        if let Some(rest) = line.strip_prefix("**L") {
            let number = rest.split('.').next().and_then(|digits| digits.parse().ok());
            let number = number.unwrap_or_else(|| panic!("{LAWS}: a law begins `**L7. `, not `{line}`"));
            laws.push(Law { number, tests: Vec::new() });
            in_law = true;
        } else if line.starts_with('#') {
            in_law = false;
        } else if let Some(names) = line.strip_prefix("Tests: ").filter(|_| in_law) {
            let law = laws.last_mut().expect("inside of a law");
            law.tests.extend(names.split('`').skip(1).step_by(2).map(str::to_owned));
        }
    }
    laws
}

/// The rows of the table of bounds: name, value, file.
fn bounds() -> Vec<(String, String, String)> {
    let text = read(LAWS);
    let cells = |row: &str| row.split('|').map(|cell| cell.trim().trim_matches('`').to_owned()).collect::<Vec<_>>();
    let rows = text.lines().filter(|line| line.starts_with("| `") && line.contains("/src/")).map(cells);
    rows.map(|cells| (cells[1].clone(), cells[2].clone(), cells[3].clone())).collect()
}

#[test]
fn every_law_names_tests_that_exist() {
    let known: BTreeSet<String> = tests().into_iter().map(|test| test.name).collect();
    let mut faults = Vec::new();
    let laws = laws();
    for (at, law) in laws.iter().enumerate() {
        if law.number != at + 1 {
            faults.push(format!("L{} stands in the place of L{}", law.number, at + 1));
        }
        if law.tests.is_empty() {
            faults.push(format!("L{} names no test", law.number));
        }
        let unknown = law.tests.iter().filter(|name| !known.contains(*name));
        faults.extend(unknown.map(|name| format!("L{}: there is no test `{name}`", law.number)));
    }
    assert!(laws.len() > 40, "{LAWS}: only {} laws were found", laws.len());
    assert!(faults.is_empty(), "{LAWS}:\n{}", faults.join("\n"));
}

#[test]
fn every_law_that_is_cited_exists() {
    let text = read(LAWS);
    let count = laws().len();
    for word in text.split(|c: char| !c.is_alphanumeric()) {
        if let Some(number) = word.strip_prefix('L').and_then(|digits| digits.parse::<usize>().ok()) {
            assert!((1..=count).contains(&number), "{LAWS} cites L{number}, which does not exist");
        }
    }
}

#[test]
fn every_bound_has_that_value_in_the_code() {
    let bounds = bounds();
    assert!(bounds.len() >= 5, "{LAWS}: only {} bounds were found", bounds.len());
    for (name, value, file) in bounds {
        let source = read(&file);
        let constant = source
            .lines()
            .any(|line| line.contains(&format!("const {name}: ")) && line.ends_with(&format!("= {value};")));
        let default = source.lines().any(|line| line.trim() == format!("{name}: {value},"));
        assert!(constant || default, "{LAWS}: `{name}` is not {value} in {file}");
    }
}
