//! Boards: a queen in each row, none of which another attacks.
//!
//! A board is a number: four bits a row, the first row in the highest ones in use, each the column of that
//! row's queen. So boards of one size are in the order of their rows, and go through shared memory as they
//! are.

/// The widest board that fits.
pub(crate) const WIDEST: u32 = 16;

/// The first rows of a board: how many, and their columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Start {
    pub(crate) rows: u32,
    pub(crate) board: u64,
}

impl Start {
    pub(crate) const EMPTY: Start = Start { rows: 0, board: 0 };
}

/// All ways to put queens into the first `rows` rows, in order.
pub(crate) fn starts(n: u32, rows: u32) -> Vec<Start> {
    let rows = rows.min(n);
    let mut found = Vec::new();
    place(n, rows, Start::EMPTY, &mut |board| found.push(Start { rows, board }));
    found
}

/// All solutions that begin so, in order.
pub(crate) fn solutions(n: u32, start: Start, found: &mut impl FnMut(u64)) {
    place(n, n, start, found);
}

/// Whether no other image of this solution, turned or mirrored, comes before it: true of one of them.
pub(crate) fn is_first(n: u32, board: u64) -> bool {
    images(n, board).all(|image| board <= image)
}

/// The first image of a solution.
pub(crate) fn first(n: u32, board: u64) -> u64 {
    images(n, board).min().unwrap_or(board)
}

/// How many solutions begin so that are the first of their images.
pub(crate) fn count(n: u32, start: Start) -> u64 {
    let mut many = 0;
    solutions(n, start, &mut |board| many += u64::from(is_first(n, board)));
    many
}

/// Puts queens into the rows from where `start` ends up to `rows`.
fn place(n: u32, rows: u32, start: Start, found: &mut impl FnMut(u64)) {
    let mut attacked = Attacked::default();
    for row in 0..start.rows {
        attacked = attacked.with(column(start.rows, start.board, row));
    }
    descend(n, rows - start.rows, start.board, attacked, found);
}

fn descend(n: u32, rows: u32, board: u64, attacked: Attacked, found: &mut impl FnMut(u64)) {
    if rows == 0 {
        found(board);
        return;
    }
    let mut free = !attacked.all() & ((1 << n) - 1);
    while free != 0 {
        let column = free.trailing_zeros();
        free &= free - 1;
        descend(n, rows - 1, board << 4 | u64::from(column), attacked.with(column), found);
    }
}

/// What the rows above attack of the next one, a bit for each column.
#[derive(Clone, Copy, Default)]
struct Attacked {
    straight: u64,
    rising: u64,
    falling: u64,
}

impl Attacked {
    fn all(self) -> u64 {
        self.straight | self.rising | self.falling
    }

    /// The same for the row after the next, if there is a queen in this column of the next.
    fn with(self, column: u32) -> Attacked {
        let queen = 1 << column;
        Attacked {
            straight: self.straight | queen,
            rising: (self.rising | queen) << 1,
            falling: (self.falling | queen) >> 1,
        }
    }
}

/// The column of a row's queen.
fn column(rows: u32, board: u64, row: u32) -> u32 {
    (board >> (4 * (rows - 1 - row)) & 15) as u32
}

/// The board and its seven images.
fn images(n: u32, board: u64) -> impl Iterator<Item = u64> {
    let mut turned = board;
    (0..4).flat_map(move |_| {
        let this = turned;
        turned = turn(n, this);
        [this, mirror(n, this)]
    })
}

/// A quarter turn: the queen of row r, column c comes into row c, column n - 1 - r.
fn turn(n: u32, board: u64) -> u64 {
    let mut turned = 0;
    for row in 0..n {
        let to = column(n, board, row);
        turned |= u64::from(n - 1 - row) << (4 * (n - 1 - to));
    }
    turned
}

fn mirror(n: u32, board: u64) -> u64 {
    (0..n).fold(0, |mirrored, row| mirrored << 4 | u64::from(n - 1 - column(n, board, row)))
}
