'use strict';
/**
 * Starts the page: loads the stored login, opens the socket and moves Socket, Conn and Stream
 * through the states that the real client goes through.
 */
(async () => {
  const ns = importNamespace;
  const { SOCKET_STATE } = ns('WAWebSocketConstants');
  const store = ns('SimStore');
  const comms = ns('SimComms');
  await store.init();

  const bus = ns('WAWebBackendEventBus').BackendEventBus;
  const socket = ns('WAWebSocketModel').Socket;
  const conn = ns('WAWebConnModel').Conn;
  const cmd = ns('WAWebCmd').Cmd;
  const me = ns('WAWebUserPrefsMeUser');
  const chats = ns('WAWebChatCollection').ChatCollection;
  const MsgKey = ns('WAWebMsgKey').default;
  const { createWid } = ns('WAWebWidFactory');
  ns('WAWebStreamModel');

  window.Debug = { VERSION: ns('WAWebBuildConstants').VERSION_STR };
  bus.onLogout(() => cmd.logout());
  bus.onRefreshQr(() => comms.send({ type: 'refresh_qr' }));
  ns('SimScreen').start(document.getElementById('app'));

  const { learn, remember, receive } = ns('SimIncoming');

  /** Contacts and chats from the local database, as after a restart of the browser. */
  const restore = async () => {
    (await store.all('contact')).forEach(remember);
    await ns('SimGroups').restore();
    for (const row of await store.all('chat')) {
      chats.gadd({
        id: createWid(row.id),
        name: row.name,
        t: row.t,
        unreadCount: row.unreadCount || 0,
        lastReceivedKey: row.lastReceivedKey ? MsgKey.fromString(row.lastReceivedKey) : undefined,
      });
    }
  };

  /** What the server says of us when we log in. */
  const introduce = async (packet) => {
    for (const contact of packet.contacts) await learn(contact);
    for (const group of packet.groups) await ns('SimGroups').enter(group);
  };

  let started = false;
  const enter = async (packet) => {
    me.setMe(createWid(packet.me.pn));
    me.setMeLid(createWid(packet.me.lid));
    me.setMeDisplayName(packet.me.pushname);
    ns('WAWebUserPrefsIsLoggedIn').setIsConnectedAsRegistered(true);
    conn.set({
      wid: createWid(packet.me.pn),
      pushname: packet.me.pushname,
      platform: packet.me.platform,
      connected: true,
      ref: undefined,
      linkCode: undefined,
    });
    bus.triggerSetSocketState(SOCKET_STATE.CONNECTED);
    if (!started) {
      started = true;
      await restore();
      await introduce(packet);
      cmd.mainLoaded();
    }
    bus.triggerOpenSocketStream();
    bus.triggerCriticalSyncDone();
    bus.triggerMainStreamModeReady();
    comms.send({ type: 'resume' }); // now send what waited while we were away
    if (packet.resendPending) await ns('SimPendingSends').resend();
  };

  comms.on('open', () => {
    if (socket.state !== SOCKET_STATE.CONNECTED) bus.triggerSetSocketState(SOCKET_STATE.OPENING);
  });
  comms.on('close', () => {
    conn.connected = false;
    bus.triggerSocketStreamDisconnected();
    if (!comms.halted) bus.triggerSetSocketState(SOCKET_STATE.OPENING);
  });
  comms.on('ref', ({ ref, ttl }) => {
    bus.triggerSetSocketState(SOCKET_STATE.UNPAIRED);
    conn.set({ ref, refTTL: ttl, connected: false });
    comms.send({ type: 'code', ref, text: ns('SimKeys').codeFor(ref) });
  });
  comms.on('code_expired', () => ns('WAWebAltDeviceLinkingApi').expired());
  comms.on('idle', () => bus.triggerSetSocketState(SOCKET_STATE.UNPAIRED_IDLE));
  comms.on('pair', async (packet) => {
    bus.triggerSetSocketState(SOCKET_STATE.PAIRING);
    await store.setUser({ token: packet.token, lidMigrated: packet.lidMigrated });
    await enter(packet);
  });
  comms.on('success', enter);
  comms.on('conflict', () => {
    comms.halt('conflict');
    bus.triggerSetSocketState(SOCKET_STATE.CONFLICT);
  });
  comms.on('logged_out', async ({ reason }) => {
    bus.triggerStartingLogout();
    ns('WAWebLogoutReason').getErrorCodeFromLogoutReason(reason);
    comms.halt('stopped');
    await socket.clearCredentialsAndStoredData(reason);
    bus.triggerLogout();
  });

  comms.on('message', receive);
  comms.on('group', (packet) => ns('SimGroups').change(packet));

  const ACK_NAMES = { 2: 'delivery', 3: 'read', 4: 'played' };
  comms.on('receipt', async ({ ids, from, ack, ts, participant }) => {
    const chat = createWid(from);
    const [id, name] = chat.isGroup()
      ? ['WAWebHandleGroupChatReceipt', 'handleGroupSimpleReceipt']
      : ['WAWebHandleDirectChatReceipt', 'handleChatSimpleReceipt'];
    await ns(id)[name]({
      type: 'receipt',
      stanzaId: ids[0],
      externalIds: ids,
      from: chat,
      participant: participant ? createWid(participant) : null,
      recipient: null,
      ts,
      ack,
      ackString: ACK_NAMES[ack],
      offline: null,
      biz: null,
    });
  });

  if (store.user.token) bus.triggerSetSocketState(SOCKET_STATE.OPENING);
  comms.connect();
})();
