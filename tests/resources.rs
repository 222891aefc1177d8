//! What tasks need of their hosts: devices, cores and memory are divided among the workers, and each child is told its
//! part. The devices are declared by the variables of their vendors.

mod common;
#[path = "common/ranks.rs"]
mod ranks;

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::time::Duration;

use common::{Desk, Ran, gridmpi, mpirun, mpirun_of};
use gridmpi::{Nest, Runs};

const TASKS: usize = 24;

/// A job of tasks that note their rank and some variables in the file `seen`, each once as many threads of workers are at
/// it as the file `threads` says.
fn job(crunch: &str) -> Desk {
    let desk = Desk::with_job(&format!(
        "name = \"job\"\n[crunch]\n{crunch}\n\
         shell = \"sh wait && sh note {{x}} >> seen && echo 1\"\n\
         [[loop]]\nname = \"x\"\nrange = {{ from = 0, to = {TASKS} }}\nreduce = \"sum\"\n"
    ));
    desk.write("wait", WAIT);
    desk.write("threads", "1");
    desk
}

/// However slow a worker is to begin, it gets a task. A minute is enough for any.
const WAIT: &str = "\
mkdir -p here
touch here/$GRIDMPI_RANK-$GRIDMPI_THREAD
for i in $(seq 600); do
    [ $(ls here | wc -l) -ge $(cat threads) ] && exit
    sleep 0.1
done
exit 1
";

/// The same, whose tasks note these variables.
fn noting(crunch: &str, variables: &[&str]) -> Desk {
    let desk = job(crunch);
    let each: Vec<String> = variables.iter().map(|name| format!("${{{name}-unset}}")).collect();
    desk.write("note", &format!("echo \"$GRIDMPI_RANK {}\"\n", each.join(" ")));
    desk
}

/// Runs a job without variables of devices but these.
fn run(desk: &Desk, mut command: Command, variables: &[(&str, &str)], more: &[&str]) -> Ran {
    for name in ["CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES"] {
        command.env_remove(name);
    }
    for name in ["ZE_AFFINITY_MASK", "CUDA_DEVICE_ORDER", "OPENBLAS_NUM_THREADS"] {
        command.env_remove(name);
    }
    command.envs(variables.iter().copied());
    desk.run(command, &[&["job.toml", "--out", "out"], more].concat())
}

/// What the tasks of each rank have noted.
fn seen(desk: &Desk) -> BTreeMap<usize, BTreeSet<String>> {
    let text = std::fs::read_to_string(desk.path("seen")).unwrap();
    std::fs::remove_file(desk.path("seen")).unwrap();
    let _ = std::fs::remove_dir_all(desk.path("here"));
    assert_eq!(text.lines().count(), TASKS, "{text}");
    let mut seen: BTreeMap<usize, BTreeSet<String>> = BTreeMap::new();
    for line in text.lines() {
        let (rank, noted) = line.split_once(' ').unwrap();
        seen.entry(rank.parse().unwrap()).or_default().insert(noted.to_string());
    }
    seen
}

fn only(noted: &[(usize, &str)]) -> BTreeMap<usize, BTreeSet<String>> {
    let mut all: BTreeMap<usize, BTreeSet<String>> = BTreeMap::new();
    for (rank, noted) in noted {
        all.entry(*rank).or_default().insert(noted.to_string());
    }
    all
}

const DEVICES: [&str; 4] =
    ["CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES"];

