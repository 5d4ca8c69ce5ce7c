"""paho-mqtt in 3.1, 3.1.1 and 5.

Usage: paho_client.py HOST PORT
"""

import os
import queue
import sys

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from checks import PATIENCE, RUN, check, expect, qualities

HOST, PORT = sys.argv[1], int(sys.argv[2])
TRANSPORT = os.environ.get("FOREIGN_TRANSPORT", "tcp")
IS_WEB, IS_SECURE = TRANSPORT in ("ws", "wss"), TRANSPORT in ("tls", "mutual", "wss", "proxy_tls")
BENEATH = "websockets" if IS_WEB else "unix" if TRANSPORT == "unix" else "tcp"
if BENEATH == "unix":
    HOST = os.environ["FOREIGN_SOCKET"]  # where paho looks for the path
VERSIONS = {"3.1": mqtt.MQTTv31, "3.1.1": mqtt.MQTTv311, "5": mqtt.MQTTv5}


class Party:
    """A connected client; what it hears waits in queues."""

    def __init__(self, version, identifier="", lasting=False, will=None):
        protocol, options = VERSIONS[version], {}
        if protocol == mqtt.MQTTv5:
            options = {"clean_start": not lasting}
            if lasting:
                options["properties"] = properties(PacketTypes.CONNECT, SessionExpiryInterval=600)
        clean = {} if protocol == mqtt.MQTTv5 else {"clean_session": not lasting}
        identifier = identifier or f"{RUN}-{id(self)}"
        self.client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, identifier, protocol=protocol,
                                  reconnect_on_failure=False, transport=BENEATH, **clean)
        if IS_SECURE:
            shown = ("FOREIGN_CERTIFICATE", "FOREIGN_KEY") if TRANSPORT in ("mutual", "proxy_tls") else ()
            self.client.tls_set(os.environ["FOREIGN_CA"], *(os.environ[name] for name in shown))
        self.connected, self.messages, self.granted = queue.Queue(), queue.Queue(), queue.Queue()
        self.client.on_connect = lambda client, data, flags, reason, props: self.connected.put((flags, reason, props))
        self.client.on_message = lambda client, data, message: self.messages.put(message)
        self.client.on_subscribe = lambda client, data, mid, reasons, props: self.granted.put(reasons)
        if will:
            self.client.will_set(**will)
        self.client.connect(HOST, PORT, keepalive=60, **options)
        self.client.loop_start()
        self.flags, reason, self.properties = self.connected.get(timeout=PATIENCE)
        expect("CONNACK", reason.is_failure, False)

    def subscribe(self, topic, qos=1, **more):
        self.client.subscribe(topic, qos, **more)
        return [reason.value for reason in self.granted.get(timeout=PATIENCE)]

    def publish(self, topic, payload, qos=1, **more):
        self.client.publish(topic, payload, qos, **more).wait_for_publish(PATIENCE)

    def take(self):
        return self.messages.get(timeout=PATIENCE)

    def leave(self):
        self.client.disconnect()
        self.client.loop_stop()

    def break_off(self):
        """The network fails: no DISCONNECT."""
        socket = self.client.socket()
        getattr(socket, "_socket", socket).shutdown(2)  # a WebSocket lies upon another one
        self.client.loop_stop()


def properties(packet, **values):
    made = Properties(packet)
    for name, value in values.items():
        setattr(made, name, value)
    return made


def each_quality(version):
    party = Party(version)
    for sent, granted in qualities():
        topic = f"{RUN}/{version}/quality/{sent}{granted}"
        expect("SUBACK", party.subscribe(topic, granted), [granted])
        party.publish(topic, "presión", sent)
        message = party.take()
        expect("the message", (message.payload.decode(), message.qos), ("presión", min(sent, granted)))
    party.leave()


def thousand_in_order(version):
    publisher, subscriber = Party(version), Party(version)
    topic = f"{RUN}/{version}/order"
    subscriber.subscribe(topic, 2)
    sent = [publisher.client.publish(topic, str(number), 2) for number in range(1000)]
    for message in sent:
        message.wait_for_publish(PATIENCE)
    expect("the order", [int(subscriber.take().payload) for _ in range(1000)], list(range(1000)))
    publisher.leave()
    subscriber.leave()


def will_of_one_that_breaks_off(version):
    topic = f"{RUN}/{version}/will"
    witness = Party(version)
    witness.subscribe(topic, 2)
    Party(version, will={"topic": topic, "payload": "unexpected exit", "qos": 2}).break_off()
    will = witness.take()
    expect("the will", (will.payload, will.qos, will.retain), (b"unexpected exit", 2, False))
    witness.leave()


