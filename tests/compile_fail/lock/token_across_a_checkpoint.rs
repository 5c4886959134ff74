//! A checkpoint may let others in: it is a section as far as references go.

use lwt::lock::RuntimeLock;

fn main() {
    let lock = RuntimeLock::current().unwrap();
    let word = lock.guard(String::new());
    lock.attach(|token| {
        let word = word.get(token);
        token.checkpoint();
        println!("{word}");
    })
    .unwrap();
}
