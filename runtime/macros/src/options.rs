//! What stands in the parentheses of an attribute: pairs `name = value`, or nothing.
//!
//! Each option of a test is a method of `trioxide::testing::Harness` of that name, which takes the value as it is written: a new one needs a line in `KNOWN_TO_TEST` and no more.

use proc_macro2::{Ident, TokenStream};
use syn::parse::Parser;
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::{Error, Expr, Lit, MetaNameValue, Result, Token};

use crate::wrap::Attribute;

const KNOWN_TO_MAIN: &[&str] = &["workers"];
const KNOWN_TO_TEST: &[&str] = &["workers", "clock", "timeout", "grace", "fail_on_deadlock", "seeds"];

#[derive(Default)]
pub(crate) struct Options(Vec<(Ident, Expr)>);

impl Options {
    pub(crate) fn parse(attribute: Attribute, options: TokenStream) -> Result<Self> {
        let pairs = Punctuated::<MetaNameValue, Token![,]>::parse_terminated.parse2(options).map_err(|error| {
            Error::new(error.span(), format!("the options of `{attribute}` are written `workers = N`; {error}"))
        })?;
        let mut parsed = Self::default();
        for MetaNameValue { path, value, .. } in pairs {
            let known = known_to(attribute);
            let Some(name) = path.get_ident().filter(|name| known.contains(&name.to_string().as_str())) else {
                let text = format!("`{attribute}` has no such option; it knows {}", list(attribute));
                return Err(Error::new_spanned(path, text));
            };
            if parsed.0.iter().any(|(other, _)| other == name) {
                return Err(Error::new_spanned(name, format!("`{name}` stands here twice; once is enough")));
            }
            match name.to_string().as_str() {
                "workers" => check_workers(attribute, &value)?,
                "clock" => check_clock(&value)?,
                "seeds" => check_seeds(&value)?,
                "timeout" | "grace" => check_duration(name, &value)?,
                _ => {}
            }
            parsed.0.push((name.clone(), value));
        }
        Ok(parsed)
    }

    /// Names and values, in the order in which they stand there; `seeds` last, for it makes something else of a harness.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &(Ident, Expr)> {
        let (seeds, others): (Vec<_>, Vec<_>) = self.0.iter().partition(|(name, _)| name == "seeds");
        others.into_iter().chain(seeds)
    }
}

fn known_to(attribute: Attribute) -> &'static [&'static str] {
    match attribute {
        Attribute::Main => KNOWN_TO_MAIN,
        Attribute::Test => KNOWN_TO_TEST,
    }
}

fn list(attribute: Attribute) -> String {
    match attribute {
        Attribute::Main => "`workers = N`".to_owned(),
        Attribute::Test => KNOWN_TO_TEST.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", "),
    }
}

/// Literals are checked here and now; other expressions are by the compiler and when it runs.
fn check_workers(attribute: Attribute, workers: &Expr) -> Result<()> {
    match workers {
        Expr::Array(numbers) if attribute == Attribute::Test => {
            if numbers.elems.is_empty() {
                return Err(Error::new(
                    numbers.span(),
                    "a test needs a number of workers, got none of them; leave `workers` out for one per usable CPU",
                ));
            }
            numbers.elems.iter().try_for_each(check_number)
        }
        Expr::Array(numbers) => Err(Error::new(
            numbers.span(),
            "a program runs once, with one number of workers; several are for `#[trioxide::test]`",
        )),
        number => check_number(number),
    }
}

fn check_number(workers: &Expr) -> Result<()> {
    let Expr::Lit(literal) = workers else { return Ok(()) };
    match &literal.lit {
        Lit::Int(number) if number.base10_digits() == "0" => Err(Error::new_spanned(
            number,
            "a runtime needs at least 1 worker, got 0; leave `workers` out for one per usable CPU",
        )),
        Lit::Int(_) => Ok(()),
        other => {
            Err(Error::new_spanned(other, "`workers` wants a number: how many workers, for example `workers = 4`"))
        }
    }
}

/// What makes a clock, not a clock: each run gets a new one.
fn check_clock(clock: &Expr) -> Result<()> {
    match clock {
        Expr::Call(call) => {
            let function = &call.func;
            let made = quote::quote!(#function).to_string().replace(' ', "");
            let text = format!(
                "`clock` wants what makes a clock, for there is one for each run; write `clock = {made}`, or a closure"
            );
            Err(Error::new(call.span(), text))
        }
        Expr::Lit(literal) => Err(Error::new(
            literal.span(),
            "`clock` wants what makes a clock, for example `clock = MockClock::autojump`",
        )),
        _ => Ok(()),
    }
}

fn check_seeds(seeds: &Expr) -> Result<()> {
    match seeds {
        Expr::Lit(literal) => {
            let alone = match &literal.lit {
                Lit::Int(seed) => seed.base10_parse::<u64>().ok(),
                _ => None,
            };
            let mut text = "`seeds` wants a range of them, for example `seeds = 0..100`".to_owned();
            if let Some(seed) = alone {
                text += &format!("; this one alone is `{seed}..{}`", seed.saturating_add(1));
            }
            Err(Error::new(literal.span(), text))
        }
        _ => Ok(()),
    }
}

fn check_duration(name: &Ident, value: &Expr) -> Result<()> {
    match value {
        Expr::Lit(literal) => Err(Error::new(
            literal.span(),
            format!("`{name}` wants a `Duration`, for example `{name} = Duration::from_secs(5)`"),
        )),
        _ => Ok(()),
    }
}