#[test]
fn devices_that_all_ranks_see_are_divided_among_the_workers() {
    let desk = noting("gpus = 1", &DEVICES);
    desk.write("threads", "2");
    let declared = [("CUDA_VISIBLE_DEVICES", "3,5"), ("HIP_VISIBLE_DEVICES", "0")];
    let ran = run(&desk, mpirun(4), &declared, &[]).exits(0);
    let expected = [(1, "3 PCI_BUS_ID unset unset"), (2, "5 PCI_BUS_ID unset unset")];
    assert_eq!(seen(&desk), only(&expected));
    assert!(ran.stderr.contains("1 worker stays idle"), "{}", ran.stderr);
    assert!(ran.stderr.contains("(gpus = 1): rank 3 on "), "{}", ran.stderr);
    // What tasks need is no part of what they compute.
    let stored = desk.sql("SELECT count(*), sum(score) FROM runs");
    assert_eq!(stored, [format!("{TASKS}|{TASKS}.0")]);
    let text = std::fs::read_to_string(desk.path("job.toml")).unwrap();
    desk.write("job.toml", &text.replace("gpus = 1", "gpus = 0.5\ncores = 1\nmemory = \"1M\""));
    run(&desk, gridmpi(), &declared, &["--threads", "2"]).exits(0);
    assert!(!desk.path("seen").exists(), "nothing is computed again");
}

#[test]
fn a_device_that_one_rank_sees_alone_is_its_own() {
    let desk = noting("gpus = 1", &["CUDA_VISIBLE_DEVICES"]);
    desk.write("threads", "2");
    let program = gridmpi().get_program().to_str().unwrap().to_string();
    let mut more = Vec::new();
    for device in ["GPU-b", "GPU-a", "GPU-a"] {
        let variable = format!("CUDA_VISIBLE_DEVICES={device}");
        let rank = [":", "-n", "1", "env", &variable, &program, "job.toml", "--out", "out"];
        more.extend(rank.map(String::from));
    }
    let more: Vec<&str> = more.iter().map(String::as_str).collect();
    let ran = run(&desk, mpirun(1), &[], &more).exits(0);
    assert_eq!(seen(&desk), only(&[(1, "GPU-b"), (2, "GPU-a")]));
    assert!(ran.stderr.contains("rank 3 on "), "{}", ran.stderr);
}

#[test]
fn rank_0_has_a_share_where_it_works_and_none_where_it_does_not() {
    let desk = noting("gpus = 1", &["CUDA_VISIBLE_DEVICES"]);
    desk.write("threads", "2");
    let declared = [("CUDA_VISIBLE_DEVICES", "MIG-x,GPU-y")];
    run(&desk, mpirun(2), &declared, &["--master-works"]).exits(0);
    assert_eq!(seen(&desk), only(&[(0, "MIG-x"), (1, "GPU-y")]));
    run(&desk, mpirun(2), &declared, &["--threads", "8", "--fresh"]).exits(0);
    assert_eq!(seen(&desk), only(&[(1, "MIG-x"), (1, "GPU-y")]), "two tasks at a time");
}

#[test]
fn threads_of_one_process_share_a_device_by_halves() {
    let desk = noting("gpus = 0.5", &["ROCR_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES"]);
    desk.write("threads", "2");
    let declared = [("ROCR_VISIBLE_DEVICES", "4,6"), ("HIP_VISIBLE_DEVICES", "1")];
    let ran = run(&desk, gridmpi(), &declared, &["--threads", "5"]).exits(0);
    // HIP's number counts within ROCr's.
    assert_eq!(seen(&desk), only(&[(1, "6 unset"), (2, "6 unset")]));
    assert!(ran.stderr.contains("3 workers stay idle"), "{}", ran.stderr);
    assert!(ran.stderr.contains("ranks 3-5 on "), "{}", ran.stderr);
}

#[test]
fn a_host_that_has_too_little_is_refused_before_anything_runs() {
    let cases = [
        ("gpus = 1", "gpus = 1 in [crunch], but on ", "0 GPUs (CUDA_VISIBLE_DEVICES is empty)"),
        ("cores = 4000", "cores = 4000 in [crunch], but on ", " core"),
        ("memory = \"900T\"", "memory = \"900T\" in [crunch], but on ", " of memory"),
    ];
    for (crunch, wanted, found) in cases {
        let desk = noting(crunch, &[]);
        for command in [mpirun(3), gridmpi()] {
            let declared = [("CUDA_VISIBLE_DEVICES", "")];
            let ran = run(&desk, command, &declared, &["--threads", "2", "--fresh"]).exits(2);
            assert!(ran.stderr.contains("ranks 1-2 see "), "{}", ran.stderr);
            assert!(ran.stderr.contains(wanted), "{wanted}: {}", ran.stderr);
            assert!(ran.stderr.contains(found), "{found}: {}", ran.stderr);
            assert!(!desk.path("seen").exists(), "nothing runs");
        }
    }
}

