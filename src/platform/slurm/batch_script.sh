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

# The supervisor starts the launcher, and starts it again if that ends before the job does.
{{gridmpi}} launch -n "$SLURM_NTASKS" --threads {{threads}} --grace {{grace}} --mpirun {{launcher}} \
    {{job}} --out {{out}}{{launcher_options}} &
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
