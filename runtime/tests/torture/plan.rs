//! The trees: what there is in them, how one is made from a seed, and how it is printed.
//!
//! Every tree ends by itself: nothing waits for ever, also under a shield. What would wait sleeps ten hours on the mock clock, or waits for a gate with
//! twenty hours as the limit.

use std::fmt;

use fastrand::Rng;

/// Who does something to another part of the tree: the task itself, or a thread outside of the runtime.
#[derive(Clone, Copy, Debug)]
pub(crate) enum By {
    Task,
    Thread,
}

/// What foreign code does with a future that it has polled some times.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fate {
    /// Drops it.
    Drop,
    /// Drops it on a thread outside of the runtime.
    DropElsewhere,
    /// Never polls it again, and drops it after the run, which is as good as forgotten.
    Forget,
    /// Goes on polling it in another task.
    Move,
    /// Does not poll it for some turns, then to its end.
    Pause(u8),
}

/// How several are run together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Join,
    TryJoin,
    Race,
    /// On all workers, so many at once.
    TryForEach(u8),
    RaceAll,
}

/// A tree.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    Yield(u8),
    /// Milliseconds of the mock clock.
    Sleep(u16),
    /// Ten hours.
    Forever,
    Fail,
    Panic,
    Blocking {
        panics: bool,
    },
    Wait(u8),
    Open(u8, By),
    /// Cancels the scope or nursery that was entered as the so-manieth.
    Cancel(u8, By),
    Stop(u8, u16, By),
    Seq(Vec<Op>),
    Nursery {
        /// `nursery_with`.
        lends: bool,
        /// Errors end here.
        catches: bool,
        /// The body waits for the children by their handles.
        waits: bool,
        children: Vec<Op>,
        body: Box<Op>,
    },
    /// A further child for the nursery around.
    Spawn(Box<Op>),
    Scope {
        deadline: Option<u16>,
        shield: bool,
        inside: Box<Op>,
    },
    MoveOn(u16, Box<Op>),
    Shield(Box<Op>),
    UntilStopping(Box<Op>),
    Finally(Box<Op>, Box<Op>),
    Catch(Box<Op>),
    /// Beside something that panics if it is dropped before the end.
    Brittle(Box<Op>),
    Join(Vec<Op>),
    Unordered(Vec<Op>),
    Select(Vec<Op>),
    After(u8, Fate, Box<Op>),
    /// The library's own combinators.
    Together(Way, Vec<Op>),
    LocalNursery {
        catches: bool,
        children: Vec<Op>,
        body: Box<Op>,
    },
    /// A service for the nursery around.
    Service(Box<Op>),
    /// Starts a child in the nursery around: what it does until it is ready, and afterwards.
    Start(Box<Op>, Box<Op>),
    /// Until a gate is open.
    When(u8, Box<Op>),
    /// In a scope of a group.
    Grouped(u8, Box<Op>),
    CancelGroup(u8, By),
    /// Switches the shield of the scope or nursery that was entered as the so-manieth.
    SetShield(u8, bool, By),
    SetDeadline(u8, u16, By),
    /// Breaks a rule, for the tests of the checks. Never made from a seed.
    Sabotage(Sabotage),
}

/// Which check is to be set off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sabotage {
    Orphan,
    CleanUpTwice,
    CleanUpNever,
    LoseError,
    TellErrorTwice,
    LosePanic,
    LoseValue,
    Leak,
    Hang,
    StrangePanic,
}

/// The tree of a seed.
pub(crate) fn tree(seed: u64) -> Op {
    let mut rng = Rng::with_seed(seed);
    let mut budget = match rng.u8(..16) {
        0 => 40,
        1..4 => 20,
        _ => rng.i32(4..16),
    };
    if rng.u8(..4) == 0 { any(&mut rng, &mut budget, 0) } else { nursery(&mut rng, &mut budget, 0) }
}

const DEEPEST: u32 = 7;

