//! What the compiler says of wrong calls of the macros: each program of `compile_fail`, beside what is
//! expected.
//!
//! `TRYBUILD=overwrite cargo test -p lwt-tests --test macros_compile_fail` writes the expectations anew.

#[test]
fn wrong_calls_are_answered_with_what_to_write() {
    trybuild::TestCases::new().compile_fail("compile_fail/*.rs");
}
