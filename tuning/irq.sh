#!/usr/bin/env bash
# Shows which cores serve the interrupts of network devices, and moves those of one device to the cores that are named.
#
# usage: tuning/irq.sh                                     shows, changes nothing
#        tuning/irq.sh [--dry-run] DEVICE CORES            spreads the device's queues over CORES, e.g. eth0 0,8-11
# A shard owns its core: interrupts belong to cores without a shard, or, where every core has one, one queue to each core. It
# lasts until the next start of the machine. Exit code: 0 done, 1 something could not be set, 2 wrong use.
set -euo pipefail
sys=/sys/class/net
usage() { sed -n '2,7s/^# \{0,1\}//p' "$0" >&2; exit 2; }

# The interrupts of a device, one a line: a virtual one keeps them at its parent.
irqs_of() {
    local folder
    for folder in "$sys/$1/device/msi_irqs" "$sys/$1/device/../msi_irqs"; do
        if [ -d "$folder" ]; then find "$folder" -mindepth 1 -maxdepth 1 -printf '%f\n' | sort -n; return; fi
    done
}

name_of() { awk -v irq="$1:" '$1 == irq { print $NF }' /proc/interrupts; }

# The number of the queue that an interrupt serves: `virtio2-input.0`, `eth0-TxRx-7`, `mlx5_comp3@pci:...`. The others, such
# as a change of the device's configuration, are rare and stay where they are.
queue_of() { name_of "$1" | sed -n 's/@.*//; s/^.*[^0-9]\([0-9]\{1,\}\)$/\1/p'; }

show() {
    local device irq irqs
    for device in "$sys"/*; do
        device=${device##*/}
        irqs=$(irqs_of "$device")
        if [ -z "$irqs" ]; then continue; fi
        echo "$device: $(find "$sys/$device/queues/" -maxdepth 1 -name 'rx-*' | wc -l) receive queues"
        for irq in $irqs; do
            if [ ! -r "/proc/irq/$irq/smp_affinity_list" ]; then continue; fi
            printf '  irq %-5s cores %-12s %s\n' "$irq" "$(<"/proc/irq/$irq/smp_affinity_list")" "$(name_of "$irq")"
        done
    done
}

# `0,8-10` as one core a line.
cores_of() {
    local part core last
    for part in ${1//,/ }; do
        if ! [[ $part =~ ^[0-9]+(-[0-9]+)?$ ]]; then usage; fi
        last=${part#*-}
        for ((core = ${part%-*}; core <= last; core++)); do echo "$core"; done
    done
}

move() {
    local device=$1 irq queue core failed=0 moved=0 cores=()
    if [ ! -d "$sys/$device" ]; then echo "irq.sh: there is no device $device" >&2; exit 2; fi
    mapfile -t cores < <(cores_of "$2")
    if [ "${#cores[@]}" -eq 0 ]; then usage; fi
    for core in "${cores[@]}"; do
        if [ ! -d "/sys/devices/system/cpu/cpu$core" ]; then echo "irq.sh: there is no core $core" >&2; exit 2; fi
    done
    if [ -z "$(irqs_of "$device")" ]; then echo "irq.sh: $device has no interrupts of its own" >&2; exit 2; fi
    if ! $dry_run && [ "$(id -u)" -ne 0 ]; then echo 'irq.sh: it must be root; --dry-run shows what it would change' >&2; exit 2; fi
    for irq in $(irqs_of "$device"); do
        queue=$(queue_of "$irq")
        if [ -z "$queue" ]; then continue; fi
        core=${cores[10#$queue % ${#cores[@]}]}
        if [ "$(<"/proc/irq/$irq/smp_affinity_list")" = "$core" ]; then continue; fi
        moved=$((moved + 1))
        echo "$($dry_run && echo 'would ')move irq $irq ($(name_of "$irq")) from cores $(<"/proc/irq/$irq/smp_affinity_list") to core $core"
        if $dry_run; then continue; fi
        if ! echo "$core" >"/proc/irq/$irq/smp_affinity_list"; then
            echo "irq.sh: the kernel refuses to move irq $irq" >&2
            failed=1
        fi
    done
    if [ "$moved" -eq 0 ]; then echo 'Nothing to change.'; fi
    exit "$failed"
}

dry_run=false
if [ "${1-}" = --dry-run ]; then dry_run=true; shift; fi
case $# in
    0) if $dry_run; then usage; fi; show ;;
    2) move "$1" "$2" ;;
    *) usage ;;
esac
