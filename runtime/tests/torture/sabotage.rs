//! Nodes that break a rule on purpose, and the tests that they are found out: a check that cannot fail checks nothing.

use std::future::pending;
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

use trioxide_runtime::checkpoint;

use crate::drive::Fault;
use crate::plan::{Op, Sabotage};
use crate::play::{Place, Played};
use crate::record::{Bad, Boom, NurseryRecord, TaskRecord};
use crate::{drive, plan, shrink};

pub(crate) fn play(at: Place, kind: Sabotage) -> Played {
    Box::pin(async move {
        let record = &at.world.record;
        match kind {
            Sabotage::Orphan => {
                // A task that is said to belong to a nursery of this one, and does not end with it.
                let (task, nursery) = (Arc::new(TaskRecord::default()), Arc::new(NurseryRecord::default()));
                nursery.tasks.lock().unwrap().push(Arc::clone(&task));
                at.opened(nursery);
                std::mem::forget(task.begin());
            }
            Sabotage::CleanUpTwice | Sabotage::CleanUpNever => {
                let clean_up = record.clean_up(&at.frame);
                clean_up.entered.store(true, SeqCst);
                let times = if kind == Sabotage::CleanUpTwice { 2 } else { 0 };
                clean_up.begun.store(times, SeqCst);
                clean_up.ended.store(times, SeqCst);
            }
            Sabotage::LoseError => drop(Bad::new(record, &at.frame)),
            Sabotage::TellErrorTwice => {
                let bad = Bad::new(record, &at.frame);
                bad.0[0].tell();
                bad.tell();
            }
            Sabotage::LosePanic => {
                let boom = Boom::new(record, &at.frame);
                drop(catch_unwind(AssertUnwindSafe(|| panic_any(boom))));
            }
            Sabotage::LoseValue => drop(at.value()),
            Sabotage::Leak => std::mem::forget(Box::new([0_u64; 2])),
            Sabotage::Hang => pending().await,
            Sabotage::StrangePanic => panic!("an assertion inside of the library, say"),
        }
        checkpoint().await;
        Ok(())
    })
}

/// Somewhere in a tree that is fine.
fn in_a_tree(kind: Sabotage) -> Op {
    let around = |op| Op::Nursery {
        lends: true,
        catches: true,
        waits: true,
        children: vec![Op::Yield(2), op],
        body: Box::new(Op::Finally(Box::new(Op::Sleep(3)), Box::new(Op::Blocking { panics: false }))),
    };
    around(Op::Seq(vec![Op::Shield(Box::new(Op::Yield(1))), around(Op::Sabotage(kind)), Op::Sleep(1)]))
}

fn found(kind: Sabotage, text: &str) {
    let fault = if kind == Sabotage::Leak { Fault::Leak } else { Fault::Rule };
    let _alone = crate::alone();
    drive::quiet();
    for workers in crate::common::ALL {
        let broken = drive::try_often(0, &in_a_tree(kind), *workers, fault).expect("it is found out");
        assert!(broken.iter().any(|broken| broken.contains(text)), "{workers} workers: {broken:?}");
    }
    // And shrinking leaves nothing else.
    let (small, cuts) = shrink::shrink(&in_a_tree(kind), |tree| drive::try_often(0, tree, 1, fault).is_some());
    assert!(matches!(small, Op::Sabotage(_)), "shrunk to\n{small}");
    assert!(matches!(shrink::cut(in_a_tree(kind), cuts), Op::Sabotage(same) if same == kind));
}

#[test]
fn a_task_that_outlives_its_nursery_is_found() {
    found(Sabotage::Orphan, "has ended before a task below it");
}

#[test]
fn a_clean_up_that_runs_twice_or_never_is_found() {
    found(Sabotage::CleanUpTwice, "body entered true, begun 2 times, ended 2");
    found(Sabotage::CleanUpNever, "body entered true, begun 0 times, ended 0");
}

#[test]
fn an_error_that_is_lost_or_told_twice_is_found() {
    found(Sabotage::LoseError, "Error of");
    found(Sabotage::TellErrorTwice, "was told twice");
}

#[test]
fn a_panic_that_is_lost_is_found() {
    found(Sabotage::LosePanic, "Panic of");
}

#[test]
fn a_panic_of_the_library_is_found() {
    found(Sabotage::StrangePanic, "a panic that the tree does not know");
}

#[test]
fn a_value_that_is_lost_is_found() {
    found(Sabotage::LoseValue, "Value of");
}

#[test]
fn memory_that_is_left_is_found() {
    found(Sabotage::Leak, "memory is left");
}

#[test]
#[cfg(unix)]
fn a_tree_that_hangs_is_found_and_printed() {
    use crate::process::Child;

    let _alone = crate::alone();
    let mut child = Child::start("sabotage::hang", "hang");
    child.expect("hangs: seed 0, 2 worker(s)");
    assert_eq!(child.end(), crate::watchdog::HUNG);
}

/// Hangs, in a child process; in a run of all tests it does nothing.
#[test]
#[cfg(unix)]
fn hang() {
    if crate::process::case().is_none() {
        return;
    }
    let tree = Op::Shield(Box::new(Op::Sabotage(Sabotage::Hang)));
    crate::watchdog::watched(0, 2, &tree, || drive::play_on(&drive::runtime(2), &tree));
}

#[test]
fn a_tree_is_the_same_each_time_that_it_is_made() {
    let _alone = crate::alone();
    for seed in 0..100 {
        assert_eq!(plan::tree(seed).to_string(), plan::tree(seed).to_string());
    }
}

#[test]
fn trees_are_small_on_average_and_some_are_large() {
    let _alone = crate::alone();
    let sizes: Vec<_> = (0..1_000).map(|seed| plan::tree(seed).size()).collect();
    let average = sizes.iter().sum::<usize>() / sizes.len();
    assert!((5..=20).contains(&average), "{average}");
    assert!(sizes.iter().any(|size| *size > 30));
}
