# The settings of sysctl.conf, one after another, and what it is to be as wanted; check.sh and apply.sh read it.
# shellcheck shell=bash

settings_folder=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

# Each setting in a line, with tabs between: its name, exactly or at least or at most, its value, where the kernel shows it.
settings() {
    local word='' name text
    while IFS= read -r text; do
        case $text in
            '# exactly' | '# at least' | '# at most') word=${text#\# } ;;
            [a-z]*' = '*)
                name=${text%% = *}
                printf '%s\t%s\t%s\t%s\n' "$name" "$word" "${text#* = }" "/proc/sys/${name//.//}"
                ;;
        esac
    done <"$settings_folder/sysctl.conf"
}

# is_good WORD WANTED ACTUAL: whether ACTUAL is as WORD and WANTED say.
is_good() {
    case $1 in
        'at least') [ "$3" = unlimited ] || [ "$3" -ge "$2" ] ;;
        'at most') [ "$3" != unlimited ] && [ "$3" -le "$2" ] ;;
        exactly) [ "$3" = "$2" ] ;;
        *) echo "$settings_folder/sysctl.conf: no such word: $1" >&2; exit 2 ;;
    esac
}
