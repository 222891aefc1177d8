//! What one task needs of its host: devices, cores, memory. It changes no result.

use serde::{Deserialize, Serialize};

/// What one task needs. Nothing is said of what is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Needs {
    /// GPUs: a whole number, or the share of one that several tasks use at a time.
    pub(crate) gpus: Option<f64>,
    pub(crate) cores: Option<u32>,
    /// Bytes.
    pub(crate) memory: Option<u64>,
}

/// How a task uses devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DeviceUse {
    /// So many, which no other task uses.
    Whole(u32),
    /// One, which up to so many tasks use at a time.
    Shared(u32),
}

const KIB: u64 = 1 << 10;
const UNITS: [(char, u64); 4] =
    [('K', KIB), ('M', KIB.pow(2)), ('G', KIB.pow(3)), ('T', KIB.pow(4))];

impl Needs {
    /// Whether anything is needed.
    pub(crate) fn is_any(&self) -> bool {
        *self != Needs::default()
    }

    /// Whether a program's numbers make sense.
    pub(crate) fn check(&self) -> Result<(), String> {
        self.gpus.map_or(Ok(1.0), check_gpus).map_err(|why| format!("gpus: {why}"))?;
        match (self.cores, self.memory) {
            (Some(0), _) => Err("cores: expected at least 1, found 0".to_string()),
            (_, Some(0)) => Err("memory: expected at least 1 byte, found 0".to_string()),
            _ => Ok(()),
        }
    }

    pub(crate) fn device_use(&self) -> Option<DeviceUse> {
        Some(match self.gpus? {
            // The tolerance makes three tasks of 1/3 written as 0.3333334.
            part if part < 1.0 => DeviceUse::Shared((1.0 / part + 1e-6).floor() as u32),
            whole => DeviceUse::Whole(whole as u32),
        })
    }

    /// As in a job file: `gpus = 1, memory = 8 GiB`.
    pub(crate) fn in_words(&self) -> String {
        let gpus = self.gpus.map(|gpus| format!("gpus = {gpus}"));
        let cores = self.cores.map(|cores| format!("cores = {cores}"));
        let memory = self.memory.map(|bytes| format!("memory = \"{}\"", size_text(bytes)));
        gpus.into_iter().chain(cores).chain(memory).collect::<Vec<_>>().join(", ")
    }
}

/// Whether a number of GPUs can be divided: a part of one, or whole ones.
pub(crate) fn check_gpus(gpus: f64) -> Result<f64, String> {
    let is_part = (0.001..1.0).contains(&gpus);
    let is_whole = (1.0..=1024.0).contains(&gpus) && gpus.fract() == 0.0;
    if is_part || is_whole {
        return Ok(gpus);
    }
    Err(format!("expected whole GPUs (1, 2, ...) or a part of one (0.5), found {gpus}"))
}

/// The bytes of a size such as `8G` or `512 MiB`; units are powers of 1024, as Slurm's are.
#[cfg(any(feature = "jobs", test))]
pub(crate) fn parse_size(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = (text[..digits].parse::<f64>().ok()?, text[digits..].trim_start());
    let mut letters = unit.chars();
    let letter = letters.next()?.to_ascii_uppercase();
    let (_, bytes) = UNITS.into_iter().find(|(known, _)| *known == letter)?;
    if !matches!(letters.as_str(), "" | "B" | "iB" | "b" | "ib") {
        return None;
    }
    let size = number * bytes as f64;
    (1.0..9e18).contains(&size).then_some(size as u64)
}

/// A size as [`parse_size`] reads it, in the largest unit that it has one of, to a hundredth.
pub(crate) fn size_text(bytes: u64) -> String {
    let unit = UNITS.into_iter().rev().find(|(_, unit)| bytes >= *unit);
    let (letter, unit) = unit.unwrap_or(UNITS[0]);
    let number = (bytes as f64 / unit as f64 * 100.0).round() / 100.0;
    format!("{number}{letter}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        for (text, bytes) in [
            ("8G", Some(8 << 30)),
            ("512 MiB", Some(512 << 20)),
            ("1.5g", Some(3 << 29)),
            ("100KB", Some(100 << 10)),
            ("8", None),
            ("G", None),
            ("8X", None),
            ("8Gs", None),
            ("0M", None),
            ("1.2.3G", None),
        ] {
            assert_eq!(parse_size(text), bytes, "{text}");
        }
        assert_eq!(size_text(8 << 30), "8G");
        assert_eq!(size_text(3 << 29), "1.5G");
        assert_eq!(size_text(100), "0.1K");
    }

    #[test]
    fn a_part_of_a_device_is_shared() {
        let needs = |gpus| Needs { gpus: Some(gpus), ..Needs::default() }.device_use();
        assert_eq!(needs(0.5), Some(DeviceUse::Shared(2)));
        assert_eq!(needs(0.3333334), Some(DeviceUse::Shared(3)));
        assert_eq!(needs(0.4), Some(DeviceUse::Shared(2)));
        assert_eq!(needs(0.9), Some(DeviceUse::Shared(1)));
        assert_eq!(needs(2.0), Some(DeviceUse::Whole(2)));
        assert!(check_gpus(1.5).is_err() && check_gpus(0.0).is_err() && check_gpus(-1.0).is_err());
    }
}
