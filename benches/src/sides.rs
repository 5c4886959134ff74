//! Tables of rows that have each their own peers: the driver of the programs in `bin`.
//!
//! As in the main table each measurement runs in a process of its own, and the sides of a row take turns. A
//! side that cannot be measured here is left out with a word.

use std::process::{Command, ExitCode, Stdio};

use crate::figures::{Summary, number, unit};
use crate::process;

/// One side's measurement: nanoseconds per operation, or why there is none.
pub type Outcome = Result<f64, String>;
/// A side: its name, and what measures it.
pub type Side = (&'static str, fn() -> Outcome);

/// A row of the table; its unit and its ratios are by its first side.
#[derive(Debug)]
pub struct Row {
    /// What a filter matches and `--measure` takes.
    pub name: &'static str,
    /// What one operation is.
    pub what: &'static str,
    /// Those who do it.
    pub sides: &'static [Side],
}

/// The program: `[FILTER ...] [--rounds N] [--list]`, or `--measure ROW SIDE`.
pub fn main(rows: &[Row]) -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words[..] {
        ["--measure", row, side] => measure(rows, row, side),
        ["--list"] => {
            rows.iter().for_each(|row| println!("{}\t{}", row.name, row.what));
            Ok(())
        }
        _ => table(rows, &words),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

/// Measures one side of a row in this process, and prints the figure.
fn measure(rows: &[Row], row: &str, side: &str) -> Result<(), String> {
    process::watch();
    let row = rows.iter().find(|other| other.name == row).ok_or("there is no such row")?;
    let (_, run) = row.sides.iter().find(|(name, _)| *name == side).ok_or("there is no such side")?;
    println!("{}", run()?);
    Ok(())
}

fn table(rows: &[Row], words: &[&str]) -> Result<(), String> {
    let mut rounds = 7;
    let mut filters = Vec::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match *word {
            "--rounds" => {
                let number = words.next().and_then(|number| number.parse().ok());
                rounds = number.filter(|rounds| *rounds > 0).ok_or("--rounds wants a number")?;
            }
            "--bench" => {}
            unknown if unknown.starts_with('-') => return Err(format!("unknown option {unknown}")),
            filter => filters.push(filter),
        }
    }
    let wanted = |row: &&Row| filters.is_empty() || filters.iter().any(|filter| row.name.contains(filter));
    let rows: Vec<&Row> = rows.iter().filter(wanted).collect();
    if rows.is_empty() {
        return Err("no row has a name with such a part; --list shows them".to_owned());
    }
    println!("Median (smallest) of {rounds} rounds; ratios to the first side's median.\n");
    println!("| row | side | unit | time | ratio |\n|---|---|---|--:|--:|");
    for row in rows {
        let mut taken: Vec<Result<Vec<f64>, String>> = row.sides.iter().map(|_| Ok(Vec::new())).collect();
        for _ in 0..rounds {
            for (taken, (side, _)) in taken.iter_mut().zip(row.sides) {
                if let Ok(figures) = taken {
                    match in_child(row.name, side) {
                        Ok(figure) => figures.push(figure),
                        Err(why) => *taken = Err(why),
                    }
                }
            }
        }
        let mut first = None;
        for ((side, _), taken) in row.sides.iter().zip(taken) {
            let head = format!("| `{}` | {side}", row.name);
            match taken.map(Summary::of) {
                Ok(Some(Summary { median, least })) => {
                    let first = *first.get_or_insert(median);
                    let (unit, size) = unit(first);
                    let (shown, least) = (number(median / size), number(least / size));
                    println!("{head} | {unit} | {shown} ({least}) | {:.2} |", median / first);
                }
                Ok(None) => {}
                Err(why) => println!("{head} | – | {why} | – |"),
            }
        }
    }
    Ok(())
}

fn in_child(row: &str, side: &str) -> Outcome {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut command = Command::new(program);
    let output = command.args(["--measure", row, side]).stderr(Stdio::piped()).output();
    let output = output.map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&output.stdout);
    match text.trim().parse() {
        Ok(figure) if output.status.success() => Ok(figure),
        _ => {
            let said = String::from_utf8_lossy(&output.stderr);
            Err(said.lines().last().map_or_else(|| output.status.to_string(), str::to_owned))
        }
    }
}
