//! The waker of a task: a counted pointer to its header.
#![allow(unsafe_code)]

use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::ptr::{self, NonNull};
use std::task::{RawWaker, RawWakerVTable, Waker};

use super::state::LastNotify;
use super::{Header, cell};
use crate::context;
use crate::scheduler::{self, How};

static VTABLE: RawWakerVTable = RawWakerVTable::new(clone, wake, wake_by_ref, drop_waker);

/// A waker that owns a reference.
#[inline]
pub(crate) fn waker(header: &Header) -> Waker {
    header.state.add_reference();
    // SAFETY: the functions of `VTABLE` keep the contract of `RawWaker`; the reference is the one just added.
    unsafe { Waker::new(ptr::from_ref(header).cast(), &VTABLE) }
}

/// Whether `waker` is one of that task.
#[inline]
pub(crate) fn is_of(waker: &Waker, header: &Header) -> bool {
    ptr::eq(waker.data().cast(), header) && is_any(waker)
}

/// Whether `waker` is one of a task.
#[inline]
pub(crate) fn is_any(waker: &Waker) -> bool {
    ptr::eq(waker.vtable(), &VTABLE)
}

/// A waker in one word, for places of which there are many. That of a task is the pointer to its header; any other lies in a box, and has a bit set. The two bits below are
/// clear, and for others to use.
pub(crate) struct OneWord(NonNull<()>);

const BOXED: usize = 4;

/// With so few bits in its address as `BOXED` asks for.
#[repr(align(8))]
struct Boxed(Waker);

const _: () = assert!(align_of::<Header>() >= 8);

// SAFETY: it is a waker.
unsafe impl Send for OneWord {}
// SAFETY: as above.
unsafe impl Sync for OneWord {}

impl OneWord {
    /// A clone of `waker`.
    #[inline]
    pub(crate) fn of(waker: &Waker) -> Self {
        if is_any(waker) {
            // SAFETY: the waker keeps its header alive.
            unsafe {
                let header = &*waker.data().cast::<Header>();
                header.state.add_reference();
                Self(NonNull::from(header).cast())
            }
        } else {
            Self::boxed(waker.clone())
        }
    }

    #[cold]
    fn boxed(waker: Waker) -> Self {
        let boxed = Box::into_raw(Box::new(Boxed(waker))).cast::<()>();
        // SAFETY: a box is not null.
        Self(unsafe { NonNull::new_unchecked(boxed.map_addr(|address| address | BOXED)) })
    }

    pub(super) fn into_raw(self) -> NonNull<()> {
        ManuallyDrop::new(self).0
    }

    /// # Safety
    ///
    /// `raw` came from `into_raw`. What is made of it is dropped once.
    pub(super) unsafe fn from_raw(raw: NonNull<()>) -> Self {
        Self(raw)
    }

    /// The task, or else the waker in the box.
    #[inline]
    fn get(&self) -> Result<NonNull<Header>, *mut Boxed> {
        match self.0.addr().get() & BOXED {
            0 => Ok(self.0.cast()),
            _ => Err(self.0.as_ptr().map_addr(|address| address & !BOXED).cast()),
        }
    }

    /// Whether both wake the same.
    #[inline]
    pub(super) fn will_wake(&self, waker: &Waker) -> bool {
        match self.get() {
            Ok(task) => ptr::eq(task.as_ptr(), waker.data().cast()) && is_any(waker),
            // SAFETY: made in `boxed`, and ours.
            Err(boxed) => unsafe { &*boxed }.0.will_wake(waker),
        }
    }

    #[inline]
    pub(super) fn wake_by_ref(&self) {
        // SAFETY: the reference is ours; the box is as in `will_wake`.
        unsafe {
            match self.get() {
                Ok(task) => wake_by_ref(task.as_ptr().cast_const().cast()),
                Err(boxed) => (*boxed).0.wake_by_ref(),
            }
        }
    }
}

impl Drop for OneWord {
    fn drop(&mut self) {
        // SAFETY: the reference, or the box, is ours, and given up once.
        unsafe {
            match self.get() {
                Ok(task) => cell::drop_reference(task),
                Err(boxed) => drop(Box::from_raw(boxed)),
            }
        }
    }
}

/// A waker for the duration of a poll, which owns none.
pub(crate) struct WakerRef<'a> {
    waker: ManuallyDrop<Waker>,
    _header: std::marker::PhantomData<&'a Header>,
}

pub(crate) fn waker_ref(header: &Header) -> WakerRef<'_> {
    // SAFETY: as in `waker`; never dropped, so it needs no reference of its own while the header is borrowed.
    let waker = unsafe { Waker::new(ptr::from_ref(header).cast(), &VTABLE) };
    WakerRef { waker: ManuallyDrop::new(waker), _header: std::marker::PhantomData }
}

impl Deref for WakerRef<'_> {
    type Target = Waker;

    fn deref(&self) -> &Waker {
        &self.waker
    }
}

unsafe fn clone(data: *const ()) -> RawWaker {
    // SAFETY: `data` is the header of the waker that is cloned, which keeps it alive.
    unsafe { (*data.cast::<Header>()).state.add_reference() };
    RawWaker::new(data, &VTABLE)
}

unsafe fn wake(data: *const ()) {
    // SAFETY: the waker's own reference is given up with the notice, once, or after it.
    unsafe {
        let task = NonNull::new_unchecked(data.cast::<Header>().cast_mut());
        if !wake_and_drop(task) {
            cell::drop_reference(task);
        }
    }
}

/// Wakes a task, and gives up a reference to it; false if it has ended: then the reference still is the caller's.
///
/// # Safety
///
/// The caller owns the reference.
#[inline]
pub(super) unsafe fn wake_and_drop(task: NonNull<Header>) -> bool {
    // SAFETY: the reference is given up with the notice, once; a task with an outstanding queue entry has not ended.
    unsafe {
        match task.as_ref().state.notify_and_drop() {
            LastNotify::Enqueue => scheduler::enqueue(task, How::Wake),
            LastNotify::Nothing => {}
            LastNotify::Ended => return false,
        }
    }
    true
}

unsafe fn wake_by_ref(data: *const ()) {
    let header = data.cast::<Header>();
    if !context::wakes_itself(header) {
        // SAFETY: the waker's reference keeps the header alive.
        unsafe { (*header).wake() };
    }
}

unsafe fn drop_waker(data: *const ()) {
    // SAFETY: the waker owns a reference and gives it up here, once.
    unsafe { cell::drop_reference(NonNull::new_unchecked(data.cast::<Header>().cast_mut())) };
}
