// Serves the page, sends a headless browser to it, and prints what the page has found out.
//
// Usage: serve.mjs PORT WS WSS CERTIFICATE PROFILE; the port of the page, where the broker listens, the fingerprint of the key of its
// certificate, and a folder for the browser.
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";

const [port, ws, wss, fingerprint, profile] = process.argv.slice(2);
const patience = 120_000;
const here = (name) => readFileSync(fileURLToPath(new URL(name, import.meta.url)));
const installed = createRequire(process.env.FOREIGN_NODE);
const bundle = installed.resolve("mqtt").replace(/mqtt\/.*/, "mqtt/dist/mqtt.min.js");
const files = {
  "/": ["text/html", here("page.html")],
  "/page.js": ["text/javascript", here("page.js")],
  "/mqtt.js": ["text/javascript", readFileSync(bundle)],
};

let tell = () => {};
const server = createServer((request, answer) => {
  const file = files[new URL(request.url, "http://page").pathname];
  if (request.method === "GET" && file) {
    answer.writeHead(200, { "Content-Type": file[0] }).end(file[1]);
  } else if (request.method === "POST" && request.url === "/report") {
    let body = "";
    request.on("data", (part) => (body += part));
    request.on("end", () => {
      answer.end();
      tell(body);
    });
  } else {
    answer.writeHead(404).end();
  }
});

// The report of one visit. A browser of its own each time: nothing is remembered.
async function visit(host, more) {
  const page = new URL(`http://${host}:${port}/`);
  for (const [name, value] of Object.entries({ ws, wss, ...more })) page.searchParams.set(name, value);
  const words = [
    "--headless=new",
    "--no-sandbox", // the tests may run as root
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    `--user-data-dir=${profile}/${host}`,
    `--ignore-certificate-errors-spki-list=${fingerprint}`,
    page.href,
  ];
  let errors = "";
  const browser = spawn("chromium", words, { stdio: ["ignore", "ignore", "pipe"] });
  browser.stderr.on("data", (part) => (errors = (errors + part).slice(-1_000)));
  const ended = new Promise((resolve) => browser.once("close", resolve));
  const report = await Promise.race([
    new Promise((resolve) => (tell = resolve)),
    ended.then((code) => `FAILED the browser ends with ${code}`),
    new Promise((resolve) => browser.once("error", (error) => resolve(`FAILED the browser starts: ${error.message}`))),
    new Promise((resolve) => setTimeout(resolve, patience, "FAILED the page says nothing")),
  ]);
  browser.kill("SIGTERM");
  await ended;
  console.log(report.replace(/^(ok|FAILED) /gm, "$1 in a browser: "));
  if (/^FAILED/m.test(report)) console.log(errors.replace(/^/gm, "    "));
  return !/^FAILED/m.test(report);
}

server.listen(Number(port), "127.0.0.1", async () => {
  const passed = [await visit("127.0.0.1", {}), await visit("localhost", { stranger: "yes" })];
  server.closeAllConnections();
  server.close();
  process.exit(passed.every(Boolean) ? 0 : 1);
});
