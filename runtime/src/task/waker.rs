//! The waker of a task: a counted pointer to its header.
#![allow(unsafe_code)]

use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::ptr::NonNull;
use std::task::{RawWaker, RawWakerVTable, Waker};

use super::state::LastNotify;
use super::{Header, cell};
use crate::context;
use crate::scheduler::{self, How};

static VTABLE: RawWakerVTable = RawWakerVTable::new(clone, wake, wake_by_ref, drop_waker);

/// A waker that owns a reference.
pub(crate) fn waker(header: &Header) -> Waker {
    header.state.add_reference();
    // SAFETY: the functions of `VTABLE` keep the contract of `RawWaker`; the reference is the one just added.
    unsafe { Waker::new(std::ptr::from_ref(header).cast(), &VTABLE) }
}

/// Whether `waker` is one of that task.
pub(crate) fn is_of(waker: &Waker, header: &Header) -> bool {
    std::ptr::eq(waker.data().cast(), header) && is_any(waker)
}

/// Whether `waker` is one of a task.
pub(crate) fn is_any(waker: &Waker) -> bool {
    std::ptr::eq(waker.vtable(), &VTABLE)
}

/// A waker for the duration of a poll, which owns none.
pub(crate) struct WakerRef<'a> {
    waker: ManuallyDrop<Waker>,
    _header: std::marker::PhantomData<&'a Header>,
}

pub(crate) fn waker_ref(header: &Header) -> WakerRef<'_> {
    // SAFETY: as in `waker`; never dropped, so it needs no reference of its own while the header is borrowed.
    let waker = unsafe { Waker::new(std::ptr::from_ref(header).cast(), &VTABLE) };
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
    // SAFETY: the waker's own reference is given up with the notice, once; a task with an outstanding queue entry has not ended.
    unsafe {
        let task = NonNull::new_unchecked(data.cast::<Header>().cast_mut());
        match task.as_ref().state.notify_and_drop() {
            LastNotify::Enqueue => scheduler::enqueue(task, How::Wake),
            LastNotify::Nothing => {}
            LastNotify::Free => cell::free_last(task),
        }
    }
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
