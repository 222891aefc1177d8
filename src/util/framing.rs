//! Frames messages in a pipe or a socket: eight bytes of length, little-endian, then the message.

use std::io::{Error, ErrorKind, Read, Result, Write};

pub(crate) fn write_frame(out: &mut impl Write, message: &[u8]) -> Result<()> {
    out.write_all(&(message.len() as u64).to_le_bytes())?;
    out.write_all(message)?;
    out.flush()
}

/// Reads a message. If its length is over `limit`, it is refused as [`ErrorKind::FileTooLarge`]. Memory is
/// allocated as data arrives, because the other end may claim any length.
pub(crate) fn read_frame(from: &mut impl Read, limit: u64) -> Result<Vec<u8>> {
    let mut length = [0; 8];
    from.read_exact(&mut length)?;
    let length = u64::from_le_bytes(length);
    if length > limit {
        let why = format!("{length} bytes, over the limit of {limit}");
        return Err(Error::new(ErrorKind::FileTooLarge, why));
    }
    let mut message = Vec::new();
    let read = from.take(length).read_to_end(&mut message)?;
    if (read as u64) < length { Err(ErrorKind::UnexpectedEof.into()) } else { Ok(message) }
}
