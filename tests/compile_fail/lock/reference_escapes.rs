//! What was reached with the token ends with its closure.

use lwt::lock::RuntimeLock;

fn main() {
    let lock = RuntimeLock::current().unwrap();
    let words = lock.guard(vec![String::new()]);
    let first = lock.attach(|token| &words.get(token)[0]).unwrap();
    println!("{first}");
}
