// What a browser sees of the broker: every check is a line, and all lines together are posted to whoever served the page.
const asked = new URLSearchParams(location.search);
const urls = { ws: asked.get("ws"), wss: asked.get("wss") };
const patience = 30_000;
const lines = [];

function note(passed, name) {
  lines.push(`${passed ? "ok" : "FAILED"} ${name}`);
}

function within(promise, what) {
  const late = new Promise((_, reject) => setTimeout(() => reject(new Error(`${what} takes too long`)), patience));
  return Promise.race([promise, late]);
}

async function check(name, work) {
  try {
    await within(work(), name);
    note(true, name);
  } catch (error) {
    note(false, `${name}: ${error.message ?? error}`);
  }
}

// The bare socket: how it opens, or that it does not.
function open(url, protocol) {
  return new Promise((resolve) => {
    const socket = new WebSocket(url, protocol);
    socket.onopen = () => {
      const chosen = socket.protocol;
      socket.close();
      resolve(chosen);
    };
    socket.onerror = () => resolve(null);
  });
}

function once(client, name) {
  return new Promise((resolve, reject) => {
    client.once(name, (...words) => resolve(words));
    client.once("error", reject);
  });
}

// A page subscribes and speaks to itself.
async function echo(url, version, qos) {
  const options = { protocolVersion: version, clientId: `page-${version}-${qos}-${Date.now()}`, reconnectPeriod: 0 };
  const client = mqtt.connect(url, options);
  await once(client, "connect");
  const topic = `page/${version}/${qos}`;
  const [granted] = await client.subscribeAsync(topic, { qos });
  if (granted.qos !== qos) throw new Error(`granted ${granted.qos}`);
  for (const size of [0, 10, 100_000]) {
    const payload = new Uint8Array(size).map((_, place) => place % 251);
    const heard = once(client, "message");
    await client.publishAsync(topic, payload, { qos });
    const [where, what, packet] = await heard;
    const same = what.length === size && what.every((byte, place) => byte === place % 251);
    if (where !== topic || !same || packet.qos !== qos) throw new Error(`heard ${what.length} bytes at ${where}`);
  }
  await client.endAsync();
}

async function welcome() {
  for (const [kind, url] of Object.entries(urls)) {
    await check(`${kind}: the subprotocol is mqtt`, async () => {
      const chosen = await open(url, ["something", "mqtt"]);
      if (chosen !== "mqtt") throw new Error(`it is ${chosen}`);
    });
    for (const version of [4, 5])
      for (const qos of [0, 1, 2])
        await check(`${kind}: MQTT ${version === 4 ? "3.1.1" : "5"} at QoS ${qos}`, () => echo(url, version, qos));
  }
}

async function stranger() {
  for (const [kind, url] of Object.entries(urls)) {
    await check(`${kind}: a page of another origin is refused`, async () => {
      const chosen = await open(url, "mqtt");
      if (chosen !== null) throw new Error("it is let in");
    });
  }
}

(asked.has("stranger") ? stranger() : welcome()).then(() =>
  fetch("report", { method: "POST", body: lines.join("\n") }),
);
