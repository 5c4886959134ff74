//! What goes between a program and a worker: messages over a socket that keeps their edges.
//!
//! ```text
//!   program ── Pass*, Begin, Pass* ──────────────────────────> worker
//!           <── Born | NotBorn (from the zygote too) ────────
//!           <── Progress*, Log*, then Value | Panic | NotDecoded | NotBorn
//!           ── Make, with the worker's end of the socket ──> zygote
//! ```
//!
//! 1. A message is a head, whose first byte says what it is, and a body: the bytes of a value. A body of more
//!    than [`INLINE`] bytes is a sealed file that goes along with the message.
//! 2. What comes is not trusted. A message that does not begin as it should is [`garbled`], a file that is
//!    not sealed is refused, and the bytes of a value are checked when they become one.
//! 3. A message takes at most one descriptor along.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::ops::Deref;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rkyv::util::AlignedVec;

use super::failure::Step;
use super::messages::Level;
use super::sys::{self, Mapping};
use crate::message;

/// The most bytes of a value that go through the socket itself.
pub(super) const INLINE: usize = 64 << 10;
/// The longest text: a panic's message, a line of a log.
const TEXT: usize = 16 << 10;
/// The longest message.
const MOST: usize = INLINE + TEXT + (4 << 10);

/// That a message makes no sense.
fn garbled() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "not a message")
}

/// What a program tells a worker.
#[derive(Debug)]
pub(super) enum Order {
    /// A descriptor, by a name.
    Pass { name: String, file: OwnedFd },
    /// To call a function, and how.
    Begin { index: u32, hash: u64, memory: u64, nice: Option<i32>, argument: Body },
}

/// What a program is told.
#[derive(Debug)]
pub(super) enum Report {
    /// The worker has this number.
    Born { pid: i32 },
    /// There is no worker.
    NotBorn { step: Step, errno: i32 },
    /// The result.
    Value(Body),
    /// The function panicked.
    Panic { message: String, place: Option<String> },
    /// A value was lost on its way.
    NotDecoded { text: String },
    /// A value of the type that has this hash, from the job of this number.
    Progress { job: u64, shape: u64, body: Body },
    /// A line of a log.
    Log { job: u64, level: Level, text: String },
}

const PASS: u8 = 1;
const BEGIN: u8 = 2;
const MAKE: u8 = 3;
const BORN: u8 = 4;
const NOT_BORN: u8 = 5;
const VALUE: u8 = 6;
const PANIC: u8 = 7;
const NOT_DECODED: u8 = 8;
const PROGRESS: u8 = 9;
const LOG: u8 = 10;

/// A message to be sent.
#[derive(Debug)]
pub(super) struct Packet {
    head: Vec<u8>,
    body: AlignedVec,
    file: Option<OwnedFd>,
}

/// The bytes of a value that came.
pub(super) enum Body {
    Inline(AlignedVec),
    Mapped(Mapping),
}

impl Packet {
    fn new(kind: u8) -> Packet {
        Packet { head: vec![kind], body: AlignedVec::new(), file: None }
    }

    fn number(mut self, bytes: &[u8]) -> Packet {
        self.head.extend_from_slice(bytes);
        self
    }

    fn text(mut self, text: &str) -> Packet {
        let text = &text[..text.floor_char_boundary(TEXT)];
        // It is not longer than that.
        self.head.extend_from_slice(&(text.len() as u32).to_ne_bytes());
        self.head.extend_from_slice(text.as_bytes());
        self
    }

    /// See rule 1.
    fn body(mut self, body: AlignedVec) -> io::Result<Packet> {
        if body.len() > INLINE {
            self.file = Some(sys::sealed_file(c"lwt-value", &body)?);
            self.head.push(1);
        } else {
            self.head.push(0);
            self.body = body;
        }
        Ok(self)
    }

    /// # Errors
    /// The system's, if it has no memory for a long argument.
    pub(super) fn begin(
        (index, hash): (u32, u64),
        memory: u64,
        nice: Option<i32>,
        argument: AlignedVec,
    ) -> io::Result<Packet> {
        Packet::new(BEGIN)
            .number(&index.to_ne_bytes())
            .number(&hash.to_ne_bytes())
            .number(&memory.to_ne_bytes())
            .number(&[u8::from(nice.is_some())])
            .number(&nice.unwrap_or(0).to_ne_bytes())
            .body(argument)
    }