fn any(rng: &mut Rng, budget: &mut i32, depth: u32) -> Op {
    *budget -= 1;
    if *budget <= 0 || depth >= DEEPEST {
        return leaf(rng);
    }
    let inside = |rng: &mut Rng, budget: &mut i32| Box::new(any(rng, budget, depth + 1));
    match rng.u8(..44) {
        0..6 => leaf(rng),
        6..9 => Op::Seq(some(rng, budget, depth, 2..5)),
        9..15 => nursery(rng, budget, depth),
        15 => Op::Spawn(inside(rng, budget)),
        16..18 => Op::Scope {
            deadline: rng.bool().then(|| rng.u16(..20)),
            shield: rng.u8(..3) == 0,
            inside: inside(rng, budget),
        },
        18 => Op::MoveOn(rng.u16(..20), inside(rng, budget)),
        19..21 => Op::Shield(inside(rng, budget)),
        21 => Op::UntilStopping(inside(rng, budget)),
        22..25 => {
            let body = inside(rng, budget);
            Op::Finally(body, inside(rng, budget))
        }
        25 => Op::Catch(inside(rng, budget)),
        26 => Op::Brittle(inside(rng, budget)),
        27 => Op::Join(some(rng, budget, depth, 2..4)),
        28 => Op::Unordered(some(rng, budget, depth, 2..5)),
        29 => Op::Select(some(rng, budget, depth, 2..4)),
        30..34 => {
            let way = match rng.u8(..8) {
                0..2 => Way::Join,
                2..4 => Way::TryJoin,
                4..6 => Way::Race,
                6 => Way::TryForEach(rng.u8(1..4)),
                _ => Way::RaceAll,
            };
            Op::Together(way, some(rng, budget, depth, 2..4))
        }
        34..36 => {
            let children = some(rng, budget, depth, 0..4);
            Op::LocalNursery { catches: rng.bool(), children, body: inside(rng, budget) }
        }
        36 => Op::Service(inside(rng, budget)),
        37..39 => {
            let before = inside(rng, budget);
            Op::Start(before, inside(rng, budget))
        }
        39 => Op::When(rng.u8(..3), inside(rng, budget)),
        40 => Op::Grouped(rng.u8(..2), inside(rng, budget)),
        _ => {
            let fate = match rng.u8(..8) {
                0..3 => Fate::Drop,
                3 => Fate::DropElsewhere,
                4 => Fate::Forget,
                5 => Fate::Move,
                _ => Fate::Pause(rng.u8(1..6)),
            };
            Op::After(rng.u8(..5), fate, inside(rng, budget))
        }
    }
}

fn some(rng: &mut Rng, budget: &mut i32, depth: u32, range: std::ops::Range<usize>) -> Vec<Op> {
    (0..rng.usize(range)).map(|_| any(rng, budget, depth + 1)).collect()
}

fn nursery(rng: &mut Rng, budget: &mut i32, depth: u32) -> Op {
    let children = some(rng, budget, depth, 0..4);
    Op::Nursery {
        lends: rng.u8(..4) == 0,
        catches: rng.bool(),
        waits: rng.bool(),
        children,
        body: Box::new(any(rng, budget, depth + 1)),
    }
}

fn leaf(rng: &mut Rng) -> Op {
    let by = if rng.bool() { By::Task } else { By::Thread };
    match rng.u8(..28) {
        0..5 => Op::Yield(rng.u8(..5)),
        5..7 => Op::Sleep(rng.u16(..20)),
        7..10 => Op::Forever,
        10..12 => Op::Fail,
        12 => Op::Panic,
        13..16 => Op::Blocking { panics: rng.u8(..6) == 0 },
        16..18 => Op::Wait(rng.u8(..3)),
        18 => Op::Open(rng.u8(..3), by),
        19..23 => Op::Cancel(rng.u8(..8), by),
        23 => Op::CancelGroup(rng.u8(..2), by),
        24..26 => Op::SetShield(rng.u8(..8), rng.u8(..3) > 0, by),
        26 => Op::SetDeadline(rng.u8(..8), rng.u16(..20), by),
        _ => Op::Stop(rng.u8(..8), rng.u16(..10), by),
    }
}

