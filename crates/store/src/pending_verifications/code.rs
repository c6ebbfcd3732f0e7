//! The code that proves that a number belongs to a user.

use std::fmt;

use rand::TryRng;
use rand::rngs::SysRng;
use subtle::ConstantTimeEq;

use super::columns::TABLE;
use crate::error::StoreError;

const DIGITS: usize = 6;
const LEAST: u32 = 100_000;
const HOW_MANY: u32 = 900_000;

/// Six digits, 100000 to 999999. `Debug` prints `[sealed]`.
#[derive(Clone, PartialEq, Eq)]
pub struct Code(String);

impl Code {
    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A new code from the system's randomness, each with the same probability. Fails only if the
    /// system has no randomness.
    pub(super) fn random() -> Result<Self, StoreError> {
        loop {
            let random = SysRng.try_next_u32().map_err(|_| StoreError::Seal {
                table: TABLE,
                column: "sealed_code",
            })?;
            // Numbers above the last whole multiple would make some codes more likely than others.
            if random < u32::MAX - u32::MAX % HOW_MANY {
                return Ok(Self((LEAST + random % HOW_MANY).to_string()));
            }
        }
    }

    /// A code as it was stored.
    pub(super) fn parse(stored: &[u8]) -> Option<Self> {
        let good = stored.len() == DIGITS && stored.iter().all(u8::is_ascii_digit);
        let text = str::from_utf8(stored).ok().filter(|_| good)?;
        Some(Self(text.to_owned()))
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[sealed]")
    }
}

/// Returns whether the guess is the code. It takes the same time whichever of the six digits are
/// right.
pub(super) fn is_right(guess: &str, code: &[u8]) -> bool {
    let (Ok(guess), Ok(code)) = (
        <&[u8; DIGITS]>::try_from(guess.as_bytes()),
        <&[u8; DIGITS]>::try_from(code),
    ) else {
        return false;
    };
    guess.ct_eq(code).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_six_digits_spread_over_their_range_and_debug_hides_them() {
        const DRAWN: u32 = 9_000;
        let mut by_first_digit = [0_u32; 10];
        for _ in 0..DRAWN {
            let code = Code::random().unwrap();
            let number: u32 = code.as_str().parse().unwrap();
            assert!((100_000..=999_999).contains(&number));
            by_first_digit[usize::try_from(number / 100_000).unwrap()] += 1;
            assert_eq!(Code::parse(code.as_str().as_bytes()), Some(code.clone()));
            assert_eq!(format!("{code:?}"), "[sealed]");
        }
        // 1000 each, with a standard deviation of 30: a deviation of ten of those does not happen.
        assert!(
            by_first_digit[1..].iter().all(|n| (700..=1300).contains(n)),
            "{by_first_digit:?}"
        );
    }

    #[test]
    fn only_the_same_six_digits_are_right() {
        assert!(is_right("123456", b"123456"));
        let wrong = [
            "", "1", "12345", "1234567", "0123456", "123457", "023456", "123456 ", "１２", "١٢٣",
        ];
        for guess in wrong {
            assert!(!is_right(guess, b"123456"), "{guess:?}");
        }
        assert!(!is_right("", b"") && !is_right("12", b"12"));
    }

    #[test]
    fn only_six_digits_parse_as_a_code() {
        for bad in [
            &b""[..],
            b"12345",
            b"1234567",
            b"12345a",
            b"\xff\xff\xff\xff\xff\xff",
        ] {
            assert_eq!(Code::parse(bad), None);
        }
    }
}