    pub(super) fn pass(name: &str, file: OwnedFd) -> Packet {
        Packet { file: Some(file), ..Packet::new(PASS).text(name) }
    }

    /// The other end of the worker's socket goes along: see [`Packet::with`].
    pub(super) fn make() -> Packet {
        Packet::new(MAKE)
    }

    pub(super) fn born(pid: i32) -> Packet {
        Packet::new(BORN).number(&pid.to_ne_bytes())
    }

    pub(super) fn not_born(step: Step, error: &io::Error) -> Packet {
        let errno = error.raw_os_error().unwrap_or(libc::EIO);
        Packet::new(NOT_BORN).number(&[step.number()]).number(&errno.to_ne_bytes())
    }

    /// # Errors
    /// As [`begin`](Packet::begin).
    pub(super) fn value(result: AlignedVec) -> io::Result<Packet> {
        Packet::new(VALUE).body(result)
    }

    pub(super) fn panic(message: &str, place: Option<&str>) -> Packet {
        let packet = Packet::new(PANIC).number(&[u8::from(place.is_some())]);
        packet.text(place.unwrap_or_default()).text(message)
    }

    pub(super) fn not_decoded(text: &str) -> Packet {
        Packet::new(NOT_DECODED).text(text)
    }

    /// # Errors
    /// As [`begin`](Packet::begin).
    pub(super) fn progress(job: u64, shape: u64, body: AlignedVec) -> io::Result<Packet> {
        Packet::new(PROGRESS).number(&job.to_ne_bytes()).number(&shape.to_ne_bytes()).body(body)
    }

    pub(super) fn log(job: u64, level: Level, text: &str) -> Packet {
        Packet::new(LOG).number(&job.to_ne_bytes()).number(&[level.number()]).text(text)
    }

    /// What has failed if it cannot be sent to a worker.
    pub(super) fn step(&self) -> Step {
        if self.head.first() == Some(&PASS) { Step::Descriptor } else { Step::Argument }
    }

    /// Sends it; `wait`: blocks while there is no room.
    ///
    /// # Errors
    /// Those of [`message::send`].
    pub(super) fn send(&self, socket: BorrowedFd<'_>, wait: bool) -> io::Result<()> {
        self.send_with(socket, self.file.as_ref().map(AsFd::as_fd), wait)
    }

    /// [`send`](Packet::send), with another descriptor.
    ///
    /// # Errors
    /// Those of [`message::send`].
    pub(super) fn send_with(
        &self,
        socket: BorrowedFd<'_>,
        file: Option<BorrowedFd<'_>>,
        wait: bool,
    ) -> io::Result<()> {
        message::send(socket, &[IoSlice::new(&self.head), IoSlice::new(&self.body)], file, wait)
    }
}

/// What is left to read of a message.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, count: usize) -> io::Result<&'a [u8]> {
        let (front, rest) = self.0.split_at_checked(count).ok_or_else(garbled)?;
        self.0 = rest;
        Ok(front)
    }

    fn array<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        self.take(N)?.try_into().map_err(|_| garbled())
    }

    fn byte(&mut self) -> io::Result<u8> {
        Ok(self.array::<1>()?[0])
    }

    fn flag(&mut self) -> io::Result<bool> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(garbled()),
        }
    }

    fn text(&mut self) -> io::Result<String> {
        let len = u32::from_ne_bytes(self.array()?) as usize;
        str::from_utf8(self.take(len)?).map(str::to_owned).map_err(|_| garbled())
    }

    /// The rest, or the file.
    fn body(&mut self, file: &mut Option<OwnedFd>) -> io::Result<Body> {
        if self.flag()? {
            return Mapping::of(&file.take().ok_or_else(garbled)?).map(Body::Mapped);
        }
        let rest = self.take(self.0.len())?;
        let mut body = AlignedVec::with_capacity(rest.len());
        body.extend_from_slice(rest);
        Ok(Body::Inline(body))
    }

    fn end(&self) -> io::Result<()> {
        if self.0.is_empty() { Ok(()) } else { Err(garbled()) }
    }
}

