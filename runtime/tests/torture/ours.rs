//! Nodes that stand for the library's own ways to run several things together: combinators, local nurseries, and `start`.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use trioxide_runtime::{LocalNurserySend, StartError, Started, join, local_nursery_send, parallel, race, try_join};

use crate::plan::{Op, Way};
use crate::play::{Child, Place, Played, outcome, play, valued};
use crate::record::{Bad, Frame, NurseryRecord, Token};

pub(crate) fn together(at: Place, way: Way, ops: Vec<Op>) -> Played {
    match way {
        Way::Join => Box::pin(joined(at.below("join!"), ops)),
        Way::TryJoin => Box::pin(try_joined(at.below("try_join!"), ops)),
        Way::Race => Box::pin(raced(at.below("race!"), ops)),
        Way::TryForEach(limit) => Box::pin(try_for_each(at.below("try_for_each"), limit, ops)),
        Way::RaceAll => Box::pin(race_all(at.below("race_all"), ops)),
    }
}

/// The arms' values are dropped if they are not all delivered.
struct Arms(Vec<Arc<Frame>>);

impl Arms {
    fn new(at: &Place, ops: Vec<Op>) -> (Self, Vec<(Place, Op)>) {
        let arms: Vec<_> = ops.into_iter().map(|op| (at.below("arm"), op)).collect();
        (Self(arms.iter().map(|(at, _)| Arc::clone(&at.frame)).collect()), arms)
    }

    fn delivered(mut self, values: impl IntoIterator<Item = Option<Token>>) {
        self.0.clear();
        values.into_iter().flatten().for_each(|value| value.tell());
    }
}

impl Drop for Arms {
    fn drop(&mut self) {
        self.0.iter().for_each(|frame| frame.unwanted.store(true, SeqCst));
    }
}

/// An arm whose error is told in it, because what it gives may be dropped.
async fn arm((at, op): (Place, Op)) -> Option<Token> {
    match valued(at, op).await {
        Ok(value) => Some(value),
        Err(bad) => {
            bad.tell();
            None
        }
    }
}

async fn joined(at: Place, ops: Vec<Op>) -> Result<(), Bad> {
    let _panics = at.frame.watch_panics();
    let (arms, each) = Arms::new(&at, ops);
    let mut each = each.into_iter().map(arm);
    match (each.next(), each.next(), each.next()) {
        (Some(one), Some(two), Some(three)) => arms.delivered(<[_; 3]>::from(join!(one, two, three))),
        (Some(one), Some(two), None) => arms.delivered(<[_; 2]>::from(join!(one, two))),
        (Some(one), ..) => arms.delivered([join!(one).0]),
        _ => {}
    }
    Ok(())
}

/// An arm that says which of the errors was its.
async fn failing_arm(errors: &Mutex<Vec<Bad>>, (at, op): (Place, Op)) -> Result<Option<Token>, usize> {
    match valued(at, op).await {
        Ok(value) => Ok(Some(value)),
        Err(bad) => {
            let mut errors = errors.lock().unwrap();
            errors.push(bad);
            Err(errors.len() - 1)
        }
    }
}

async fn try_joined(at: Place, ops: Vec<Op>) -> Result<(), Bad> {
    let _panics = at.frame.watch_panics();
    let (arms, each) = Arms::new(&at, ops);
    let errors = Mutex::new(Vec::new());
    let mut each = each.into_iter().map(|op| failing_arm(&errors, op));
    let outcome = match (each.next(), each.next(), each.next()) {
        (Some(one), Some(two), Some(three)) => {
            try_join!(one, two, three).map(|values| Vec::from(<[_; 3]>::from(values)))
        }
        (Some(one), Some(two), None) => try_join!(one, two).map(|values| Vec::from(<[_; 2]>::from(values))),
        (Some(one), ..) => one.await.map(|value| vec![value]),
        _ => Ok(Vec::new()),
    };
    drop(each);
    let mut errors = errors.into_inner().unwrap();
    match outcome {
        Ok(values) => {
            arms.delivered(values);
            if !errors.is_empty() {
                at.world.record.broken("a `try_join!` of which a branch has failed gave values");
            }
            Ok(())
        }
        Err(which) => {
            if which != 0 {
                at.world.record.broken("a `try_join!` gave another error than the first");
            }
            let first = errors.remove(0);
            errors.into_iter().for_each(Bad::tell); // Dropped by the documented rule.
            Err(first)
        }
    }
}

