//! What there is in a partition of the cluster, as sinfo shows it: a request for more waits for ever, or is
//! refused.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::platform::slurm::ask;
use crate::util::duration;

/// A partition.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Partition {
    pub(crate) name: String,
    nodes: u32,
    /// The cores of its smallest and of its largest node.
    pub(crate) cores: (u32, u32),
    /// The GPUs of the node with the most of them, and of all nodes.
    gpus: (u32, u32),
    /// The longest time of a job, if it is limited.
    time: Option<Duration>,
}

/// What is requested of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wish<'a> {
    pub(crate) nodes: u32,
    pub(crate) ntasks_per_node: u32,
    pub(crate) cpus_per_task: u32,
    pub(crate) time: Duration,
    /// More options for sbatch, one per line.
    pub(crate) options: &'a [String],
}

impl Partition {
    /// The partition with this name, the cluster's default if there is no name. Of several names, the one
    /// with the most nodes.
    pub(crate) fn find(name: Option<&str>) -> Option<Partition> {
        let of: Vec<&str> = name.map_or(vec![], |name| vec!["--partition", name]);
        let format = ["--noheader", "--format", "%P|%D|%c|%G|%l"];
        Partition::from(&ask("sinfo", &[&format[..], &of].concat())?, name.is_some())
    }

    fn from(said: &str, is_named: bool) -> Option<Partition> {
        let mut found: BTreeMap<&str, Partition> = BTreeMap::new();
        for line in said.lines() {
            let [name, nodes, cores, gres, time] = line.trim().split('|').collect::<Vec<_>>()[..]
            else {
                continue;
            };
            let Some(name) = name.strip_suffix('*').or(is_named.then_some(name)) else { continue };
            let number = |text: &str| text.trim_end_matches('+').parse::<u32>().ok();
            let (nodes, cores, gpus) = (number(nodes)?, number(cores)?, gpus(gres));
            let all = found.entry(name).or_insert_with(|| Partition {
                name: name.to_string(),
                cores: (cores, cores),
                time: duration::parse(time),
                ..Partition::default()
            });
            all.nodes += nodes;
            all.cores = (all.cores.0.min(cores), all.cores.1.max(cores));
            all.gpus = (all.gpus.0.max(gpus), all.gpus.1 + gpus * nodes);
        }
        found.into_values().max_by_key(|partition| partition.nodes)
    }

    /// The GPUs of the node with the most of them.
    pub(crate) fn gpus_of_node(&self) -> u32 {
        self.gpus.0
    }

    /// What is requested beyond what there is, a sentence for each thing.
    pub(crate) fn exceeded(&self, wish: &Wish) -> Vec<String> {
        let Wish { nodes, ntasks_per_node, cpus_per_task, time, options } = *wish;
        let mut beyond = Vec::new();
        let mut more = |wanted: u64, what: &str, of: &str, there: u32, place: &str| {
            if wanted > u64::from(there) {
                let (plural, name) = (if there == 1 { "" } else { "s" }, &self.name);
                beyond.push(format!(
                    "{wanted} {what}s{of}: partition {name} has {there} {what}{plural}{place}; such a job is refused, or waits for ever"
                ));
            }
        };
        more(nodes.into(), "node", "", self.nodes, "");
        let ranks = u64::from(ntasks_per_node);
        let each = number(options, &["--cpus-per-task", "-c"]).unwrap_or(cpus_per_task.into());
        let of = match ranks {
            1 => " of each node".to_string(),
            ranks => format!(" of each node, for {ranks} ranks"),
        };
        more(ranks * each, "core", &of, self.cores.1, " on its largest node");
        let per_node = |names: &[&str], times: u64| number(options, names).map(|n| n * times);
        let of_node = per_node(&["--gpus-per-node"], 1).or(per_node(&["--gpus-per-task"], ranks));
        let of_node = of_node.or(value(options, &["--gres"]).map(|gres| gpus(&gres).into()));
        more(of_node.unwrap_or(0), "GPU", " of each node", self.gpus.0, " on any node");
        let of_all = number(options, &["--gpus", "-G"]);
        more(of_all.unwrap_or(0), "GPU", "", self.gpus.1, "");
        if let Some(limit) = self.time.filter(|limit| time > *limit) {
            let (time, limit) = (duration::in_words(time), duration::in_words(limit));
            beyond.push(format!(
                "{time}: partition {} allows {limit}; ask for less, since the job goes on over many allocations",
                self.name
            ));
        }
        beyond
    }
}

