//! Countries, by the phone numbers that belong to them.

use std::fmt;

use rlibphonenumber::{PHONE_NUMBER_UTIL, Region};

/// A country that has phone numbers of its own.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Country(Region);

impl Country {
    /// Parses an ISO 3166 code of two letters.
    pub fn parse(code: &str) -> Option<Self> {
        let letters = code.len() == 2 && code.bytes().all(|b| b.is_ascii_alphabetic());
        let region = Region::from_code(&code.to_ascii_uppercase()).ok()?;
        let known = PHONE_NUMBER_UTIL
            .get_supported_regions()
            .any(|r| r == region);
        (letters && known).then_some(Self(region))
    }

    /// The code, in upper case.
    pub fn code(self) -> String {
        self.0.as_region_str().as_str().to_owned()
    }
}

impl fmt::Debug for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.code())
    }
}

impl From<Region> for Country {
    fn from(region: Region) -> Self {
        Self(region)
    }
}
