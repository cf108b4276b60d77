//! `Debug` of what holds a nursery, a function or somebody's future: its name, and nothing of that.

/// `opaque!(Handle)`, `opaque!(QuinnRuntime<E>)`.
macro_rules! opaque {
    ($type:ident $(<$parameter:ident>)?) => {
        impl $(<$parameter>)? ::std::fmt::Debug for $type $(<$parameter>)? {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.write_str(stringify!($type))
            }
        }
    };
}
pub(crate) use opaque;
