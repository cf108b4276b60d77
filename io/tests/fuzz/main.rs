//! What takes bytes or text from outside, fed with anything, and compared with a model. Each check runs for a fixed number of cases here, and for as long as one
//! likes by `cargo run --release -p trioxide-io --example fuzz`.

mod checks;

use proptest::test_runner::{Config, TestRunner};

#[test]
fn readers_and_codecs_do_what_their_models_do() {
    for check in checks::ALL {
        // Nothing is written beside the sources: what fails is told in full.
        let config = Config { cases: 300, failure_persistence: None, ..Config::default() };
        if let Err(failed) = (check.run)(&mut TestRunner::new(config)) {
            panic!("{}: {failed}", check.name);
        }
    }
}
