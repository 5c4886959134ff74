//! A token does not wait: no `async` block has it.

use lwt::lock::RuntimeLock;

fn main() {
    let lock = RuntimeLock::current().unwrap();
    let number = lock.guard(1);
    let waits = lock
        .with_token(|token| async move {
            lwt::pause().await?;
            *number.get_mut(token) += 1;
            Ok::<_, lwt::Error>(())
        })
        .unwrap();
    lwt::run(waits).unwrap();
}
