//! Where things stand in a pool's file: the pool's header, its lists, its directory and its leases, and then
//! the blocks.
//!
//! ```text
//!      0  magic, version, limit, number of leases, top, lock of the top, lock of the directory
//!    128  the free lists, one a size class: lock, head, block on its way
//!   4352  the directory: places and names
//!   6400  the leases: state, process, bell, pins in use, pins, blocks with more pins
//!    ...  blocks, side by side up to the top: a header of 32 bytes, then the payload
//! ```

pub(super) const MAGIC: u64 = 0x6c77_742d_706f_6f6c;
/// Changes with anything that this file or the structures write.
pub(super) const VERSION: u64 = 2;

pub(super) const MAGIC_AT: u64 = 0;
pub(super) const VERSION_AT: u64 = 8;
pub(super) const LIMIT: u64 = 16;
pub(super) const LEASES: u64 = 24;
pub(super) const TOP: u64 = 32;
pub(super) const TOP_LOCK: u64 = 40;
pub(super) const DIRECTORY_LOCK: u64 = 48;

pub(super) const CLASSES: usize = 128;
const LISTS: u64 = 128;
const LIST: u64 = 32;
/// In a list: its lock, its first block, and the block that is being put in or taken out.
pub(super) const LIST_HEAD: u64 = 8;
pub(super) const LIST_MOVING: u64 = 16;

const DIRECTORY: u64 = 4352;
pub(super) const NAMES: u64 = 32;
const ENTRY: u64 = 64;
/// In an entry: the place that it names, or 0; the length of the name; the name.
pub(super) const ENTRY_LENGTH: u64 = 8;
pub(super) const ENTRY_NAME: u64 = 16;
pub(super) const NAME_ROOM: usize = 48;

const LEASE_TABLE: u64 = 6400;
const LEASE: u64 = 1024;
/// In a lease: its state, the process, the bell, how many pins were ever in use at once, the pins.
pub(super) const LEASE_PID: u64 = 8;
pub(super) const LEASE_BELL: u64 = 16;
pub(super) const LEASE_HIGH: u64 = 24;
pub(super) const LEASE_PINS: u64 = 32;
/// How many pins the lease itself has; then the addresses of blocks with more of them, of so many each.
pub(super) const PINS: u32 = 116;
pub(super) const LEASE_MORE: u64 = LEASE_PINS + 8 * PINS as u64;
pub(super) const PAGES: u32 = 8;
pub(super) const PAGE_PINS: u32 = 512;

pub(super) fn list(class: u8) -> u64 {
    LISTS + u64::from(class) * LIST
}

pub(super) fn entry(index: u64) -> u64 {
    DIRECTORY + index * ENTRY
}

pub(super) fn lease(index: u32) -> u64 {
    LEASE_TABLE + u64::from(index) * LEASE
}

/// Where the blocks begin.
pub(super) fn start(leases: u32) -> u64 {
    lease(leases)
}
