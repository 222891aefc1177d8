//! Compressed bytes, in the form of gzip, which has a checksum.

use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;

/// Compresses these bytes, one after another, fast rather than well.
pub(crate) fn compressed(parts: &[&[u8]]) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    let written = parts.iter().try_for_each(|part| gzip.write_all(part));
    written.and_then(|()| gzip.finish()).expect("memory takes what is written to it")
}

/// The bytes again; an error text if they are damaged, or are more than so many.
#[cfg_attr(not(all(feature = "cli", feature = "jobs")), allow(dead_code))]
pub(crate) fn expanded(gzip: &[u8], most: usize) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let read = GzDecoder::new(gzip).take(most as u64 + 1).read_to_end(&mut bytes);
    match read {
        Ok(read) if read <= most => Ok(bytes),
        Ok(_) => Err(format!("it has more than {most} bytes")),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_compressed_comes_back_or_is_an_error() {
        let gzip = compressed(&[b"one ", &[b'x'; 1000]]);
        assert!(gzip.len() < 100);
        let whole = [&b"one "[..], &[b'x'; 1000]].concat();
        assert_eq!(expanded(&gzip, 1004), Ok(whole));
        assert!(expanded(&gzip, 1003).unwrap_err().contains("more than 1003 bytes"));
        for at in 0..gzip.len() {
            let mut damaged = gzip.clone();
            damaged.truncate(at);
            assert!(expanded(&damaged, 2000).is_err(), "{at}");
        }
        let mut damaged = gzip.clone();
        damaged[gzip.len() - 6] ^= 1; // of the checksum
        assert!(expanded(&damaged, 2000).is_err());
    }
}
