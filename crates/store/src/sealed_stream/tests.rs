use proptest::prelude::*;

use super::*;

const FILE: Uuid = Uuid::from_u128(7);

fn bytes(length: usize) -> Vec<u8> {
    (0..length)
        .map(|at| u8::try_from(at * 31 % 251).unwrap())
        .collect()
}

fn seal(key: &FileKey, plaintext: &[u8], pieces: usize) -> Vec<u8> {
    let mut out = Vec::new();
    let mut sealer = StreamSealer::begin(key, FILE, &mut out).unwrap();
    for piece in plaintext.chunks(pieces) {
        sealer.push(piece, &mut out).unwrap();
    }
    sealer.finish(&mut out).unwrap();
    out
}

fn open(key: &FileKey, file: Uuid, sealed: &[u8], pieces: usize) -> Result<Vec<u8>, StoreError> {
    let mut out = Vec::new();
    let mut opener = StreamOpener::new(key.clone(), file);
    for piece in sealed.chunks(pieces) {
        opener.push(piece, &mut out)?;
        assert!(
            opener.sealed.len() <= CHUNK + TAG,
            "it holds a chunk at most"
        );
    }
    opener.finish(&mut out)?;
    Ok(out)
}

#[test]
fn a_file_of_any_length_opens_to_the_same_in_pieces_of_any_size() {
    let key = FileKey::generate().unwrap();
    let chunk = CHUNK;
    for length in [
        0,
        1,
        15,
        chunk - 1,
        chunk,
        chunk + 1,
        2 * chunk,
        3 * chunk + 7,
    ] {
        let plaintext = bytes(length);
        for pieces in [1000, CHUNK - 1, CHUNK, CHUNK + TAG, usize::MAX] {
            let sealed = seal(&key, &plaintext, pieces);
            let chunks = length.div_ceil(CHUNK).max(1);
            assert_eq!(sealed.len(), HEADER + length + chunks * TAG);
            assert!(
                open(&key, FILE, &sealed, pieces).unwrap() == plaintext,
                "{length}"
            );
        }
    }
}

#[test]
fn a_file_opens_with_its_own_key_and_for_its_own_row_only() {
    let key = FileKey::generate().unwrap();
    let sealed = seal(&key, b"hello", 9);
    assert_eq!(open(&key, FILE, &sealed, 9).unwrap(), b"hello");
    assert!(open(&key, Uuid::from_u128(8), &sealed, 9).is_err());
    assert!(open(&FileKey::generate().unwrap(), FILE, &sealed, 9).is_err());
}

#[test]
fn a_file_that_was_cut_anywhere_does_not_open() {
    let key = FileKey::generate().unwrap();
    let sealed = seal(&key, &bytes(3 * CHUNK), CHUNK);
    let chunk = CHUNK + TAG;
    let ends = (0..=3).flat_map(|n| {
        let end = HEADER + n * chunk;
        [end.saturating_sub(1), end, end + 1, end + TAG]
    });
    for end in ends.chain(0..HEADER).filter(|end| *end < sealed.len()) {
        assert!(
            open(&key, FILE, &sealed[..end], 9000).is_err(),
            "cut at {end}"
        );
    }
    let one = seal(&key, b"hello", 9);
    for end in 0..one.len() {
        assert!(open(&key, FILE, &one[..end], 9).is_err(), "cut at {end}");
    }
}

#[test]
fn a_file_whose_chunks_were_moved_repeated_left_out_or_mixed_does_not_open() {
    let key = FileKey::generate().unwrap();
    let (one, other) = (bytes(4 * CHUNK), vec![9; 4 * CHUNK]);
    let (sealed, other) = (seal(&key, &one, CHUNK), seal(&key, &other, CHUNK));
    let parts = |sealed: &[u8]| -> Vec<Vec<u8>> {
        sealed[HEADER..]
            .chunks(CHUNK + TAG)
            .map(<[u8]>::to_vec)
            .collect()
    };
    let (mine, others) = (parts(&sealed), parts(&other));
    let joined = |order: &[&Vec<u8>]| {
        let mut file = sealed[..HEADER].to_vec();
        for part in order {
            file.extend(*part);
        }
        open(&key, FILE, &file, CHUNK)
    };
    assert!(joined(&[&mine[0], &mine[1], &mine[2], &mine[3]]).unwrap() == one);
    for order in [
        [&mine[1], &mine[0], &mine[2], &mine[3]].as_slice(),
        &[&mine[0], &mine[1], &mine[3]],
        &[&mine[0], &mine[1], &mine[1], &mine[3]],
        &[&mine[0], &mine[1], &mine[2]],
        &[&mine[3]],
        &[&mine[0], &mine[1], &mine[2], &mine[3], &mine[3]],
        &[&mine[0], &others[1], &mine[2], &mine[3]],
        &[&others[0], &others[1], &others[2], &others[3]],
    ] {
        assert!(joined(order).is_err());
    }
}

#[test]
fn a_file_with_any_bit_changed_does_not_open() {
    let key = FileKey::generate().unwrap();
    let sealed = seal(&key, b"hello", 9);
    for at in 0..sealed.len() {
        for bit in 0..8 {
            let mut changed = sealed.clone();
            changed[at] ^= 1 << bit;
            assert!(
                open(&key, FILE, &changed, 9).is_err(),
                "byte {at}, bit {bit}"
            );
        }
    }
    let long = seal(&key, &bytes(2 * CHUNK + 5), CHUNK);
    for at in [
        0,
        3,
        HEADER,
        HEADER + CHUNK,
        HEADER + CHUNK + TAG,
        long.len() - 1,
    ] {
        let mut changed = long.clone();
        changed[at] ^= 1;
        assert!(open(&key, FILE, &changed, CHUNK).is_err(), "byte {at}");
    }
    let longer = [sealed.as_slice(), b"x"].concat();
    assert!(open(&key, FILE, &longer, 9).is_err());
}

#[test]
fn what_is_written_before_the_end_never_includes_a_byte_that_is_not_genuine() {
    let key = FileKey::generate().unwrap();
    let plaintext = bytes(3 * CHUNK);
    let mut sealed = seal(&key, &plaintext, CHUNK);
    sealed[HEADER + CHUNK + TAG + 100] ^= 1;
    let mut out = Vec::new();
    let mut opener = StreamOpener::new(key, FILE);
    assert!(opener.push(&sealed, &mut out).is_err());
    assert!(out == plaintext[..CHUNK]);
}

#[test]
fn the_key_of_a_file_is_sealed_for_its_row_and_not_shown() {
    let keyring = Keyring::parse(&"0f".repeat(32), "").unwrap();
    let place = |row| Context::new(TABLE, "sealed_key", row);
    let key = FileKey::generate().unwrap();
    let sealed = key.seal(&keyring, &place(1)).unwrap();
    assert_eq!(
        *FileKey::open(&keyring, &place(1), &sealed).unwrap().0,
        *key.0
    );
    assert!(FileKey::open(&keyring, &place(2), &sealed).is_err());
    let short = keyring.seal(&place(1), &[1; 31]).unwrap();
    assert!(matches!(
        FileKey::open(&keyring, &place(1), &short),
        Err(StoreError::UnknownValue { .. })
    ));
    assert_eq!(format!("{key:?}"), "FileKey([sealed])");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn bytes_that_nobody_sealed_do_not_open(
        noise in proptest::collection::vec(any::<u8>(), 0..300), pieces in 1usize..100,
    ) {
        let key = FileKey::generate().unwrap();
        prop_assert!(open(&key, FILE, &noise, pieces).is_err());
    }
}
