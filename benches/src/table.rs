//! The table: aligned for the terminal, and Markdown as it stands.

use lwt_benches::figures::{Summary, number};

use crate::harness::{Row, SIDES};
use crate::measure::Measure;

/// Widths of the columns: name, what, then the figures.
const NAME: usize = 18;
const FIGURE: usize = 17;
const RATIO: usize = 10;

/// A table under way: its head is printed, its lines follow.
#[derive(Debug)]
pub struct Table {
    /// Of the second column: its longest text.
    width: usize,
}

impl Table {
    /// Prints the head.
    pub fn new(rows: &[&Row], rounds: usize) -> Table {
        let asides = rows.iter().filter_map(|row| row.aside).map(|aside| aside.chars().count() + 2);
        let width = rows.iter().map(|row| row.what.chars().count()).chain(asides).max().unwrap_or(0);
        println!("Median (smallest) of {rounds} interleaved rounds; a ratio below 1 is in favour of lwt.\n");
        let mut line = format!("| {:NAME$} | {:width$} | unit  ", "row", "one operation");
        let mut rule = format!("|-{:-<NAME$}-|-{:-<width$}-|-------", "", "");
        for column in ["lwt", "tokio", "smol", "libuv", "floor"] {
            line += &format!("| {column:>FIGURE$} ");
            rule += &format!("|-{:-<FIGURE$}:", "");
        }
        for column in ["lwt/tokio", "lwt/smol", "lwt/libuv", "goal"] {
            line += &format!("| {column:>RATIO$} ");
            rule += &format!("|-{:-<RATIO$}:", "");
        }
        println!("{line}|\n{rule}|");
        Table { width }
    }

    /// Prints a row, and a second line for its second figure.
    pub fn row(&self, row: &Row, rounds: &[Vec<Measure>; SIDES]) {
        let values = rounds.each_ref().map(|taken| Summary::of(taken.iter().map(|measure| measure.value)));
        self.line(row.name, row.what, row.unit, &values, row.goal);
        if let Some(aside) = row.aside {
            let asides =
                rounds.each_ref().map(|taken| Summary::of(taken.iter().filter_map(|measure| measure.aside)));
            self.line("", &format!("– {aside}"), "", &asides, None);
        }
    }

    fn line(&self, name: &str, what: &str, unit: &str, sides: &[Option<Summary>; SIDES], goal: Option<&str>) {
        let width = self.width;
        let mut line = format!("| {name:NAME$} | {what:width$} | {unit:5} ");
        for side in sides {
            let text = side
                .map_or("–".to_owned(), |side| format!("{} ({})", number(side.median), number(side.least)));
            line += &format!("| {text:>FIGURE$} ");
        }
        let [own, tokio, smol, libuv, _] = sides;
        for peer in [tokio, smol, libuv] {
            let ratio = match (own, peer) {
                // The second figures are not all of the kind where less is better: they get no ratio.
                (Some(own), Some(peer)) if !name.is_empty() => format!("{:.2}", own.median / peer.median),
                _ => "–".to_owned(),
            };
            line += &format!("| {ratio:>RATIO$} ");
        }
        println!("{line}| {:>RATIO$} |", goal.unwrap_or("–"));
    }
}
