use proptest::prelude::*;
use rlibphonenumber::PHONE_NUMBER_UTIL;

use super::*;

/// What people type, with the number and the country that it means.
const GOOD: &[(&str, &str, &str)] = &[
    // The US and Canada share a country code with many islands that belong to neither.
    ("+12025550123", "+12025550123", "US"),
    ("2025550123", "+12025550123", "US"),
    ("1 202 555 0123", "+12025550123", "US"),
    ("(202) 555-0123", "+12025550123", "US"),
    ("+1 (202) 555-0123", "+12025550123", "US"),
    ("(+1) 202.555.0123", "+12025550123", "US"),
    ("  +1-202-555-0123\n", "+12025550123", "US"),
    ("+1 416 555 0123", "+14165550123", "CA"),
    ("604-555-0123", "+16045550123", "CA"),
    ("+1 876 555 0123", "+18765550123", "JM"),
    ("+1 242 359 1234", "+12423591234", "BS"),
    ("+1 809 234 5678", "+18092345678", "DO"),
    ("+1 787 234 5678", "+17872345678", "PR"),
    // Dialled from the US.
    ("011 44 7400 123456", "+447400123456", "GB"),
    // With a trunk zero, which is dropped, or not.
    ("+44 (0)7400 123456", "+447400123456", "GB"),
    ("+49 (0)1512 3456789", "+4915123456789", "DE"),
    ("+39 06 1234 5678", "+390612345678", "IT"),
    ("+39 312 345 6789", "+393123456789", "IT"),
    ("+7 912 345 67 89", "+79123456789", "RU"),
    ("+7 771 000 9998", "+77710009998", "KZ"),
    ("+44 7781 123456", "+447781123456", "GG"),
    ("+44 7797 712345", "+447797712345", "JE"),
    ("+358 41 2345678", "+358412345678", "FI"),
    // A library once parsed this one as another number.
    ("+8613800138000", "+8613800138000", "CN"),
    ("+86 138-0013-8000", "+8613800138000", "CN"),
    ("+33 6 12 34 56 78", "+33612345678", "FR"),
    ("+34 612 34 56 78", "+34612345678", "ES"),
    ("+351 912 345 678", "+351912345678", "PT"),
    ("+31 6 12345678", "+31612345678", "NL"),
    ("+32 470 12 34 56", "+32470123456", "BE"),
    ("+41 78 123 45 67", "+41781234567", "CH"),
    ("+43 664 123456", "+43664123456", "AT"),
    ("+45 34 41 23 45", "+4534412345", "DK"),
    ("+46 70 123 45 67", "+46701234567", "SE"),
    ("+47 406 12 345", "+4740612345", "NO"),
    ("+48 512 345 678", "+48512345678", "PL"),
    ("+420 601 123 456", "+420601123456", "CZ"),
    ("+380 50 123 4567", "+380501234567", "UA"),
    ("+90 501 234 56 78", "+905012345678", "TR"),
    ("+972 50 234 5678", "+972502345678", "IL"),
    ("+971 50 123 4567", "+971501234567", "AE"),
    ("+91 81234 56789", "+918123456789", "IN"),
    ("+92 301 2345678", "+923012345678", "PK"),
    ("+880 1812-345678", "+8801812345678", "BD"),
    ("+81 90-1234-5678", "+819012345678", "JP"),
    ("+82 10-2000-0000", "+821020000000", "KR"),
    ("+852 5123 4567", "+85251234567", "HK"),
    ("+65 8123 4567", "+6581234567", "SG"),
    ("+60 12-345 6789", "+60123456789", "MY"),
    ("+62 812-345-678", "+62812345678", "ID"),
    ("+63 905 123 4567", "+639051234567", "PH"),
    ("+84 912 345 678", "+84912345678", "VN"),
    ("+66 81 234 5678", "+66812345678", "TH"),
    ("+61 412 345 678", "+61412345678", "AU"),
    ("+64 21 123 4567", "+64211234567", "NZ"),
    ("+52 222 123 4567", "+522221234567", "MX"),
    ("+55 11 96123-4567", "+5511961234567", "BR"),
    ("+54 9 11 2345-6789", "+5491123456789", "AR"),
    ("+56 9 8765 4321", "+56987654321", "CL"),
    ("+57 321 1234567", "+573211234567", "CO"),
    ("+27 71 123 4567", "+27711234567", "ZA"),
    ("+234 802 123 4567", "+2348021234567", "NG"),
    ("+254 712 123456", "+254712123456", "KE"),
    ("+20 100 123 4567", "+201001234567", "EG"),
    // Other digits, blanks and dashes, and the direction marks of a copied number.
    ("＋１２０２５５５０１２３", "+12025550123", "US"),
    ("٢٠٢٥٥٥٠١٢٣", "+12025550123", "US"),
    ("+۱۲۰۲۵۵۵۰۱۲۳", "+12025550123", "US"),
    (
        "\u{202a}+1\u{a0}202\u{2011}555\u{2013}0123\u{202c}",
        "+12025550123",
        "US",
    ),
];

