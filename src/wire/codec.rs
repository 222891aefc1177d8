//! The bincode form of messages, and of the values of the user's types.

use std::io::Write;

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::util::error::{Error, Result};

/// A decoder never believes a length beyond this, whatever a message claims. (bytes)
const LIMIT: usize = 1 << 36;

/// The same where the message is no longer than [`SMALL`]: bincode takes the memory a text claims before
/// it looks whether the text is there.
const LIMIT_OF_SMALL: usize = 1 << 21;
const SMALL: usize = 1 << 16;

/// A message's bincode form.
pub(crate) fn encode(message: &impl Serialize) -> Vec<u8> {
    bincode::serde::encode_to_vec(message, bincode::config::standard())
        .expect("every message type has a bincode form")
}

/// The same into a buffer, in place of what is there.
pub(crate) fn encode_into(message: &impl Serialize, buffer: &mut Vec<u8>) {
    buffer.clear();
    bincode::serde::encode_into_std_write(message, buffer, bincode::config::standard())
        .expect("every message type has a bincode form");
}

/// A message back from its bincode form; an error if the bytes are no such message or too many.
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

/// The bincode form of a value of the user's type, which may not have one.
pub(crate) fn encode_theirs<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>> {
    bincode::serde::encode_to_vec(value, bincode::config::standard())
        .map_err(|error| theirs::<T>("cannot be written", &error))
}

/// Writes that form, which is not held in memory, and says how many bytes it has.
pub(crate) fn write_theirs<T: Serialize + ?Sized>(
    value: &T,
    mut out: &mut dyn Write,
) -> Result<usize> {
    bincode::serde::encode_into_std_write(value, &mut out, bincode::config::standard())
        .map_err(|error| theirs::<T>("cannot be written", &error))
}

/// A value of the user's type back from its bincode form.
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
