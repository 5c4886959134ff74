//! libuv, a peer of the rows of threads and files: a library of the system, and no crate.
//!
//! 1. It is loaded by its name when it is measured, and never unloaded. Where it is not there, its column stays
//!    empty; nothing is needed to build this program.
//! 2. How large its structures are is asked of it. The one field that is touched is the first of a request or a
//!    timer, `data`, which belongs to its user in all versions of libuv 1.
//! 3. A measurement has one loop, on its own thread, and the pool of four threads that is libuv's default.
//!    Structures are never freed, as the process ends soon.

use std::cell::Cell;
use std::ffi::{CStr, CString, c_char, c_int, c_uint, c_void};
use std::rc::Rc;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use crate::measure::Failure;

/// A loop, a request or a handle.
type Raw = *mut c_void;
type AfterWork = unsafe extern "C" fn(Raw, c_int);
type Called = unsafe extern "C" fn(Raw);

/// Declares what is used of the library, and how it is found.
macro_rules! functions {
    ($($name:ident($($argument:ty),*) -> $result:ty;)*) => {
        #[derive(Clone, Copy)]
        struct Functions {
            $($name: unsafe extern "C" fn($($argument),*) -> $result,)*
        }

        impl Functions {
            fn of(library: *mut c_void) -> Option<Functions> {
                Some(Functions {
                    $($name: {
                        let name = concat!(stringify!($name), "\0");
                        // SAFETY: an open library, and a string with its zero byte.
                        let address = unsafe { libc::dlsym(library, name.as_ptr().cast()) };
                        if address.is_null() {
                            return None;
                        }
                        // SAFETY: the function of this name has this type in all versions of libuv 1.
                        unsafe {
                            std::mem::transmute::<Raw, unsafe extern "C" fn($($argument),*) -> $result>(address)
                        }
                    },)*
                })
            }
        }
    };
}

functions! {
    uv_loop_size() -> usize;
    uv_req_size(c_int) -> usize;
    uv_handle_size(c_int) -> usize;
    uv_loop_init(Raw) -> c_int;
    uv_run(Raw, c_int) -> c_int;
    uv_queue_work(Raw, Raw, Called, AfterWork) -> c_int;
    uv_timer_init(Raw, Raw) -> c_int;
    uv_timer_start(Raw, Called, u64, u64) -> c_int;
    uv_fs_stat(Raw, Raw, *const c_char, Called) -> c_int;
    uv_fs_open(Raw, Raw, *const c_char, c_int, c_int, Called) -> c_int;
    uv_fs_read(Raw, Raw, c_int, *const Part, c_uint, i64, Called) -> c_int;
    uv_fs_close(Raw, Raw, c_int, Called) -> c_int;
    uv_fs_get_result(Raw) -> isize;
    uv_fs_req_cleanup(Raw) -> ();
}

/// `uv_buf_t`, as it is on Unix.
#[repr(C)]
struct Part {
    base: *mut c_char,
    len: usize,
}

/// `UV_FS`, `UV_WORK` and `UV_TIMER`.
const FS: c_int = 6;
const WORK: c_int = 7;
const TIMER: c_int = 13;

fn functions() -> Option<&'static Functions> {
    static FUNCTIONS: OnceLock<Option<Functions>> = OnceLock::new();
    let load = |name: &CStr| {
        // SAFETY: a string with its zero byte; the library's initialisers do nothing to us.
        let library = unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW) };
        if library.is_null() { None } else { Functions::of(library) }
    };
    FUNCTIONS.get_or_init(|| load(c"libuv.so.1").or_else(|| load(c"libuv.1.dylib"))).as_ref()
}

/// Whether the library can be had.
pub fn is_there() -> bool {
    functions().is_some()
}

/// A loop, with what can be done to it.
#[derive(Clone, Copy)]
struct Uv {
    functions: &'static Functions,
    raw: Raw,
}

impl Uv {
    fn new() -> Result<Uv, Failure> {
        let functions = functions().ok_or("libuv cannot be loaded")?;
        // SAFETY: it only tells a number.
        let raw = block(unsafe { (functions.uv_loop_size)() });
        // SAFETY: memory of the size of a loop, for good.
        checked(unsafe { (functions.uv_loop_init)(raw) })?;
        Ok(Uv { functions, raw })
    }

    /// Turns until nothing is under way.
    fn run(self) -> Result<(), Failure> {
        // SAFETY: a loop of this thread.
        checked(unsafe { (self.functions.uv_run)(self.raw, 0) })
    }

    fn request(self, kind: c_int) -> Raw {
        // SAFETY: it only tells a number.
        block(unsafe { (self.functions.uv_req_size)(kind) })
    }

