//! The rows' shape, and the two roles of this program: the parent that prints the table and the child that
//! measures one side of one row.
//!
//! 1. Every measurement runs in a fresh process: no side inherits another's heap, free lists or threads.
//! 2. The sides of a row take turns. The table shows the median, and the smallest of all rounds.
//! 3. A child that fails or is still running after two minutes fails the whole run; no row is left out silently.

use std::process::{Command, Stdio};

use lwt_benches::process;

use crate::libuv;
use crate::measure::{Measure, Outcome};
use crate::table::Table;

/// One runtime's way of doing a row's work: so many operations, one measurement.
pub type Side = fn(u64) -> Outcome;

/// How many sides a row may have.
pub const SIDES: usize = 5;

/// A row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// What a filter matches and `--measure` takes.
    pub name: &'static str,
    /// What one operation is.
    pub what: &'static str,
    /// Of the figure, per operation: `ns` or `bytes`.
    pub unit: &'static str,
    /// The name of the second figure, for rows that have one.
    pub aside: Option<&'static str>,
    /// Operations in one measurement.
    pub ops: u64,
    /// What a throw-away model of this design reached, where it was measured.
    pub goal: Option<&'static str>,
    /// Nothing is run before the measurement: for rows that fill memory.
    pub cold: bool,
    /// The runtime of this project.
    pub lwt: Side,
    /// tokio, current thread.
    pub tokio: Option<Side>,
    /// smol, `LocalExecutor`.
    pub smol: Option<Side>,
    /// libuv, where it is installed.
    pub libuv: Option<Side>,
    /// The same work with no runtime at all: the limit.
    pub floor: Option<Side>,
}

impl Row {
    /// The sides that there are, in the order of the columns.
    pub fn sides(&self) -> [(&'static str, Option<Side>); SIDES] {
        [
            ("lwt", Some(self.lwt)),
            ("tokio", self.tokio),
            ("smol", self.smol),
            ("libuv", self.libuv.filter(|_| libuv::is_there())),
            ("floor", self.floor),
        ]
    }
}

/// What the command line asks of the parent.
#[derive(Debug)]
pub struct Options {
    filters: Vec<String>,
    sides: Option<String>,
    rounds: usize,
    scale: f64,
}

impl Options {
    /// Reads the arguments.
    pub fn parse(arguments: &[String]) -> Result<Options, String> {
        let mut options = Options { filters: Vec::new(), sides: None, rounds: 7, scale: 1.0 };
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            let mut text = |what: &str| rest.next().ok_or_else(|| format!("{argument} wants {what}"));
            let mut number = |what: &str| {
                let text = text(what)?;
                let number = text.parse::<f64>().map_err(|error| format!("{argument} {text}: {error}"))?;
                if number > 0.0 { Ok(number) } else { Err(format!("{argument} wants {what}, not {text}")) }
            };
            match argument.as_str() {
                "--rounds" => options.rounds = number("a number of rounds")?.ceil() as usize,
                "--scale" => options.scale = number("a factor for the operations of each row")?,
                "--sides" => options.sides = Some(text("the sides to measure, as in lwt,tokio")?.clone()),
                // `cargo bench` passes it on.
                "--bench" => {}
                unknown if unknown.starts_with('-') => return Err(format!("unknown option {unknown}")),
                filter => options.filters.push(filter.to_owned()),
            }
        }
        Ok(options)
    }

    /// Whether a side of a row is to be measured.
    fn takes(&self, side: &str) -> bool {
        self.sides.as_ref().is_none_or(|sides| sides.split(',').any(|wanted| wanted == side))
    }

    fn wants(&self, row: &Row) -> bool {
        self.filters.is_empty() || self.filters.iter().any(|filter| row.name.contains(filter.as_str()))
    }
}

/// Measures the rows that the options want, in children, and prints the table line by line.
pub fn parent(rows: &[Row], options: &Options) -> Result<(), String> {
    let rows: Vec<&Row> = rows.iter().filter(|row| options.wants(row)).collect();
    if rows.is_empty() {
        return Err("no row has a name with such a part; --list shows them".to_owned());
    }
    let table = Table::new(&rows, options.rounds);
    for row in rows {
        let ops = ((row.ops as f64 * options.scale) as u64).max(1);
        let mut rounds: [Vec<Measure>; SIDES] = Default::default();
        for _ in 0..options.rounds {
            for (taken, (side, exists)) in rounds.iter_mut().zip(row.sides()) {
                if exists.is_some() && options.takes(side) {
                    taken.push(in_child(row, side, ops)?);
                }
            }
        }
        table.row(row, &rounds);
    }
    Ok(())
}

/// One measurement in a fresh process.
fn in_child(row: &Row, side: &str, ops: u64) -> Result<Measure, String> {
    let about = |what: String| format!("{} of {side}: {what}", row.name);
    let program = std::env::current_exe().map_err(|error| about(error.to_string()))?;
    let mut command = Command::new(program);
    command.args(["--measure", row.name, side, &ops.to_string()]).stderr(Stdio::inherit());
    if row.cold {
        command.arg("--cold");
    }
    let output = command.output().map_err(|error| about(error.to_string()))?;
    if !output.status.success() {
        return Err(about(output.status.to_string()));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let mut numbers = text.lines().map(str::parse::<f64>);
    match (numbers.next(), numbers.next().transpose()) {
        (Some(Ok(value)), Ok(aside)) => Ok(Measure { value, aside }),
        _ => Err(about(format!("unreadable answer {text:?}"))),
    }
}

/// The child: `ROW SIDE OPS [--cold]`, prints the figure and then the second figure, if there is one.
pub fn child(rows: &[Row], arguments: &[String]) -> Result<(), String> {
    process::watch();
    let [name, side, ops, rest @ ..] = arguments else {
        return Err("--measure wants ROW SIDE OPS".to_owned());
    };
    let row = rows.iter().find(|row| row.name == name).ok_or_else(|| format!("no row is called {name}"))?;
    let run = row.sides().into_iter().find(|(called, _)| called == side).and_then(|(_, run)| run);
    let run = run.ok_or_else(|| format!("{name} has no side {side}"))?;
    let ops = ops.parse::<u64>().map_err(|error| format!("{ops}: {error}"))?;
    let result = (|| {
        if rest.is_empty() {
            run((ops / 10).max(1))?;
        }
        run(ops)
    })();
    let measure = result.map_err(|failure| failure.to_string())?;
    println!("{}", measure.value);
    if let Some(aside) = measure.aside {
        println!("{aside}");
    }
    Ok(())
}
