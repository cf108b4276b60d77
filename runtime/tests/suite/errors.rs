//! The errors of nurseries: groups in groups, taking them apart, and the printed tree.

use std::error::Error;
use std::fmt;
use std::num::ParseIntError;
use std::time::Duration;

use trioxide_runtime::{
    AnyError, CancelReason, ErrorGroup, NurseryError, Runtime, TooSlow, fail_after, nursery, run, shield, sleep_forever,
};

#[derive(Debug, PartialEq)]
struct Broken(&'static str);

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl Error for Broken {}

#[derive(Debug)]
struct Around(Broken);

impl fmt::Display for Around {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("around")
    }
}

impl Error for Around {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.0)
    }
}

fn on_one<F: Future>(future: F) -> F::Output {
    Runtime::builder().workers(1).build().unwrap().run(future)
}

async fn number(text: &str) -> Result<u32, AnyError> {
    Ok(text.parse()?)
}

/// An error two nurseries deep in task "one", and one of the body in task "two", reported in this order.
fn tree() -> ErrorGroup<AnyError> {
    let inner = async {
        nursery(async |n| {
            n.task("digits").spawn(number("12x"));
            Ok::<(), AnyError>(())
        })
        .await
    };
    let one = async move {
        nursery(async |n| {
            n.task("inner").spawn(inner);
            Ok::<(), AnyError>(())
        })
        .await
    };
    let both: Result<(), NurseryError<AnyError>> = on_one(nursery(async |n| {
        let one = n.task("one").spawn(one);
        shield(async { drop(one.await) }).await;
        n.task("two").spawn(async { Err::<(), _>(NurseryError::<AnyError>::from(Broken("body"))) });
        Ok(())
    }));
    both.unwrap_err().into_group().unwrap()
}

fn words(group: &ErrorGroup<AnyError>) -> Vec<String> {
    group.leaves().map(|leaf| leaf.error.to_string()).collect()
}

const DIGITS: &str = "invalid digit found in string";

#[test]
fn the_error_of_an_inner_nursery_stays_a_group_in_the_outer_group() {
    let joined: Result<(), NurseryError<AnyError>> = run(nursery(async |n| {
        n.spawn(async { nursery(async |_| number("x").await).await.map(drop) });
        Ok(())
    }));
    let group = joined.unwrap_err().into_group().unwrap();
    assert_eq!(group.len(), 1);
    let inner = group.first().group().expect("kept as a group");
    assert!(inner.first().is::<ParseIntError>());
    assert!(inner.failures()[0].origin.is_body());
}

#[test]
fn by_question_mark_the_nesting_is_kept_too() {
    async fn outer() -> Result<u32, NurseryError<AnyError>> {
        let one = nursery(async |_| Ok::<_, AnyError>(1)).await?;
        fail_after(Duration::ZERO, sleep_forever()).await?; // an error that is none of the nursery's
        Ok(one)
    }
    async fn in_any() -> Result<u32, AnyError> {
        Ok(outer().await?)
    }
    let error = run(in_any()).unwrap_err();
    assert!(error.group().unwrap().first().is::<TooSlow>());
    assert!(error.into_nested().is_ok());
}

#[test]
fn an_inner_nursery_of_another_error_type_is_one_typed_leaf() {
    let joined: Result<(), NurseryError<AnyError>> = run(nursery(async |n| {
        n.spawn(async { nursery(async |_| "x".parse::<u32>()).await.map(drop) });
        Ok(())
    }));
    let (caught, rest) = joined.unwrap_err().catch::<NurseryError<ParseIntError>>();
    assert!(rest.is_none());
    let typed = caught.unwrap().into_single().unwrap();
    assert!(AnyError::from(typed.map(AnyError::from)).group().is_some());
}

#[test]
fn an_inner_nursery_that_was_cancelled_says_so_and_is_no_group() {
    let joined: Result<(), NurseryError<AnyError>> = run(nursery(async |n| {
        n.spawn(async {
            nursery(async |m| {
                m.cancel("enough");
                sleep_forever().await;
                Ok::<(), AnyError>(())
            })
            .await
        });
        Ok(())
    }));
    let group = joined.unwrap_err().into_group().unwrap();
    assert_eq!(group.first().cancelled().and_then(CancelReason::message), Some("enough"));
    assert_eq!(group.leaves().count(), 1);
}

#[test]
fn leaves_come_in_order_with_the_way_to_them() {
    let group = tree();
    assert_eq!(words(&group), [DIGITS, "body"]);
    let leaf = group.leaves().next().unwrap();
    let names: Vec<_> = leaf.path().iter().filter_map(|origin| origin.name()).collect();
    assert_eq!(names, ["one", "inner", "digits"]);
    assert_eq!(leaf.origin().name(), Some("digits"));
    let flat: Vec<_> = group.into_leaves().into_iter().map(|failure| failure.error.to_string()).collect();
    assert_eq!(flat, [DIGITS, "body"]);
}

