//! The header that says how much time is left: how it is written and read.

use std::fmt;
use std::time::Duration;

use http::header::{HeaderMap, HeaderName, HeaderValue};
use trioxide_runtime::current_effective_deadline;

/// The units of `grpc-timeout`, the finest first, with their nanoseconds.
const UNITS: [(char, u128); 6] =
    [('n', 1), ('u', 1_000), ('m', 1_000_000), ('S', 1_000_000_000), ('M', 60_000_000_000), ('H', 3_600_000_000_000)];

/// gRPC allows eight digits.
const MOST: u128 = 99_999_999;

/// A header that says how long the sender will wait for the answer.
///
/// ```
/// use std::time::Duration;
/// use trioxide_io::deadline::DeadlineHeader;
/// let grpc = DeadlineHeader::grpc();
/// assert_eq!(grpc.format(Duration::from_millis(1700)), "1700000u");
/// assert_eq!(grpc.parse("2S").unwrap(), Duration::from_secs(2));
/// assert_eq!(DeadlineHeader::http().format(Duration::from_millis(1700)), "1700");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadlineHeader {
    name: HeaderName,
    form: Form,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Grpc,
    Milliseconds,
}

impl DeadlineHeader {
    /// `grpc-timeout`, as gRPC over HTTP/2 has it: up to eight digits, and one of `H` (hours), `M` (minutes), `S` (seconds), `m`
    /// (milliseconds), `u` (microseconds), `n` (nanoseconds).
    pub fn grpc() -> DeadlineHeader {
        DeadlineHeader { name: HeaderName::from_static("grpc-timeout"), form: Form::Grpc }
    }

    /// `x-envoy-expected-rq-timeout-ms`, in milliseconds. HTTP has no header of its own for this; Envoy, and the meshes made of it, tell an upstream
    /// by this one how long it has.
    pub fn http() -> DeadlineHeader {
        DeadlineHeader::milliseconds(HeaderName::from_static("x-envoy-expected-rq-timeout-ms"))
    }

    /// A header of your own choice, in milliseconds.
    pub fn milliseconds(name: HeaderName) -> DeadlineHeader {
        DeadlineHeader { name, form: Form::Milliseconds }
    }

    /// The name.
    pub fn name(&self) -> &HeaderName {
        &self.name
    }

    pub(super) fn form(&self) -> Form {
        self.form
    }

    /// `left` as the value of this header: rounded up, and at least the smallest unit, since some read 0 as "no limit". What is too long for
    /// the header becomes the longest that it can say: for gRPC 99,999,999 hours.
    pub fn format(&self, left: Duration) -> String {
        let nanos = left.as_nanos().max(1);
        match self.form {
            Form::Milliseconds => u64::try_from(nanos.div_ceil(1_000_000)).unwrap_or(u64::MAX).to_string(),
            Form::Grpc => UNITS
                .iter()
                .map(|(unit, size)| (unit, nanos.div_ceil(*size)))
                .find(|(_, count)| *count <= MOST)
                .map_or_else(|| format!("{MOST}H"), |(unit, count)| format!("{count}{unit}")),
        }
    }

    /// The time that a value of this header says.
    ///
    /// # Errors
    /// [`BadDeadline`] if it is not of the header's form, or more milliseconds than 64 bits hold.
    pub fn parse(&self, value: &str) -> Result<Duration, BadDeadline> {
        let parsed = match self.form {
            Form::Milliseconds => number(value).map(Duration::from_millis),
            Form::Grpc => value.char_indices().next_back().and_then(|(at, unit)| {
                let (_, size) = UNITS.iter().find(|(known, _)| *known == unit)?;
                let nanos = u128::from(number(&value[..at]).filter(|_| at <= 8)?) * size;
                Some(Duration::new((nanos / 1_000_000_000) as u64, (nanos % 1_000_000_000) as u32))
            }),
        };
        parsed.ok_or_else(|| self.bad(value.to_owned()))
    }

    /// What the headers say; `None` if this one is not there.
    ///
    /// # Errors
    /// [`BadDeadline`], as [`parse`](Self::parse).
    pub fn read(&self, headers: &HeaderMap) -> Result<Option<Duration>, BadDeadline> {
        let Some(value) = headers.get(&self.name) else { return Ok(None) };
        match value.to_str() {
            Ok(text) => self.parse(text).map(Some),
            Err(_) => Err(self.bad(String::from_utf8_lossy(value.as_bytes()).into_owned())),
        }
    }

    /// Says that `left` is left, in place of what was said before.
    pub fn write(&self, headers: &mut HeaderMap, left: Duration) {
        let value = HeaderValue::try_from(self.format(left)).expect("digits and a letter are a header's value");
        headers.insert(self.name.clone(), value);
    }

    /// Says how much is left until the caller's effective deadline. Without one, the headers stay as they are.
    ///
    /// # Panics
    /// Outside a run.
    pub fn write_current(&self, headers: &mut HeaderMap) {
        if let Some(left) = current_effective_deadline().remaining() {
            self.write(headers, left);
        }
    }

    fn bad(&self, value: String) -> BadDeadline {
        BadDeadline { header: self.clone(), value }
    }
}

