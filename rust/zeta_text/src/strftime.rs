//! `datetime.now().strftime(format)`: the local time through the C library, as Python does it.

use minijinja::{Error, ErrorKind};
use std::ffi::CString;

const LONGEST: usize = 4096;

pub fn strftime_now(format: &str) -> Result<String, Error> {
    let format = CString::new(format)
        .map_err(|_| Error::new(ErrorKind::InvalidOperation, "strftime_now: NUL in the format"))?;
    let mut text = vec![0u8; LONGEST];
    let size = unsafe {
        let now = libc::time(std::ptr::null_mut());
        let mut local: libc::tm = std::mem::zeroed();
        libc::localtime_r(&now, &mut local);
        libc::strftime(text.as_mut_ptr().cast(), text.len(), format.as_ptr(), &local)
    };
    text.truncate(size);
    Ok(String::from_utf8_lossy(&text).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_the_year_and_the_text_around_it() {
        let text = strftime_now("in %Y!").unwrap();
        let year: u32 = text.strip_prefix("in ").unwrap().strip_suffix('!').unwrap().parse().unwrap();
        assert!(year >= 2024, "{text}");
    }

    #[test]
    fn refuses_nul_and_bounds_the_result() {
        assert!(strftime_now("%Y\0").is_err());
        assert_eq!(strftime_now("").unwrap(), "");
        assert_eq!(strftime_now(&"%A".repeat(10_000)).unwrap(), "");
    }
}
