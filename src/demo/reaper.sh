# Waits until the process that made the scratch directory $1 closes our standard input, however it ends,
# then stops every PostgreSQL in there and removes the directory.
trap '' INT TERM HUP QUIT
scratch=$1

read -r _

# Whether process $1 is a PostgreSQL of ours that runs: its number may belong to somebody else by now.
is_ours() {
    if [ -r "/proc/$1/cmdline" ]; then
        arguments=$(tr '\0' ' ' <"/proc/$1/cmdline")
    else
        arguments=$(ps -p "$1" -o args= 2>/dev/null)
    fi 2>/dev/null
    case $arguments in
        *"$scratch"*) return 0 ;;
        *) return 1 ;;
    esac
}

# Calls $1 with the number of each postmaster that still runs; fails when there was none.
each() {
    any=1
    for file in "$scratch"/*/postmaster.pid; do
        [ -r "$file" ] || continue
        read -r pid <"$file"
        is_ours "$pid" || continue
        any=0
        "$@" "$pid"
    done
    return $any
}

# An immediate shutdown: nobody needs the data. A stopped process takes no signal but KILL until it goes on.
quit() { kill -QUIT "$1"; kill -CONT "$1"; } 2>/dev/null
gone() { kill -KILL "$1"; } 2>/dev/null

each quit
tries=0
while each : && [ $tries -lt 200 ]; do
    tries=$((tries + 1))
    sleep 0.05
done
each gone

# A server that was killed leaves its System V segment behind; a normal stop removes it, and the file.
for file in "$scratch"/*/postmaster.pid; do
    [ -r "$file" ] || continue
    segment=$(sed -n '7s/.* //p' "$file")
    [ -z "$segment" ] || ipcrm -m "$segment"
done 2>/dev/null

tries=0
while ! rm -rf "$scratch" 2>/dev/null && [ $tries -lt 40 ]; do
    tries=$((tries + 1))
    sleep 0.05
done