impl Op {
    /// What hangs below.
    pub(crate) fn below(&self) -> Vec<&Op> {
        match self {
            Op::Seq(ops) | Op::Join(ops) | Op::Unordered(ops) | Op::Select(ops) | Op::Together(_, ops) => {
                ops.iter().collect()
            }
            Op::Nursery { children, body, .. } | Op::LocalNursery { children, body, .. } => {
                children.iter().chain([&**body]).collect()
            }
            Op::Finally(first, second) | Op::Start(first, second) => vec![first, second],
            Op::Service(op)
            | Op::When(_, op)
            | Op::Grouped(_, op)
            | Op::Spawn(op)
            | Op::Scope { inside: op, .. }
            | Op::MoveOn(_, op)
            | Op::Shield(op)
            | Op::UntilStopping(op)
            | Op::Catch(op)
            | Op::Brittle(op)
            | Op::After(_, _, op) => vec![op],
            _ => Vec::new(),
        }
    }

    pub(crate) fn below_mut(&mut self) -> Vec<&mut Op> {
        match self {
            Op::Seq(ops) | Op::Join(ops) | Op::Unordered(ops) | Op::Select(ops) | Op::Together(_, ops) => {
                ops.iter_mut().collect()
            }
            Op::Nursery { children, body, .. } | Op::LocalNursery { children, body, .. } => {
                children.iter_mut().chain([&mut **body]).collect()
            }
            Op::Finally(first, second) | Op::Start(first, second) => vec![first, second],
            Op::Service(op)
            | Op::When(_, op)
            | Op::Grouped(_, op)
            | Op::Spawn(op)
            | Op::Scope { inside: op, .. }
            | Op::MoveOn(_, op)
            | Op::Shield(op)
            | Op::UntilStopping(op)
            | Op::Catch(op)
            | Op::Brittle(op)
            | Op::After(_, _, op) => vec![op],
            _ => Vec::new(),
        }
    }

    /// How many nodes there are.
    pub(crate) fn size(&self) -> usize {
        1 + self.below().into_iter().map(Op::size).sum::<usize>()
    }

    fn line(&self) -> String {
        match self {
            Op::Seq(_) => "Seq".into(),
            Op::Nursery { lends, catches, waits, .. } => {
                let flag = |set: &bool, text| if *set { text } else { "" };
                format!("Nursery{}{}{}", flag(lends, " lends"), flag(catches, " catches"), flag(waits, " waits"))
            }
            Op::Scope { deadline, shield, .. } => format!("Scope deadline {deadline:?} shield {shield}"),
            Op::MoveOn(after, _) => format!("MoveOn {after} ms"),
            Op::After(polls, fate, _) => format!("After {polls} polls {fate:?}"),
            Op::Spawn(_) => "Spawn".into(),
            Op::Shield(_) => "Shield".into(),
            Op::UntilStopping(_) => "UntilStopping".into(),
            Op::Finally(..) => "Finally (body, clean-up)".into(),
            Op::Catch(_) => "Catch".into(),
            Op::Brittle(_) => "Brittle".into(),
            Op::Join(_) => "Join".into(),
            Op::Unordered(_) => "Unordered".into(),
            Op::Select(_) => "Select".into(),
            Op::Together(way, _) => format!("Together {way:?}"),
            Op::LocalNursery { catches, .. } => format!("LocalNursery{}", if *catches { " catches" } else { "" }),
            Op::Service(_) => "Service".into(),
            Op::Start(..) => "Start (until it is ready, afterwards)".into(),
            Op::When(gate, _) => format!("When {gate}"),
            Op::Grouped(group, _) => format!("Grouped {group}"),
            leaf => format!("{leaf:?}"),
        }
    }

    fn print(&self, f: &mut fmt::Formatter<'_>, depth: usize, role: &str) -> fmt::Result {
        writeln!(f, "{:1$}{role}{2}", "", depth * 2, self.line())?;
        let below = self.below();
        let body = matches!(self, Op::Nursery { .. } | Op::LocalNursery { .. }).then(|| below.len() - 1);
        for (at, op) in below.into_iter().enumerate() {
            let role = match body {
                Some(body) if at == body => "body: ",
                Some(_) => "child: ",
                None => "",
            };
            op.print(f, depth + 1, role)?;
        }
        Ok(())
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.print(f, 0, "")
    }
}
