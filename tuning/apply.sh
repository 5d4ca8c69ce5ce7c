#!/usr/bin/env bash
# Sets kernel settings, login limits and huge pages as a dedicated broker wants them, now and after the next start.
#
# usage: tuning/apply.sh [--dry-run] [--service]
#   --dry-run   says what would change and changes nothing; needs no root
#   --service   also installs pregon.service (and does not start it)
# It may run any number of times: a second run changes nothing. A setting that is better already is left as it is. To undo,
# remove the files that it names and start the machine again. Exit code: 0 done, 1 something could not be set, 2 wrong use.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=/dev/null
. "$here/settings.sh"
# The tests set another root than that of the machine; then nothing of the running kernel is touched.
root=${PREGON_ROOT:-}
root=${root%/}
dry_run=false
service=false
for argument in "$@"; do
    case $argument in
        --dry-run) dry_run=true ;;
        --service) service=true ;;
        *) sed -n '2,9s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
    esac
done
if ! $dry_run && [ -z "$root" ] && [ "$(id -u)" -ne 0 ]; then
    echo "apply.sh: it must be root to change settings; --dry-run shows what it would change" >&2
    exit 2
fi

changes=0
failed=0
say() { printf '%s%s\n' "$($dry_run && echo 'would ')" "$*"; }

# install_file TARGET: standard input becomes the file, if it is not that already.
install_file() {
    local target=$root$1 wanted
    wanted=$(cat; echo .)
    wanted=${wanted%.}
    if [ -f "$target" ] && [ "$(cat "$target"; echo .)" = "$wanted." ]; then return; fi
    changes=$((changes + 1))
    say "write $target"
    if [ -f "$target" ]; then diff -u "$target" <(printf '%s' "$wanted") | sed 's/^/    /' || true; else printf '%s' "$wanted" | sed '/^#/d; /^$/d; s/^/    /'; fi
    if $dry_run; then return; fi
    mkdir -p "$(dirname "$target")"
    printf '%s' "$wanted" >"$target.new"
    chmod 644 "$target.new"
    mv "$target.new" "$target"
}

# The settings that this kernel has, none worse than it is now.
wanted_sysctls() {
    local name word wanted file
    echo '# Written by tuning/apply.sh of Pregon.'
    while IFS=$'\t' read -r name word wanted file; do
        if [ ! -e "$file" ]; then continue; fi
        if is_good "$word" "$wanted" "$(<"$file")"; then wanted=$(<"$file"); fi
        echo "$name = $wanted"
    done < <(settings)
}

set_kernel() {
    local name wanted path
    while IFS=' ' read -r name _ wanted; do
        path=/proc/sys/${name//.//}
        if [ "$name" = '#' ] || [ "$(<"$path")" = "$wanted" ]; then continue; fi
        changes=$((changes + 1))
        say "set $name from $(<"$path") to $wanted"
        if $dry_run; then continue; fi
        if ! printf '%s\n' "$wanted" >"$path"; then
            echo "apply.sh: the kernel refuses $name = $wanted" >&2
            failed=1
        fi
    done
}

set_huge_pages() {
    local file=/sys/kernel/mm/transparent_hugepage/enabled
    if [ ! -e "$file" ]; then return; fi
    if grep -q '\[always\]' "$file"; then
        changes=$((changes + 1))
        say "set $file from always to madvise"
        if $dry_run; then return; fi
        if ! echo madvise >"$file"; then
            echo "apply.sh: the kernel refuses $file" >&2
            failed=1
        fi
    fi
}

sysctls=$(wanted_sysctls)
install_file /etc/sysctl.d/60-pregon.conf <<<"$sysctls"
install_file /etc/security/limits.d/60-pregon.conf <"$here/limits.conf"
install_file /etc/tmpfiles.d/pregon.conf <<'TMPFILES'
# Written by tuning/apply.sh of Pregon: huge pages only for who asks for them.
w! /sys/kernel/mm/transparent_hugepage/enabled - - - - madvise
TMPFILES
if [ -z "$root" ]; then
    set_kernel <<<"$sysctls"
    set_huge_pages
fi
if $service; then
    install_file /etc/systemd/system/pregon.service <"$here/pregon.service"
    if [ -z "$root" ] && ! $dry_run && command -v systemctl >/dev/null; then
        systemctl daemon-reload || { echo 'apply.sh: systemd does not read its units again' >&2; failed=1; }
    fi
fi
if [ "$changes" -eq 0 ]; then echo 'Nothing to change.'; fi
exit "$failed"
