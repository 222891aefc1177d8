#!/bin/bash{{login}}
{{about}}{{options}}# All starts of the job write to one log; a node that dies does not end it; it may be
# started again; and Slurm says before the limit that it is near.
#SBATCH --open-mode=append
#SBATCH --no-kill
#SBATCH --requeue
#SBATCH --signal=B:USR1@{{warning}}
{{more_options}}
{{setup}}{{array}}# In an array, SLURM_JOB_ID may be the number of the whole array.
job=${SLURM_ARRAY_JOB_ID:+${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID}
job=${job:-$SLURM_JOB_ID}

# What is done is stored; the same job goes on with the rest.
requeue() {
    if [ "${SLURM_RESTART_COUNT:-0}" -ge {{requeues}} ]; then
        echo "requeued {{requeues}} times: submit this script again to go on" >&2
        return 1
    fi
    scontrol requeue "$1" || { echo "requeue is refused here: submit this script again to go on" >&2; return 1; }
}

# With --no-kill, Slurm keeps a job that loses a node. But if that is the first node, where this script and
# rank 0 run, nothing goes on. So a step on another node asks Slurm, and then has the job requeued.
watch_first_node() {
    while sleep 20; do
        nodes=$(squeue --noheader --job "$1" --format %N) && nodes=$(scontrol show hostnames "$nodes") || continue
        if [ -n "$nodes" ] && ! grep -qxF "$2" <<<"$nodes"; then
            echo "node $2 has died, and rank 0 with it: the job is requeued"
            requeue "$1" || scancel "$1"
            return
        fi
    done >>"$3" 2>&1
}
# The step itself may be on a node that dies.
keep_watch() {
    for _ in 1 2 3; do
        srun --overlap --relative=1 --nodes=1 --ntasks=1 --ntasks-per-node=1 --cpus-per-task=1 --mpi=none --export=ALL \
            --input=none --output=none bash -c "$(declare -f requeue watch_first_node); watch_first_node \"\$@\"" \
            watch_first_node "$job" "$SLURMD_NODENAME" "$(readlink /proc/$$/fd/1)" 2>/dev/null
        sleep 30
    done
    echo "no step of the job can watch its first node: if that dies, cancel the job and submit it again" >&2
}
[ "${SLURM_JOB_NUM_NODES:-1}" = 1 ] || keep_watch &

# The supervisor starts the launcher, and starts it again if that ends before the job does.
{{gridmpi}} launch -n "$SLURM_NTASKS" --threads {{threads}} --grace {{grace}} --mpirun {{launcher}} \
    {{job}} --out {{out}}{{part}}{{launcher_options}} &
gridmpi=$!

# Slurm's warning goes to gridmpi, which needs it only if it does not know when the allocation ends. A job
# that scancel ends is not requeued. To end it softly: scancel --batch --signal=USR2 JOB
cancelled=
trap 'kill -USR1 "$gridmpi"' USR1
trap 'kill -USR2 "$gridmpi"; cancelled=yes' USR2
trap 'cancelled=yes' TERM
while kill -0 "$gridmpi" 2>/dev/null; do wait "$gridmpi"; done # a signal interrupts a wait
wait "$gridmpi"
status=$?

# 75: there was no time left.
if [ "$status" = 75 ] && [ -z "$cancelled" ]; then requeue "$job"; fi
exit "$status"
