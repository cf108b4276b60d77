//! The plain function round the async one.

use std::fmt;

use proc_macro2::{Ident, Span, TokenStream};
use quote::{format_ident, quote};
use syn::spanned::Spanned;
use syn::{Error, FnArg, ItemFn, PatType, Result, Signature, Type};

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
    let (marker, run) = match attribute {
        Attribute::Main => (TokenStream::new(), run_main(options, name)),
        Attribute::Test => (quote!(#[::core::prelude::v1::test]), run_test(options, &sig)),
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

fn run_main(options: &Options, name: &Ident) -> TokenStream {
    let Some((_, workers)) = options.iter().next() else { return quote!(::trioxide::run(#name())) };
    quote! {
        match ::trioxide::Runtime::builder().workers(#workers).build() {
            ::core::result::Result::Ok(runtime) => runtime.run(#name()),
            ::core::result::Result::Err(error) => ::core::panic!("trioxide: cannot start the workers: {error}"),
        }
    }
}

/// The call of the function with its fixtures, the first one outermost.
fn run_test(options: &Options, sig: &Signature) -> TokenStream {
    let name = &sig.ident;
    let settings = options.iter().map(|(name, value)| quote!(.#name(#value)));
    let types: Vec<_> = sig.inputs.iter().filter_map(fixture).collect();
    let given: Vec<_> = (0..types.len()).map(|number| format_ident!("fixture_{number}")).collect();
    let call = quote!(#name(#(#given),*).await);
    let call = types.iter().zip(&given).rev().fold(
        call,
        |call, (ty, given)| quote!(::trioxide::testing::with_fixture(bench, async |#given: &mut #ty| #call).await),
    );
    let bench = if types.is_empty() { quote!(_) } else { quote!(bench) };
    quote! {
        ::trioxide::testing::Harness::new()#(#settings)*.run(async |#bench: &::trioxide::testing::Bench| #call)
    }
}

/// What a parameter refers to.
fn fixture(parameter: &FnArg) -> Option<&Type> {
    match parameter {
        FnArg::Typed(PatType { ty, .. }) => match &**ty {
            Type::Reference(reference) => Some(&reference.elem),
            _ => None,
        },
        FnArg::Receiver(_) => None,
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
    match attribute {
        Attribute::Main if !sig.inputs.is_empty() => {
            let text = "`#[trioxide::main]` wants a function without parameters; the program's arguments are in `std::env::args()`";
            return Err(Error::new(sig.inputs.span(), text));
        }
        Attribute::Main => {}
        Attribute::Test => {
            if let Some(other) = sig.inputs.iter().find(|parameter| fixture(parameter).is_none()) {
                let text = "a parameter of a test is a fixture, and is given by reference; write `&T` or `&mut T`, where `T` implements `trioxide::testing::Fixture`";
                return Err(Error::new(other.span(), text));
            }
        }
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