#[test]
fn each_host_is_divided_for_itself() {
    // Hosts are UTS namespaces: all that rank 0 goes by is their names.
    let can = Command::new("unshare").args(["--uts", "hostname", "gm-probe"]).status();
    if !can.is_ok_and(|status| status.success()) {
        eprintln!("SKIPPED: no other host names here, which takes root");
        return;
    }
    let desk = noting("gpus = 1", &["CUDA_VISIBLE_DEVICES"]);
    let program = gridmpi().get_program().to_str().unwrap().to_string();
    desk.write("threads", "2");
    let host = "case $OMPI_COMM_WORLD_RANK in [12]) hostname gma;; [34]) hostname gmb;; esac";
    desk.script("rank", &format!("#!/bin/sh\n{host}\n. ./devices\nexec {program} \"$@\"\n"));
    let start = |more: &[&str]| {
        let mut command = mpirun_of(5, "unshare".as_ref());
        let all = ["--uts", "./rank", "job.toml", "--out", "out"];
        command.env_remove("CUDA_VISIBLE_DEVICES");
        desk.run(command, &[&all[..], more].concat())
    };
    desk.write("devices", "export CUDA_VISIBLE_DEVICES=0");
    let ran = start(&[]).exits(0);
    assert_eq!(seen(&desk), only(&[(1, "0"), (3, "0")]), "{}", ran.stderr);
    assert!(ran.stderr.contains("2 workers stay idle"), "{}", ran.stderr);
    assert!(ran.stderr.contains("ranks 2 on gma, 4 on gmb"), "{}", ran.stderr);
    // One that lacks what tasks need ends the job, and is named; that of rank 0 has no worker.
    let lacks = "case $OMPI_COMM_WORLD_RANK in [12]) export CUDA_VISIBLE_DEVICES=0;; *) export CUDA_VISIBLE_DEVICES=;; esac";
    desk.write("devices", lacks);
    let ran = start(&["--fresh"]).exits(2);
    assert!(ran.stderr.contains("on gmb ranks 3-4 see 0 GPUs"), "{}", ran.stderr);
    assert!(!desk.path("seen").exists());
}

#[test]
fn children_know_their_cores_and_memory() {
    let variables = ["OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS", "GRIDMPI_MEMORY"];
    let own = [("OMP_NUM_THREADS", "7")];
    let desk = noting("cores = 1\nmemory = \"512M\"", &variables);
    run(&desk, gridmpi(), &own, &["--threads", "1"]).exits(0);
    assert_eq!(seen(&desk), only(&[(1, "1 1 1 512")]), "the job's cores count");
    let desk = noting("memory = \"512M\"", &variables);
    run(&desk, gridmpi(), &own, &["--threads", "1"]).exits(0);
    assert_eq!(seen(&desk), only(&[(1, "7 unset unset 512")]), "the user's variable stays");
    let desk = noting("", &["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"]);
    let cores = std::thread::available_parallelism().unwrap();
    run(&desk, gridmpi(), &[], &["--threads", "1"]).exits(0);
    assert_eq!(seen(&desk), only(&[(1, &format!("{cores} {cores} {cores}"))]));
}

