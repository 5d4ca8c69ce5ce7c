# Certificates and a broker on ports of the kernel's choice, for the scripts beside this one.
#
# To be sourced where `pregon` is the path of the program; it brings `folder`, which goes with the script.
PATH="$PATH:/usr/sbin" # where Debian keeps servers

folder=$(mktemp -d)
log=$folder/log
trap 'kill $(jobs -p) 2>/dev/null; wait; rm -rf "$folder"' EXIT

# Certificates: an authority, the broker's, a client's. They say what they are for, in version 3 of X.509.
export FOREIGN_CA=$folder/authority.pem FOREIGN_CERTIFICATE=$folder/client.pem FOREIGN_KEY=$folder/client.key

key() { openssl ecparam -genkey -name prime256v1 -noout -out "$folder/$1.key"; }

# certify NAME EXTENSIONS: a certificate of the authority.
certify() {
    key "$1" && echo "$2" >"$folder/$1.ext" &&
        openssl req -new -key "$folder/$1.key" -subj "/CN=$1" -out "$folder/$1.csr" &&
        openssl x509 -req -in "$folder/$1.csr" -CA "$FOREIGN_CA" -CAkey "$folder/authority.key" -CAcreateserial -days 2 \
            -extfile "$folder/$1.ext" -out "$folder/$1.pem"
}

make_certificates() {
    key authority &&
        openssl req -x509 -new -key "$folder/authority.key" -subj /CN=authority -days 2 \
            -addext keyUsage=critical,keyCertSign,cRLSign -out "$FOREIGN_CA" &&
        certify broker $'subjectAltName=IP:127.0.0.1,DNS:localhost\nextendedKeyUsage=serverAuth' &&
        certify client extendedKeyUsage=clientAuth
}

if ! make_certificates 2>"$folder/openssl"; then
    echo "FAILED openssl makes certificates: $(tail -n 1 "$folder/openssl")"
    exit 1
fi

# start SETTING...: the broker with these settings; it writes to $log.
start() {
    local arguments=(--memory --listen 127.0.0.1:0 --admin 127.0.0.1:0) setting
    for setting in "$@"; do arguments+=(--set "$setting"); done
    "$pregon" "${arguments[@]}" 2>"$log" &
    broker=$!
}

# address NAME: where the listener of this name listens, once it does; the one without a name is plain TCP.
address() {
    local found end=${1:+ name=$1}
    for _ in {1..600}; do
        found=$(sed -nE "s/.*listening.*address=([^ ]+)$end\$/\1/p" "$log" | head -n 1)
        [ -n "$found" ] && echo "$found" && return
        kill -0 "$broker" 2>/dev/null || return 1
        sleep 0.1
    done
    return 1
}

# stop: the broker ends in order, or a line says that it does not.
stop() {
    local ended
    kill -TERM "$broker"
    wait "$broker"
    ended=$?
    if [ "$ended" -eq 0 ]; then
        echo "ok the broker ends in order"
    else
        echo "FAILED the broker ends in order: exit code $ended"
    fi
    return "$ended"
}
