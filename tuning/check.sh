#!/usr/bin/env bash
# Compares this machine with what a dedicated broker wants. Changes nothing.
#
# usage: tuning/check.sh
# Exit code: 0 all as wanted, 1 something is not, 2 wrong use. A line says `ok`, `off`, or `-` for what this machine does not
# have or what cannot be seen from here.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=/dev/null
. "$here/settings.sh"
[ $# -eq 0 ] || { sed -n '2,6s/^# \{0,1\}//p' "$0" >&2; exit 2; }

off=0
line() {
    printf '%-4s %-36s wanted %-24s is %s\n' "$1" "$2" "$3" "$4"
    if [ "$1" = off ]; then off=$((off + 1)); fi
}

# A number against a bound: `compare NAME WORD WANTED ACTUAL`.
compare() {
    local verdict=off
    if is_good "$2" "$3" "$4"; then verdict=ok; fi
    line "$verdict" "$1" "$2 $3" "$4"
}

check_sysctls() {
    local name word wanted file
    while IFS=$'\t' read -r name word wanted file; do
        if [ -r "$file" ]; then compare "$name" "$word" "$wanted" "$(<"$file")"; else line - "$name" "$word $wanted" 'not there'; fi
    done < <(settings)
}

# The limits of a broker that runs, else those of this shell.
check_limits() {
    local pid whose nofile memlock
    pid=$(pidof -s pregon || true)
    if [ -n "$pid" ] && [ -r "/proc/$pid/limits" ]; then
        whose="process $pid"
        nofile=$(awk '/^Max open files/ { print $4 }' "/proc/$pid/limits")
        memlock=$(awk '/^Max locked memory/ { print $4 }' "/proc/$pid/limits")
    else
        whose='this shell'
        nofile=$(ulimit -n)
        memlock=$(ulimit -l)
        if [ "$memlock" != unlimited ]; then memlock=$((memlock * 1024)); fi
    fi
    compare "nofile of $whose" 'at least' 1048576 "$nofile"
    compare "memlock bytes of $whose" 'at least' 536870912 "$memlock"
}

check_kernel() {
    local release major minor rest
    release=$(uname -r)
    IFS=. read -r major minor rest <<<"$release"
    minor=${minor%%[!0-9]*}
    if [ "$major" -gt 6 ] || { [ "$major" -eq 6 ] && [ "$minor" -ge 1 ]; }; then
        line ok kernel 'at least 6.1' "$release"
    else
        line off kernel 'at least 6.1' "$release"
    fi
}

check_huge_pages() {
    local file=/sys/kernel/mm/transparent_hugepage/enabled chosen
    if [ ! -r "$file" ]; then line - transparent_hugepage 'madvise or never' 'not there'; return; fi
    chosen=$(sed 's/.*\[\(.*\)\].*/\1/' "$file")
    case $chosen in
        madvise | never) line ok transparent_hugepage 'madvise or never' "$chosen" ;;
        *) line off transparent_hugepage 'madvise or never' "$chosen" ;;
    esac
}

check_cores() {
    local governors
    governors=$(cat /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor 2>/dev/null | sort -u | paste -sd, || true)
    case $governors in
        '') line - 'cpu governor' performance 'not there' ;;
        performance) line ok 'cpu governor' performance "$governors" ;;
        *) line off 'cpu governor' performance "$governors" ;;
    esac
    local clock=/sys/devices/system/clocksource/clocksource0/current_clocksource
    if [ -r "$clock" ]; then
        case $(<"$clock") in
            tsc | kvm-clock | arch_sys_counter | hyperv_clocksource_tsc_page) line ok 'clock source' 'one without a system call' "$(<"$clock")" ;;
            *) line off 'clock source' 'one without a system call' "$(<"$clock")" ;;
        esac
    fi
    if pidof irqbalance >/dev/null; then line off irqbalance 'not running' running; else line ok irqbalance 'not running' 'not running'; fi
}

check_kernel
check_sysctls
check_limits
check_huge_pages
check_cores
echo
if [ "$off" -gt 0 ]; then
    echo "$off off. tuning/apply.sh changes kernel settings, limits and huge pages; README.md says how to change the rest."
    exit 1
fi
echo 'All as wanted.'
