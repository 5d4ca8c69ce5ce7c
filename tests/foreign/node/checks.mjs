// One line for each check, and waiting that ends.

import { isDeepStrictEqual } from "node:util";

const PATIENCE_MS = 30_000; // far more than a busy machine needs

let failures = 0;

/** Runs one check and says how it went. */
export async function check(name, body) {
    try {
        await within(body(), "the end of the check");
        console.log(`ok ${name}`);
    } catch (error) {
        failures += 1;
        console.log(`FAILED ${name}: ${String(error.message ?? error).replaceAll("\n", " ")}`);
    }
}

/** Ends the process; clients that a failed check left behind do not keep it alive. */
export function finish() {
    process.exit(failures === 0 ? 0 : 1);
}

/** The promise, or an error when it takes too long. */
export function within(promise, what) {
    let timer;
    const late = new Promise((_, reject) => {
        timer = setTimeout(() => reject(new Error(`waited in vain for ${what}`)), PATIENCE_MS);
    });
    return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** The next message that comes to a client. */
export function take(client) {
    const message = new Promise((resolve) => {
        client.once("message", (topic, payload, packet) => resolve({ topic, payload: payload.toString(), packet }));
    });
    return within(message, "a message");
}

/** The next messages that come to a client, in their order. */
export function takeMany(client, count) {
    const messages = new Promise((resolve) => {
        const taken = [];
        client.on("message", function listener(topic, payload, packet) {
            taken.push({ topic, payload: payload.toString(), packet });
            if (taken.length === count) {
                client.off("message", listener);
                resolve(taken);
            }
        });
    });
    return within(messages, `${count} messages`);
}

/** Throws unless both are the same when they are written as JSON; the order of names does not count. */
export function expect(what, actual, expected) {
    const [left, right] = [actual, expected].map((value) => JSON.parse(JSON.stringify(value ?? null)));
    if (!isDeepStrictEqual(left, right)) throw new Error(`${what} is ${JSON.stringify(left)} and not ${JSON.stringify(right)}`);
}
