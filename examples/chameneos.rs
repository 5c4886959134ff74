//! Chameneos-redux: creatures that meet in pairs and change their colours, each of them a process.
//!
//! ```text
//! cargo run --release --example chameneos -- --meetings 100000
//! ```
//!
//! A creature that wants to meet another writes to the mall's mailbox. The mall, this program's loop, makes
//! pairs in the order in which they come, and writes to each of the two who the other is. When there have
//! been enough meetings it tells everybody to go home. Two games are played, one of three creatures and one
//! of ten; for each creature it prints how many meetings it had, and how many of them with itself, which
//! nobody can have; below it, how many there were together: two for each meeting.

use std::io::{self, Write};
use std::process::ExitCode;

use lexopt::prelude::*;
use lwt::shm::{Mailbox, Pool, Receiver, ShmError};
use lwt::switch::with_switch;
use lwt::worker::{self, Start, Worker};
use lwt::{Error, Promise, all, join};

const HELP: &str = "\
chameneos: creatures that meet over mailboxes, one process each

Usage: chameneos [--meetings N]

  --meetings N   how many meetings there are in each game (10000)
";

/// The bytes of a mailbox: a creature has one message under way, and the mall one of each creature.
const MAILBOX: usize = 4096;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Colour {
    Blue,
    Red,
    Yellow,
}

use Colour::{Blue, Red, Yellow};

const COLOURS: [Colour; 3] = [Blue, Red, Yellow];
const GAMES: [&[Colour]; 2] =
    [&[Blue, Red, Yellow], &[Blue, Red, Yellow, Red, Yellow, Blue, Red, Yellow, Red, Blue]];

lwt::main! {
    workers [creature];

    async fn main() -> ExitCode {
        let meetings = match meetings() {
            Ok(Some(meetings)) => meetings,
            Ok(None) => {
                // Who closes our output does not want to read it.
                let _ = io::stdout().write_all(HELP.as_bytes());
                return ExitCode::SUCCESS;
            }
            Err(error) => {
                complain(&format!("{error}; see --help"));
                return ExitCode::from(2);
            }
        };
        play_all(meetings).await.unwrap_or_else(|error| {
            complain(&format!("{error:#}"));
            ExitCode::FAILURE
        })
    }
}

/// How many meetings; none if only help is wanted.
fn meetings() -> Result<Option<u64>, lexopt::Error> {
    let mut meetings = 10_000;
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("meetings") => meetings = parser.value()?.parse()?,
            Short('h') | Long("help") => return Ok(None),
            _ => return Err(argument.unexpected()),
        }
    }
    Ok(Some(meetings))
}

async fn play_all(meetings: u64) -> Result<ExitCode, Error> {
    let mut table = String::new();
    for one in COLOURS {
        for other in COLOURS {
            table += &format!("{} + {} -> {}\n", one.name(), other.name(), one.after(other).name());
        }
    }
    let mut shown = say(&table);
    for colours in GAMES {
        if shown == ExitCode::SUCCESS {
            shown = say(&play(colours, meetings).await?);
        }
    }
    Ok(shown)
}

/// One game: its lines of output.
async fn play(colours: &'static [Colour], meetings: u64) -> Result<String, Error> {
    let pool = Pool::create()?;
    let mall = Mailbox::create(&pool, MAILBOX)?;
    pool.publish("mall", mall.place())?;
    let mut homes = Vec::new();
    for number in 0..colours.len() {
        let home = Mailbox::create(&pool, MAILBOX)?;
        pool.publish(&home_of(number as u8), home.place())?;
        homes.push(home);
    }
    let mall = mall.receiver()?;

    let start = Start::new().share("game", &pool);
    // If one of them dies so does the game, and the others are stopped.
    let met = with_switch(async move |scope| {
        let mut creatures = Vec::new();
        for (number, colour) in (0..).zip(colours) {
            creatures.push(scope.add(life(start.start(creature, (number, *colour as u8))))?);
        }
        let meeting = scope.spawn(keep_mall(mall, homes, meetings))?;
        let (met, ()) = join!(all(creatures), meeting).await?;
        Ok(met)
    })
    .await?;

    let mut lines: String = colours.iter().map(|colour| format!(" {}", colour.name())).collect();
    lines.push('\n');
    for (meetings, with_itself) in &met {
        lines += &format!("{meetings}{}\n", spelled(*with_itself));
    }
    let together = met.iter().map(|(meetings, _)| meetings).sum();
    lines += &format!("{}\n", spelled(together));
    Ok(lines)
}

