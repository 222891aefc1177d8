//! Encoding and decoding of messages and of the user's values with bincode.

use std::io::Write;

use bytes::Bytes;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::util::error::{Error, Result};
use crate::util::shared_bytes;

/// Limit on any length that a message claims. (bytes)
const LIMIT: usize = 1 << 36;

/// The limit for messages up to [`SMALL`] bytes: bincode allocates the claimed length of a string before
/// it checks that the string is there.
const LIMIT_OF_SMALL: usize = 1 << 21;
const SMALL: usize = 1 << 16;

/// Encodes a message.
pub(crate) fn encode(message: &impl Serialize) -> Vec<u8> {
    bincode::serde::encode_to_vec(message, bincode::config::standard())
        .expect("every message type has a bincode form")
}

/// Encodes a message into a buffer, replacing its contents.
pub(crate) fn encode_into(message: &impl Serialize, buffer: &mut Vec<u8>) {
    buffer.clear();
    bincode::serde::encode_into_std_write(message, buffer, bincode::config::standard())
        .expect("every message type has a bincode form");
}

/// Decodes a message; an error if the bytes are invalid or some are left over.
pub(crate) fn decode<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T> {
    let config = bincode::config::standard();
    let decoded = if bytes.len() <= SMALL {
        bincode::serde::borrow_decode_from_slice(bytes, config.with_limit::<LIMIT_OF_SMALL>())
    } else {
        bincode::serde::borrow_decode_from_slice(bytes, config.with_limit::<LIMIT>())
    };
    match decoded {
        Ok((message, read)) if read == bytes.len() => Ok(message),
        Ok((_, read)) => {
            Err(garbled(format!("{} bytes too many", bytes.len().saturating_sub(read))))
        }
        Err(error) => Err(garbled(error.to_string())),
    }
}

/// Decodes a long message, which is kept in memory as long as a large value in it.
pub(crate) fn decode_shared<'a, T: Deserialize<'a>>(bytes: &'a Bytes) -> Result<T> {
    shared_bytes::while_decoding(bytes, || decode(bytes))
}

/// Encodes a value of the user's type; an error if it has no bincode form.
pub(crate) fn encode_theirs<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>> {
    bincode::serde::encode_to_vec(value, bincode::config::standard())
        .map_err(|error| theirs::<T>("cannot be written", &error))
}

/// Encodes a value of the user's type without buffering it; returns the number of bytes.
pub(crate) fn write_theirs<T: Serialize + ?Sized>(
    value: &T,
    mut out: &mut dyn Write,
) -> Result<usize> {
    bincode::serde::encode_into_std_write(value, &mut out, bincode::config::standard())
        .map_err(|error| theirs::<T>("cannot be written", &error))
}

/// Decodes a value of the user's type.
pub(crate) fn decode_theirs<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    let config = bincode::config::standard();
    let decoded = if bytes.len() <= SMALL {
        bincode::serde::decode_from_slice(bytes, config.with_limit::<LIMIT_OF_SMALL>())
    } else {
        bincode::serde::decode_from_slice(bytes, config.with_limit::<LIMIT>())
    };
    match decoded {
        Ok((value, read)) if read == bytes.len() => Ok(value),
        Ok((_, read)) => {
            let left = format!("{} bytes are left over", bytes.len().saturating_sub(read));
            Err(theirs::<T>("cannot be read back", &left))
        }
        Err(error) => Err(theirs::<T>("cannot be read back", &error)),
    }
}

/// The text at the beginning of encoded bytes, and what follows.
pub(crate) fn decode_text(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let config = bincode::config::standard().with_limit::<LIMIT_OF_SMALL>();
    let (text, read) = bincode::serde::borrow_decode_from_slice(bytes, config).ok()?;
    Some((text, &bytes[read..]))
}

fn theirs<T: ?Sized>(what: &str, why: &dyn std::fmt::Display) -> Error {
    Error::input(format!(
        "a {} {what} in bincode's form ({why}); serde's flatten, untagged and skip_serializing_if do not work in values that are sent between ranks",
        std::any::type_name::<T>()
    ))
}

fn garbled(why: String) -> Error {
    Error::unexpected(format!(
        "a message between ranks is corrupt ({why}); do all ranks run the same gridmpi?"
    ))
}
