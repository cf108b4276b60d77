//! What the compiler says to those who got something wrong: it names the mistake and the way out.
//!
//! They stand here and not in the facade, whose examples have many dependencies that trybuild would compile once more.
//! After a change of the texts: `TRYBUILD=overwrite cargo test -p trioxide-macros --test ui`, then read what has changed.

#[test]
fn mistakes_are_explained() {
    let cases = trybuild::TestCases::new();
    cases.compile_fail("tests/ui/*.rs");
}
