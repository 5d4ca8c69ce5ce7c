"""aiomqtt in 3.1.1 and 5.

Usage: aiomqtt_client.py HOST PORT
"""

import asyncio
import sys

import aiomqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from checks import PATIENCE, RUN, check, expect, qualities

HOST, PORT = sys.argv[1], int(sys.argv[2])
VERSIONS = {"3.1.1": aiomqtt.ProtocolVersion.V311, "5": aiomqtt.ProtocolVersion.V5}


def connect(version, identifier=None, lasting=False, **options):
    if version == "5":
        options["clean_start"] = not lasting
        if lasting:
            options["properties"] = Properties(PacketTypes.CONNECT)
            options["properties"].SessionExpiryInterval = 600
    else:
        options["clean_session"] = not lasting
    return aiomqtt.Client(HOST, PORT, identifier=identifier, protocol=VERSIONS[version], **options)


async def take(client):
    return await asyncio.wait_for(anext(aiter(client.messages)), PATIENCE)


async def each_quality(version):
    async with connect(version) as client:
        for sent, granted in qualities():
            topic = f"{RUN}/aio/{version}/quality/{sent}{granted}"
            await client.subscribe(topic, granted)
            await client.publish(topic, "presión", sent)
            message = await take(client)
            expect("the message", (message.payload.decode(), message.qos), ("presión", min(sent, granted)))


async def will_of_one_that_breaks_off(version):
    topic = f"{RUN}/aio/{version}/will"
    async with connect(version) as witness:
        await witness.subscribe(topic, 2)
        try:
            async with connect(version, will=aiomqtt.Will(topic, "gone", 1)) as mortal:
                mortal._client.socket().shutdown(2)
                await take(mortal)
        except aiomqtt.MqttError:
            pass  # it has noticed
        will = await take(witness)
        expect("the will", (will.payload, will.qos), (b"gone", 1))


async def retained(version):
    topic = f"{RUN}/aio/{version}/retained"
    async with connect(version) as client:
        await client.publish(topic, "kept", 1, retain=True)
        await client.subscribe(topic, 1)
        message = await take(client)
        expect("the stored message", (message.payload, message.retain), (b"kept", True))
        await client.publish(topic, "", 1, retain=True)


async def session_is_resumed(version):
    topic, identifier = f"{RUN}/aio/{version}/session", f"{RUN}-aio-{version}"
    async with connect(version, identifier, lasting=True) as first:
        await first.subscribe(topic, 2)
    async with connect(version) as publisher:
        for payload in ("one", "two", "three"):
            await publisher.publish(topic, payload, 1)
    async with connect(version, identifier, lasting=True) as again:
        expect("the queue", [(await take(again)).payload for _ in range(3)], [b"one", b"two", b"three"])
    async with connect(version, identifier):
        pass


async def properties_arrive(version):
    topic = f"{RUN}/aio/properties"
    sent = Properties(PacketTypes.PUBLISH)
    sent.ContentType, sent.UserProperty = "text/plain", [("place", "home")]
    async with connect(version) as client:
        await client.subscribe(topic, 1)
        await client.publish(topic, "x", 1, properties=sent)
        got = (await take(client)).properties
        expect("what arrived", (got.ContentType, got.UserProperty), ("text/plain", [("place", "home")]))


def run(body, version):
    name = body.__name__.replace("_", " ")
    check(f"aiomqtt {version} {name}", lambda: asyncio.run(asyncio.wait_for(body(version), 2 * PATIENCE)))


for version in VERSIONS:
    for body in (each_quality, will_of_one_that_breaks_off, retained, session_is_resumed):
        run(body, version)
run(properties_arrive, "5")