#[test]
fn split_keeps_the_groups_in_both_parts() {
    let (numbers, rest) = tree().split(AnyError::is::<ParseIntError>);
    let (numbers, rest) = (numbers.unwrap(), rest.unwrap());
    assert_eq!(words(&numbers), [DIGITS]);
    assert_eq!(words(&rest), ["body"]);
    let depth = |group: &ErrorGroup<AnyError>| group.leaves().next().unwrap().path().len();
    assert_eq!((depth(&numbers), depth(&rest)), (3, 2));
    let (none, all) = tree().split(|_| false);
    assert!(none.is_none());
    assert_eq!(all.unwrap().leaves().count(), 2);
}

#[test]
fn handle_takes_what_matches_and_hands_back_the_rest() {
    let mut seen = Vec::new();
    let rest = NurseryError::from(tree()).handle(AnyError::is::<Broken>, |group| seen = words(&group)).unwrap_err();
    assert_eq!(seen, ["body"]);
    assert_eq!(words(rest.group().unwrap()), [DIGITS]);
    rest.handle(|_| true, drop).unwrap();
    let cancelled = NurseryError::<AnyError>::Cancelled("no time".into());
    assert!(matches!(cancelled.handle(|_| true, |_| unreachable!()), Err(NurseryError::Cancelled(_))));
}

#[test]
fn catch_finds_a_type_wherever_it_is_in_the_tree() {
    let (numbers, rest) = tree().catch::<ParseIntError>();
    let numbers = numbers.unwrap();
    assert_eq!(numbers.failures()[0].origin.name(), Some("digits"));
    let (broken, rest) = rest.unwrap().catch::<Broken>();
    assert_eq!(broken.unwrap().into_single().unwrap(), Broken("body"));
    assert!(rest.is_none());
    let (none, rest) = tree().catch::<TooSlow>();
    assert!(none.is_none() && rest.unwrap().leaves().count() == 2);
}

#[test]
fn groups_of_a_plain_type_are_taken_apart_as_well() {
    let joined: Result<(), NurseryError<Broken>> = on_one(nursery(async |_| Err(Broken("a"))));
    let (yes, no) = joined.unwrap_err().into_group().unwrap().split(|error| error.0 == "a");
    assert!(no.is_none());
    assert_eq!(yes.unwrap().map(|error| error.0).into_single().unwrap(), "a");
}

#[test]
fn the_printed_tree_shows_names_spawn_sites_and_inner_trees() {
    let text = tree().to_string();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines[0], "2 errors in the nursery");
    assert!(
        lines[1].starts_with("├─ task #") && lines[1].contains("\"one\", spawned at runtime/tests/suite/errors.rs:")
    );
    assert!(lines[1].ends_with(": 1 error in the nursery"), "{text}");
    assert!(lines[2].starts_with("│  └─ task #") && lines[2].contains("\"inner\""), "{text}");
    assert!(lines[3].starts_with("│     └─ task #") && lines[3].ends_with(DIGITS), "{text}");
    assert!(lines[4].starts_with("└─ task #") && lines[4].contains("\"two\""), "{text}");
    assert!(lines[5].starts_with("   └─ body, at ") && lines[5].ends_with(": body"), "{text}");
    assert_eq!(lines.len(), 6);
}

#[test]
fn source_is_the_first_error_and_the_long_form_tells_the_sources() {
    let group: ErrorGroup<Broken> = NurseryError::from(Broken("a")).into_group().unwrap();
    assert_eq!(group.source().unwrap().to_string(), "a");
    let any = AnyError::new(Around(Broken("inside")));
    assert_eq!((any.to_string(), format!("{any:#}"), format!("{any:?}")), {
        let long = "around: inside".to_owned();
        ("around".to_owned(), long.clone(), long)
    });
    assert_eq!(any.source().unwrap().to_string(), "inside");
    let nested = AnyError::from(NurseryError::from(any));
    assert_eq!(nested.source().unwrap().to_string(), "around");
    assert_eq!(nested.source().unwrap().source().unwrap().to_string(), "inside");
}

#[test]
fn any_error_goes_into_the_boxes_of_others_and_out_again() {
    let boxed: Box<dyn Error + Send + Sync> = AnyError::new(Broken("b")).into();
    let any = AnyError::from_boxed(boxed);
    assert_eq!(any.downcast_ref::<Broken>(), Some(&Broken("b")));
    let any = any.downcast::<TooSlow>().unwrap_err();
    assert_eq!(any.downcast::<Broken>().unwrap(), Broken("b"));
    let plain: Box<dyn Error> = AnyError::msg("only words").into();
    assert_eq!(plain.to_string(), "only words");
}
