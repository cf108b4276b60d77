//! What must not compile, and what the compiler says then: it names the mistake and the way out.
//!
//! The macros' mistakes stand here too, and not in the facade, whose examples have many dependencies that trybuild would compile once more.
//! After a change of the texts: `TRYBUILD=overwrite cargo test -p trioxide-runtime --test compile_fail`, then read what has changed.

#[test]
fn what_must_not_compile() {
    let cases = trybuild::TestCases::new();
    cases.compile_fail("tests/compile_fail/*.rs");
    cases.compile_fail("tests/compile_fail_macros/*.rs");
}
