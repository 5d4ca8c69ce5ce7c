#!/usr/bin/env bash
# mosquitto_pub, mosquitto_sub and mosquitto_rr in the three versions.
#
# Usage: mosquitto.sh HOST PORT; one line for each check.
set -uo pipefail

host=$1
port=$2
run=$$-$RANDOM # keeps this run's topics and client identifiers apart from those of others
folder=$(mktemp -d)
trap 'jobs -p | xargs -r kill 2>/dev/null; rm -rf "$folder"' EXIT

patience=30 # seconds; far more than a busy machine needs

# How the broker is reached. Files of certificates come from who has started it.
case ${FOREIGN_TRANSPORT:-tcp} in
    tcp | proxy | proxy_v1) reach=(-h "$host" -p "$port") ;;
    unix) reach=(--unix "$FOREIGN_SOCKET") ;;
    tls) reach=(-h "$host" -p "$port" --cafile "$FOREIGN_CA") ;;
    mutual | proxy_tls) reach=(-h "$host" -p "$port" --cafile "$FOREIGN_CA" --cert "$FOREIGN_CERTIFICATE" --key "$FOREIGN_KEY") ;;
    *) echo "FAILED mosquitto cannot speak over $FOREIGN_TRANSPORT"; exit 1 ;;
esac

# check NAME FUNCTION: one line; what the function says on failure stands behind the name.
check() {
    local reason
    if reason=$("$2" 2>&1); then echo "ok $1"; else echo "FAILED $1: ${reason//$'\n'/ }"; fi
}

expect() { # WHAT ACTUAL EXPECTED
    [ "$2" = "$3" ] || { echo "$1 is '$2' and not '$3'"; return 1; }
}

publish() { mosquitto_pub "${reach[@]}" -V "$version" "$@"; }
subscribe() { mosquitto_sub "${reach[@]}" -V "$version" -W "$patience" "$@"; }

# until_true COMMAND...: looks again and again, within patience.
until_true() {
    local end=$((SECONDS + patience))
    until "$@"; do
        [ $SECONDS -lt $end ] || { echo "waited in vain: $*"; return 1; }
        sleep 0.02
    done
}

# listen NAME ARGUMENTS...: a subscriber in the background, once it is subscribed; its messages go to $folder/NAME.
listen() {
    local name=$1
    shift
    rm -f "$folder/$name"
    stdbuf -oL mosquitto_sub "${reach[@]}" -V "$version" -W "$patience" -d "$@" >"$folder/$name" &
    listener=$!
    until_true grep -q 'received SUBACK' "$folder/$name"
}

# heard NAME: the messages of a subscriber that has ended, without the words about packets.
heard() { grep -vE '^(Client |Subscribed )' "$folder/$1"; }

each_quality() {
    local qos granted topic
    for qos in 0 1 2; do
        for granted in 0 1 2; do
            topic=$run/quality/$version/$qos$granted
            listen quality -t "$topic" -q "$granted" -C 1 -F '%q %p' || return
            publish -t "$topic" -q "$qos" -m "text with blanks" || return
            wait "$listener" || return
            expect "QoS $qos at $granted" "$(heard quality)" "$((qos < granted ? qos : granted)) text with blanks" || return
        done
    done
}

many_lines_in_order() {
    local topic=$run/lines/$version
    listen lines -t "$topic" -q 1 -C 500 || return
    seq 500 | publish -t "$topic" -q 1 -l || return
    wait "$listener" || return
    expect "the lines" "$(heard lines | md5sum)" "$(seq 500 | md5sum)"
}

bytes_unchanged() {
    local topic=$run/bytes/$version
    head -c 1000000 /dev/urandom >"$folder/random"
    publish -t "$topic" -q 1 -r -f "$folder/random" || return
    subscribe -t "$topic" -q 1 -C 1 -N >"$folder/bytes" || return
    publish -t "$topic" -q 1 -r -n || return
    cmp "$folder/random" "$folder/bytes"
}

retained_is_found_and_erased() {
    local topic=$run/retained/$version
    publish -t "$topic" -q 1 -r -m kept || return
    expect "the retained message" "$(subscribe -t "$run/retained/+" -C 1 -F '%r %p')" "1 kept" || return
    publish -t "$topic" -q 1 -r -n || return
    listen erased -t "$run/retained/#" -q 1 -C 1 -F '%r %p' || return
    publish -t "$topic" -q 1 -m next || return
    wait "$listener" || return
    expect "what is left" "$(heard erased)" "0 next"
}

