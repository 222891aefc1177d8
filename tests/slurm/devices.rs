//! Devices that Slurm hands out: files, which are counted like GPUs.

use super::*;

/// A job whose tasks note host, rank and device.
fn job_with(crunch: &str) -> String {
    format!(
        "name = \"job\"\n[crunch]\n{crunch}\n\
         shell = \"sh wait; echo $(hostname) $GRIDMPI_RANK $CUDA_VISIBLE_DEVICES >> seen; echo 1\"\n\
         [[loop]]\nname = \"x\"\nrange = {{ from = 0, to = 60 }}\nreduce = \"sum\"\n"
    )
}

/// Each task begins once four threads of workers have one: however slow a worker is, it gets a task.
const WAIT: &str = "\
mkdir -p here
touch here/$(hostname)-$GRIDMPI_RANK-$GRIDMPI_THREAD
for i in $(seq 400); do
    [ $(ls here | wc -l) -ge 4 ] && exit
    sleep 0.1
done
";

/// What the tasks have noted, each line once.
fn seen(desk: &Desk) -> Vec<String> {
    let text = std::fs::read_to_string(desk.path("seen")).unwrap_or_default();
    assert_eq!(text.lines().count(), 60, "{text}{}", log(desk));
    let mut lines: Vec<String> = text.lines().map(String::from).collect();
    lines.sort();
    lines.dedup();
    std::fs::remove_file(desk.path("seen")).unwrap();
    std::fs::remove_dir_all(desk.path("here")).unwrap();
    lines
}

#[test]
fn the_devices_of_an_allocation_are_divided_on_each_node() {
    let desk = Desk::with_job(&job_with("gpus = 1\ncores = 1\nmemory = \"20M\""));
    desk.write("wait", WAIT);
    let two = ["--nodes", "2", "--time", "2", "job.toml"];
    for (out, more, expected) in [
        // Rank 0 works too: each of two threads has a device.
        ("threads", &["--threads", "2"][..], ["gs1 0 0", "gs1 0 1", "gs2 1 0", "gs2 1 1"]),
        (
            "ranks",
            &["--ntasks-per-node", "2", "--threads", "1", "--launcher", "srun --mpi=pmix"],
            ["gs1 0 0", "gs1 1 1", "gs2 2 0", "gs2 3 1"],
        ),
    ] {
        let script = desk.run(gridmpi(), &[&["sbatch"][..], &two, more].concat()).exits(0).stdout;
        assert!(script.contains("#SBATCH --gres=gpu:2\n"), "{script}");
        assert!(script.contains("#SBATCH --mem=40M\n"), "{script}");
        let more = [&two[..], more, &["--out", out, "--", "--mem=100", "--nodelist=gs[1-2]"]];
        let job = submit(&desk, &more.concat());
        ends(&desk, &job, 60, "COMPLETED", "0:0");
        assert_eq!(seen(&desk), expected, "{out}: {}", log(&desk));
    }
}

#[test]
fn an_allocation_with_too_few_devices_is_refused() {
    let desk = Desk::with_job(&job_with("gpus = 2"));
    let few = ["--nodes", "1", "--threads", "1", "--time", "2", "job.toml"];
    let job = submit(&desk, &[&few[..], &["--", "--mem=100", "--gres=gpu:1"]].concat());
    ends(&desk, &job, 60, "FAILED", "2:0");
    let said = log(&desk);
    assert!(said.contains("gpus = 2 in [crunch], but on gs"), "{said}");
    assert!(said.contains("1 GPU (CUDA_VISIBLE_DEVICES="), "{said}");
    assert!(!desk.path("seen").exists());
}
