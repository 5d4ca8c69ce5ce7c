// mqtt.js in 3.1.1 and 5.
//
// Usage: mqttjs.mjs HOST PORT

import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { check, expect, finish, take, takeMany, within } from "./checks.mjs";

const mqtt = createRequire(process.env.FOREIGN_NODE)("mqtt");
const [host, port] = process.argv.slice(2);
const transport = process.env.FOREIGN_TRANSPORT ?? "tcp";
const scheme = { tls: "mqtts", mutual: "mqtts", proxy_tls: "mqtts", ws: "ws", wss: "wss" }[transport] ?? "mqtt";
const network = `${scheme}://${host}:${port}${scheme.startsWith("ws") ? "/mqtt" : ""}`;
const url = transport === "unix" ? `mqtt+unix://${process.env.FOREIGN_SOCKET}` : network;
const run = `mqttjs-${process.pid}`; // keeps this run's topics and identifiers apart from those of others

/** The files that a transport needs, by the names that mqtt.js gives them. */
function files() {
    const both = ["ca", "cert", "key"];
    const needed = { tls: ["ca"], wss: ["ca"], mutual: both, proxy_tls: both }[transport] ?? [];
    const places = { ca: "FOREIGN_CA", cert: "FOREIGN_CERTIFICATE", key: "FOREIGN_KEY" };
    return Object.fromEntries(needed.map((name) => [name, readFileSync(process.env[places[name]])]));
}

function open(options) {
    return mqtt.connect(url, { reconnectPeriod: 0, ...files(), ...options });
}

async function connect(protocolVersion, options = {}) {
    const client = open({ protocolVersion, ...options });
    const [connack] = await within(once(client, "connect"), "CONNACK");
    return Object.assign(client, { connack });
}

/** A session that stays, as each version says it. */
function lasting(version, clientId) {
    const properties = version === 5 ? { properties: { sessionExpiryInterval: 600 } } : {};
    return { clientId, clean: false, ...properties };
}

for (const [version, name] of [[4, "3.1.1"], [5, "5"]]) {
    await check(`mqtt.js ${name} each quality of service`, async () => {
        const client = await connect(version);
        for (const [sent, granted] of [0, 1, 2].flatMap((sent) => [0, 1, 2].map((granted) => [sent, granted]))) {
            const topic = `${run}/${name}/quality/${sent}${granted}`;
            await client.subscribeAsync(topic, { qos: granted });
            const message = take(client);
            await client.publishAsync(topic, "presión", { qos: sent });
            const { payload, packet } = await message;
            expect("the message", [payload, packet.qos], ["presión", Math.min(sent, granted)]);
        }
        await client.endAsync();
    });

    await check(`mqtt.js ${name} a thousand messages in order`, async () => {
        const [publisher, subscriber] = await Promise.all([connect(version), connect(version)]);
        const topic = `${run}/${name}/order`;
        await subscriber.subscribeAsync(topic, { qos: 2 });
        const messages = takeMany(subscriber, 1000);
        const numbers = Array.from({ length: 1000 }, (_, number) => String(number));
        await Promise.all(numbers.map((number) => publisher.publishAsync(topic, number, { qos: 1 })));
        expect("the order", (await messages).map(({ payload }) => payload), numbers);
        await Promise.all([publisher.endAsync(), subscriber.endAsync()]);
    });

    await check(`mqtt.js ${name} will of a client that breaks off`, async () => {
        const topic = `${run}/${name}/will`;
        const witness = await connect(version);
        await witness.subscribeAsync(topic, { qos: 2 });
        const will = take(witness);
        const mortal = await connect(version, { will: { topic, payload: "gone", qos: 1, retain: false } });
        mortal.stream.destroy();
        const { payload, packet } = await will;
        expect("the will", [payload, packet.qos], ["gone", 1]);
        await witness.endAsync();
    });

    await check(`mqtt.js ${name} retained is found and erased`, async () => {
        const topic = `${run}/${name}/retained`;
        const client = await connect(version);
        await client.publishAsync(topic, "kept", { qos: 1, retain: true });
        const stored = take(client);
        await client.subscribeAsync(`${run}/${name}/+`, { qos: 1 });
        const { payload, packet } = await stored;
        expect("the stored message", [payload, packet.retain], ["kept", true]);
        await client.publishAsync(topic, "", { qos: 1, retain: true });
        const later = await connect(version);
        await later.subscribeAsync(topic, { qos: 1 });
        const next = take(later);
        await client.publishAsync(topic, "live", { qos: 1 });
        expect("what is left", (await next).payload, "live");
        await Promise.all([client.endAsync(), later.endAsync()]);
    });

    await check(`mqtt.js ${name} session is resumed`, async () => {
        const topic = `${run}/${name}/session`;
        const options = lasting(version, `${run}-${name}`);
        const first = await connect(version, options);
        expect("the session at first", first.connack.sessionPresent, false);
        await first.subscribeAsync(topic, { qos: 1 });
        await first.endAsync();
        const publisher = await connect(version);
        for (const payload of ["one", "two", "three"]) await publisher.publishAsync(topic, payload, { qos: 1 });

        const again = open({ protocolVersion: version, ...options });
        const queued = takeMany(again, 3);
        const [connack] = await within(once(again, "connect"), "CONNACK");
        expect("the session afterwards", connack.sessionPresent, true);
        expect("the queue", (await queued).map(({ payload }) => payload), ["one", "two", "three"]);
        await Promise.all([again.endAsync(), publisher.endAsync()]);
        await (await connect(version, { clientId: options.clientId, clean: true })).endAsync();
    });
}

await check("mqtt.js 5 properties arrive", async () => {
    const client = await connect(5);
    const topic = `${run}/properties`;
    await client.subscribeAsync(topic, { qos: 1, properties: { subscriptionIdentifier: 77 } });
    const message = take(client);
    const properties = {
        payloadFormatIndicator: true,
        contentType: "text/plain",
        responseTopic: "answer/here",
        correlationData: Buffer.from("42"),
        userProperties: { place: ["home", "garden"], unit: "°C" },
    };
    await client.publishAsync(topic, "21", { qos: 1, properties: { ...properties, messageExpiryInterval: 600 } });
    const { messageExpiryInterval, ...arrived } = (await message).packet.properties;
    expect("what arrived", arrived, { ...properties, subscriptionIdentifier: 77 });
    if (!(messageExpiryInterval > 500 && messageExpiryInterval <= 600)) throw new Error(`expiry ${messageExpiryInterval}`);
    await client.endAsync();
});

await check("mqtt.js 5 identifier is assigned and alias is taken", async () => {
    const client = await connect(5, { clientId: "", properties: { topicAliasMaximum: 10 } });
    if (!client.connack.properties?.assignedClientIdentifier) throw new Error("no identifier was assigned");
    const topic = `${run}/alias`;
    await client.subscribeAsync(topic, { qos: 1 });
    const messages = takeMany(client, 2);
    await client.publishAsync(topic, "by name", { qos: 1, properties: { topicAlias: 3 } });
    await client.publishAsync("", "by alias", { qos: 1, properties: { topicAlias: 3 } });
    expect("what arrived", (await messages).map(({ payload }) => payload), ["by name", "by alias"]);
    await client.endAsync();
});

finish();
