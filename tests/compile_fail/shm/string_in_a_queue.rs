//! A string is a pointer too; there is another queue for it.

use lwt::shm::{Pool, Queue};

fn main() {
    let pool = Pool::create().unwrap();
    let queue: Queue<String> = Queue::create(&pool, None, ()).unwrap();
}
