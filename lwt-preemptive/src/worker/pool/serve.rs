//! What goes over a pool's link, and the worker's side of it: [`serve`], the function that a pool's workers
//! run, and [`is_cancelled`], for the jobs in them.
//!
//! | message | number | extra | bytes |
//! |---|---|---|---|
//! | [`JOB`], to the worker | its place in the row | its own | the function's place and hash, the argument |
//! | [`STOP`], to the worker | | | |
//! | [`VALUE`] | as the job's | messages told so far | the result |
//! | [`PANICKED`] | as the job's | the same | place and message |
//! | [`NOT_DECODED`] | as the job's | the same | why |
//! | [`SKIPPED`] | as the job's, which was withdrawn | | |
//!
//! Each job that was sent is answered by one message, in the order in which they were sent.

use std::cell::RefCell;
use std::mem;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use lwt_core::Error;
use rkyv::util::AlignedVec;

use super::super::definition::{self, Answer};
use super::super::link::{Body, Bytes, Claims, Draft, Far, Frame, Gone, LinkError, Parts, Room, SHORT};
use super::super::value::Wire;
use super::super::{inside, passed};
use crate::shm::lease;

pub(super) const JOB: u8 = 1;
pub(super) const STOP: u8 = 2;
pub(super) const VALUE: u8 = 3;
pub(super) const PANICKED: u8 = 4;
pub(super) const NOT_DECODED: u8 = 5;
pub(super) const SKIPPED: u8 = 6;

/// In front of an argument: the function's place and hash. As long as the argument's alignment.
pub(super) const PREFIX: usize = 16;

/// The names of what a worker is given.
pub(super) const FILE: &str = "lwt-link";
pub(super) const WORKER: &str = "lwt-link-worker";
pub(super) const PROGRAM: &str = "lwt-link-program";
pub(super) const LIFE: &str = "lwt-link-life";

/// A function's place and hash, as they stand in front of an argument.
pub(super) fn prefix((index, hash): (u32, u64)) -> [u8; PREFIX] {
    let mut bytes = [0; PREFIX];
    bytes[..4].copy_from_slice(&index.to_ne_bytes());
    bytes[8..].copy_from_slice(&hash.to_ne_bytes());
    bytes
}

fn parse_prefix(bytes: &[u8]) -> Option<((u32, u64), &[u8])> {
    let (prefix, argument) = bytes.split_first_chunk::<PREFIX>()?;
    let (index, rest) = prefix.split_first_chunk::<4>()?;
    let hash = rest.last_chunk::<8>()?;
    Some(((u32::from_ne_bytes(*index), u64::from_ne_bytes(*hash)), argument))
}

/// A buffer for messages, aligned for what is read in place.
#[derive(Debug, Default)]
pub(super) struct Buffer(AlignedVec);

impl Room for Buffer {
    #[inline]
    fn room(&mut self, len: usize) -> &mut [u8] {
        self.0.resize(len, 0);
        &mut self.0
    }
}

impl std::ops::Deref for Buffer {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        &self.0
    }
}

/// The job that this worker is at.
struct Current {
    claims: Claims,
    place: AtomicU64,
}

static CURRENT: OnceLock<Current> = OnceLock::new();

/// In a pool's worker: whether the job that runs was cancelled, and is to end soon. Elsewhere it is false.
///
/// A long job asks this now and then, and returns anything: nobody looks at the result. One that does not is
/// killed with its worker when the [time for it](super::OnCancel) is over.
///
/// ```
/// assert!(!lwt_preemptive::worker::pool::is_cancelled());
/// ```
pub fn is_cancelled() -> bool {
    CURRENT.get().is_some_and(|current| current.claims.is_asked(current.place.load(Ordering::Relaxed)))
}

thread_local! {
    /// The link of a pool's worker, on its main thread, and in which life of the process: see
    /// [`lease::forks`].
    static LINK: RefCell<Option<(Far, u32)>> = const { RefCell::new(None) };
}

/// Does something with the link, if this thread has one that is not in use, and is not that of a child made
/// by `fork`.
fn with_link<R>(f: impl FnOnce(&mut Far) -> R) -> Option<R> {
    let with = |link: &RefCell<Option<(Far, u32)>>| {
        let mut link = link.try_borrow_mut().ok()?;
        let (far, _) = link.as_mut().filter(|(_, forks)| *forks == lease::forks())?;
        Some(f(far))
    };
    LINK.try_with(with).ok().flatten()
}

