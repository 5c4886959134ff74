//! Scripts: what is done to a graph of promises, and how a random one is made.

use crate::common::Rng;

/// A promise of the graph: the first one at or behind `place` whose handle is still there. `take` moves the handle.
#[derive(Clone, Debug)]
pub(crate) struct Arg {
    pub(crate) place: usize,
    pub(crate) take: bool,
}

/// How a resolver is used.
#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    Value(i64),
    Error(u32),
    Canceled,
    /// The resolver is dropped.
    Lost,
}

/// What a callback does and what comes of it.
#[derive(Clone, Debug)]
pub(crate) struct Callback {
    pub(crate) id: i64,
    pub(crate) ops: Vec<Op>,
    pub(crate) end: End,
}

#[derive(Clone, Debug)]
pub(crate) enum End {
    Value,
    Fail(u32),
    Panic,
    /// The outcome of a promise that exists by then, or not.
    Like(Arg),
}

#[derive(Clone, Debug)]
pub(crate) enum Step {
    Await(Arg),
    /// As `Await`, but goes on after a rejection.
    Try(Arg),
    Yield,
    Do(Op),
}

#[derive(Clone, Debug)]
pub(crate) enum Op {
    Ready(i64),
    Fail(u32),
    Wait,
    Task,
    Pause,
    Map(Arg, Callback),
    Bind(Arg, Callback),
    Catch(Arg, Callback),
    TryBind(Arg, Callback, Callback),
    Finalize(Arg, Callback),
    OnAny(Arg, Callback),
    OnSuccess(Arg, Callback),
    OnFailure(Arg, Callback),
    OnTermination(Arg, Callback),
    OnCancel(Arg, Callback),
    Both(Arg, Arg),
    All(Vec<Arg>),
    Join(Vec<Arg>),
    Choose(Vec<Arg>),
    Pick(Vec<Arg>),
    Nchoose(Vec<Arg>),
    Npick(Vec<Arg>),
    NchooseSplit(Vec<Arg>),
    Protected(Arg),
    NoCancel(Arg),
    WrapInCancelable(Arg),
    Spawn(Vec<Step>, Callback),
    Wake { place: usize, later: bool, outcome: Outcome },
    AskWanted(usize),
    Cancel(usize),
    Drop(usize),
    RunReady(usize),
    Turn,
}

impl Op {
    /// What it is called in the journal.
    pub(crate) fn name(&self) -> String {
        let text = format!("{self:?}");
        text.split(['(', ' ']).next().unwrap_or_default().to_owned()
    }
}

/// A whole script. With each op comes the value that is stored while it is done.
#[derive(Clone, Debug)]
pub(crate) struct Script {
    pub(crate) ops: Vec<(Option<i64>, Op)>,
    /// Whether the states are looked at after each op, which makes all rejections seen ones.
    pub(crate) looks: bool,
}

/// What kinds of ops a script has.
#[derive(Clone, Copy)]
struct Taste {
    combinators: bool,
    tasks: bool,
    unifies: bool,
}

struct Maker {
    rng: Rng,
    taste: Taste,
    next: u32,
}

impl Script {
    pub(crate) fn random(seed: u64) -> Script {
        let mut rng = Rng(seed);
        let taste = Taste { combinators: !rng.one_in(4), tasks: !rng.one_in(3), unifies: !rng.one_in(4) };
        let looks = rng.one_in(2);
        let length = 4 + rng.below(36);
        let mut maker = Maker { rng, taste, next: 0 };
        let ops = (0..length)
            .map(|_| {
                let stored = maker.rng.one_in(3).then(|| maker.rng.below(5) as i64);
                (stored, maker.op(0))
            })
            .collect();
        Script { ops, looks }
    }

    /// Whether a promise can come to wait for itself.
    pub(crate) fn may_have_cycles(&self) -> bool {
        // Spelled out once in `Debug`: cheaper to ask than to walk all the forms.
        let text = format!("{self:?}");
        text.contains("Like(") || text.contains("Spawn(")
    }
}

impl Maker {
    fn fresh(&mut self) -> u32 {
        self.next += 1;
        self.next
    }

