//! Guides: what is too long to stand beside a function.
//!
//! * [`coming_from_lwt`]: for those who know OCaml's Lwt: where each of its names has gone, what behaves
//!   differently, and the forms of its syntax extension in Rust.
//! * [`coming_from_netmulticore`]: the same for those who know Ocamlnet's Netmulticore, with what became of its
//!   traps.

pub mod coming_from_lwt {
    #![doc = include_str!("coming_from_lwt.md")]

    #[cfg(doc)]
    use crate::*;

    pub mod promises {
        #![doc = include_str!("coming_from_lwt/promises.md")]

        #[cfg(doc)]
        use crate::*;
    }

    pub mod sync {
        #![doc = include_str!("coming_from_lwt/sync.md")]

        #[cfg(doc)]
        use crate::*;
    }

    pub mod lists {
        #![doc = include_str!("coming_from_lwt/lists.md")]

        #[cfg(doc)]
        use crate::*;
    }

    pub mod streams {
        #![doc = include_str!("coming_from_lwt/streams.md")]

        #[cfg(doc)]
        use crate::*;
    }

    pub mod react {
        #![doc = include_str!("coming_from_lwt/react.md")]

        #[cfg(doc)]
        use crate::*;
    }

    pub mod companions {
        #![doc = include_str!("coming_from_lwt/companions.md")]

        #[cfg(doc)]
        use crate::*;
    }

    pub mod loops {
        #![doc = include_str!("coming_from_lwt/loops.md")]

        #[cfg(doc)]
        use crate::*;
    }

    pub mod unix {
        #![doc = include_str!("coming_from_lwt/unix.md")]

        #[cfg(doc)]
        use crate::*;
    }

    pub mod files {
        #![doc = include_str!("coming_from_lwt/files.md")]

        #[cfg(doc)]
        use crate::*;
    }

    pub mod sockets {
        #![doc = include_str!("coming_from_lwt/sockets.md")]

        #[cfg(doc)]
        use crate::*;
    }

    pub mod processes {
        #![doc = include_str!("coming_from_lwt/processes.md")]

        #[cfg(doc)]
        use crate::*;
    }

    pub mod jobs {
        #![doc = include_str!("coming_from_lwt/jobs.md")]

        #[cfg(doc)]
        use crate::*;
    }

    pub mod bytes {
        #![doc = include_str!("coming_from_lwt/bytes.md")]

        #[cfg(doc)]
        use crate::*;
    }

    pub mod system {
        #![doc = include_str!("coming_from_lwt/system.md")]

        #[cfg(doc)]
        use crate::*;
    }

    pub mod preemptive {
        #![doc = include_str!("coming_from_lwt/preemptive.md")]

        #[cfg(doc)]
        use crate::*;
    }

    pub mod blocking_sections {
        #![doc = include_str!("coming_from_lwt/blocking_sections.md")]

        #[cfg(doc)]
        use crate::*;
    }

    pub mod syntax {
        #![doc = include_str!("coming_from_lwt/syntax.md")]

        #[cfg(doc)]
        use crate::*;
    }
}

#[cfg(feature = "worker")]
pub mod coming_from_netmulticore {
    #![doc = include_str!("coming_from_netmulticore.md")]

    #[cfg(doc)]
    use crate::*;

    pub mod workers {
        #![doc = include_str!("coming_from_netmulticore/workers.md")]

        #[cfg(doc)]
        use crate::*;
    }

    pub mod memory {
        #![doc = include_str!("coming_from_netmulticore/memory.md")]

        #[cfg(doc)]
        use crate::*;
    }

    pub mod structures {
        #![doc = include_str!("coming_from_netmulticore/structures.md")]

        #[cfg(doc)]
        use crate::*;
    }

    pub mod sync {
        #![doc = include_str!("coming_from_netmulticore/sync.md")]

        #[cfg(doc)]
        use crate::*;
    }

    pub mod camlbox {
        #![doc = include_str!("coming_from_netmulticore/camlbox.md")]

        #[cfg(doc)]
        use crate::*;
    }
}
