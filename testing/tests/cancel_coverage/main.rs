//! Each public function of runtime, sync and io that gives a future is swept, or there is a reason why not: a new one has to be entered in the table.
//!
//! | file | duty |
//! | --- | --- |
//! | `main` (here) | compares the two |
//! | `sources` | finds the functions in the sources |
//! | `table` | says what covers them |

mod sources;
mod table;

use std::collections::BTreeSet;
use std::fs;

use sources::{Function, functions, workspace};
use table::{Covered, TABLE};

#[test]
fn each_function_that_gives_a_future_is_in_the_table_once() {
    let found: BTreeSet<Function> = ["runtime", "sync", "io"].into_iter().flat_map(functions).collect();
    let mut named = BTreeSet::new();
    for (file, names, _) in TABLE {
        for name in *names {
            assert!(named.insert(((*file).to_owned(), (*name).to_owned())), "`{name}` of {file} is in the table twice");
        }
    }
    let new: Vec<_> = found.difference(&named).map(|(file, name)| format!("  {name} of {file}\n")).collect();
    assert!(
        new.is_empty(),
        "public functions that give a future, and that no sweep names:\n{}Cut each of them everywhere: in a test of `testing/tests/suite/cancel_sweep_*` with `cancel_everywhere` (or, if it waits for what \
         is outside of a simulation, `cancel_everywhere_real`), which checks after each cut that nothing is lost. Then enter it in `testing/tests/cancel_coverage/table.rs`; if it needs no sweep, \
         with the reason.",
        new.concat()
    );
    let gone: Vec<_> = named.difference(&found).map(|(file, name)| format!("  {name} of {file}\n")).collect();
    assert!(
        gone.is_empty(),
        "in `testing/tests/cancel_coverage/table.rs`, but not in the sources (any more):\n{}",
        gone.concat()
    );
}

#[test]
fn the_sweeps_of_the_table_are_there_and_name_what_they_cover() {
    let tests = workspace().join("testing/tests");
    for (file, names, covered) in TABLE {
        let (sweep, test) = match covered {
            Covered::By(sweep, test) => (sweep, test),
            Covered::Because(reason) => {
                assert!(!reason.is_empty(), "{file}: {names:?} without a reason");
                continue;
            }
        };
        let text = fs::read_to_string(tests.join(sweep)).unwrap_or_else(|error| panic!("{sweep}: {error}"));
        // A function, or what a macro makes one of.
        let is_there = text.contains(&format!("\nfn {test}()")) || text.contains(&format!("!({test},"));
        assert!(is_there, "there is no test `{test}` in {sweep}, which is to cover {names:?} of {file}");
        for name in *names {
            let name = name.rsplit("::").next().unwrap();
            assert!(has_word(&text, name), "{sweep} is to cover `{name}` of {file}, and does not name it");
        }
    }
}

fn has_word(text: &str, word: &str) -> bool {
    text.split(|char: char| !char.is_alphanumeric() && char != '_').any(|it| it == word)
}

/// The parse finds what there is to be found, in each form that it knows.
#[test]
fn the_parse_finds_each_form() {
    let found: BTreeSet<Function> = ["runtime", "sync", "io"].into_iter().flat_map(functions).collect();
    let forms = [
        ("io/src/copy.rs", "copy"),                                // async
        ("io/src/fs/mod.rs", "symlink"),                           // made by a macro
        ("io/src/stream.rs", "SendStream::write_all"),             // of a trait
        ("runtime/src/parallel/each.rs", "map"),                   // impl Future
        ("runtime/src/nursery/scoped.rs", "Scope::start"),         // the same, over several lines
        ("sync/src/channel/sender.rs", "Sender::send"),            // a type that is a future
        ("runtime/src/nursery/local/handle.rs", "$handle::spawn"), // in the impl of a macro
    ];
    for (file, name) in forms {
        assert!(found.contains(&(file.to_owned(), name.to_owned())), "{name} of {file}");
    }
}
