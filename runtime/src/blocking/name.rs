//! What the system shows as the name of a thread of the pool, for the time of a call.
#![allow(unsafe_code)]

/// As many bytes of a name as Linux keeps; a zero follows them.
const KEPT: usize = 15;

/// A name, cut to what is kept: at the end of a character, and before a zero.
pub(super) struct ThreadName([u8; KEPT + 1]);

impl ThreadName {
    pub(super) fn new(name: &str) -> Self {
        let name = name.split('\0').next().unwrap_or_default();
        let end = (0..=name.len().min(KEPT)).rev().find(|&end| name.is_char_boundary(end)).unwrap_or_default();
        let name = &name.as_bytes()[..end];
        let mut kept = [0; KEPT + 1];
        kept[..name.len()].copy_from_slice(name);
        Self(kept)
    }

    /// Gives it to the calling thread.
    #[cfg(target_os = "linux")]
    pub(super) fn show(&self) {
        // SAFETY: the call reads a string that ends with a zero: there is one behind the `KEPT` bytes at the latest. It cannot fail.
        unsafe { libc::prctl(libc::PR_SET_NAME, self.0.as_ptr()) };
    }

    /// No names here.
    #[cfg(not(target_os = "linux"))]
    pub(super) fn show(&self) {
        let _ = self.0;
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn cut_to_fifteen_bytes_at_the_end_of_a_character() {
        let kept = |name| {
            let ThreadName(kept) = ThreadName::new(name);
            String::from_utf8(kept.to_vec()).unwrap().trim_end_matches('\0').to_owned()
        };
        assert_eq!(kept("short"), "short");
        assert_eq!(kept("exactly fifteen"), "exactly fifteen");
        assert_eq!(kept("longer than fifteen"), "longer than fif");
        assert_eq!(kept("fourteen bytesé"), "fourteen bytes");
        assert_eq!(kept("before\0after"), "before");
        assert_eq!(kept(""), "");
    }
}