def retained(version):
    topic = f"{RUN}/{version}/retained/a"
    party = Party(version)
    party.publish(topic, "kept", retain=True)
    party.subscribe(f"{RUN}/{version}/retained/#")
    message = party.take()
    expect("the stored message", (message.payload, message.retain), (b"kept", True))
    party.publish(topic, "", retain=True)
    expect("the erasing message", party.take().payload, b"")
    later = Party(version)
    later.subscribe(topic)
    party.publish(topic, "live")
    expect("what is left", later.take().payload, b"live")
    party.leave()
    later.leave()


def session_is_resumed(version):
    topic, identifier = f"{RUN}/{version}/session", f"{RUN}-{version}"
    first = Party(version, identifier, lasting=True)
    expect("the session at first", first.flags.session_present, False)
    first.subscribe(topic, 2)
    first.leave()
    publisher = Party(version)
    for payload in ("one", "two", "three"):
        publisher.publish(topic, payload)
    publisher.leave()
    again = Party(version, identifier, lasting=True)
    if version != "3.1":  # 3.1 has no flag for it
        expect("the session afterwards", again.flags.session_present, True)
    expect("the queue", [again.take().payload for _ in range(3)], [b"one", b"two", b"three"])
    again.leave()
    Party(version, identifier).leave()


def large_payload(version):
    topic = f"{RUN}/{version}/large"
    party = Party(version)
    party.subscribe(topic)
    # In a WebSocket paho does not wait for room to go on with a frame that its socket has not taken whole.
    payload = bytes(range(256)) * (1_000 if IS_WEB else 20_000)
    party.publish(topic, payload)
    expect("the payload", party.take().payload == payload, True)
    party.leave()


def properties_arrive():
    party, topic = Party("5"), f"{RUN}/properties"
    party.subscribe(topic, properties=properties(PacketTypes.SUBSCRIBE, SubscriptionIdentifier=77))
    sent = properties(PacketTypes.PUBLISH, PayloadFormatIndicator=1, ContentType="text/plain",
                      ResponseTopic="answer/here", CorrelationData=b"42", MessageExpiryInterval=600,
                      UserProperty=[("place", "home"), ("place", "garden")])
    party.publish(topic, "x", properties=sent)
    got = party.take().properties
    expect("what arrived",
           (got.PayloadFormatIndicator, got.ContentType, got.ResponseTopic, got.CorrelationData, got.UserProperty,
            got.SubscriptionIdentifier, 500 < got.MessageExpiryInterval <= 600),
           (1, "text/plain", "answer/here", b"42", [("place", "home"), ("place", "garden")], [77], True))
    party.leave()


def subscription_options():
    publisher, topic = Party("5"), f"{RUN}/options"
    publisher.publish(topic, "stored", retain=True)
    options = SubscribeOptions(qos=1, noLocal=True, retainAsPublished=True,
                               retainHandling=SubscribeOptions.RETAIN_DO_NOT_SEND)
    for party in (publisher, other := Party("5")):
        party.client.subscribe(topic, options=options)
        expect("SUBACK", [reason.value for reason in party.granted.get(timeout=PATIENCE)], [1])
    publisher.publish(topic, "new", retain=True)
    message = other.take()
    expect("the other's message", (message.payload, message.retain), (b"new", True))
    publisher.publish(topic, "", retain=True)
    other.publish(topic, "from the other")
    expect("the publisher's first message", publisher.take().payload, b"from the other")
    publisher.leave()
    other.leave()


def reasons_say_why():
    party = Party("5")
    left = queue.Queue()
    party.client.on_unsubscribe = lambda client, data, mid, reasons, props: left.put([r.value for r in reasons])
    party.client.unsubscribe(f"{RUN}/never")
    expect("UNSUBACK", left.get(timeout=PATIENCE), [0x11])  # No subscription existed
    gone = queue.Queue()
    party.client.on_disconnect = lambda client, data, flags, reason, props: gone.put(reason.value)
    Party("5", party.client._client_id.decode()).leave()
    expect("DISCONNECT", gone.get(timeout=PATIENCE), 0x8E)  # Session taken over
    party.client.loop_stop()


for version in VERSIONS:
    for body in (each_quality, thousand_in_order, will_of_one_that_breaks_off, retained, session_is_resumed, large_payload):
        check(f"paho-mqtt {version} {body.__name__.replace('_', ' ')}", body, version)
for body in (properties_arrive, subscription_options, reasons_say_why):
    check(f"paho-mqtt 5 {body.__name__.replace('_', ' ')}", body)
