// The Node client of the demonstration application, and the checks: rows D1 to D4 of what the system must do.
//
// Usage: frontend.mjs HOST PORT PYTHON; mqtt.js connects with its defaults, nothing but the host is changed.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { createRequire } from "node:module";
import { check, finish, take, within } from "../node/checks.mjs";

const mqtt = createRequire(process.env.FOREIGN_NODE)("mqtt");
const [host, port, python] = process.argv.slice(2);

async function connect() {
    const client = mqtt.connect(`mqtt://${host}:${port}`);
    await within(once(client, "connect"), "CONNACK");
    return client;
}

await check("demonstration D1 defaults of mqtt.js: publish, subscribe, unsubscribe, end", async () => {
    const client = await connect();
    for (const qos of [0, 1, 2]) {
        const granted = await client.subscribeAsync(`room/${qos}`, { qos });
        if (granted[0].qos !== qos) throw new Error(`QoS ${qos} was granted as ${granted[0].qos}`);
        const message = take(client);
        await client.publishAsync(`room/${qos}`, `hello ${qos}`);
        const { topic, payload } = await message;
        if (topic !== `room/${qos}` || payload !== `hello ${qos}`) throw new Error(`${topic}: ${payload}`);
    }
    await client.unsubscribeAsync("room/0");
    const next = take(client);
    await client.publishAsync("room/0", "nobody listens");
    await client.publishAsync("room/1", "somebody listens");
    const { payload } = await next;
    if (payload !== "somebody listens") throw new Error(`unsubscribed, and yet: ${payload}`);
    await client.endAsync();
});

const script = new URL("backend.py", import.meta.url).pathname;
const backend = spawn(python, [script, host, port], { stdio: ["ignore", "pipe", "inherit"] });
const lines = createInterface({ input: backend.stdout });
await within(once(lines, "line"), "the Python client");

await check("demonstration D3 retained from Python is found by Node later", async () => {
    const client = await connect();
    const message = take(client);
    await client.subscribeAsync("state", { qos: 1 });
    const { payload, packet } = await message;
    if (payload !== "estoy aquí" || !packet.retain) throw new Error(`${payload}, retain ${packet.retain}`);
    await client.endAsync();
});

await check("demonstration D4 messages in both directions", async () => {
    const client = await connect();
    await client.subscribeAsync("to/node", { qos: 2 });
    for (const qos of [0, 1, 2]) {
        const message = take(client);
        await client.publishAsync("to/python", `abc${qos}`, { qos });
        const { payload } = await message;
        if (payload !== `${qos}cba`) throw new Error(`QoS ${qos}: ${payload}`);
    }
    await client.endAsync();
});

await check("demonstration D2 will of the killed Python process arrives and is retained", async () => {
    const client = await connect();
    await client.subscribeAsync("die", { qos: 2 });
    const will = take(client);
    backend.kill("SIGKILL");
    const { payload, packet } = await will;
    if (payload !== "Mensaje final" || packet.qos !== 2 || packet.retain) {
        throw new Error(`${payload}, QoS ${packet.qos}, retain ${packet.retain}`);
    }
    const later = await connect();
    const stored = take(later);
    await later.subscribeAsync("die", { qos: 2 });
    const found = await stored;
    if (found.payload !== "Mensaje final" || !found.packet.retain) throw new Error("the will is not retained");
    for (const topic of ["die", "state"]) await later.publishAsync(topic, "", { qos: 1, retain: true });
    await Promise.all([client.endAsync(), later.endAsync()]);
});

finish();
