#!/bin/sh
# Estimates pi from darts thrown at a square: darts.sh COUNT. The seed comes from gridmpi.
echo "throwing $1 darts with seed $GRIDMPI_SEED"
awk -v count="$1" -v seed="$GRIDMPI_SEED" 'BEGIN {
    srand(seed)
    for (i = 0; i < count; i++) { x = rand(); y = rand(); hits += x * x + y * y < 1 }
    print 4 * hits / count
}'
