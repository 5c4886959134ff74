//! Neither are handles and guards values to be stored.

use lwt::shm::{Mutex, Pool, Reference};

fn main() {
    let pool = Pool::create().unwrap();
    let mutex = Mutex::create(&pool, 1_u32).unwrap();
    let reference = Reference::create(&pool, mutex, ()).unwrap();
}