/// What is not such a number, and why.
const BAD: &[(&str, NumberError)] = &[
    ("whatsapp:+12025550123", NumberError::Letters),
    ("sip:+12025550123@example.com", NumberError::Letters),
    ("tel:+12025550123", NumberError::Letters),
    ("+1 202 555 O123", NumberError::Letters),
    ("1-800-FLOWERS", NumberError::Letters),
    ("call me", NumberError::Letters),
    ("телефон", NumberError::Letters),
    ("+12025550123 ext. 5", NumberError::Extension),
    ("+12025550123x5", NumberError::Extension),
    ("202-555-0123 X 55", NumberError::Extension),
    ("+12025550123;ext=5", NumberError::Extension),
    ("+12025550123 #5", NumberError::Extension),
    ("+12025550123,,5", NumberError::Extension),
    ("+12025550123 доб. 5", NumberError::Extension),
    ("12345", NumberError::ShortCode),
    ("543210", NumberError::ShortCode),
    ("911", NumberError::ShortCode),
    ("12-34-56", NumberError::ShortCode),
    ("++12025550123", NumberError::Plus),
    ("+1+2025550123", NumberError::Plus),
    ("12025550123+", NumberError::Plus),
    ("+12025550123, +12025550124", NumberError::Extension),
    ("*67 202 555 0123", NumberError::Character),
    ("+1\u{0}2025550123", NumberError::Character),
    ("+1_202_555_0123", NumberError::Character),
    ("२०२५५५०१२३", NumberError::Character),
    ("+1 202 555 012३", NumberError::Character),
    ("", NumberError::Invalid),
    ("+", NumberError::Invalid),
    ("()", NumberError::Invalid),
    ("0", NumberError::Invalid),
    ("+1", NumberError::Invalid),
    ("+12345", NumberError::Invalid),
    ("+02025550123", NumberError::Invalid),
    ("+1202555012", NumberError::Invalid),
    ("+120255501234", NumberError::Invalid),
    ("5550123", NumberError::Invalid),
    ("+1 111 555 0123", NumberError::Invalid),
    ("+999 1234 5678", NumberError::Invalid),
    ("447400123456", NumberError::Invalid),
    ("0044 7400 123456", NumberError::Invalid),
    ("+44 7400 12345", NumberError::Invalid),
    // Valid, but not phones of people, or numbers that their owner earns money by.
    ("+1 800 234 5678", NumberError::Kind),
    ("888-234-5678", NumberError::Kind),
    ("+1 900 234 5678", NumberError::Kind),
    ("+44 800 123 4567", NumberError::Kind),
    ("+44 901 234 5678", NumberError::Kind),
    ("+44 843 123 4567", NumberError::Kind),
    ("+44 70 1234 5678", NumberError::Kind),
    ("+44 76 4012 3456", NumberError::Kind),
    ("+44 55 1234 5678", NumberError::Kind),
    ("+49 900 1234567", NumberError::Kind),
    ("+800 1234 5678", NumberError::Kind),
];

#[test]
fn numbers_of_many_countries_are_parsed_as_people_write_them() {
    for (typed, expected, country) in GOOD {
        match SmsNumber::parse(typed) {
            Ok(number) => {
                let read = (number.e164.as_str().to_owned(), number.country.code());
                assert_eq!(
                    read,
                    ((*expected).to_owned(), (*country).to_owned()),
                    "{typed:?}"
                );
            }
            Err(error) => panic!("{typed:?}: {error}"),
        }
    }
    let countries: std::collections::HashSet<_> =
        GOOD.iter().map(|(.., country)| country).collect();
    assert!(countries.len() >= 40, "{}", countries.len());
}

#[test]
fn other_texts_are_refused_with_the_right_sentence() {
    for (typed, expected) in BAD {
        assert_eq!(SmsNumber::parse(typed), Err(*expected), "{typed:?}");
    }
    assert_eq!(SmsNumber::parse(&"1".repeat(65)), Err(NumberError::Invalid));
}

#[test]
fn the_librarys_example_number_of_every_country_is_parsed_as_that_number() {
    let mut read = 0;
    for region in PHONE_NUMBER_UTIL.get_supported_regions() {
        let example = PHONE_NUMBER_UTIL
            .get_example_number_for_type_and_region(region, PhoneNumberType::Mobile);
        let Ok(example) = example else { continue };
        let typed = example
            .format_as(PhoneNumberFormat::International)
            .into_owned();
        let number = SmsNumber::parse(&typed).unwrap_or_else(|error| panic!("{region}: {error}"));
        assert_eq!(
            number.e164.as_str(),
            example.format_as(PhoneNumberFormat::E164)
        );
        // Some islands use number ranges of a larger country, so the library names that country.
        let country = example.get_region_code().unwrap();
        assert_eq!(number.country.code(), country.as_region_str().as_str());
        read += 1;
    }
    assert!(read > 200, "{read}");
}

#[test]
fn a_country_is_two_letters_that_the_library_knows() {
    assert_eq!(Country::parse("us").unwrap().code(), "US");
    for bad in ["", "U", "USA", "XX", "001", "ZZ", "U1", "ÜS", "EU"] {
        assert!(Country::parse(bad).is_none(), "{bad:?}");
    }
}

fn assert_good(number: &SmsNumber) {
    let text = number.e164.as_str();
    let digits = text.strip_prefix('+').unwrap();
    assert!(
        (7..=15).contains(&digits.len()) && !digits.starts_with('0'),
        "{text}"
    );
    assert!(digits.bytes().all(|b| b.is_ascii_digit()), "{text}");
    assert_eq!(SmsNumber::parse(text).as_ref(), Ok(number), "{text}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_panics_and_a_parsed_number_parses_as_itself(text in "\\PC{0,70}") {
        if let Ok(number) = SmsNumber::parse(&text) {
            assert_good(&number);
        }
    }

    #[test]
    fn no_text_that_looks_like_a_number_panics(text in "[+＋]?[0-9٠-٩ ()./-]{3,20}([x#;,][0-9]{0,3})?") {
        if let Ok(number) = SmsNumber::parse(&text) {
            assert_good(&number);
        }
    }

    #[test]
    fn no_digits_after_any_country_code_panic(code in 1..999u32, rest in "[0-9]{4,12}") {
        if let Ok(number) = SmsNumber::parse(&format!("+{code}{rest}")) {
            assert_good(&number);
        }
    }
}
