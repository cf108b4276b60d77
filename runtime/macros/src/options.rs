//! What stands in the parentheses of an attribute: `workers = N`, or nothing.

use proc_macro2::TokenStream;
use syn::parse::Parser;
use syn::punctuated::Punctuated;
use syn::{Error, Expr, Lit, MetaNameValue, Result, Token};

use crate::wrap::Attribute;

#[derive(Default)]
pub(crate) struct Options {
    /// How many workers; `None`: what `run` takes.
    pub(crate) workers: Option<Expr>,
}

impl Options {
    pub(crate) fn parse(attribute: Attribute, options: TokenStream) -> Result<Self> {
        let mut parsed = Self::default();
        let pairs = Punctuated::<MetaNameValue, Token![,]>::parse_terminated.parse2(options).map_err(|error| {
            Error::new(error.span(), format!("the options of `{attribute}` are written `workers = N`; {error}"))
        })?;
        for pair in pairs {
            if !pair.path.is_ident("workers") {
                let text = format!("`{attribute}` has no such option; it knows `workers = N`");
                return Err(Error::new_spanned(pair.path, text));
            }
            if parsed.workers.is_some() {
                return Err(Error::new_spanned(pair.path, "`workers` stands here twice; once is enough"));
            }
            check_workers(&pair.value)?;
            parsed.workers = Some(pair.value);
        }
        Ok(parsed)
    }
}

/// A literal is checked here and now; other expressions are by the compiler and `Builder::workers`.
fn check_workers(workers: &Expr) -> Result<()> {
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
