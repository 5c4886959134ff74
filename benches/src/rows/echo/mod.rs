//! TCP echo on loopback: 64 connections, 64 bytes a message, each connection sends the next when the last came back.
//!
//! The server is one thread, started per measurement; the load comes from two other threads of the same client for
//! every side, so that the server is what saturates. The figure is the CPU time of the *server's thread* per message,
//! read from its own clock; messages per second stand in the second line. The floor is a plain epoll loop.

mod client;
mod floor;
mod servers;

use std::net::SocketAddr;
use std::sync::mpsc;

use super::PLAIN;
use crate::harness::Row;
use crate::measure::{Failure, Outcome, own_cpu_clock};

pub const ROWS: [Row; 1] = [Row {
    name: "echo-64",
    what: "echo: server CPU per message of 64 bytes, 64 connections",
    ops: 200_000,
    aside: Some("messages per second"),
    goal: Some("5000"),
    lwt: |ops| echo(ops, servers::lwt),
    tokio: Some(|ops| echo(ops, servers::tokio)),
    smol: Some(|ops| echo(ops, servers::smol)),
    floor: Some(|ops| echo(ops, floor::serve)),
    ..PLAIN
}];

/// What a server reads at once.
const BUFFER: usize = 1024;

/// A server runs until the process ends; it tells its address when it listens.
type Server = fn(&dyn Fn(SocketAddr)) -> Outcome;

fn echo(ops: u64, server: Server) -> Outcome {
    let (tell, told) = mpsc::channel();
    std::thread::Builder::new().name("server".to_owned()).spawn(move || {
        let tell_address = |address| {
            // Nobody to tell: the measurement has failed already and says why.
            let _ = tell.send(own_cpu_clock().map(|clock| (address, clock)).map_err(Failure::from));
        };
        if let Err(failure) = server(&tell_address) {
            let _ = tell.send(Err(failure));
        }
    })?;
    let (address, server_clock) = told.recv().map_err(|_| "the server ended without a word")??;
    Ok(client::load(address, server_clock, ops)?)
}