/// Digits only: `u64::from_str` would take a sign as well.
fn number(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// A deadline's header that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadDeadline {
    header: DeadlineHeader,
    value: String,
}

impl BadDeadline {
    /// What stands in the header.
    pub fn value(&self) -> &str {
        &self.value
    }
}

impl fmt::Display for BadDeadline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let wants = match self.header.form {
            Form::Grpc => "up to eight digits and one of H, M, S, m, u, n, such as 1500m",
            Form::Milliseconds => "milliseconds, in digits only, such as 1500",
        };
        write!(f, "bad header {}: {:?}; it wants {wants}", self.header.name, self.value)
    }
}

impl std::error::Error for BadDeadline {}

#[cfg(test)]
mod tests {
    use super::*;

    fn grpc(value: &str) -> Option<Duration> {
        DeadlineHeader::grpc().parse(value).ok()
    }

    #[test]
    fn each_unit_of_grpc_is_read() {
        assert_eq!(grpc("3H"), Some(Duration::from_secs(3 * 3600)));
        assert_eq!(grpc("3M"), Some(Duration::from_secs(180)));
        assert_eq!(grpc("3S"), Some(Duration::from_secs(3)));
        assert_eq!(grpc("3m"), Some(Duration::from_millis(3)));
        assert_eq!(grpc("3u"), Some(Duration::from_micros(3)));
        assert_eq!(grpc("3n"), Some(Duration::from_nanos(3)));
        assert_eq!(grpc("0n"), Some(Duration::ZERO));
        assert_eq!(grpc("00000001S"), Some(Duration::from_secs(1)));
        assert_eq!(grpc("99999999H"), Some(Duration::from_secs(99_999_999 * 3600)));
        assert_eq!(grpc("99999999n"), Some(Duration::from_nanos(99_999_999)));
    }

    #[test]
    fn what_is_no_time_out_is_refused_with_the_form_that_is_wanted() {
        for bad in [
            "",
            "S",
            "5",
            "5s",
            "5h",
            "5 S",
            " 5S",
            "-5S",
            "+5S",
            "5.5S",
            "0x5S",
            "123456789S",
            "5Sm",
            "٥S",
            "5µ",
            "S5",
        ] {
            let error = DeadlineHeader::grpc().parse(bad).unwrap_err();
            assert_eq!(error.value(), bad);
            assert!(error.to_string().contains("one of H, M, S, m, u, n"), "{error}");
        }
        for bad in ["", "5m", "-1", "+1", "1.5", "99999999999999999999"] {
            let error = DeadlineHeader::http().parse(bad).unwrap_err();
            assert!(error.to_string().contains("x-envoy-expected-rq-timeout-ms"), "{error}");
        }
    }

    #[test]
    fn the_finest_unit_that_fits_is_written_and_nothing_is_lost_but_by_rounding_up() {
        let written = |left| DeadlineHeader::grpc().format(left);
        assert_eq!(written(Duration::ZERO), "1n");
        assert_eq!(written(Duration::from_nanos(99_999_999)), "99999999n");
        assert_eq!(written(Duration::from_nanos(100_000_001)), "100001u");
        assert_eq!(written(Duration::from_secs(2)), "2000000u");
        assert_eq!(written(Duration::from_secs(100)), "100000m");
        assert_eq!(written(Duration::from_secs(100_000)), "100000S");
        assert_eq!(written(Duration::from_secs(100_000_000)), "1666667M");
        assert_eq!(written(Duration::from_secs(6_000_000_000)), "1666667H");
        assert_eq!(written(Duration::MAX), "99999999H");
        for exponent in 0..64 {
            let left = Duration::from_nanos(1 << exponent);
            let read = grpc(&written(left)).unwrap();
            assert!(read >= left && read - left <= left / 100_000, "{left:?} became {read:?}");
        }
    }

    #[test]
    fn milliseconds_are_rounded_up_and_never_nothing() {
        let written = |left| DeadlineHeader::http().format(left);
        assert_eq!(written(Duration::ZERO), "1");
        assert_eq!(written(Duration::from_micros(1_001)), "2");
        assert_eq!(written(Duration::from_secs(3)), "3000");
        assert_eq!(written(Duration::MAX), u64::MAX.to_string());
        assert_eq!(DeadlineHeader::http().parse("3000"), Ok(Duration::from_secs(3)));
        assert_eq!(DeadlineHeader::http().parse(&u64::MAX.to_string()), Ok(Duration::from_millis(u64::MAX)));
    }

    #[test]
    fn headers_are_read_and_written() {
        let header = DeadlineHeader::milliseconds(HeaderName::from_static("x-left"));
        let mut headers = HeaderMap::new();
        assert_eq!(header.read(&headers), Ok(None));
        header.write(&mut headers, Duration::from_millis(20));
        header.write(&mut headers, Duration::from_millis(10));
        assert_eq!(header.read(&headers), Ok(Some(Duration::from_millis(10))));
        assert_eq!(headers.len(), 1);
        headers.insert("x-left", HeaderValue::from_bytes(b"\xff").unwrap());
        assert_eq!(header.read(&headers).unwrap_err().value(), "\u{fffd}");
    }
}