impl Order {
    fn parse(bytes: &[u8], mut file: Option<OwnedFd>) -> io::Result<Order> {
        let mut fields = Fields(bytes);
        let order = match fields.byte()? {
            PASS => Order::Pass { name: fields.text()?, file: file.take().ok_or_else(garbled)? },
            BEGIN => Order::Begin {
                index: u32::from_ne_bytes(fields.array()?),
                hash: u64::from_ne_bytes(fields.array()?),
                memory: u64::from_ne_bytes(fields.array()?),
                nice: {
                    let (given, nice) = (fields.flag()?, i32::from_ne_bytes(fields.array()?));
                    given.then_some(nice)
                },
                argument: fields.body(&mut file)?,
            },
            _ => return Err(garbled()),
        };
        fields.end().map(|()| order)
    }

    /// The next order; none when the program has closed its end.
    ///
    /// # Errors
    /// The system's; `InvalidData` for rubbish.
    pub(super) fn receive(socket: BorrowedFd<'_>, wait: bool) -> io::Result<Option<Order>> {
        receive(socket, wait, Order::parse)
    }
}

impl Report {
    fn parse(bytes: &[u8], mut file: Option<OwnedFd>) -> io::Result<Report> {
        let mut fields = Fields(bytes);
        let report = match fields.byte()? {
            BORN => Report::Born { pid: i32::from_ne_bytes(fields.array()?) },
            NOT_BORN => Report::NotBorn {
                step: Step::of_number(fields.byte()?).ok_or_else(garbled)?,
                errno: i32::from_ne_bytes(fields.array()?),
            },
            VALUE => Report::Value(fields.body(&mut file)?),
            PANIC => {
                let (given, place) = (fields.flag()?, fields.text()?);
                Report::Panic { place: given.then_some(place), message: fields.text()? }
            }
            NOT_DECODED => Report::NotDecoded { text: fields.text()? },
            PROGRESS => Report::Progress {
                job: u64::from_ne_bytes(fields.array()?),
                shape: u64::from_ne_bytes(fields.array()?),
                body: fields.body(&mut file)?,
            },
            LOG => Report::Log {
                job: u64::from_ne_bytes(fields.array()?),
                level: Level::of_number(fields.byte()?).ok_or_else(garbled)?,
                text: fields.text()?,
            },
            _ => return Err(garbled()),
        };
        fields.end().map(|()| report)
    }

    /// The next report; none when the worker has closed its end, or has ended.
    ///
    /// # Errors
    /// `WouldBlock`; the system's; `InvalidData` for rubbish.
    pub(super) fn receive(socket: BorrowedFd<'_>) -> io::Result<Option<Report>> {
        receive(socket, false, Report::parse)
    }
}

/// For the zygote: the socket of the worker that is to be made; none when the program has ended. What is no
/// request is passed over.
///
/// # Errors
/// The system's.
pub(super) fn receive_request(socket: BorrowedFd<'_>) -> io::Result<Option<OwnedFd>> {
    let mut buffer = Vec::with_capacity(16);
    loop {
        let came = message::receive(socket, &mut buffer, true)?;
        match came.file {
            _ if buffer.is_empty() => return Ok(None),
            Some(file) if buffer == [MAKE] => return Ok(Some(file)),
            _ => {}
        }
    }
}

fn receive<T>(
    socket: BorrowedFd<'_>,
    wait: bool,
    parse: impl FnOnce(&[u8], Option<OwnedFd>) -> io::Result<T>,
) -> io::Result<Option<T>> {
    thread_local! {
        static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    }
    // At the end of a thread it has gone.
    let mut buffer = BUFFER.try_with(RefCell::take).unwrap_or_default();
    buffer.clear();
    buffer.reserve(MOST);
    let came = loop {
        match message::receive(socket, &mut buffer, wait) {
            Ok(came) => break Ok(came),
            // The other end was closed before it had read all. Said once; what it has sent comes after it.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {}
            Err(error) => break Err(error),
        }
    };
    let parsed = came.and_then(|came| match &buffer[..] {
        [] => Ok(None),
        bytes => match parse(bytes, came.file) {
            Ok(_) if came.cut => Err(garbled()),
            parsed => parsed.map(Some),
        },
    });
    let _ = BUFFER.try_with(|kept| kept.replace(buffer));
    parsed
}

