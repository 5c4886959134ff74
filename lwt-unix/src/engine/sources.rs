//! [`Sources`]: the runtime's table of registered descriptors.
//!
//! 1. A position is given again after its descriptor was closed, with the next generation; an event whose
//!    generation is not the position's own is dropped ([`Sources::get`] finds nothing).
//! 2. The table holds the shared half of each registration; the other holder is the [`Registration`]
//!    itself, which takes it out when it is closed or dropped.
//!
//! [`Registration`]: super::registration::Registration

use std::io;
use std::rc::Rc;

use slab::Slab;

use super::Token;
use super::registration::Source;

/// The registered descriptors of one runtime.
#[derive(Default)]
pub(crate) struct Sources {
    table: Slab<Row>,
    /// The generation that the next registration gets. One counter for all: it need only differ between two
    /// uses of a position.
    generation: usize,
}

struct Row {
    token: Token,
    source: Rc<Source>,
}

impl Sources {
    /// Enters what `make` makes of its token.
    pub(crate) fn insert(
        &mut self,
        make: impl FnOnce(Token) -> io::Result<Rc<Source>>,
    ) -> io::Result<Rc<Source>> {
        let free = self.table.vacant_entry();
        if free.key() >= Token::POSITIONS {
            return Err(io::Error::from_raw_os_error(libc::ENFILE));
        }
        self.generation = self.generation.wrapping_add(1);
        let token = Token::new(free.key(), self.generation);
        let source = make(token)?;
        free.insert(Row { token, source: Rc::clone(&source) });
        Ok(source)
    }

    /// The registration that `token` was given to, if it still stands.
    pub(crate) fn get(&self, token: Token) -> Option<&Rc<Source>> {
        self.table.get(token.index()).filter(|row| row.token == token).map(|row| &row.source)
    }

    /// Ends a registration.
    pub(crate) fn remove(&mut self, token: Token) -> Option<Rc<Source>> {
        self.get(token)?;
        Some(self.table.remove(token.index()).source)
    }

    /// All that are registered.
    pub(crate) fn all(&self) -> Vec<Rc<Source>> {
        self.table.iter().map(|(_, row)| Rc::clone(&row.source)).collect()
    }
}
