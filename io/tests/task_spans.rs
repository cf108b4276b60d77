//! A span for each task, as a subscriber sees them. (One test: the subscriber is the process's.)
#![cfg(feature = "tracing")]

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use tracing::field::{Field, Visit};
use tracing::span::Attributes;
use tracing::{Event, Id, Subscriber, info};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use trioxide_io::TaskSpans;
use trioxide_runtime::{Runtime, checkpoint, nursery};

/// What was seen, in the order in which it was.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<String>>>);

impl Seen {
    fn note(&self, what: String) {
        self.0.lock().unwrap().push(what);
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

/// What the layer keeps with a span.
struct Name(String);

#[derive(Default)]
struct Fields(HashMap<&'static str, String>);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name(), value.to_owned());
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Seen {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        let span = context.span(id).unwrap();
        assert!(span.parent().is_none(), "a span would stay open as long as its children");
        assert_eq!((span.metadata().target(), span.name()), ("trioxide::task", "task"));
        assert!(fields.0["id"].starts_with('#'), "{}", fields.0["id"]);
        assert!(fields.0["spawned_at"].contains(".rs:"), "{}", fields.0["spawned_at"]);
        span.extensions_mut().insert(Name(fields.0["name"].clone()));
    }

    fn on_follows_from(&self, id: &Id, follows: &Id, context: Context<'_, S>) {
        self.note(format!("{} follows {}", name(id, &context), name(follows, &context)));
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let inside = context.lookup_current().map(|span| name(&span.id(), &context));
        self.note(format!("{} says {}", inside.as_deref().unwrap_or("nobody"), fields.0["message"]));
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        self.note(format!("{} is closed", name(&id, &context)));
    }
}

fn name<S: Subscriber + for<'a> LookupSpan<'a>>(id: &Id, context: &Context<'_, S>) -> String {
    context.span(id).unwrap().extensions().get::<Name>().unwrap().0.clone()
}

#[test]
fn each_task_has_a_span_that_is_entered_while_it_runs_and_closed_at_its_end() {
    let seen = Seen::default();
    tracing::subscriber::set_global_default(tracing_subscriber::registry().with(seen.clone())).unwrap();
    for workers in [1, 2, 8] {
        let runtime = Runtime::builder().workers(workers).instrument(Arc::new(TaskSpans::default())).build().unwrap();
        runtime.run(async {
            nursery(async |n| {
                info!("begin");
                n.task("accept").spawn(async {
                    nursery(async |n| {
                        n.task("connection").spawn(async {
                            checkpoint().await;
                            info!("hello");
                        });
                    })
                    .await;
                    info!("accepted");
                });
            })
            .await;
            info!("end");
        });
        info!("after");
        let mut all = seen.take();
        // The main task has no name but its type's.
        let main = all[0].strip_suffix(" says begin").unwrap().to_owned();
        assert!(main.contains("each_task_has_a_span"), "{main}");
        // A task may have ended before its span is closed.
        let closed: Vec<_> = all.extract_if(.., |what| what.ends_with("is closed")).collect();
        assert_eq!(closed.len(), 3);
        assert!(["connection", "accept", &main].iter().all(|name| closed.contains(&format!("{name} is closed"))));
        assert_eq!(
            all[1..],
            [
                format!("accept follows {main}"),
                "connection follows accept".to_owned(),
                "connection says hello".to_owned(),
                "accept says accepted".to_owned(),
                format!("{main} says end"),
                "nobody says after".to_owned(),
            ]
        );
        drop(runtime);
    }
}