impl Deref for Body {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        match self {
            Body::Inline(bytes) => bytes,
            Body::Mapped(mapping) => mapping,
        }
    }
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Body").field("bytes", &self.len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(len: usize) -> AlignedVec {
        let mut bytes = AlignedVec::new();
        bytes.resize(len, 7);
        bytes
    }

    fn packets() -> Vec<Packet> {
        let file = || std::fs::File::open("/dev/null").unwrap().into();
        vec![
            Packet::begin((3, 4), 5, Some(-6), value(100)).unwrap(),
            Packet::begin((3, 4), 0, None, value(INLINE + 1)).unwrap(),
            Packet::pass("name", file()),
            Packet::born(17),
            Packet::not_born(Step::Nice, &io::Error::from_raw_os_error(libc::EACCES)),
            Packet::value(value(0)).unwrap(),
            Packet::value(value(INLINE)).unwrap(),
            Packet::panic("message", Some("place")),
            Packet::panic("message", None),
            Packet::not_decoded("text"),
            Packet::progress(1, 2, value(9)).unwrap(),
            Packet::log(1, Level::Error, "line"),
        ]
    }

    /// The bytes as they are sent.
    fn bytes(packet: &Packet) -> Vec<u8> {
        [&packet.head[..], &packet.body[..]].concat()
    }

    #[test]
    fn each_message_arrives() {
        let (ours, theirs) = sys::socket_pair().unwrap();
        for packet in packets() {
            packet.send(ours.as_fd(), true).unwrap();
            if matches!(packet.head[0], PASS | BEGIN) {
                let order = Order::receive(theirs.as_fd(), true).unwrap().unwrap();
                if let Order::Begin { index, hash, nice, argument, .. } = order {
                    assert_eq!((index, hash, nice.is_some_and(|nice| nice != -6)), (3, 4, false));
                    assert!([100, INLINE + 1].contains(&argument.len()) && argument.iter().all(|b| *b == 7));
                }
            } else {
                let report = Report::receive(theirs.as_fd()).unwrap().unwrap();
                match &report {
                    Report::Born { pid: 17 } => {}
                    Report::NotBorn { step: Step::Nice, errno: libc::EACCES } => {}
                    Report::Value(body) => assert!([0, INLINE].contains(&body.len())),
                    Report::Panic { message, place } => {
                        assert_eq!(message, "message");
                        assert!(place.as_deref().is_none_or(|place| place == "place"));
                    }
                    Report::NotDecoded { text } => assert_eq!(text, "text"),
                    Report::Progress { job: 1, shape: 2, body } => assert_eq!(&body[..], [7; 9]),
                    Report::Log { job: 1, level: Level::Error, text } => assert_eq!(text, "line"),
                    _ => panic!("{report:?}"),
                }
            }
        }
        // Not by closing it: a process that another test starts may have it for a moment, too.
        sys::shutdown(ours.as_fd());
        assert!(Report::receive(theirs.as_fd()).unwrap().is_none());
    }

    #[test]
    fn what_is_cut_is_garbled() {
        for packet in packets() {
            let whole = bytes(&packet);
            // A value's bytes may end anywhere: whether they are one is found out later.
            let head = if packet.body.is_empty() { whole.len() } else { packet.head.len() };
            for len in 0..head.min(64) {
                assert!(Order::parse(&whole[..len], None).is_err(), "{:?} cut to {len}", packet.head);
                assert!(Report::parse(&whole[..len], None).is_err(), "{:?} cut to {len}", packet.head);
            }
        }
    }

    #[test]
    fn rubbish_does_no_harm() {
        let mut state = 1_u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize
        };
        let (mut orders, mut reports) = (0, 0);
        for _ in 0..20_000 {
            let len = next() % 80;
            let mut bytes: Vec<u8> = (0..len).map(|_| next() as u8).collect();
            if let Some(kind) = bytes.first_mut() {
                *kind %= 12;
            }
            orders += usize::from(Order::parse(&bytes, None).is_ok());
            reports += usize::from(Report::parse(&bytes, None).is_ok());
        }
        // Some of it makes sense.
        assert!(orders < 20_000 && reports < 20_000);
    }

    #[test]
    fn a_file_that_can_change_is_refused() {
        let open = std::fs::File::open("/proc/self/exe").unwrap();
        let packet = [VALUE, 1];
        assert!(Report::parse(&packet, Some(open.into())).is_err());
        let sealed = sys::sealed_file(c"test", b"bytes").unwrap();
        match Report::parse(&packet, Some(sealed)).unwrap() {
            Report::Value(body) => assert_eq!(&body[..], b"bytes"),
            other => panic!("{other:?}"),
        }
    }
}
