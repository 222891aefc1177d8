#!/bin/sh
# fit.sh DATA ALPHA FOLD: prints a record; one combination fails.
read n < "$1"
if [ "$2$3" = 31 ]; then
    echo "no fit" >&2
    exit 1
fi
ratio=$n
[ "$3" = 0 ] && ratio=Infinity
echo "{\"score\": $((n * $2 + $3)), \"ratio\": $ratio, \"name\": \"$2-$3\"}"