/// A segment for a long result, on the main thread of a pool's worker.
pub(in super::super) fn segment() -> Option<Draft> {
    with_link(Far::draft_now).flatten()
}

/// The life of a pool's worker: job after job, until it is told to stop, or the program has ended.
///
/// # Errors
/// That of the link, or of having none.
pub(in super::super) fn serve() -> Result<(), String> {
    let part = |name| passed(name).ok_or_else(|| format!("the worker was not given {name}"));
    let parts =
        Parts { file: part(FILE)?, worker: part(WORKER)?, program: part(PROGRAM)?, life: part(LIFE)? };
    let far = Far::new(parts).map_err(|error| format!("the link cannot be mapped: {error}"))?;
    let current =
        CURRENT.get_or_init(|| Current { claims: far.claims().clone(), place: AtomicU64::new(u64::MAX) });
    LINK.set(Some((far, lease::forks())));
    match work(current) {
        // Nobody is there to be told.
        Err(LinkError::Gone(_)) | Ok(()) => Ok(()),
        Err(error) => Err(error.to_string()),
    }
}

fn work(current: &Current) -> Result<(), LinkError> {
    // No job runs while the link is in use.
    let gone = || LinkError::Gone(Gone);
    let (mut buffer, mut memory) = (Buffer::default(), AlignedVec::new());
    loop {
        let (frame, bytes) = with_link(|far| far.receive(&mut buffer)).ok_or_else(gone)??;
        if frame.kind != JOB {
            return Ok(());
        }
        let answer = current.claims.begin(frame.id).then(|| {
            current.place.store(frame.id, Ordering::Relaxed);
            inside::set_job(frame.extra);
            let answer = invoke(&bytes, mem::take(&mut memory));
            inside::set_job(0);
            answer
        });
        drop(bytes);
        let as_kind = |kind| Frame { kind, extra: inside::told(), ..frame };
        with_link(|far| match answer {
            None => far.send(as_kind(SKIPPED), Body::Short(&[])),
            Some(Answer::Value(mut sink)) => {
                reply(far, as_kind(VALUE), sink.body())?;
                memory = sink.into_memory();
                Ok(())
            }
            Some(Answer::Panic { message, place }) => {
                // A pair of texts is always written.
                let bytes = (place, message).to_bytes().unwrap_or_default();
                reply(far, as_kind(PANICKED), Body::Short(&bytes))
            }
            Some(Answer::Decode(text)) => reply(far, as_kind(NOT_DECODED), Body::Short(text.as_bytes())),
        })
        .ok_or_else(gone)??;
    }
}

fn invoke(bytes: &Bytes<'_>, memory: AlignedVec) -> Answer {
    let called = parse_prefix(bytes).and_then(|((index, hash), argument)| {
        definition::by_index(index, hash).map(|definition| definition.invoke(argument, memory))
    });
    called.unwrap_or_else(|| Answer::Decode("another program's function was asked for".to_owned()))
}

/// Sends what has become too long for the ring by a segment.
fn reply(far: &mut Far, frame: Frame, body: Body<'_>) -> Result<(), LinkError> {
    let bytes = match body {
        Body::Short(bytes) if bytes.len() > SHORT => bytes,
        fits => return far.send(frame, fits),
    };
    let written = match far.draft() {
        Ok(mut draft) => draft.extend(bytes).map(|()| draft),
        Err(LinkError::System(error)) => Err(error),
        Err(error) => return Err(error),
    };
    match written {
        Ok(draft) => far.send(frame, Body::Long(draft)),
        // There is no memory for it, which is no reason to end.
        Err(error) => {
            let why = format!("the result: {error}");
            far.send(Frame { kind: NOT_DECODED, ..frame }, Body::Short(why.as_bytes()))
        }
    }
}

/// What a worker's panic was.
///
/// # Errors
/// If the worker has written something else.
pub(super) fn panicked(bytes: &[u8]) -> Result<(Option<String>, String), Error> {
    Ok(<(Option<String>, String)>::from_bytes(bytes)?)
}