#[test]
fn a_worker_is_held_to_its_own_cores() {
    let cores = usize::from(std::thread::available_parallelism().unwrap());
    if cores < 2 {
        eprintln!("SKIPPED: one core cannot be divided");
        return;
    }
    let desk = job("cores = 1");
    desk.write("threads", "2");
    let cpus = "sed -n 's/^Cpus_allowed_list:[^0-9]*//p' /proc/self/status";
    desk.write("note", &format!("echo $GRIDMPI_RANK $({cpus})\n"));
    // A job that has its whole node by Slurm.
    let count = cores.to_string();
    let end = "4102444800";
    let slurm =
        [("SLURM_JOB_ID", "1"), ("SLURM_CPUS_ON_NODE", &*count), ("SLURM_JOB_END_TIME", end)];
    run(&desk, gridmpi(), &slurm, &["--threads", "2"]).exits(0);
    let seen_by_both: Vec<String> = seen(&desk).into_values().flatten().collect();
    assert_eq!(seen_by_both.len(), 2, "each is held to one CPU: {seen_by_both:?}");
    // Otherwise other jobs may use them: nobody is held to any.
    run(&desk, gridmpi(), &[], &["--threads", "2", "--fresh"]).exits(0);
    let seen: BTreeSet<String> = seen(&desk).into_values().flatten().collect();
    assert_eq!(seen.len(), 1, "{seen:?}");
}

#[test]
fn a_python_process_has_the_devices_of_its_thread() {
    let desk = Desk::new();
    desk.write(
        "fit.py",
        "import os, time\nAT_IMPORT = os.environ[\"CUDA_VISIBLE_DEVICES\"]\n\n\
         def f(x):\n    os.makedirs(\"here\", exist_ok=True)\n    open(f\"here/{AT_IMPORT}\", \"w\").close()\n    \
         end = time.time() + 60\n    while len(os.listdir(\"here\")) < 2 and time.time() < end:\n        time.sleep(0.05)\n    \
         return {\"score\": 1, \"gpu\": AT_IMPORT}\n",
    );
    desk.write(
        "job.toml",
        "name = \"job\"\n[crunch]\npython = \"fit.py:f\"\ngpus = 1\n\
         [[loop]]\nname = \"x\"\nrange = { from = 0, to = 24 }\nreduce = \"sum\"\n",
    );
    for (command, more) in [
        (gridmpi(), &["--threads", "2"][..]),
        (mpirun(2), &["--threads", "2"]),
        (mpirun(2), &["--master-works"]),
    ] {
        let declared = [("CUDA_VISIBLE_DEVICES", "GPU-a,GPU-b")];
        run(&desk, command, &declared, &[more, &["--fresh"]].concat()).exits(0);
        std::fs::remove_dir_all(desk.path("here")).unwrap();
        let gpus = desk.sql(
            "SELECT DISTINCT rank, thread, json_extract(value, '$.gpu') FROM all_runs ORDER BY 3",
        );
        assert_eq!(gpus.len(), 2, "{more:?}: each thread has one: {gpus:?}");
        assert!(gpus[0].ends_with("|GPU-a") && gpus[1].ends_with("|GPU-b"), "{more:?}: {gpus:?}");
    }
}

#[test]
fn a_study_reads_its_devices() {
    const ISOLATED: &str = "GRIDMPI_TEST_ISOLATED";
    if !ranks::is_rank() {
        for isolated in ["", "yes"] {
            let mut command = mpirun_of(3, &std::env::current_exe().unwrap());
            command.env("CUDA_VISIBLE_DEVICES", "GPU-a,GPU-b");
            command.env(ranks::RANK, "1").env(ISOLATED, isolated);
            let ran = ranks::start(command, "a_study_reads_its_devices").exits(0);
            assert_eq!(ranks::said(&ran), "0 failed", "isolated: {isolated}");
        }
        return;
    }
    let study = Nest::new()
        .each("a", 0..4u32)
        .each("b", 0..10u32)
        .crunch(|_, context| {
            std::thread::sleep(Duration::from_millis(20));
            let own = ["GPU-a", "GPU-b"][context.rank() - 1];
            match context.gpus() {
                [gpu] if gpu == own && context.cores() == 1 => Ok(1.0),
                other => Err(format!("{other:?}, not {own}, and {} cores", context.cores()).into()),
            }
        })
        .reduce(|runs: &Runs<f64>| runs.iter().map(|(_, run)| run).sum::<f64>())
        .require(0.1)
        .gpus(1.0)
        .cores(1);
    let study = if std::env::var(ISOLATED).unwrap() == "yes" { study.isolate() } else { study };
    ranks::play(study, |outcome| format!("{} failed", outcome.failed()));
}

