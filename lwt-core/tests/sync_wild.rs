//! Mutexes, locks, semaphores, mvars, conditions, pools and switches: random programs whose functions,
//! destructors and clones do anything: lock, wait, signal, put, take, drop, cancel, panic. No panic comes out
//! where it does not belong, nobody waits for ever when all is given back, and nothing is left.
//!
//! `LWT_GRAPHS=n` sets how many are tried, `LWT_SEED=s` plays one again.

mod common;
#[path = "common/havoc.rs"]
mod havoc;

use std::cell::RefCell;
use std::panic::Location;
use std::rc::Rc;

use common::turn;
use havoc::{Bag, Value, anything, below, called, consume, is_on_purpose, one_in};
use lwt_core::condition::Condition;
use lwt_core::mutex::{Mutex, MutexGuard};
use lwt_core::mvar::Mvar;
use lwt_core::pool::Pool;
use lwt_core::rwlock::{ReadGuard, RwLock, WriteGuard};
use lwt_core::semaphore::{Permit, Semaphore};
use lwt_core::switch::{Off, Switch, SwitchError, with_switch};
use lwt_core::{Error, Promise, Resolver, pause, spawn, task};

struct World {
    mutex: Mutex<Value>,
    lock: RwLock<Value>,
    semaphore: Semaphore,
    mvar: Mvar<Value>,
    condition: Condition<Value>,
    pool: Pool<Value>,
    guards: Bag<MutexGuard<Value>>,
    reads: Bag<ReadGuard<Value>>,
    writes: Bag<WriteGuard<Value>>,
    permits: Bag<Permit>,
    switches: Bag<Switch>,
    /// With the lines that began them.
    begun: Bag<(Promise<()>, u32)>,
    gates: Bag<Resolver<()>>,
}

thread_local! {
    static WORLD: RefCell<Option<Rc<World>>> = const { RefCell::new(None) };
}

fn world() -> Option<Rc<World>> {
    WORLD.with_borrow(Clone::clone)
}

/// Something to wait for: nothing, a turn, a gate; or a failure.
fn wait() -> Promise<()> {
    match world().filter(|_| !havoc::is_calm()) {
        None => Promise::ready(()),
        Some(world) => match below(6) {
            0 | 1 => Promise::ready(()),
            2 => Promise::fail(Error::msg("on purpose")),
            3 => pause(),
            _ => {
                let (promise, resolver) = task();
                world.gates.put(resolver);
                promise
            }
        },
    }
}

async fn member() -> Result<Value, Error> {
    anything();
    wait().await?;
    Ok(Value::any())
}

async fn test(value: &mut Value) -> Result<bool, Error> {
    anything();
    wait().await?;
    Ok(value.0 > 1 || one_in(2))
}

async fn end(value: Value) -> Result<(), Error> {
    anything();
    wait().await?;
    drop(value);
    Ok(())
}

async fn work(value: &mut Value) -> Result<(), Error> {
    anything();
    wait().await?;
    *value = Value::any();
    Ok(())
}

impl World {
    #[track_caller]
    fn begin(&self, promise: Promise<()>) {
        self.begun.put((promise, Location::caller().line()));
    }

