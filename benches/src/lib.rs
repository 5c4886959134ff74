//! What the programs of this folder have in common.

pub mod figures;
pub mod iceoryx;
pub mod process;
pub mod sides;