/// What a creature tells in the end, unless it fails.
fn life<T: 'static>(creature: Worker<Result<T, String>>) -> Promise<T> {
    creature.into_result().bind(|told| told.map_err(Error::msg).into())
}

/// The mall: introduces those who come to each other, so many pairs, and sends everybody home.
async fn keep_mall(mall: Receiver, homes: Vec<Mailbox>, meetings: u64) -> Result<(), Error> {
    let mut waiting: Option<(u8, u8)> = None;
    let mut pairs = 0;
    while pairs < meetings {
        let [number, colour] = mall.receive_async().await?[..] else { continue };
        match waiting.take() {
            None => waiting = Some((number, colour)),
            Some((other, others)) => {
                send(&homes, number, &[other, others]).await?;
                send(&homes, other, &[number, colour]).await?;
                pairs += 1;
            }
        }
    }
    for home in &homes {
        home.send_async(Vec::new()).await?;
    }
    Ok(())
}

async fn send(homes: &[Mailbox], to: u8, message: &[u8]) -> Result<(), Error> {
    match homes.get(usize::from(to)) {
        Some(home) => home.send_async(message.to_vec()).await,
        None => Err(Error::msg(format!("there is no creature {to}"))),
    }
}

/// A worker: one creature. How often it met another, and how often itself.
fn creature(number: u8, colour: u8) -> Result<(u64, u64), String> {
    let live = || {
        let pool = worker::shared("game")?;
        let open = |name: &str| Mailbox::open(&pool, pool.find(name).ok_or(ShmError::BadName)?);
        let mall = open("mall")?;
        let home = open(&home_of(number))?.receiver()?;
        let mut colour = Colour::of(colour)?;
        let (mut met, mut with_itself) = (0, 0);
        loop {
            mall.send(&[number, colour as u8])?;
            let [other, others] = home.receive()?[..] else { return Ok((met, with_itself)) };
            colour = colour.after(Colour::of(others)?);
            met += 1;
            with_itself += u64::from(other == number);
        }
    };
    live().map_err(|error: Error| format!("creature {number}: {error}"))
}

fn home_of(number: u8) -> String {
    format!("home {number}")
}

impl Colour {
    fn of(number: u8) -> Result<Colour, Error> {
        COLOURS.get(usize::from(number)).copied().ok_or_else(|| Error::msg("that is no colour"))
    }

    fn name(self) -> &'static str {
        match self {
            Blue => "blue",
            Red => "red",
            Yellow => "yellow",
        }
    }

    /// Its colour after it has met this one: the same if they were the same, else the third.
    fn after(self, other: Colour) -> Colour {
        if self == other { self } else { COLOURS[3 - self as usize - other as usize] }
    }
}

/// A number, digit by digit.
fn spelled(number: u64) -> String {
    const DIGITS: [&str; 10] =
        ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"];
    let digits = number.to_string();
    digits.bytes().map(|digit| format!(" {}", DIGITS[usize::from(digit - b'0')])).collect()
}

/// Prints some lines on standard output. Who does not want to read them knows why.
fn say(lines: &str) -> ExitCode {
    match writeln!(io::stdout().lock(), "{lines}") {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            if error.kind() != io::ErrorKind::BrokenPipe {
                complain(&format!("standard output: {error}"));
            }
            ExitCode::FAILURE
        }
    }
}

/// Prints a line on standard error. If nobody reads that there is nobody to be told.
fn complain(text: &str) {
    let _ = writeln!(io::stderr().lock(), "chameneos: {text}");
}
