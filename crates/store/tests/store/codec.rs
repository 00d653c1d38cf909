use bytes::Bytes;
use proptest::prelude::*;
use synod_store::DecodeError;
use synod_store::codec::MAX_TXN_DEPTH;
use synod_store::request::*;

use crate::random;
use crate::support::*;

proptest! {
    #[test]
    fn commands_come_back_as_they_were_written(command in random::command()) {
        prop_assert_eq!(Command::decode(command.encode()), Ok(command));
    }

    #[test]
    fn a_command_cut_short_anywhere_is_noticed(command in random::command()) {
        let encoded = command.encode();
        for length in 0..encoded.len() {
            prop_assert_eq!(Command::decode(encoded.slice(..length)), Err(DecodeError::Truncated));
        }
    }

    #[test]
    fn a_changed_byte_gives_another_command_or_an_error(command in random::command(), at: usize, change in 1u8..) {
        let mut encoded = command.encode().to_vec();
        let at = at % encoded.len();
        encoded[at] ^= change;
        if let Ok(other) = Command::decode(encoded.clone().into()) {
            prop_assert_ne!(&other, &command);
            prop_assert_eq!(other.encode(), encoded, "a command has one spelling");
        }
    }

    #[test]
    fn garbage_is_refused_or_is_a_command_that_can_be_applied(mut garbage: Vec<u8>) {
        if let Some(first) = garbage.first_mut() {
            *first = 1;
        }
        if let Ok(command) = Command::decode(garbage.into()) {
            synod_store::Store::new().apply(&command);
        }
    }
}

#[test]
fn keys_and_values_are_slices_of_the_input() {
    let encoded = Command::Put(Put::new("some key", "some value")).encode();
    let within = |part: &Bytes| encoded.as_ptr_range().contains(&part.as_ptr());
    let Ok(Command::Put(put)) = Command::decode(encoded.clone()) else { panic!("not a put") };
    assert!(within(&put.key) && within(&put.value));
}

#[test]
fn another_format_is_told_by_its_number() {
    let mut encoded = Command::Compact(Compact { revision: 7 }).encode().to_vec();
    encoded[0] = 9;
    assert_eq!(Command::decode(encoded.into()), Err(DecodeError::UnknownFormat(9)));
    assert_eq!(Command::decode(Bytes::new()), Err(DecodeError::Truncated));
}

#[test]
fn bytes_behind_a_command_are_refused() {
    let mut encoded = Command::Put(Put::new("k", "v")).encode().to_vec();
    encoded.extend([0, 0]);
    assert_eq!(Command::decode(encoded.into()), Err(DecodeError::Trailing(2)));
}

#[test]
fn what_a_tag_or_flag_does_not_stand_for_is_refused() {
    let unknown = |what, tag| Err(DecodeError::UnknownTag { what, tag });
    assert_eq!(Command::decode(Bytes::from_static(&[1, 9])), unknown("command", 9));
    assert_eq!(Command::decode(Bytes::from_static(&[1, 1, 3])), unknown("key range", 3));
    assert_eq!(Command::decode(Bytes::from_static(&[1, 1, 0, 1, b'k', 2])), unknown("flags", 2));
    assert_eq!(Command::decode(Bytes::from_static(&[1, 2, 0, 1, 4])), unknown("step", 4));
}

#[test]
fn a_length_is_only_a_claim() {
    // A transaction with 2^63 conditions, in a dozen bytes.
    let huge: &[u8] = &[1, 2, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 1];
    assert_eq!(Command::decode(Bytes::from_static(huge)), Err(DecodeError::Truncated));
    // A key of 2^63 bytes.
    let huge: &[u8] = &[1, 0, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 1];
    assert_eq!(Command::decode(Bytes::from_static(huge)), Err(DecodeError::Truncated));
}

#[test]
fn nesting_is_bounded() {
    let nested = |depth| (1..depth).fold(Txn::default(), |txn, _| steps([TxnOp::Txn(txn)]));
    let deepest = Command::Txn(nested(MAX_TXN_DEPTH));
    assert_eq!(Command::decode(deepest.encode()), Ok(deepest));
    let deeper = Command::Txn(nested(MAX_TXN_DEPTH + 1)).encode();
    assert_eq!(Command::decode(deeper), Err(DecodeError::TooDeep));
    // Far more levels than the stack could take.
    let bottomless: Vec<u8> = [1, 2].into_iter().chain([0, 1, 3].repeat(1_000_000)).collect();
    assert_eq!(Command::decode(bottomless.into()), Err(DecodeError::TooDeep));
}
