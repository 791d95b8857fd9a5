//! What crosses the C border: owned buffers, statuses, and a guard that no panic passes.

use std::cell::Cell;
use std::mem::MaybeUninit;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;
use std::{ptr, slice};

#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Status {
    Ok = 0,
    InvalidArgument = 1,
    ResourceExhausted = 2,
    Internal = 3,
}

#[derive(Debug)]
pub struct Failure {
    pub status: Status,
    pub message: String,
}

pub fn invalid(message: impl Into<String>) -> Failure {
    Failure { status: Status::InvalidArgument, message: message.into() }
}

/// A boxed slice handed to C, which gives it back to the matching `_free`.
#[repr(C)]
pub struct Buffer<T> {
    data: *mut T,
    size: usize,
}

pub type Text = Buffer<u8>;
pub type Ids = Buffer<i32>;

impl<T> From<Vec<T>> for Buffer<T> {
    fn from(items: Vec<T>) -> Self {
        let items = Box::leak(items.into_boxed_slice());
        Buffer { data: items.as_mut_ptr(), size: items.len() }
    }
}

impl<T> Buffer<T> {
    unsafe fn free(&mut self) {
        if !self.data.is_null() {
            drop(unsafe { Box::from_raw(ptr::slice_from_raw_parts_mut(self.data, self.size)) });
        }
        *self = Buffer { data: ptr::null_mut(), size: 0 };
    }
}

/// Runs `body` and turns its failure, or its panic, into a status and `*error`.
pub unsafe fn guard(error: *mut Text, body: impl FnOnce() -> Result<(), Failure>) -> Status {
    let result =
        catch_panic(body).unwrap_or_else(|message| Err(Failure { status: Status::Internal, message }));
    let Err(failure) = result else { return Status::Ok };
    if !error.is_null() {
        unsafe { error.write(failure.message.into_bytes().into()) };
    }
    failure.status
}

/// The panic of `body` as a message with its place, kept off stderr.
pub fn catch_panic<T>(body: impl FnOnce() -> T) -> Result<T, String> {
    static QUIET: Once = Once::new();
    thread_local!(static PANIC: Cell<String> = const { Cell::new(String::new()) });
    QUIET.call_once(|| {
        let default = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            PANIC.set(panic.to_string());
            if cfg!(test) {
                default(panic);
            }
        }));
    });
    panic::catch_unwind(AssertUnwindSafe(body)).map_err(|_| PANIC.take())
}

/// Frees what `Box::into_raw` gave out; nothing when null.
pub unsafe fn free_handle<T>(handle: *mut T) {
    if !handle.is_null() {
        // A destructor that panics leaves nothing to report to.
        let _ = catch_panic(|| drop(unsafe { Box::from_raw(handle) }));
    }
}

pub unsafe fn as_ref<'a, T>(pointer: *const T, name: &str) -> Result<&'a T, Failure> {
    unsafe { pointer.as_ref() }.ok_or_else(|| invalid(format!("{name} is null")))
}

pub unsafe fn as_slice<'a, T>(data: *const T, size: usize, name: &str) -> Result<&'a [T], Failure> {
    match (data.is_null(), size) {
        (_, 0) => Ok(&[]),
        (true, _) => Err(invalid(format!("{name} is null, but its size is {size}"))),
        (false, _) => Ok(unsafe { slice::from_raw_parts(data, size) }),
    }
}

pub unsafe fn as_str<'a>(data: *const u8, size: usize, name: &str) -> Result<&'a str, Failure> {
    let bytes = unsafe { as_slice(data, size, name) }?;
    std::str::from_utf8(bytes)
        .map_err(|e| invalid(format!("{name} is not UTF-8: bad byte at offset {}", e.valid_up_to())))
}

/// Where a result goes. What stands there is not read, nor dropped when written over.
pub unsafe fn as_out<'a, T>(out: *mut T) -> Result<&'a mut MaybeUninit<T>, Failure> {
    unsafe { out.cast::<MaybeUninit<T>>().as_mut() }.ok_or_else(|| invalid("out is null"))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn zeta_text_string_free(string: *mut Text) {
    if let Some(string) = unsafe { string.as_mut() } {
        unsafe { string.free() };
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn zeta_text_ids_free(ids: *mut Ids) {
    if let Some(ids) = unsafe { ids.as_mut() } {
        unsafe { ids.free() };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn empty() -> Text {
        Buffer { data: ptr::null_mut(), size: 0 }
    }

    fn taken(mut text: Text) -> String {
        let copy = unsafe { as_str(text.data, text.size, "text") }.unwrap().to_owned();
        unsafe { zeta_text_string_free(&mut text) };
        assert!(text.data.is_null());
        copy
    }

    #[test]
    fn a_panic_becomes_an_internal_error() {
        let mut error = empty();
        let status = unsafe { guard(&mut error, || panic!("boom {}", 7)) };
        assert_eq!(status, Status::Internal);
        let message = taken(error);
        assert!(message.contains("abi.rs") && message.ends_with("boom 7"), "{message}");
    }

    #[test]
    fn a_failure_without_an_error_pointer_is_only_a_status() {
        let status = unsafe { guard(ptr::null_mut(), || Err(invalid("no"))) };
        assert_eq!(status, Status::InvalidArgument);
    }

    #[test]
    fn null_is_an_empty_slice_only_with_size_zero() {
        assert!(unsafe { as_slice::<u8>(ptr::null(), 0, "x") }.unwrap().is_empty());
        let failure = unsafe { as_slice::<u8>(ptr::null(), 3, "x") }.unwrap_err();
        assert_eq!(failure.message, "x is null, but its size is 3");
    }

    #[test]
    fn text_that_is_not_utf8_names_the_offset() {
        let failure = unsafe { as_str(b"ab\xff".as_ptr(), 3, "text") }.unwrap_err();
        assert_eq!(failure.message, "text is not UTF-8: bad byte at offset 2");
    }

    #[test]
    fn freeing_null_or_twice_is_nothing() {
        unsafe { zeta_text_string_free(ptr::null_mut()) };
        unsafe { free_handle::<String>(ptr::null_mut()) };
        let mut text: Text = b"abc".to_vec().into();
        unsafe { zeta_text_string_free(&mut text) };
        unsafe { zeta_text_string_free(&mut text) };
        assert_eq!(text.size, 0);
    }
}
