//! What the tests that read the sources share: which tests there are.
#![allow(dead_code, reason = "each of them uses a part")]

use std::fs;
use std::path::{Path, PathBuf};

/// A test somewhere in the workspace.
pub(crate) struct Test {
    pub(crate) name: String,
    /// From the root of the workspace.
    pub(crate) file: String,
    pub(crate) body: String,
}

/// The root of the workspace, which is the directory of the facade's package.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The text of a file, by its path from the root; empty if there is none.
pub(crate) fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_default()
}

/// Writes a generated file if the environment asks for it, and says whether the one on the disk is as it should be.
pub(crate) fn is_fresh(path: &str, wanted: &str) -> bool {
    if std::env::var_os("TRIOXIDE_UPDATE").is_some() {
        fs::write(root().join(path), wanted).expect("the generated file can be written");
    }
    read(path) == wanted
}

/// Every function under a `#[test]` in the workspace, in the order of files and lines.
pub(crate) fn tests() -> Vec<Test> {
    let mut files = Vec::new();
    for package in ["", "runtime", "runtime/macros", "sync", "io", "testing", "loom-tests"] {
        for directory in ["src", "tests"] {
            collect(&root().join(package).join(directory), &mut files);
        }
    }
    files.sort();
    files.iter().flat_map(|file| tests_of(file)).collect()
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    for path in entries.map(|entry| entry.expect("the sources can be listed").path()) {
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// The sources are formatted: a function ends at the first closing brace that stands as far in as its `fn`.
fn tests_of(path: &Path) -> Vec<Test> {
    let text = fs::read_to_string(path).expect("the sources can be read");
    let file = path.strip_prefix(root()).expect("below the root").to_string_lossy().replace('\\', "/");
    let lines: Vec<&str> = text.lines().collect();
    let mut tests = Vec::new();
    let mut is_test = false;
    for (at, line) in lines.iter().enumerate() {
        let code = line.trim_start();
        if let Some(name) = function(code) {
            if is_test {
                let indent = line.len() - code.len();
                let ends = |line: &&&str| line.len() == indent + 1 && line.trim_start() == "}";
                let length = lines[at..].iter().position(|line| ends(&line)).unwrap_or(0);
                let body = lines[at..=at + length].join("\n");
                tests.push(Test { name: name.to_owned(), file: file.clone(), body });
            }
            is_test = false;
        } else if code.starts_with("#[") {
            is_test |= code.starts_with("#[test]") || code.contains("::test]") || code.contains("::test(");
        } else if !code.starts_with("//") && code.ends_with(';') {
            is_test = false;
        }
    }
    tests
}

/// The name, if this line begins a function.
fn function(code: &str) -> Option<&str> {
    let rest = code.trim_start_matches("pub(crate) ").trim_start_matches("pub ").trim_start_matches("async ");
    let rest = rest.strip_prefix("fn ")?;
    let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_')?;
    Some(&rest[..end])
}
