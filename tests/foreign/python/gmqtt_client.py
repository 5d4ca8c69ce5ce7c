"""gmqtt in 3.1.1 and 5: an implementation of its own, not a wrapper of paho-mqtt.

Usage: gmqtt_client.py HOST PORT
"""

import asyncio
import sys

import gmqtt
from gmqtt.mqtt.constants import MQTTv50, MQTTv311

from checks import PATIENCE, RUN, check, expect, qualities

HOST, PORT = sys.argv[1], int(sys.argv[2])
VERSIONS = {"3.1.1": MQTTv311, "5": MQTTv50}


class Party:
    """A client; what it hears waits in queues."""

    def __init__(self, identifier=None, lasting=False, will=None):
        options = {"session_expiry_interval": 600} if lasting else {}
        identifier = identifier or f"{RUN}-gmqtt-{id(self)}"
        self.client = gmqtt.Client(identifier, clean_session=not lasting, will_message=will, **options)
        self.client.set_config({"reconnect_retries": 0})
        self.connected, self.messages, self.granted = asyncio.Queue(), asyncio.Queue(), asyncio.Queue()
        self.client.on_connect = lambda client, flags, reason, properties: self.connected.put_nowait((flags, reason))
        self.client.on_subscribe = lambda client, mid, reasons, properties: self.granted.put_nowait(reasons)
        self.client.on_message = self.on_message

    async def on_message(self, client, topic, payload, qos, properties):
        self.messages.put_nowait((payload, qos, properties))
        return 0

    async def connect(self, version):
        await self.client.connect(HOST, PORT, version=VERSIONS[version])
        self.flags, reason = await asyncio.wait_for(self.connected.get(), PATIENCE)
        expect("CONNACK", reason, 0)
        return self

    async def subscribe(self, topic, qos):
        self.client.subscribe(topic, qos=qos)
        expect("SUBACK", list(await asyncio.wait_for(self.granted.get(), PATIENCE)), [qos])

    async def take(self):
        return await asyncio.wait_for(self.messages.get(), PATIENCE)

    async def leave(self):
        await self.client.disconnect()


async def each_quality(version):
    party = await Party().connect(version)
    for sent, granted in qualities():
        topic = f"{RUN}/gmqtt/{version}/quality/{sent}{granted}"
        await party.subscribe(topic, granted)
        party.client.publish(topic, "presión", qos=sent)
        payload, qos, _ = await party.take()
        expect("the message", (payload.decode(), qos), ("presión", min(sent, granted)))
    await party.leave()


async def will_of_one_that_breaks_off(version):
    topic = f"{RUN}/gmqtt/{version}/will"
    witness = await Party().connect(version)
    await witness.subscribe(topic, 2)
    mortal = await Party(will=gmqtt.Message(topic, "gone", qos=1)).connect(version)
    mortal.client._connection._transport.abort()
    payload, qos, _ = await witness.take()
    expect("the will", (payload, qos), (b"gone", 1))
    await witness.leave()


async def retained(version):
    topic = f"{RUN}/gmqtt/{version}/retained"
    party = await Party().connect(version)
    await party.subscribe(topic, 1)
    party.client.publish(topic, "kept", qos=1, retain=True)
    await party.take()  # now it is stored
    later = await Party().connect(version)
    await later.subscribe(topic, 1)
    payload, _, properties = await later.take()
    expect("the stored message", (payload, properties["retain"]), (b"kept", 1))
    party.client.publish(topic, "", qos=1, retain=True)
    await party.take()
    await party.leave()
    await later.leave()


async def session_is_resumed(version):
    topic, identifier = f"{RUN}/gmqtt/{version}/session", f"{RUN}-gmqtt-{version}"
    first = await Party(identifier, lasting=True).connect(version)
    await first.subscribe(topic, 2)
    await first.leave()
    publisher = await Party().connect(version)
    await publisher.subscribe(topic, 0)
    for payload in ("one", "two", "three"):
        publisher.client.publish(topic, payload, qos=1)
        await publisher.take()
    again = await Party(identifier, lasting=True).connect(version)
    expect("the session", again.flags & 1, 1)
    expect("the queue", [(await again.take())[0] for _ in range(3)], [b"one", b"two", b"three"])
    await again.leave()
    await publisher.leave()
    await (await Party(identifier).connect(version)).leave()


async def properties_arrive(version):
    topic = f"{RUN}/gmqtt/properties"
    party = await Party().connect(version)
    await party.subscribe(topic, 1)
    party.client.publish(topic, "x", qos=1, content_type="text/plain", response_topic="answer/here",
                         correlation_data=b"42", user_property=[("place", "home"), ("place", "garden")])
    _, _, got = await party.take()
    expect("what arrived",
           (got["content_type"], got["response_topic"], got["correlation_data"], got["user_property"]),
           (["text/plain"], ["answer/here"], [b"42"], [("place", "home"), ("place", "garden")]))
    await party.leave()


def run(body, version):
    name = body.__name__.replace("_", " ")
    check(f"gmqtt {version} {name}", lambda: asyncio.run(asyncio.wait_for(body(version), 2 * PATIENCE)))


for version in VERSIONS:
    for body in (each_quality, will_of_one_that_breaks_off, retained, session_is_resumed):
        run(body, version)
run(properties_arrive, "5")
