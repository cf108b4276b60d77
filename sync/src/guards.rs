//! What the guards of locks have in common. Macros, since each of them is a type of its own.

/// `Deref` and `Debug` for guards with a pointer `value`.
///
/// Where it is used it must hold that a guard's pointer is into the value of the lock whose permits it has (M2, R2), and that nobody else may write there meanwhile (M1, R1).
macro_rules! reads {
    ($([$($generics:tt)*] $guard:ty => $target:ident;)*) => {
        $(
            impl<$($generics)*> std::ops::Deref for $guard {
                type Target = $target;

                #[inline]
                fn deref(&self) -> &$target {
                    // SAFETY: into the value of the lock of its permits, which nobody else may write: M1 and M2, or R1 and R2.
                    unsafe { self.value.as_ref() }
                }
            }

            impl<$($generics)*> std::fmt::Debug for $guard
            where
                $target: std::fmt::Debug,
            {
                fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    (**self).fmt(f)
                }
            }
        )*
    };
}

/// As `reads`, and `DerefMut`: the guard has all permits.
macro_rules! writes {
    ($([$($generics:tt)*] $guard:ty => $target:ident;)*) => {
        $crate::guards::reads! { $([$($generics)*] $guard => $target;)* }

        $(
            impl<$($generics)*> std::ops::DerefMut for $guard {
                #[inline]
                fn deref_mut(&mut self) -> &mut $target {
                    // SAFETY: as for `deref`, and all permits are its own (M1, R1).
                    unsafe { self.value.as_mut() }
                }
            }
        )*
    };
}

/// Who answers for a guard that has all permits, `owning`.
macro_rules! answers {
    ($([$($generics:tt)*] $guard:ty;)*) => {
        $(
            impl<$($generics)*> $guard {
                /// The running task answers for the guard from now on; before, it was the one that took the lock. For guards that are given to another task: a lock whose holder has ended counts as
                /// broken for others until somebody adopts or drops its guard. (An associated function: a method could hide one of the value.)
                pub fn adopt(this: &mut Self) {
                    this.owning.adopt();
                }

                /// The task that answers for it; `None`: a thread outside the run.
                pub fn holder(this: &Self) -> Option<trioxide_runtime::TaskId> {
                    this.owning.holder()
                }
            }
        )*
    };
}

pub(crate) use {answers, reads, writes};
