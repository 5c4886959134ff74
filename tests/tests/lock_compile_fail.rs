//! What the compiler says to those who break a rule of the runtime lock: each program of `compile_fail/lock`,
//! beside what is expected.
//!
//! `TRYBUILD=overwrite cargo test -p lwt-tests --test lock_compile_fail` writes the expectations anew.

#[test]
fn the_compiler_keeps_the_rules_of_the_lock() {
    trybuild::TestCases::new().compile_fail("compile_fail/lock/*.rs");
}