will_of_a_killed_client() {
    local topic=$run/will/$version witness mortal
    listen will -t "$topic" -q 2 -C 1 -F '%q %p' || return
    witness=$listener
    rm -f "$folder/mortal" # the one before it has been answered, too
    stdbuf -oL mosquitto_sub "${reach[@]}" -V "$version" -d -i "$run-mortal-$version" -t "$run/unused" -q 1 \
        --will-topic "$topic" --will-payload 'unexpected exit' --will-qos 2 >"$folder/mortal" &
    mortal=$!
    until_true grep -qs 'received SUBACK' "$folder/mortal" || return
    kill -KILL "$mortal"
    wait "$witness" || return
    expect "the will" "$(heard will)" "2 unexpected exit"
}

session_is_resumed() {
    local topic=$run/session/$version id=$run-session-$version lasting=(-c)
    [ "$version" = mqttv5 ] && lasting+=(-x 600)
    subscribe "${lasting[@]}" -i "$id" -t "$topic" -q 2 -E || return
    publish -t "$topic" -q 1 -m one || return
    publish -t "$topic" -q 2 -m two || return
    expect "the queue" "$(subscribe "${lasting[@]}" -i "$id" -t "$topic" -q 2 -C 2 | tr '\n' ' ')" "one two " || return
    publish -i "$id" -t "$topic" -m gone # a clean session takes the place of the lasting one
}

request_and_response() {
    local topic=$run/request/$version answer
    # The responder: what comes is sent back in capitals to the topic that the asker listens to.
    listen responder -t "$topic" -q 1 -C 1 || return
    (wait_for_line responder && publish -t "$topic/answer" -q 1 -m "$(heard responder | tr '[:lower:]' '[:upper:]')") &
    answer=$(mosquitto_rr -W "$patience" "${reach[@]}" -V "$version" -t "$topic" -e "$topic/answer" -q 1 -m question) || return
    expect "the response" "$answer" QUESTION
}

wait_for_line() { until_true has_message "$1"; }
has_message() { [ -n "$(heard "$1")" ]; }

shared_group_gets_one_copy() {
    local topic=$run/shared/$version first second
    listen first -t "\$share/group/$topic" -q 1 || return
    first=$listener
    listen second -t "\$share/group/$topic" -q 1 || return
    second=$listener
    seq 40 | publish -t "$topic" -q 1 -l || return
    until_true all_forty_are_there || return
    kill "$first" "$second"
    expect "the copies" "$( (heard first; heard second) | sort -n | md5sum)" "$(seq 40 | md5sum)"
}

all_forty_are_there() { [ "$( (heard first; heard second) | wc -l)" -ge 40 ]; }

properties_arrive() {
    local topic=$run/properties
    listen properties -t "$topic" -q 1 -C 1 -F '%C|%D|%E|%F|%P|%R|%p' || return
    publish -t "$topic" -q 1 -m body -D publish content-type text/plain -D publish correlation-data 42 \
        -D publish message-expiry-interval 600 -D publish payload-format-indicator 1 \
        -D publish user-property place home -D publish response-topic answer/here || return
    wait "$listener" || return
    # The interval that is left may have shrunk by the seconds in between.
    expect "what arrived" "$(heard properties | sed -E 's/\|(600|59[0-9])\|/|EXPIRY|/')" \
        'text/plain|42|EXPIRY|1|place:home|answer/here|body'
}

for version in mqttv31 mqttv311 mqttv5; do
    check "mosquitto $version each quality of service" each_quality
    check "mosquitto $version many lines in order" many_lines_in_order
    check "mosquitto $version bytes unchanged" bytes_unchanged
    check "mosquitto $version retained is found and erased" retained_is_found_and_erased
    check "mosquitto $version will of a killed client" will_of_a_killed_client
    check "mosquitto $version session is resumed" session_is_resumed
done
version=mqttv5
check "mosquitto $version request and response" request_and_response
check "mosquitto $version shared group gets one copy" shared_group_gets_one_copy
check "mosquitto $version properties arrive" properties_arrive
version=mqttv311
check "mosquitto $version request and response" request_and_response
