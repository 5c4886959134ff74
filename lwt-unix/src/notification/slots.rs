//! The table of notifications that all threads share: what of a notification a signal handler may touch.
//!
//! A *slot* is a notification's place; a *tower* is a loop's: its bell, and the list of slots that were sent
//! and not yet looked at. Both lie in static memory that is never freed, so that whoever has an id, however
//! old, may look.
//!
//! ```text
//!           allocate                    send                       send
//!   free ─────────────► live, count 0 ─────────► live, count n ─────────► count n + 1
//!    ▲ ▲                    │    ▲                 │       │
//!    │ └────── stop ────────┘    └────── take ─────┘       │ stop
//!    └────────────────── take ─────────────────── stopped, count n
//! ```
//!
//! 1. A slot's word is its generation and its count of sends that nobody has taken. Odd generations are those
//!    of notifications, even ones come between them. An id names a slot and an odd generation; a send for
//!    another one is refused. A slot whose generations are used up is not given again.
//! 2. Whoever raises the count from 0 puts the slot into its tower's list, and nobody else does. Whoever
//!    takes slots out of the list sets their counts to 0, after he has read their links. So a slot is in one
//!    list at most, once.
//! 3. A slot that is stopped while its count is not 0 is in a list, or on its way there; it is free only when
//!    it has been taken out. So its home does not change under a sender's hands.
//! 4. Whoever finds the list empty rings the bell, and nobody else does; the loop hushes the bell before it
//!    takes the list. So a slot in the list is never slept over.
//! 5. [`send`] takes no lock, allocates nothing and waits for nobody: it may be called in a signal handler,
//!    also in one that interrupts any function here. Everything else is for threads.

use std::io;
use std::process;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use super::list::{List, Raised, Slot};
use crate::chunks::{Chunks, END};
use crate::sys::bell::Bell;

/// A loop's place in the table.
struct Tower {
    bell: Bell,
    /// The slots that were sent.
    sent: List,
    /// The process that the bell was made in.
    process: AtomicU32,
}

static SLOTS: Chunks<Slot> = Chunks::new();
static TOWERS: Chunks<OnceLock<Tower>> = Chunks::new();
static SUPPLY: Mutex<Supply> =
    Mutex::new(Supply { slots: Vec::new(), made: 0, towers: Vec::new(), built: 0 });

/// What can be given out.
struct Supply {
    /// Slots that are free, of those that were ever given out.
    slots: Vec<u32>,
    made: u32,
    /// Towers whose loop has ended.
    towers: Vec<u32>,
    built: u32,
}

/// Names a notification for ever: its slot in the lower half, its generation in the upper.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Id(u64);

impl Id {
    fn new(slot: u32, generation: u32) -> Id {
        Id(u64::from(generation) << 32 | u64::from(slot))
    }

    fn slot(self) -> u32 {
        self.0 as u32
    }

    fn generation(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// The id as a number other than 0.
    pub(super) fn number(self) -> u64 {
        self.0
    }

    /// The id of a number that [`Id::number`] gave. Any other number is that of no notification.
    pub(super) fn from_number(number: u64) -> Id {
        Id(number)
    }
}

/// Sends a notification; false if it was stopped. See rule 5.
pub(super) fn send(id: Id) -> bool {
    let Some(slot) = SLOTS.get(id.slot()) else { return false };
    match slot.raise(id.generation()) {
        Raised::Refused => return false,
        Raised::Again => {}
        Raised::First => {
            if let Some(tower) = tower(slot.home())
                && tower.sent.push(id.slot(), slot)
            {
                tower.bell.ring();
            }
        }
    }
    true
}

/// A loop's tower, held until it is dropped.
#[derive(Debug)]
pub(super) struct Keeper {
    tower: u32,
}

impl Keeper {
    /// A tower for this thread's loop.
    ///
    /// # Errors
    /// Those of making a bell.
    pub(super) fn new() -> io::Result<Keeper> {
        let mut supply = supply();
        if let Some(number) = supply.towers.last().copied() {
            // There is no keeper before this has succeeded: its drop would ask for the lock that is held.
            settle(number)?;
            supply.towers.pop();
            return Ok(Keeper { tower: number });
        }
        let bell = Bell::new()?;
        let number = supply.built;
        let place = TOWERS.get_or_make(number, OnceLock::new).ok_or_else(full)?;
        let tower = Tower { bell, sent: List::new(), process: AtomicU32::new(process::id()) };
        supply.built += 1;
        // Nobody else sets the place of a number that was not given out.
        let _ = place.set(tower);
        Ok(Keeper { tower: number })
    }