/// The GPUs in Slurm's notation of a node's resources: `gpu:a100:4(S:0-1),shard:8`.
fn gpus(gres: &str) -> u32 {
    let each = gres.split(',').filter_map(|one| one.strip_prefix("gpu"));
    each.map(|one| {
        let one = one.split('(').next().unwrap_or_default();
        one.rsplit(':').next().unwrap_or_default().parse().unwrap_or(1)
    })
    .sum()
}

/// Whether one of these options is among those of the user's.
pub(crate) fn asks_for(options: &[String], names: &[&str]) -> bool {
    value(options, names).is_some()
}

/// The last value of an option with one of these names.
fn value(options: &[String], names: &[&str]) -> Option<String> {
    let of = |line: &String| {
        names.iter().find_map(|name| {
            let rest = line.strip_prefix(name)?;
            let is_long = name.starts_with("--");
            let value = rest.strip_prefix(['=', ' ']).or((!is_long).then_some(rest))?;
            Some(value.trim_matches('"').to_string())
        })
    };
    options.iter().filter_map(of).next_back()
}

/// The same as a number, behind a type if there is one: `a100:2`.
fn number(options: &[String], names: &[&str]) -> Option<u64> {
    value(options, names)?.rsplit(':').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &str = "main*|3|4|(null)|infinite\nmain*|1|16|gpu:a100:4(S:0-1)|infinite\n\
                        short|2|8+|gpu:2,shard:8|2:00:00\n";

    #[test]
    fn partitions_are_read() {
        let main = Partition::from(SAID, false).unwrap();
        assert_eq!((main.name.as_str(), main.nodes, main.time), ("main", 4, None));
        assert_eq!((main.cores, main.gpus), ((4, 16), (4, 4)));
        let short = Partition::from(SAID.lines().last().unwrap(), true).unwrap();
        assert_eq!((short.cores, short.gpus), ((8, 8), (2, 4)));
        assert_eq!(short.time, Some(Duration::from_secs(7200)));
        assert_eq!(Partition::from("short|2|8|(null)|infinite", false), None, "no default");
        assert_eq!(Partition::from("", true), None);
    }

    #[test]
    fn what_is_beyond_a_partition_is_named_with_what_there_is() {
        let main = Partition::from(SAID, false).unwrap();
        let short = Partition::from(SAID.lines().last().unwrap(), true).unwrap();
        let of = |partition: &Partition, (nodes, ranks, cores): (u32, u32, u32), more: &[&str]| {
            let options: Vec<String> = more.iter().map(ToString::to_string).collect();
            let (ntasks_per_node, cpus_per_task) = (ranks, cores);
            let time = Duration::from_secs(10_000);
            let wish = Wish { nodes, ntasks_per_node, cpus_per_task, time, options: &options };
            partition.exceeded(&wish).join("\n")
        };
        assert_eq!(of(&main, (4, 2, 8), &["--gpus-per-node=a100:4", "--gpus 4", "-c 8"]), "");
        for (shape, more, says) in [
            ((5, 1, 1), &[][..], "5 nodes: partition main has 4 nodes; "),
            ((1, 2, 9), &[], "18 cores of each node, for 2 ranks: partition main has 16 cores on"),
            ((1, 1, 1), &["--cpus-per-task=17"], "17 cores of each node: "),
            (
                (1, 1, 1),
                &["--gres=gpu:a100:5"],
                "5 GPUs of each node: partition main has 4 GPUs on any",
            ),
            ((1, 2, 1), &["--gpus-per-task 3"], "6 GPUs of each node: "),
            ((1, 1, 1), &["-G8"], "8 GPUs: partition main has 4 GPUs; "),
        ] {
            let said = of(&main, shape, more);
            assert!(said.starts_with(says) && said.lines().count() == 1, "{says}: {said}");
        }
        let said = of(&short, (1, 1, 1), &[]);
        assert!(said.starts_with("2 h 46 min: partition short allows 2 h; "), "{said}");
        let none = Partition::from("main*|3|4|(null)|infinite", false).unwrap();
        let said = of(&none, (1, 1, 1), &["--gres=gpu"]);
        assert!(
            said.starts_with("1 GPUs of each node: partition main has 0 GPUs on any"),
            "{said}"
        );
    }
}
