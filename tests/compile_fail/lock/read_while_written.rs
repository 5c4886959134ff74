//! A value is not read while it is written.

use lwt::lock::RuntimeLock;

fn main() {
    let lock = RuntimeLock::current().unwrap();
    let words = lock.guard(vec![1]);
    lock.attach(|token| {
        let first = &words.get(token)[0];
        words.get_mut(token).clear();
        println!("{first}");
    })
    .unwrap();
}
