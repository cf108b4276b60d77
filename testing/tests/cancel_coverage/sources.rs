//! The public functions that give futures, found in the sources by a simple parse. It knows the form that rustfmt gives to this workspace and no more.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// A function as it is named in the table: the file, and `name` or `Type::name`.
pub(crate) type Function = (String, String);

pub(crate) fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Those of a crate: the `async` ones, and those that give an `impl Future`, or a type of this crate that is a future; in impls, in public traits, and made by macros.
pub(crate) fn functions(krate: &str) -> BTreeSet<Function> {
    let files: Vec<_> = sources(&workspace().join(krate).join("src"));
    let futures: BTreeSet<String> = files.iter().flat_map(|(_, text)| future_types(text)).collect();
    let mut found = BTreeSet::new();
    for (path, text) in &files {
        let file = path.strip_prefix(workspace()).unwrap().to_str().unwrap();
        found.extend(functions_of(text, &futures).into_iter().map(|name| (file.to_owned(), name)));
    }
    found
}

/// All files but those of tests and models, without comments.
fn sources(dir: &Path) -> Vec<(PathBuf, String)> {
    let mut files = vec![];
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|it| it == "rs")
            && !path.ends_with("tests.rs")
            && !path.ends_with("models.rs")
        {
            let text = fs::read_to_string(&path).unwrap();
            let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
            files.push((path, code.collect::<Vec<_>>().join("\n")));
        }
    }
    files
}

fn future_types(text: &str) -> Vec<String> {
    let impls = text.lines().filter(|line| line.starts_with("impl"));
    impls.filter_map(|line| Some(identifier(line.split_once(" Future for ")?.1).to_owned())).collect()
}

fn functions_of(text: &str, futures: &BTreeSet<String>) -> Vec<String> {
    let mut names = vec![];
    // What the lines belong to: the item that began last at the margin, and the last impl in it, as in a macro.
    let (mut owner, mut is_public_trait) = (String::new(), false);
    let mut begin = 0;
    for line in text.lines() {
        let (here, rest) = (line.trim_start(), &text[begin..]);
        begin += line.len() + 1;
        let at_margin = !line.starts_with([' ', '}']) && !line.is_empty();
        if here.starts_with("impl") {
            owner = implemented(here);
            is_public_trait = false;
        } else if at_margin && here.starts_with("pub trait ") {
            owner = identifier(&here["pub trait ".len()..]).to_owned();
            is_public_trait = true;
        } else if at_margin && !here.starts_with(['#', ')', 'w']) {
            owner.clear();
            is_public_trait = false;
        }
        let public = here.strip_prefix("pub ").or(is_public_trait.then_some(here));
        let Some(item) = public else { continue };
        let (is_async, item) = item.strip_prefix("async ").map_or((false, item), |item| (true, item));
        let Some(item) = item.strip_prefix("fn ") else { continue };
        let name = identifier(item);
        let signature = &rest[rest.find(item).unwrap()..];
        if !is_async && !gives_a_future(&signature[name.len()..], futures) {
            continue;
        }
        if name == "$name" {
            names.extend(made_by_macro(text));
        } else if owner.is_empty() || at_margin {
            names.push(name.to_owned());
        } else {
            names.push(format!("{owner}::{name}"));
        }
    }
    names
}

/// The names that a macro is given, one at the begin of a line: `read, "read", …`.
fn made_by_macro(text: &str) -> Vec<String> {
    let lines = text.lines().filter_map(|line| line.trim_start().split_once(", \""));
    lines.map(|(name, _)| name).filter(|name| identifier(name) == *name).map(str::to_owned).collect()
}

/// `signature` begins behind the name.
fn gives_a_future(signature: &str, futures: &BTreeSet<String>) -> bool {
    let arguments = skip(signature, '<', '>').trim_start();
    let output = skip(arguments, '(', ')').trim_start();
    let Some(output) = output.strip_prefix("->") else { return false };
    let output = output.trim_start();
    output.starts_with("impl Future") || output.starts_with("Pin<Box<dyn Future") || {
        let path = output.split(['<', '{', ';', '\n', ' ']).next().unwrap();
        futures.contains(path.rsplit("::").next().unwrap())
    }
}

/// What follows the brackets with which `text` begins, if it does.
fn skip(text: &str, open: char, close: char) -> &str {
    let mut depth = 0;
    let mut before = ' ';
    for (at, char) in text.char_indices() {
        depth += i32::from(char == open) - i32::from(char == close && before != '-');
        if depth == 0 {
            return if at == 0 { text } else { &text[at + 1..] };
        }
        before = char;
    }
    panic!("unbalanced: {}", text.lines().next().unwrap_or_default())
}

/// The type of `impl<T> Trait for Type<T>`, without its arguments.
fn implemented(line: &str) -> String {
    let rest = skip(&line["impl".len()..], '<', '>').trim_start();
    let rest = rest.split_once(" for ").map_or(rest, |(_, it)| it);
    identifier(rest.trim_start_matches('&')).to_owned()
}

fn identifier(text: &str) -> &str {
    let end = text.find(|char: char| !char.is_alphanumeric() && char != '_' && char != '$');
    &text[..end.unwrap_or(text.len())]
}
