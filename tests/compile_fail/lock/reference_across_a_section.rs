//! What was reached before a section may have changed after it.

use lwt::lock::RuntimeLock;

fn main() {
    let lock = RuntimeLock::current().unwrap();
    let words = lock.guard(vec![String::new()]);
    lock.attach(|token| {
        let first = &words.get(token)[0];
        token.blocking(|| ());
        println!("{first}");
    })
    .unwrap();
}
