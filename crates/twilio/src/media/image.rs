//! Reads the size of an image without decoding it.

/// The most pixels. Photographs from phones have fewer. A small file that claims more would fill
/// the memory of its decoder.
pub const MAX_PIXELS: u64 = 50_000_000;

/// Returns the width and height of an image, if these bytes contain them. The first 64 KiB usually
/// do.
pub fn dimensions(bytes: &[u8]) -> Option<(u32, u32)> {
    let size = imagesize::blob_size(bytes).ok()?;
    let pixels = |number: usize| u32::try_from(number).ok();
    pixels(size.width).zip(pixels(size.height))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A PNG's first bytes.
    fn png(width: u32, height: u32) -> Vec<u8> {
        let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR".to_vec();
        bytes.extend(width.to_be_bytes());
        bytes.extend(height.to_be_bytes());
        bytes.extend([8, 2, 0, 0, 0]);
        bytes
    }

    #[test]
    fn the_size_of_an_image_is_read_from_its_bytes() {
        assert_eq!(dimensions(&png(640, 480)), Some((640, 480)));
        let gif = b"GIF89a\x10\0\x20\0\0\0\0";
        assert_eq!(dimensions(gif), Some((16, 32)));
        assert_eq!(dimensions(&png(640, 480)[..18]), None);
        assert_eq!(dimensions(b"hello"), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn no_bytes_make_it_panic(
            start in 0usize..9, noise in proptest::collection::vec(any::<u8>(), 0..300),
        ) {
            let starts: [&[u8]; 9] = [
                b"", b"\xff\xd8\xff\xe1", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"RIFF\0\0\0\0WEBP", b"II*\0", b"MM\0*",
                b"\0\0\0\x18ftypheic\0\0\0\0mif1heic\0\0\0\x20meta", b"BM",
            ];
            dimensions(&[starts[start], &noise].concat());
        }
    }
}
