//! The load: connections in two threads, each a level-triggered epoll loop over its half.
//!
//! A *phase* sends and receives so many messages and ends with none under way. The first phase warms up; between it
//! and the second, both threads meet, and one of them reads the clocks.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::Barrier;
use std::time::Instant;

use lwt_benches::figures::clock;

use crate::measure::Measure;

const CONNECTIONS: usize = 64;
const THREADS: usize = 2;
const MESSAGE: usize = 64;

/// Sends so many messages and gives the server's CPU time per message, and messages per second beside it.
pub fn load(address: SocketAddr, server_clock: libc::clockid_t, messages: u64) -> io::Result<Measure> {
    let barrier = Barrier::new(THREADS + 1);
    let share = messages / THREADS as u64;
    std::thread::scope(|scope| {
        let work = || -> io::Result<()> {
            let connected = Clients::connect(address, CONNECTIONS / THREADS);
            let warm = connected.and_then(|mut clients| clients.phase(share / 10).map(|()| clients));
            // Both are reached on every path: the others must not wait for a thread that failed.
            barrier.wait();
            let done = warm.and_then(|mut clients| clients.phase(share));
            barrier.wait();
            done
        };
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(work)).collect();
        barrier.wait();
        let (start, cpu_start) = (Instant::now(), clock(server_clock));
        barrier.wait();
        let (wall, cpu) = (start.elapsed(), clock(server_clock) - cpu_start);
        for thread in threads {
            thread.join().map_err(|_| io::Error::other("a client thread panicked"))??;
        }
        let sent = (share * THREADS as u64) as f64;
        Ok(Measure::of(cpu as f64 / sent).beside(sent / wall.as_secs_f64()))
    })
}

/// The connections of one thread.
struct Clients {
    epoll: OwnedFd,
    connections: Vec<TcpStream>,
    /// Bytes of the message under way that have come back, per connection.
    received: Vec<usize>,
}

impl Clients {
    fn connect(address: SocketAddr, count: usize) -> io::Result<Clients> {
        // SAFETY: the call takes no pointer.
        let epoll = checked(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        // SAFETY: the descriptor is new and nobody else's.
        let epoll = unsafe { OwnedFd::from_raw_fd(epoll) };
        let mut connections = Vec::new();
        for index in 0..count {
            let stream = TcpStream::connect(address)?;
            stream.set_nodelay(true)?;
            let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: index as u64 };
            // SAFETY: both descriptors are open and `event` lives across the call.
            checked(unsafe {
                libc::epoll_ctl(epoll.as_raw_fd(), libc::EPOLL_CTL_ADD, stream.as_raw_fd(), &mut event)
            })?;
            connections.push(stream);
        }
        Ok(Clients { epoll, connections, received: vec![0; count] })
    }

    /// Sends and receives so many messages over all connections together.
    fn phase(&mut self, messages: u64) -> io::Result<()> {
        let message = [b'm'; MESSAGE];
        let mut buffer = [0; MESSAGE];
        let mut sent = 0;
        let mut done = 0;
        for connection in self.connections.iter_mut().take(messages as usize) {
            connection.write_all(&message)?;
            sent += 1;
        }
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; CONNECTIONS];
        while done < messages {
            // SAFETY: `events` is live and as long as the call is told.
            let count = unsafe {
                libc::epoll_wait(self.epoll.as_raw_fd(), events.as_mut_ptr(), events.len() as i32, -1)
            };
            let count = match checked(count) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                count => count?,
            };
            for event in &events[..count as usize] {
                let index = event.u64 as usize;
                let left = MESSAGE - self.received[index];
                match self.connections[index].read(&mut buffer[..left])? {
                    0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                    short if short < left => self.received[index] += short,
                    _ => {
                        self.received[index] = 0;
                        done += 1;
                        if sent < messages {
                            self.connections[index].write_all(&message)?;
                            sent += 1;
                        }
                    }
                }
            }
        }
        Ok(())
    }
}

/// The result of a system call that says -1 for an error.
pub fn checked(result: i32) -> io::Result<i32> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
