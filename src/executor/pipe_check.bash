set -T
gridmpi_shell=
gridmpi_check() {
    while [ $# -gt 1 ]; do
        case $1 in
        0 | 141) shift ;;
        *)
            echo "gridmpi: a program in front of a pipe failed: exit status $1" >&2
            [ "$BASHPID" = $$ ] || kill -USR1 $$
            exit "$1"
            ;;
        esac
    done
}
trap 'exit 1' USR1
trap 'gridmpi_check "${PIPESTATUS[@]}"' RETURN
trap 'gridmpi_check "${PIPESTATUS[@]}"
[ "$BASHPID" = "$gridmpi_shell" ] || {
    gridmpi_shell=$BASHPID
    trap "gridmpi_check \"\${PIPESTATUS[@]}\"" EXIT
}' DEBUG
