//! Services of many processes: workers that serve one listening socket, each with its own loop (`Netplex`).
//!
//! ```text
//!                    says that it is ready             is asked to end (SIGTERM)
//!   a worker: starting ──────────────► serving ──────────────► draining ──────────────► gone
//!                │                        │                                               ▲
//!                └── ends before that     └── ends without being asked                    │
//!                      │                        │              after the grace time: SIGKILL
//!                      └── a delay that grows ──┴── at once, if it was well: another one in its place
//! ```
//!
//! 1. *The socket* belongs to the program, and every worker has it. It is open until the service is stopped:
//!    who connects while a worker is replaced waits in the socket's queue, and is not refused.
//! 2. *A generation* is as many workers as the service has, started with one argument. A
//!    [reload](Service::reload) starts another generation, and only when all of its workers are ready it
//!    asks the old one to end. If one of them cannot be had, the old generation stays. All generations run
//!    the program as it was started: another file in its place is for the next start of the program.
//! 3. *A worker that ends* without being asked is replaced: at once if it had been serving for a while, else
//!    after a delay that grows. Where that has happened so many times in a row, and no worker of the
//!    generation serves, or not all of it have been ready yet, the generation is given up.
//! 4. *Draining* is the worker's part: [`serve`] takes the connections that wait already, accepts nothing
//!    more, and ends when its connections have.
//! 5. *Signals* to the program are the program's business: `examples/prefork_echo.rs` reloads at `SIGHUP` and
//!    stops at `SIGTERM`. Workers are in groups of their own, so that Ctrl-C reaches the program only. If it
//!    dies without stopping the service, however that comes, its workers end with it, and with them their
//!    connections.
//!
//! Which worker gets a connection is the kernel's choice: all wait for the socket, and the first one to
//! accept has it.
//!
//! ```standalone_crate
//! use lwt_preemptive::prefork::{self, Prefork};
//! use lwt_unix::net::{TcpListener, TcpStream};
//! use std::io::Read;
//!
//! /// What each worker runs.
//! async fn greet(greeting: String) {
//!     let served = prefork::serve(move |stream: TcpStream, _peer| {
//!         let greeting = greeting.clone();
//!         async move { stream.write_all(greeting.as_bytes()).await }
//!     });
//!     if let Err(error) = served.await {
//!         eprintln!("{error}");
//!     }
//! }
//!
//! lwt_preemptive::main! {
//!     workers [greet];
//!     async fn main() -> Result<(), lwt_core::Error> {
//!         let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
//!         let address = listener.local_addr()?;
//!         let service = Prefork::new().workers(2).serve(listener, greet, "hello".to_owned()).await?;
//!         let mut greeting = [0; 5];
//!         TcpStream::connect(address).await?.read_exact(&mut greeting).await?;
//!         assert_eq!(&greeting, b"hello");
//!         service.reload("hallo".to_owned()).await?;
//!         // Whoever connects while the old workers drain may still be greeted by one of them.
//!         while &greeting != b"hallo" {
//!             TcpStream::connect(address).await?.read_exact(&mut greeting).await?;
//!         }
//!         service.stop().await
//!     }
//! }
//! ```
//!
//! Files: `service`, the program's side; `generation`, its workers; `inside`, the worker's side.

mod generation;
mod inside;
mod service;

pub use self::generation::{Event, WorkerState};
pub use self::inside::{Connection, draining, ready, serve, socket};
pub use self::service::{GivenUp, Prefork, Service, Stopped};

/// By what name workers are given the socket.
const SOCKET: &str = "lwt: socket";
/// By what name they are given the pipe by which they say that they are ready.
const READY: &str = "lwt: ready";
