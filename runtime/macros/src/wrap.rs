//! The plain function round the async one.

use std::fmt;

use proc_macro2::{Ident, Span, TokenStream};
use quote::quote;
use syn::spanned::Spanned;
use syn::{Error, ItemFn, Result, Signature};

use crate::options::Options;

/// Which attribute was written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Attribute {
    Main,
    Test,
}

impl fmt::Display for Attribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Main => "#[trioxide::main]",
            Self::Test => "#[trioxide::test]",
        })
    }
}

/// Puts `function` into a plain function of the same name that runs it.
pub(crate) fn function(attribute: Attribute, options: &Options, function: TokenStream) -> Result<TokenStream> {
    let function: ItemFn = syn::parse2(function)
        .map_err(|error| Error::new(error.span(), format!("`{attribute}` stands on an `async fn`; {error}")))?;
    check(attribute, &function)?;
    let ItemFn { attrs, vis, sig, block } = function;
    let (name, output) = (&sig.ident, &sig.output);
    let workers = options.workers.as_ref().map(|workers| quote!(.workers(#workers)));
    let run = match (attribute, &workers) {
        (Attribute::Main, None) => quote!(::trioxide::run(#name())),
        (Attribute::Main, Some(_)) => on(&quote!(#workers), name),
        // Control-C ends a test at once.
        (Attribute::Test, _) => on(&quote!(.signals(false) #workers), name),
    };
    let marker = match attribute {
        Attribute::Main => TokenStream::new(),
        Attribute::Test => quote!(#[::core::prelude::v1::test]),
    };
    Ok(quote! {
        #marker
        #(#attrs)*
        #vis fn #name() #output {
            #sig #block
            #run
        }
    })
}

/// The call of the function on a runtime with these settings.
fn on(settings: &TokenStream, name: &Ident) -> TokenStream {
    quote! {
        match ::trioxide::Runtime::builder()#settings.build() {
            ::core::result::Result::Ok(runtime) => runtime.run(#name()),
            ::core::result::Result::Err(error) => ::core::panic!("trioxide: cannot start the workers: {error}"),
        }
    }
}

fn check(attribute: Attribute, function: &ItemFn) -> Result<()> {
    let sig = &function.sig;
    if sig.asyncness.is_none() {
        let text = match attribute {
            Attribute::Main => {
                "`#[trioxide::main]` wants an `async fn`; write `async fn main()`, or call `trioxide::run` in a plain `main`"
            }
            Attribute::Test => {
                "`#[trioxide::test]` wants an `async fn`; write `async fn`, or take `#[test]` for a test that does not await"
            }
        };
        return Err(Error::new_spanned(sig.fn_token, text));
    }
    if !sig.inputs.is_empty() {
        let text = match attribute {
            Attribute::Main => {
                "`#[trioxide::main]` wants a function without parameters; the program's arguments are in `std::env::args()`"
            }
            Attribute::Test => "`#[trioxide::test]` wants a function without parameters; nobody is there to pass them",
        };
        return Err(Error::new(sig.inputs.span(), text));
    }
    if !sig.generics.params.is_empty() {
        let text = format!("`{attribute}` wants a function without generic parameters; nobody is there to choose them");
        return Err(Error::new_spanned(&sig.generics.params, text));
    }
    if attribute == Attribute::Test && function.attrs.iter().any(|other| other.path().is_ident("test")) {
        let text = "`#[trioxide::test]` makes the function a test already; remove the `#[test]`";
        return Err(Error::new(function.sig.ident.span(), text));
    }
    Ok(())
}

/// A function with the name of the one that was refused, so that a missing `main` is not reported as well.
pub(crate) fn stand_in(function: TokenStream) -> Option<TokenStream> {
    let ItemFn { vis, sig: Signature { ident, .. }, .. } = syn::parse2(function).ok()?;
    let ident = proc_macro2::Ident::new(&ident.to_string(), Span::call_site());
    Some(quote! {
        #[allow(dead_code, missing_docs)]
        #vis fn #ident() {}
    })
}
