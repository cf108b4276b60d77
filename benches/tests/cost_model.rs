//! The cost model in `docs/performance.md` names functions that there are.

use std::fs;
use std::path::{Path, PathBuf};

const TEXT: &str = "docs/performance.md";

#[test]
fn every_function_that_the_cost_model_names_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let text = fs::read_to_string(root.join(TEXT)).unwrap();
    let model = text.split("## What an operation costs").nth(1).and_then(|rest| rest.split("\n## ").next()).unwrap();
    let mut sources = String::new();
    read_all(&root.join("runtime/src"), &mut sources);

    // In backticks, and with a path: `Node::link`, `task::register`.
    let names: Vec<&str> = model.split('`').skip(1).step_by(2).filter(|name| name.contains("::")).collect();
    assert!(names.len() > 30, "only {} names were found", names.len());
    let exists = |name: &str| {
        let last = name.rsplit("::").next().unwrap_or(name);
        // A function, or a method of the public interface.
        sources.contains(&format!("fn {last}(")) || sources.contains(&format!("fn {last}<"))
    };
    let unknown: Vec<&&str> = names.iter().filter(|name| !exists(name)).collect();
    assert!(unknown.is_empty(), "{TEXT} names what is not there (any more): {unknown:?}");
}

fn read_all(directory: &PathBuf, text: &mut String) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read_all(&path, text);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            text.push_str(&fs::read_to_string(&path).unwrap());
        }
    }
}
