'use strict';
/**
 * Drives the simulator with whatsapp-web.js, unmodified: the second, unrelated client.
 *
 * Started by test_whatsapp_web_js.py with one JSON argument:
 *   { story, modules, executable, port, spki, profile, me, peer,
 *     media: {mimetype, data, filename} }
 * It writes one JSON object on a line for everything that happens: {event, ...}, {step, value} or
 * {step, error}. The test scans the code and plays the other side; this file only does what a
 * user of the library would.
 */
const path = require('path');

const given = JSON.parse(process.argv[2]);
// eslint-disable-next-line import/no-dynamic-require -- the test knows where npm put it
const { Client, LocalAuth, Location, MessageMedia } = require(
  path.join(given.modules, 'whatsapp-web.js'));

const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);

const client = new Client({
  authStrategy: new LocalAuth({ dataPath: given.profile }),
  webVersionCache: { type: 'none' },
  puppeteer: {
    executablePath: given.executable,
    headless: true,
    args: [
      '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
      '--disable-background-networking', '--disable-component-update', '--disable-sync',
      `--host-resolver-rules=MAP web.whatsapp.com 127.0.0.1:${given.port}`,
      `--ignore-certificate-errors-spki-list=${given.spki}`,
    ],
  },
});

const step = async (name, action) => {
  try {
    say({ step: name, value: await action() });
  } catch (error) {
    say({ step: name, error: String((error && error.stack) || error).slice(0, 800) });
  }
};

// An ack may come before the call that sent the message has returned.
const acks = new Map();
client.on('message_ack', (message, ack) => acks.set(message.id._serialized, ack));
const delivered = (id) => new Promise((resolve) => {
  const look = () => {
    if ((acks.get(id) || 0) < 2) return;
    client.off('message_ack', look);
    resolve();
  };
  client.on('message_ack', look);
  look();
});

client.on('qr', (text) => say({ event: 'qr', text }));
client.on('authenticated', () => say({ event: 'authenticated' }));
client.on('auth_failure', (reason) => say({ event: 'auth_failure', reason }));
client.on('disconnected', (reason) => say({ event: 'disconnected', reason }));
client.on('change_state', (state) => say({ event: 'change_state', state }));
client.on('message', (message) => say({
  event: 'message', from: message.from, body: message.body, id: message.id._serialized,
}));
client.on('message_ack', (message, ack) => say({
  event: 'message_ack', id: message.id._serialized, ack,
}));

const stories = {
  /** Everything that goes out, one answer, and the end. */
  async sending() {
    const peer = `${given.peer}@c.us`;
    const send = async (content, options) => {
      const sent = await client.sendMessage(peer, content, { waitUntilMsgSent: true, ...options });
      return sent.id._serialized;
    };
    await step('getNumberId', async () => (await client.getNumberId(given.peer))._serialized);
    await step('text', () => send('Hello from whatsapp-web.js', { linkPreview: false }));
    await step('location', () => send(new Location(48.8566, 2.3522, { name: 'Paris' })));
    const { mimetype, data, filename } = given.media;
    await step('document', () => send(
      new MessageMedia(mimetype, data, filename), { sendMediaAsDocument: true, caption: 'a file' }));
    await step('delivered', async () => {
      const message = await client.sendMessage(peer, 'Tell me when you get this');
      await delivered(message.id._serialized);
      return message.id._serialized;
    });
    const answered = new Promise((resolve) => { client.once('message', resolve); });
    say({ event: 'waiting_for_message' });
    await answered;
    await step('getState', () => client.getState());
    await step('getChats', async () => (await client.getChats()).map((chat) => ({
      id: chat.id._serialized, unread: chat.unreadCount, group: chat.isGroup,
    })));
    await step('logout', () => client.logout());
    process.exit(0);
  },

  /** What others write, in the order in which the test has them write it. */
  async conversations() {
    client.on('message_create', async (message) => {
      if (message.fromMe && message.body === 'From my phone') {
        await step('own', () => message.to);
      }
    });
    client.on('message', async (message) => {
      const chat = await message.getChat();
      if (message.location) {
        const { latitude, longitude, name, address } = message.location;
        await step('place', () => [latitude, longitude, name, address]);
      } else if (message.hasMedia) {
        await step('download', () => message.downloadMedia());
        await chat.sendStateTyping();
        await step('reply', async () => (await message.reply('What a photo'))?.id._serialized);
      } else if (message.hasQuotedMsg) {
        await step('quoted', async () => (await message.getQuotedMessage()).body);
      } else if (chat.isGroup) {
        await step('group', () => ({
          name: chat.name,
          author: message.author,
          description: chat.description,
          admins: chat.participants.filter((one) => one.isAdmin).map((one) => one.id._serialized),
          size: chat.participants.length,
        }));
        await step('post', async () => {
          const sent = await chat.sendMessage('To all of you');
          await delivered(sent.id._serialized);
          const info = await sent.getInfo();
          return { id: sent.id._serialized, delivered: info.delivery.length, left: info.readRemaining };
        });
        await step('getChats', async () => (await client.getChats()).map((one) => [
          one.isGroup, one.name, one.unreadCount]));
      }
    });
    say({ event: 'listening' });
  },
};

client.on('ready', () => {
  say({ event: 'ready', me: client.info.wid._serialized, name: client.info.pushname });
  stories[given.story]();
});

// Only then does the client hear that it was linked: a person takes longer than a test.
client.initialize().then(() => {
  say({ event: 'initialized' });
  if (given.story === 'conversations') {
    return step('pairingCode', () => client.requestPairingCode(given.me));
  }
}).catch((error) => {
  say({ step: 'initialize', error: String(error && error.stack || error) });
  process.exit(1);
});