/// An arm of a race: what a loser has is dropped.
async fn racer((at, op): (Place, Op)) {
    if let Err(bad) = play(at, op).await {
        bad.tell();
    }
}

async fn raced(at: Place, ops: Vec<Op>) -> Result<(), Bad> {
    let _panics = at.frame.watch_panics();
    let (_, each) = Arms::new(&at, ops);
    let mut each = each.into_iter().map(racer);
    match (each.next(), each.next(), each.next()) {
        (Some(one), Some(two), Some(three)) => race!(one, two, three),
        (Some(one), Some(two), None) => race!(one, two),
        (Some(one), ..) => race!(one),
        _ => {}
    }
    Ok(())
}

/// The hidden nursery of a function of `parallel`.
fn hidden(at: &Place) -> Arc<NurseryRecord> {
    let record = Arc::new(NurseryRecord::default());
    at.opened(Arc::clone(&record));
    record
}

fn must_have_ended(at: &Place, record: &NurseryRecord) {
    if !record.has_ended() {
        at.world.record.broken("a function of `parallel` has returned before a task below it has ended");
    }
}

async fn try_for_each(at: Place, limit: u8, ops: Vec<Op>) -> Result<(), Bad> {
    let _panics = at.frame.watch_panics();
    let record = hidden(&at);
    let child = |op| Child::new(&at, &record, op).future;
    let outcome = parallel::try_for_each(ops, limit.into(), child).await;
    must_have_ended(&at, &record);
    outcome.map_err(|group| Bad(group.into_iter().flat_map(|bad: Bad| bad.0).collect()))
}

async fn race_all(at: Place, ops: Vec<Op>) -> Result<(), Bad> {
    if ops.is_empty() {
        return Ok(());
    }
    let _panics = at.frame.watch_panics();
    let record = hidden(&at);
    let racers = ops.into_iter().map(|op| {
        let racer = Child::new(&at, &record, op).future;
        async move {
            if let Err(bad) = racer.await {
                bad.tell();
            }
        }
    });
    parallel::race_all(racers.collect::<Vec<_>>()).await;
    must_have_ended(&at, &record);
    Ok(())
}

pub(crate) async fn local(at: Place, catches: bool, children: Vec<Op>, body: Op) -> Result<(), Bad> {
    let _panics = at.frame.watch_panics();
    let body_done = AtomicBool::new(false);
    let joined = local_nursery_send(async |n: LocalNurserySend<'_, Bad>| {
        at.register(n.scope());
        for op in children {
            drop(n.spawn(play(at.below("local child"), op)));
        }
        let result = play(at.clone(), body).await;
        body_done.store(result.is_ok(), SeqCst);
        result
    })
    .await;
    outcome(&at, joined, catches, body_done.load(SeqCst))
}

pub(crate) async fn start(at: Place, before: Op, after: Op) -> Result<(), Bad> {
    let Some((nursery, record)) = at.nursery.clone() else { return Ok(()) };
    let _panics = at.frame.watch_panics();
    // A child that is ready after its caller was cancelled has nobody to give its value to.
    let (arms, mut each) = Arms::new(&at, vec![before]);
    let (ready, before) = each.remove(0);
    let child = |started: Started<Token>| {
        let inside = |at: Place| -> Played {
            Box::pin(async move {
                play(at.clone(), before).await?;
                started.set(ready.value());
                play(at, after).await
            })
        };
        Child::with(&at, &record, inside).future
    };
    match nursery.start(child).await {
        Ok(value) => {
            arms.delivered([Some(value)]);
            Ok(())
        }
        Err(StartError::Failed(bad)) => Err(bad),
        Err(StartError::NotStarted) => {
            at.world.record.broken("a child that says that it is ready was taken for one that does not");
            Ok(())
        }
        Err(_) => Ok(()), // The child was cancelled, or the nursery closed.
    }
}
