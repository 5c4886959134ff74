//! No wrapper gets a reference through: its lifetime tells.

use lwt::lock::RuntimeLock;

struct Wrapper<T>(T);
// SAFETY: none: it claims what is not so. That is what is on trial.
unsafe impl<T> Send for Wrapper<T> {}

fn main() {
    let lock = RuntimeLock::current().unwrap();
    let word = lock.guard(String::new());
    lock.attach(|token| {
        let wrapped = Wrapper(word.get(token));
        token.blocking(move || println!("{}", wrapped.0));
    })
    .unwrap();
}