    fn timer(self) -> Result<Raw, Failure> {
        // SAFETY: it only tells a number.
        let timer = block(unsafe { (self.functions.uv_handle_size)(TIMER) });
        // SAFETY: memory of the size of a timer, for good, and a loop of this thread.
        checked(unsafe { (self.functions.uv_timer_init)(self.raw, timer) })?;
        Ok(timer)
    }
}

/// So many bytes for a structure, zeroed, for good.
fn block(bytes: usize) -> Raw {
    Box::leak(vec![0_u128; bytes.div_ceil(16)].into_boxed_slice()).as_mut_ptr().cast()
}

fn checked(code: c_int) -> Result<(), Failure> {
    if code < 0 { Err(Failure::wrong(("libuv", code))) } else { Ok(()) }
}

/// What a flight does in each of its turns: starts a request, and says whether that worked.
pub type Turn = fn(&mut Flight) -> c_int;

/// One of several that do the same thing again and again, one after the other.
pub struct Flight {
    uv: Uv,
    request: Raw,
    /// Which of them it is, from 0.
    task: usize,
    turn: Turn,
    /// Called by a thread of the pool, in flights of work.
    call: fn(usize),
    /// How many turns it has done; whether there is another one.
    done: usize,
    goes_on: Rc<dyn Fn(usize) -> bool>,
    /// The paths of its turns; it takes one of so many.
    paths: Arc<[CString]>,
    flying: usize,
    file: c_int,
    buf: Vec<u8>,
    /// The first thing that went wrong in any of them.
    failed: Rc<Cell<isize>>,
}

impl Flight {
    /// A turn that has `call` called on a thread.
    pub fn work(&mut self) -> c_int {
        // SAFETY: the loop and the request are alive and of this thread, and the request is not under way.
        unsafe { (self.uv.functions.uv_queue_work)(self.uv.raw, self.request, at_work, worked) }
    }

    /// A turn that looks a path's attributes up.
    pub fn stat(&mut self) -> c_int {
        let path = self.path();
        // SAFETY: as for `work`; libuv copies the path.
        unsafe { (self.uv.functions.uv_fs_stat)(self.uv.raw, self.request, path, looked_up) }
    }

    /// A turn that opens a file, reads it by one call, and closes it.
    pub fn open_read_close(&mut self) -> c_int {
        let (path, uv) = (self.path(), self.uv);
        // SAFETY: as for `stat`.
        unsafe { (uv.functions.uv_fs_open)(uv.raw, self.request, path, libc::O_RDONLY, 0, opened) }
    }

    fn path(&self) -> *const c_char {
        self.paths[(self.done * self.flying + self.task) % self.paths.len()].as_ptr()
    }

    /// The turn is over.
    fn over(&mut self, result: isize) {
        self.done += 1;
        if result < 0 {
            self.fail(result);
        } else if (self.goes_on)(self.done) {
            self.begin();
        }
    }

    fn begin(&mut self) {
        let code = (self.turn)(self);
        if code < 0 {
            self.fail(code as isize);
        }
    }

    fn fail(&self, code: isize) {
        if self.failed.get() == 0 {
            self.failed.set(code);
        }
    }

    /// What a call for a file says; its request is free again.
    fn result(&self) -> isize {
        // SAFETY: the request's callback runs.
        let result = unsafe { (self.uv.functions.uv_fs_get_result)(self.request) };
        // SAFETY: as above.
        unsafe { (self.uv.functions.uv_fs_req_cleanup)(self.request) };
        result
    }
}

/// The flight of a request whose callback runs.
///
/// # Safety
/// The request is that of a flight, which nobody else uses meanwhile.
unsafe fn flight_of<'a>(request: Raw) -> &'a mut Flight {
    // SAFETY: `data` was set to the flight, which is never freed.
    unsafe { &mut **request.cast::<*mut Flight>() }
}

/// On a thread of the pool.
unsafe extern "C" fn at_work(request: Raw) {
    // SAFETY: the loop's thread does not touch the flight before `worked`.
    let flight = unsafe { flight_of(request) };
    (flight.call)(flight.task);
}

unsafe extern "C" fn worked(request: Raw, status: c_int) {
    // SAFETY: the callback of a flight's request, on the loop's thread.
    unsafe { flight_of(request) }.over(status as isize);
}

unsafe extern "C" fn looked_up(request: Raw) {
    // SAFETY: as for `worked`.
    let flight = unsafe { flight_of(request) };
    let result = flight.result();
    flight.over(result);
}

unsafe extern "C" fn opened(request: Raw) {
    // SAFETY: as for `worked`.
    let flight = unsafe { flight_of(request) };
    let result = flight.result();
    if result < 0 {
        return flight.over(result);
    }
    flight.file = result as c_int;
    let part = Part { base: flight.buf.as_mut_ptr().cast(), len: flight.buf.len() };
    let uv = flight.uv;
    // SAFETY: the request is free, the file open; the buffer stays until the request is done, and libuv copies
    // the array of parts.
    let code = unsafe { (uv.functions.uv_fs_read)(uv.raw, request, flight.file, &part, 1, 0, read) };
    if code < 0 {
        flight.over(code as isize);
    }
}

