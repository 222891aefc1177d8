//! Describes an allocation that has lost a node, to restart ranks in it: launchers read variables that
//! were set when it had all its nodes.

use crate::platform::slurm::ask;
use crate::util::machine;

/// The remaining nodes of the allocation.
#[derive(Debug, PartialEq)]
pub(crate) struct Step {
    /// The node list in Slurm's notation: `n[1,3]`.
    pub(crate) nodes: String,
    count: u32,
    /// The number of nodes at the start.
    of: u32,
}

impl Step {
    /// The remaining nodes, if some are lost.
    pub(crate) fn left() -> Option<Step> {
        let variable = |name: &str| std::env::var(name).ok();
        let job = machine::slurm_job()?;
        let of = variable("SLURM_JOB_NUM_NODES")?;
        if of == "1" {
            return None;
        }
        Step::from(&of, &ask("squeue", &["--noheader", "--job", &job, "--format", "%D %N"])?)
    }

    fn from(of: &str, said: &str) -> Option<Step> {
        let (count, nodes) = said.trim().split_once(' ')?;
        let (count, of) = (count.parse().ok()?, of.parse().ok()?);
        let nodes = nodes.trim().to_string();
        (0 < count && count < of).then_some(Step { nodes, count, of })
    }

    /// How many of `all` ranks fit on them: as many per node as before.
    pub(crate) fn ranks(&self, all: u32) -> u32 {
        (all / self.of).max(1) * self.count
    }

    /// The variables that launchers read.
    pub(crate) fn environment(&self) -> Vec<(&'static str, String)> {
        let mut set = vec![
            ("SLURM_JOB_NODELIST", self.nodes.clone()),
            ("SLURM_NODELIST", self.nodes.clone()),
            ("SLURM_JOB_NUM_NODES", self.count.to_string()),
            ("SLURM_NNODES", self.count.to_string()),
        ];
        for name in ["SLURM_NTASKS", "SLURM_NPROCS"] {
            let all = std::env::var(name).ok().and_then(|text| text.parse().ok());
            set.extend(all.map(|all| (name, self.ranks(all).to_string())));
        }
        for name in ["SLURM_TASKS_PER_NODE", "SLURM_JOB_CPUS_PER_NODE"] {
            let each = std::env::var(name).ok();
            let each = each.and_then(|text| text.split('(').next().map(String::from));
            set.extend(each.map(|each| (name, format!("{each}(x{})", self.count))));
        }
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_are_left_where_there_are_nodes() {
        assert_eq!(Step::from("3", "3 n[1-3]\n"), None);
        assert_eq!(Step::from("3", ""), None);
        let step = Step::from("3", "2 n[1,3]\n").unwrap();
        assert_eq!((step.nodes.as_str(), step.ranks(9)), ("n[1,3]", 6));
        assert!(step.environment().contains(&("SLURM_NNODES", "2".to_string())));
    }
}