#[test]
fn needs_that_no_host_can_have_are_refused() {
    for (crunch, says) in [
        (
            "gpus = 1.5",
            "crunch.gpus: expected whole GPUs (1, 2, ...) or a part of one (0.5), found 1.5",
        ),
        ("gpus = 0", "crunch.gpus: expected whole GPUs"),
        ("gpus = \"all\"", "crunch.gpus: expected a number, found the string"),
        ("cores = 0", "crunch.cores: expected at least 1, found 0"),
        ("cores = 0.5", "crunch.cores: expected a whole number, found 0.5"),
        ("memory = 8", "crunch.memory: expected a size with a unit, such as \"8G\""),
        (
            "memory = \"8 apples\"",
            "crunch.memory: expected a size such as \"8G\" or \"500M\", found",
        ),
        ("memoy = \"8G\"", "did you mean 'memory'?"),
    ] {
        let ran = run(&job(crunch), gridmpi(), &[], &[]).exits(2);
        assert!(ran.stderr.contains(says), "{says}: {}", ran.stderr);
    }
}

#[test]
fn a_command_is_told_its_devices_and_cores() {
    let job = |crunch: &str| {
        format!(
            "name = \"job\"\n[crunch]\n{crunch}\n\
             command = [\"sh\", \"-c\", \"echo 1 $1 $2 >> seen; echo 1\", \"sh\", \"{{gridmpi.gpus}}\", \"{{gridmpi.cores}}\"]\n\
             [[loop]]\nname = \"x\"\nrange = {{ from = 0, to = {TASKS} }}\nreduce = \"sum\"\n"
        )
    };
    let desk = Desk::with_job(&job("gpus = 2\ncores = 1"));
    let declared = [("CUDA_VISIBLE_DEVICES", "GPU-a,GPU-b,GPU-c")];
    run(&desk, gridmpi(), &declared, &["--threads", "2"]).exits(0);
    assert_eq!(seen(&desk), only(&[(1, "GPU-a,GPU-b 1")]));
    let said = desk.says(&["explain", "out", "0"]);
    assert!(said.contains(" sh 0,1 "), "by hand, the first two: {said}");
    let none = Desk::with_job(&job("cores = 1"));
    let ran = run(&none, gridmpi(), &declared, &[]).exits(2);
    assert!(ran.stderr.contains("no task has a GPU of its own here"), "{}", ran.stderr);
}

#[test]
fn a_batch_script_asks_for_what_tasks_need() {
    let desk = job("gpus = 0.5\ncores = 3\nmemory = \"2G\"");
    let script = |more: &[&str]| {
        let base = ["sbatch", "job.toml", "--nodes", "2", "--time", "5"];
        desk.run(gridmpi(), &[&base[..], more].concat()).exits(0).stdout
    };
    let said = script(&["--threads", "3"]);
    for line in ["--cpus-per-task=9", "--gres=gpu:2", "--mem=6144M"] {
        assert!(said.contains(&format!("#SBATCH {line}\n")), "{line}: {said}");
    }
    assert!(said.contains("--threads 3 --master-works "), "{said}");
    // No device is bought for a rank that only hands out tasks: with one thread, rank 0 works too.
    let said = script(&["--threads", "1", "--", "--gpus-per-node=h200:1"]);
    assert!(said.contains("--threads 1 --master-works "), "{said}");
    assert!(!said.contains("--gres"), "what the user asks for stays: {said}");
}