    /// The bell that is rung when there is something to [take](Keeper::take).
    pub(super) fn bell(&self) -> Option<&'static Bell> {
        tower(self.tower).map(|tower| &tower.bell)
    }

    /// A slot for a new notification of this loop.
    ///
    /// # Errors
    /// That there are four thousand million.
    pub(super) fn allocate(&self) -> io::Result<Id> {
        let mut supply = supply();
        let number = match supply.slots.pop() {
            Some(number) => number,
            None if supply.made < END => {
                supply.made += 1;
                supply.made - 1
            }
            None => return Err(full()),
        };
        let slot = SLOTS.get_or_make(number, Slot::new).ok_or_else(full)?;
        Ok(Id::new(number, slot.begin(self.tower)))
    }

    /// Whether there is something to [take](Keeper::take).
    pub(super) fn has_sent(&self) -> bool {
        tower(self.tower).is_some_and(|tower| !tower.sent.is_empty())
    }

    /// The notifications that were sent, first come first; how often is told by [`count`] for each, which has
    /// to be called for each.
    pub(super) fn take(&self) -> Vec<u32> {
        tower(self.tower).map_or_else(Vec::new, |tower| tower.sent.take(|number| SLOTS.get(number)))
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        supply().towers.push(self.tower);
    }
}

/// Makes a tower's bell this process's own, if it was another's before a fork.
fn settle(number: u32) -> io::Result<()> {
    if let Some(tower) = tower(number)
        && tower.process.load(Relaxed) != process::id()
    {
        tower.bell.renew()?;
        tower.process.store(process::id(), Relaxed);
    }
    Ok(())
}

/// In the child of a fork: what was sent before it is forgotten, and only the notifications in `own` go on,
/// those of this thread's loop. The bell of that loop, which has `keeper`, becomes this process's own.
///
/// # Errors
/// Those of making a bell.
pub(super) fn after_fork(keeper: Option<&Keeper>, own: impl Iterator<Item = Id>) -> io::Result<()> {
    let mut supply = supply();
    let home = keeper.map(|keeper| keeper.tower);
    home.map_or(Ok(()), settle)?;
    // The other threads are not there, so nothing is on its way, and what was theirs is free.
    let mut mine = vec![false; supply.made as usize];
    for id in own {
        mine[id.slot() as usize] = true;
    }
    supply.slots.clear();
    for (number, mine) in (0..supply.made).zip(mine) {
        let Some(slot) = SLOTS.get(number) else { continue };
        slot.reset(mine);
        if !mine && slot.is_fresh() {
            supply.slots.push(number);
        }
    }
    for number in 0..supply.built {
        if let Some(tower) = tower(number) {
            tower.sent.reset();
        }
    }
    supply.towers = (0..supply.built).filter(|number| Some(*number) != home).collect();
    Ok(())
}

/// Takes the sends out of the count of a slot that was [taken](Keeper::take): the notification that they are
/// for, and how many they are; `None` if it was stopped meanwhile.
pub(super) fn count(number: u32) -> Option<(Id, u32)> {
    let Some((generation, count)) = SLOTS.get(number)?.lower() else {
        free(number);
        return None;
    };
    Some((Id::new(number, generation), count))
}

/// Ends a notification: sends are refused from now on. Done once for each.
pub(super) fn stop(id: Id) {
    if SLOTS.get(id.slot()).is_some_and(Slot::end) {
        free(id.slot());
    }
}

/// Gives a slot back that is stopped and in no list.
fn free(number: u32) {
    if SLOTS.get(number).is_some_and(Slot::is_fresh) {
        supply().slots.push(number);
    }
}

/// Keeps others from making and ending notifications, for the time of a fork.
pub(crate) fn hold() -> impl Drop {
    supply()
}

fn supply() -> MutexGuard<'static, Supply> {
    SUPPLY.lock().unwrap_or_else(PoisonError::into_inner)
}

fn tower(number: u32) -> Option<&'static Tower> {
    TOWERS.get(number)?.get()
}

fn full() -> io::Error {
    io::Error::from_raw_os_error(libc::ENFILE)
}
