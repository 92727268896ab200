'use strict';
/**
 * The peer: whatsapp-web.js, unmodified, told by browsers.py what to do and for how long it took.
 *
 * Started with one JSON argument, {modules, executable, args, profiles}. Each line on standard
 * input is a command {id, op, ...}, answered by a line {id, ...} or {id, error}. One process holds
 * as many clients as wanted, as services built on this library do. It ends with its input.
 */
const path = require('path');
const readline = require('readline');

const given = JSON.parse(process.argv[2]);
// eslint-disable-next-line import/no-dynamic-require -- browsers.py knows where npm put it
const { Client, LocalAuth } = require(path.join(given.modules, 'whatsapp-web.js'));

const clients = new Map();
const now = () => performance.now();

function make(name) {
  const client = new Client({
    authStrategy: new LocalAuth({ clientId: name, dataPath: given.profiles }),
    webVersionCache: { type: 'none' },
    puppeteer: { executablePath: given.executable, headless: true, args: given.args },
  });
  const ready = new Promise((resolve) => { client.once('ready', resolve); });
  clients.set(name, { client, ready });
  return client;
}

const ops = {
  // From `initialize` to the first code. It answers only when `initialize` is through: before, the
  // client does not listen yet to what a scan changes.
  async open({ name }) {
    const client = make(name);
    const shown = new Promise((resolve) => {
      client.once('qr', (text) => resolve({ text, at: now() }));
    });
    const began = now();
    await client.initialize();
    const { text, at } = await shown;
    return { qr: text, ms: at - began };
  },
  async ready({ name }) {
    await clients.get(name).ready;
    return { wid: clients.get(name).client.info.wid._serialized };
  },
  async send({ name, to, body, options }) {
    const { client } = clients.get(name);
    const began = now();
    const sent = await client.sendMessage(to, body, options);
    const ms = now() - began;
    return { ms, ack: sent.ack, key: sent.id._serialized };
  },
  async evaluate({ name, script }) {
    return { value: await clients.get(name).client.pupPage.evaluate(script) };
  },
  async close({ name }) {
    await clients.get(name).client.destroy();
    clients.delete(name);
    return {};
  },
};

const lines = readline.createInterface({ input: process.stdin });
lines.on('line', async (line) => {
  const { id, op, ...rest } = JSON.parse(line);
  let answer;
  try {
    answer = await ops[op](rest);
  } catch (error) {
    answer = { error: String((error && error.stack) || error).slice(0, 800) };
  }
  process.stdout.write(`${JSON.stringify({ id, ...answer })}\n`);
});
lines.on('close', async () => {
  await Promise.allSettled([...clients.values()].map(({ client }) => client.destroy()));
  process.exit(0);
});
process.stdout.write(`${JSON.stringify({ id: 0 })}\n`);
