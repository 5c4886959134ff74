//! In a section there is no token.

use lwt::lock::RuntimeLock;

fn main() {
    let lock = RuntimeLock::current().unwrap();
    let word = lock.guard(String::new());
    lock.attach(|token| {
        token.blocking(|| println!("{}", word.get(token)));
    })
    .unwrap();
}
