//! How much memory runs have taken, and what the job file should say of it.

use serde_json::{Value as Json, json};

use crate::job::Job;
use crate::model::size_text;
use crate::report::text::words::{count, things};
use crate::store::StoreReader;
use crate::util::error::Result;
use crate::util::usage::MIB;

/// Up to so many MiB, a proposal is a multiple of so many.
const STEPS: [(u64, u64); 3] = [(1 << 10, 64), (16 << 10, 256), (u64::MAX, 1 << 10)];

pub(super) struct MemoryOutlook {
    /// The largest peak, in MiB.
    peak: u64,
    /// Of how many runs one is known.
    runs: u64,
    /// What the job says, in bytes.
    said: Option<u64>,
}

impl MemoryOutlook {
    /// Nothing if no peak is known.
    pub(super) fn of(job: &Job, reader: Option<&StoreReader>) -> Result<Option<MemoryOutlook>> {
        let Some(reader) = reader else { return Ok(None) };
        let most = reader.most_memory()?;
        let said = job.policy.needs.memory;
        Ok(most.map(|(peak, runs)| MemoryOutlook { peak, runs, said }))
    }

    /// Whether the job says less than runs have taken.
    pub(super) fn is_short(&self) -> bool {
        self.said.is_some_and(|said| said < self.peak * MIB)
    }

    /// The largest peak and a quarter, rounded up, in bytes.
    fn proposed(&self) -> u64 {
        let wanted = self.peak + self.peak.div_ceil(4);
        let step = STEPS.into_iter().find(|(most, _)| wanted <= *most).map_or(1, |(_, step)| step);
        wanted.next_multiple_of(step) * MIB
    }

    pub(super) fn text(&self) -> String {
        let (runs, peak) = (things(self.runs, "recorded run"), count(self.peak));
        let of = match self.said {
            Some(said) => format!(" of memory = \"{}\"", size_text(said)),
            None => String::new(),
        };
        let more = match self.said {
            Some(_) if !self.is_short() => ".".to_string(),
            said => format!(
                "{} memory = \"{}\" in [crunch] has a quarter to spare.",
                if said.is_some() { ", which is more;" } else { ";" },
                size_text(self.proposed())
            ),
        };
        format!("Memory: {runs} with a known peak took up to {peak} MiB{of}{more}")
    }

    pub(super) fn json(&self) -> Json {
        json!({
            "peak_mib": self.peak,
            "runs": self.runs,
            "proposed": size_text(self.proposed()),
            "said": self.said.map(size_text),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proposal_has_a_quarter_to_spare() {
        for (peak, proposed) in [
            (1, "64M"),
            (51, "64M"),
            (52, "128M"),
            (210, "320M"),
            (819, "1G"),
            (820, "1.25G"),
            (7900, "9.75G"),
            (100 << 10, "125G"),
        ] {
            let outlook = MemoryOutlook { peak, runs: 1, said: None };
            assert_eq!(size_text(outlook.proposed()), proposed, "{peak}");
            assert!(outlook.proposed() >= peak * MIB * 5 / 4 && !outlook.is_short());
        }
        let outlook = |said: u64| MemoryOutlook { peak: 100, runs: 2, said: Some(said * MIB) };
        assert!(outlook(99).is_short() && !outlook(100).is_short());
    }
}
