# Hugepages for the demonstration and the benchmarks.  Read by bash.

# take_hugepages N: has the kernel set aside what is missing for N free
# hugepages of 2 MB, and gives them back when the calling shell exits.
take_hugepages () {
    local dir=/sys/kernel/mm/hugepages/hugepages-2048kB
    hugepages=$dir/nr_hugepages
    hugepages_taken=$(($1 - $(cat $dir/free_hugepages)))
    if [ $hugepages_taken -gt 0 ]; then
        trap 'echo $(($(cat $hugepages) - hugepages_taken)) > $hugepages' EXIT
        trap 'exit 130' INT TERM HUP
        echo $(($(cat $hugepages) + hugepages_taken)) > $hugepages
    fi
    if [ "$(cat $dir/free_hugepages)" -lt "$1" ]; then
        echo "$1 hugepages of 2 MB are needed, and the kernel has no memory for them" >&2
        exit 1
    fi
}
