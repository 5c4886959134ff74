//! What the compiler says to those who want to store in shared memory what must not be stored there: each
//! program of `compile_fail/shm`, beside what is expected.
//!
//! `TRYBUILD=overwrite cargo test -p lwt-tests --test shm_compile_fail` writes the expectations anew.

#[test]
fn what_must_not_be_stored_does_not_compile() {
    trybuild::TestCases::new().compile_fail("compile_fail/shm/*.rs");
}
