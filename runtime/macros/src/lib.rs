//! The attribute macros of trioxide: [`macro@main`] and [`macro@test`]. Users take them from the crate `trioxide`.
//!
//! Both leave the `async fn` as it was written and put it inside a plain `fn` of the same name, which runs it. So what the
//! compiler says of the body points at what the user wrote, and `return` and `?` mean what they say.
//!
//! | file | duty |
//! | --- | --- |
//! | `options` | what stands in the parentheses |
//! | `wrap` | the plain function round the async one |

mod options;
mod wrap;

use proc_macro::TokenStream;

use options::Options;
use wrap::Attribute;

/// Makes an `async fn` the entry of a program: it runs as `trioxide::run` runs a future.
///
/// ```ignore
/// #[trioxide::main]
/// async fn main() -> std::io::Result<()> {
///     let listener = trioxide::io::TcpListener::bind("127.0.0.1:0").await?;
///     println!("listening on {}", listener.local_addr()?);
///     Ok(())
/// }
/// ```
///
/// # Options
///
/// - `#[trioxide::main(workers = 4)]`: how many workers; any expression of type `usize`. Without it there is one for
///   each CPU that the process may use.
///
/// For other settings, and for those that are known only when the program runs, call `trioxide::Runtime::builder()` in a plain `main`.
///
/// # Panics
///
/// The function that it makes panics with the panics of the function under it, and if the system refuses to start the workers.
#[proc_macro_attribute]
pub fn main(options: TokenStream, function: TokenStream) -> TokenStream {
    expand(Attribute::Main, options, function)
}

/// Makes an `async fn` a test. It may return `()` or, like every test, a `Result`.
///
/// ```ignore
/// use trioxide::testing::MockClock;
///
/// #[trioxide::test(workers = [1, 2, 8], clock = MockClock::autojump)]
/// async fn an_hour_passes_in_no_time(clock: &MockClock) {
///     trioxide::sleep(Duration::from_secs(3600)).await;
///     assert_eq!(clock.elapsed(), Duration::from_secs(3600));
/// }
/// ```
///
/// It is run by `trioxide::testing::Harness`, whose methods are the options; so it needs the feature `testing` of `trioxide`, which belongs with the `dev-dependencies`. Tests share nothing: each run has its own runtime, clock and nursery, in one process as under
/// nextest. For property tests, whose macros want plain functions, call the harness in those.
///
/// # Options
///
/// - `workers = 4`, `workers = [1, 2, 8]`: how many workers; of several numbers, one run each. An expression of type `usize`, or an array or slice of it. Without it there is one worker for
///   each CPU that the process may use.
/// - `clock = MockClock::autojump`: what makes a mock clock. With one, a run in which nothing can run any more fails at once, and shows what waits.
/// - `timeout = Duration::from_secs(5)`: how long a run may take, in real time; without it 60 s. Then it is cancelled and fails, and shows what it was at.
/// - `grace = Duration::from_secs(1)`: how long it may take to end after that; without it 5 s. Then the process is aborted.
/// - `seeds = 0..100`: in simulations instead, one for each seed; if `workers` stands there too, after those runs. A seed that fails is told with the command that runs it again.
/// - `fail_on_deadlock = false`: not so, although there is a mock clock; or so, although there is none.
///
/// # Fixtures
///
/// Parameters are fixtures, given by reference: `async fn a_test(server: &Server, clock: &MockClock)`. Their types implement `trioxide::testing::Fixture`: they are set up in the order of the
/// parameters, share a nursery, and are taken down in the reverse order.
///
/// Other attributes of tests (`#[should_panic]`, `#[cfg(...)]`) work as usual.
#[proc_macro_attribute]
pub fn test(options: TokenStream, function: TokenStream) -> TokenStream {
    expand(Attribute::Test, options, function)
}

fn expand(attribute: Attribute, options: TokenStream, function: TokenStream) -> TokenStream {
    let wrapped = Options::parse(attribute, options.into())
        .and_then(|options| wrap::function(attribute, &options, function.clone().into()));
    match wrapped {
        Ok(wrapped) => wrapped.into(),
        Err(error) => {
            // The function stays, so that this is the only error and not the first of many.
            let error = TokenStream::from(error.into_compile_error());
            error
                .into_iter()
                .chain(wrap::stand_in(function.into()).map(TokenStream::from).unwrap_or_default())
                .collect()
        }
    }
}