    /// What comes is put aside.
    #[track_caller]
    fn gather<T: 'static>(&self, promise: Promise<T>, put: fn(&World, T)) {
        if one_in(4) {
            return drop(promise);
        }
        self.begin(promise.map(move |value| {
            anything();
            if let Some(world) = world() {
                put(&world, value);
            }
        }));
    }

    fn lock(&self) {
        match below(4) {
            0 => self.begin(self.mutex.with_lock(work)),
            1 => {
                if let Some(guard) = self.guards.take() {
                    self.gather(self.condition.wait_with(guard), |world, (value, guard)| {
                        world.guards.put(guard);
                        drop(value);
                    });
                }
            }
            _ => self.gather(self.mutex.lock(), |world, guard| world.guards.put(guard)),
        }
    }

    fn read_or_write(&self) {
        match below(4) {
            0 => self.writes.take().into_iter().for_each(|guard| self.reads.put(guard.downgrade())),
            1 => self.gather(self.lock.write(), |world, guard| world.writes.put(guard)),
            _ => self.gather(self.lock.read(), |world, guard| world.reads.put(guard)),
        }
    }

    fn acquire(&self) {
        match below(5) {
            0 => self.begin(self.semaphore.run(1 + below(3), async || {
                anything();
                wait().await
            })),
            1 => self.semaphore.resize(1 + below(3)),
            2 => self.gather(self.semaphore.acquire_many(2), |world, permit| world.permits.put(permit)),
            _ => self.gather(self.semaphore.acquire(), |world, permit| world.permits.put(permit)),
        }
    }

    fn box_and_condition(&self) {
        match below(8) {
            0 => drop(self.mvar.take_available()),
            1 | 2 => self.gather(self.mvar.take(), |_, value| drop(value)),
            3 | 4 => self.begin(self.mvar.put(Value::any())),
            5 => _ = self.condition.signal(Value::any()),
            6 => self.condition.broadcast(Value::any()),
            _ => self.gather(self.condition.wait(), |_, value| drop(value)),
        }
    }

    fn scope(&self) {
        let f = called();
        let value = Value::new(0);
        match below(6) {
            0 => self.begin(with_switch(async move |scope| {
                drop(scope.spawn(async move {
                    consume(&f, value);
                    wait().await
                })?);
                scope.add_hook(|| {
                    anything();
                    wait()
                })?;
                if let Some(world) = world() {
                    world.switches.put(scope);
                }
                wait().await
            })),
            1 => self.switches.put(Switch::create()),
            2 => self.switches.take().into_iter().for_each(|switch| self.begin(switch.turn_off())),
            _ => {
                if let Some(switch) = self.switches.any() {
                    let child = spawn(async move {
                        consume(&f, value);
                        wait().await
                    });
                    drop(switch.add(child));
                    let _ = switch.add_hook(wait);
                }
            }
        }
    }

    fn go_on(&self) {
        let gate = self.gates.take();
        if one_in(5) { drop(gate) } else { gate.into_iter().for_each(|gate| gate.wakeup(())) }
    }

    fn give_up(&self) {
        match below(7) {
            0 => drop(self.guards.take()),
            1 => drop(self.reads.take()),
            2 => drop(self.writes.take()),
            3 => drop(self.permits.take()),
            4 => drop(self.begun.take()),
            _ => self.begun.take().into_iter().for_each(|begun| {
                begun.0.cancel();
                self.begun.put(begun);
            }),
        }
    }
}

impl havoc::World for World {
    fn create() -> Rc<World> {
        let world = Rc::new(World {
            mutex: Mutex::new(Value::new(0)),
            lock: RwLock::new(Value::new(0)),
            semaphore: Semaphore::new(2),
            mvar: Mvar::empty(),
            condition: Condition::new(),
            pool: Pool::builder(2, member).validate(test).check(test).dispose(end).build(),
            guards: Bag::default(),
            reads: Bag::default(),
            writes: Bag::default(),
            permits: Bag::default(),
            switches: Bag::default(),
            begun: Bag::default(),
            gates: Bag::default(),
        });
        WORLD.set(Some(world.clone()));
        world
    }

    fn act(self: &Rc<Self>) {
        match below(9) {
            0 => self.lock(),
            1 => self.read_or_write(),
            2 => self.acquire(),
            3 => self.box_and_condition(),
            4 => self.begin(self.pool.use_(work)),
            5 if one_in(4) => self.begin(self.pool.clear()),
            5 | 6 => self.scope(),
            7 => self.go_on(),
            _ => self.give_up(),
        }
    }

    fn end(&self) -> Option<String> {
        for _ in 0..50 {
            drop((self.guards.take_all(), self.reads.take_all(), self.writes.take_all()));
            drop((self.permits.take_all(), self.gates.take_all()));
            self.switches.take_all().iter().for_each(|switch| drop(switch.turn_off()));
            self.semaphore.resize(3);
            self.condition.broadcast(Value::new(0));
            drop(self.mvar.take_available());
            turn();
        }
        // Who takes from the box, when nobody puts anything in any more.
        (0..50).for_each(|_| drop(self.mvar.put(Value::new(0))));
        turn();
        let begun = self.begun.take_all();
        let waits: Vec<u32> =
            begun.iter().filter(|(begun, _)| begun.is_pending()).map(|(_, line)| *line).collect();
        WORLD.set(None);
        (!waits.is_empty()).then(|| format!("begun in lines {waits:?} hang"))
    }

    fn is_expected(error: &Error) -> bool {
        is_on_purpose(error)
            || error.downcast_ref::<Off>().is_some()
            || error.downcast_ref::<SwitchError>().is_some()
    }
}

#[test]
fn nothing_is_left_whatever_happens() {
    havoc::nothing_is_left::<World>();
}