unsafe extern "C" fn read(request: Raw) {
    // SAFETY: as for `worked`.
    let flight = unsafe { flight_of(request) };
    let result = flight.result();
    if result != flight.buf.len() as isize {
        return flight.over(result.min(-1));
    }
    let uv = flight.uv;
    // SAFETY: the request is free, and the file is closed this one time.
    let code = unsafe { (uv.functions.uv_fs_close)(uv.raw, request, flight.file, looked_up) };
    if code < 0 {
        flight.over(code as isize);
    }
}

/// Starts so many flights, that go on as long as `goes_on` says to the number of turns that one has done.
fn take_off(
    uv: Uv,
    flying: usize,
    (turn, call): (Turn, fn(usize)),
    paths: &Arc<[CString]>,
    goes_on: Rc<dyn Fn(usize) -> bool>,
) -> Rc<Cell<isize>> {
    let failed = Rc::new(Cell::new(0));
    for task in 0..flying {
        let request = uv.request(if paths.is_empty() { WORK } else { FS });
        let flight = Box::leak(Box::new(Flight {
            uv,
            request,
            task,
            turn,
            call,
            done: 0,
            goes_on: Rc::clone(&goes_on),
            paths: Arc::clone(paths),
            flying,
            file: -1,
            buf: vec![0; 4096],
            failed: Rc::clone(&failed),
        }));
        // SAFETY: the first field of a request is the user's pointer.
        unsafe { request.cast::<*mut Flight>().write(flight) };
        // SAFETY: the request's flight, used by nobody else.
        unsafe { flight_of(request) }.begin();
    }
    failed
}

fn landed(failed: &Cell<isize>) -> Result<(), Failure> {
    checked(failed.get() as c_int)
}

/// So many flights of so many turns each, of a kind for which there are paths, or of empty calls.
pub fn fly(flying: u64, each: u64, turn: Turn, paths: &Arc<[CString]>) -> Result<(), Failure> {
    let uv = Uv::new()?;
    let goes_on = Rc::new(move |done| (done as u64) < each);
    let failed = take_off(uv, flying as usize, (turn, |_| ()), paths, goes_on);
    uv.run()?;
    landed(&failed)
}

/// A timer that is started anew each time that it fires.
struct Ticks {
    uv: Uv,
    timer: Raw,
    tick: Duration,
    begin: Instant,
    many: usize,
    warm: bool,
    late: Vec<Duration>,
    stop: Rc<Cell<bool>>,
}

impl Ticks {
    fn start(&mut self, after: Duration) {
        self.begin = Instant::now();
        let after = after.as_millis() as u64;
        // SAFETY: a timer of a loop of this thread.
        let code = unsafe { (self.uv.functions.uv_timer_start)(self.timer, ticked, after, 0) };
        assert!(code >= 0, "a timer cannot fail: {code}");
    }
}

unsafe extern "C" fn ticked(timer: Raw) {
    // SAFETY: `data` was set to the ticks, which nobody else uses while the loop runs.
    let ticks = unsafe { &mut **timer.cast::<*mut Ticks>() };
    // The first one only waits until all are at work.
    if ticks.warm {
        ticks.late.push(ticks.begin.elapsed().saturating_sub(ticks.tick));
    }
    ticks.warm = true;
    if ticks.late.len() < ticks.many {
        ticks.start(ticks.tick);
    } else {
        ticks.stop.set(true);
    }
}

/// How late a timer of one tick is, so many times, after a while in which so many calls have begun that are
/// made again and again.
pub fn ticks(
    many: u64,
    tick: Duration,
    after: Duration,
    (calls, call): (usize, fn(usize)),
) -> Result<Vec<Duration>, Failure> {
    let uv = Uv::new()?;
    let stop = Rc::new(Cell::new(false));
    let stopped = Rc::clone(&stop);
    let goes_on = Rc::new(move |_| !stopped.get());
    let failed = take_off(uv, calls, (Flight::work, call), &Arc::from([]), goes_on);
    let timer = uv.timer()?;
    let (begin, many) = (Instant::now(), many as usize);
    let ticks = Ticks { uv, timer, tick, begin, many, warm: false, late: Vec::new(), stop };
    let ticks = Box::into_raw(Box::new(ticks));
    // SAFETY: the first field of a handle is the user's pointer.
    unsafe { timer.cast::<*mut Ticks>().write(ticks) };
    // SAFETY: the box that was just made; the loop does not run.
    unsafe { &mut *ticks }.start(after);
    uv.run()?;
    landed(&failed)?;
    // SAFETY: the loop does not run any more.
    Ok(unsafe { Box::from_raw(ticks) }.late)
}