    fn arg(&mut self) -> Arg {
        Arg { place: self.rng.below(24), take: self.rng.one_in(4) }
    }

    fn args(&mut self) -> Vec<Arg> {
        let many = if self.rng.one_in(20) { 0 } else { 1 + self.rng.below(4) };
        (0..many).map(|_| self.arg()).collect()
    }

    fn outcome(&mut self) -> Outcome {
        match self.rng.below(8) {
            0 | 1 => Outcome::Error(self.fresh()),
            2 => Outcome::Canceled,
            3 => Outcome::Lost,
            _ => Outcome::Value(self.rng.below(100) as i64),
        }
    }

    fn callback(&mut self, depth: usize) -> Callback {
        let id = i64::from(self.fresh());
        let many = if depth < 2 { [0, 0, 0, 1, 1, 2][self.rng.below(6)] } else { 0 };
        let ops = (0..many).map(|_| self.op(depth + 1)).collect();
        let end = match self.rng.below(10) {
            0 => End::Fail(self.fresh()),
            1 if self.rng.one_in(2) => End::Panic,
            2..=4 if self.taste.unifies => End::Like(self.arg()),
            _ => End::Value,
        };
        Callback { id, ops, end }
    }

    fn steps(&mut self, depth: usize) -> Vec<Step> {
        let many = self.rng.below(4);
        (0..many)
            .map(|_| match self.rng.below(6) {
                0 | 1 => Step::Await(self.arg()),
                2 | 3 => Step::Try(self.arg()),
                4 => Step::Yield,
                _ => Step::Do(self.op(depth + 1)),
            })
            .collect()
    }

    fn op(&mut self, depth: usize) -> Op {
        let kind = self.rng.below(100);
        match kind {
            0..=1 => Op::Ready(self.rng.below(100) as i64),
            2 => Op::Fail(self.fresh()),
            3..=9 => Op::Wait,
            10..=16 => Op::Task,
            17..=18 => Op::Pause,
            19..=23 => Op::Map(self.arg(), self.callback(depth)),
            24..=30 => Op::Bind(self.arg(), self.callback(depth)),
            31..=34 => Op::Catch(self.arg(), self.callback(depth)),
            35..=36 => Op::TryBind(self.arg(), self.callback(depth), self.callback(depth)),
            37..=39 => Op::Finalize(self.arg(), self.callback(depth)),
            40..=41 => Op::OnAny(self.arg(), self.callback(depth)),
            42 => Op::OnSuccess(self.arg(), self.callback(depth)),
            43 => Op::OnFailure(self.arg(), self.callback(depth)),
            44 => Op::OnTermination(self.arg(), self.callback(depth)),
            45..=47 => Op::OnCancel(self.arg(), self.callback(depth)),
            48..=60 if self.taste.combinators => match kind {
                48..=49 => Op::Both(self.arg(), self.arg()),
                50..=51 => Op::All(self.args()),
                52 => Op::Join(self.args()),
                53..=54 => Op::Choose(self.args()),
                55..=57 => Op::Pick(self.args()),
                58 => Op::Nchoose(self.args()),
                59 => Op::Npick(self.args()),
                _ => Op::NchooseSplit(self.args()),
            },
            48..=60 => Op::Bind(self.arg(), self.callback(depth)),
            61..=62 => Op::Protected(self.arg()),
            63 => Op::NoCancel(self.arg()),
            64..=65 => Op::WrapInCancelable(self.arg()),
            66..=70 if self.taste.tasks => Op::Spawn(self.steps(depth), self.callback(depth)),
            66..=70 => Op::Task,
            71..=82 => {
                Op::Wake { place: self.rng.below(16), later: self.rng.one_in(3), outcome: self.outcome() }
            }
            83 => Op::AskWanted(self.rng.below(16)),
            84..=89 => Op::Cancel(self.rng.below(24)),
            90..=93 => Op::Drop(self.rng.below(24)),
            94..=97 => Op::RunReady(1 + self.rng.below(4)),
            _ => Op::Turn,
        }
    }
}
