//! Keeps bytes of a message without a copy of them, where they are most of it.

use std::cell::RefCell;
use std::fmt;

use bytes::Bytes;
use serde::de::{Deserializer, Error, Visitor};

thread_local! {
    /// The message that this thread decodes.
    static MESSAGE: RefCell<Bytes> = const { RefCell::new(Bytes::new()) };
}

/// Decodes a message, of which parts may be kept.
pub(crate) fn while_decoding<T>(message: &Bytes, decode: impl FnOnce() -> T) -> T {
    MESSAGE.set(message.clone());
    let decoded = decode();
    MESSAGE.set(Bytes::new());
    decoded
}

/// These bytes: a part of the message if they are at least half of it, since it is kept as a whole.
fn kept(part: &[u8]) -> Bytes {
    MESSAGE.with_borrow(|message| {
        let (whole, range) = (message.as_ptr_range(), part.as_ptr_range());
        let is_part = whole.start <= range.start && range.end <= whole.end;
        match is_part && !part.is_empty() && part.len() >= message.len() / 2 {
            true => message.slice_ref(part),
            false => Bytes::copy_from_slice(part),
        }
    })
}

/// For serde's `deserialize_with`.
pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
    deserializer.deserialize_bytes(KeptBytes)
}

struct KeptBytes;

impl<'de> Visitor<'de> for KeptBytes {
    type Value = Bytes;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("bytes")
    }

    fn visit_borrowed_bytes<E: Error>(self, bytes: &'de [u8]) -> Result<Bytes, E> {
        Ok(kept(bytes))
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Bytes, E> {
        Ok(Bytes::copy_from_slice(bytes))
    }

    fn visit_byte_buf<E: Error>(self, bytes: Vec<u8>) -> Result<Bytes, E> {
        Ok(bytes.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn most_of_a_message_is_kept_without_a_copy() {
        let message = Bytes::from((0..100).collect::<Vec<u8>>());
        let is_shared = |part: &[u8]| {
            let kept = while_decoding(&message, || kept(part));
            assert_eq!(kept, part);
            kept.as_ptr() == part.as_ptr()
        };
        assert!(is_shared(&message) && is_shared(&message[50..]));
        assert!(!is_shared(&message[60..]) && !is_shared(&[7; 60]));
        assert_ne!(kept(&message).as_ptr(), message.as_ptr(), "it is not being decoded");
    }
}
