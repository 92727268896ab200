'use strict';
/**
 * Connection state as the clients see it: event bus, commands, Conn, Socket, Stream, network.
 *
 * wa-js: isAuthenticated, getStreamData, getAuthCode, refreshQR, logout and every `conn.*` event
 * (it wraps the bus and listens to Socket, Stream, Conn and Cmd). whatsapp-web.js: its states
 * (Socket 'change:state'), `ready` ('change:hasSynced'), takeover, logout.
 */
(({ module }) => {
  module('WAWebBackendEventBus', (exports, ns) => {
    const EventEmitter = ns('WAWebEventEmitter').default;
    const NAMES = [
      'logout', 'starting_logout', 'refresh_qr', 'set_socket_state', 'open_socket_stream',
      'socket_stream_disconnected', 'on_critical_sync_done', 'main_stream_mode_ready',
      'initial_load_ready', 'offline_delivery_end',
    ];
    const camel = (name) => name
      .replace(/^on_/, '')
      .replace(/(?:^|_)(\w)/g, (whole, letter) => letter.toUpperCase());

    class Bus extends EventEmitter {}
    for (const name of NAMES) {
      Bus.prototype[`on${camel(name)}`] = function listen(callback) {
        return this.on(name, callback);
      };
      Bus.prototype[`trigger${camel(name)}`] = function tell(...args) {
        return this.trigger(name, ...args);
      };
    }
    exports.BackendEvent = Object.fromEntries(NAMES.map((name) => [name.toUpperCase(), name]));
    exports.BackendEventBus = new Bus();
  });

  module('WAWebCmd', (exports, ns) => {
    const EventEmitter = ns('WAWebEventEmitter').default;
    class CmdImpl extends EventEmitter {
      constructor() {
        super();
        this.isMainLoaded = false;
      }
      mainLoaded() {
        this.isMainLoaded = true;
        this.trigger('main_loaded');
      }
      logout() { this.trigger('logout'); }
      refreshQR() {
        this.trigger('refresh_qr');
        ns('WAWebBackendEventBus').BackendEventBus.triggerRefreshQr();
      }
    }
    const inert = [
      'openChatBottom', 'openChatAt', 'openChatFromUnread', 'closeChat', 'sendDeleteMsgs',
      'sendRevokeMsgs', 'archiveChat', 'muteChat'];
    for (const name of inert) CmdImpl.prototype[name] = async function nothing() {};
    exports.CmdImpl = CmdImpl;
    exports.Cmd = new CmdImpl();
  });

  module('WAWebNetworkStatus', (exports, ns) => {
    const { BaseModel, defineModel } = ns('WAWebBaseModel');
    class NetworkStatus extends BaseModel {
      async checkOnline() {}
      async waitIfOffline() {}
    }
    NetworkStatus.defaults = { online: true };
    exports.default = new (defineModel(NetworkStatus))();
    self.addEventListener('online', () => { exports.default.online = true; });
    self.addEventListener('offline', () => { exports.default.online = false; });
  });

  module('WAWebConnModel', (exports, ns) => {
    const { BaseModel, defineModel } = ns('WAWebBaseModel');
    class Conn extends BaseModel {
      get isSMB() { return this.platform === 'smba' || this.platform === 'smbi'; }
    }
    Conn.Proxy = 'conn';
    Conn.defaults = {
      ref: undefined, refTTL: undefined, connected: undefined, wid: undefined,
      platform: undefined, pushname: undefined, linkCode: undefined,
    };
    exports.Conn = new (defineModel(Conn))({ id: '1' });
  });

  module('WAWebSocketModel', (exports, ns) => {
    const { BaseModel, defineModel } = ns('WAWebBaseModel');
    const { SOCKET_STATE, SOCKET_STREAM } = ns('WAWebSocketConstants');
    const bus = ns('WAWebBackendEventBus').BackendEventBus;

    class SocketImpl extends BaseModel {
      initialize() {
        bus.onSetSocketState((state) => { this.state = state; });
        bus.onSocketStreamDisconnected(() => { this.stream = SOCKET_STREAM.DISCONNECTED; });
        bus.onCriticalSyncDone(() => {
          this.set({ hasSynced: true, stream: SOCKET_STREAM.CONNECTED });
        });
        bus.onOpenSocketStream(() => {
          if (this.hasSynced) this.stream = SOCKET_STREAM.CONNECTED;
        });
      }

      initConn() {}
      reconnect() { bus.trigger('reconnect_socket'); }

      /** "Use here": take the login back from the window that took it over. */
      takeover() {
        bus.triggerSetSocketState(SOCKET_STATE.OPENING);
        ns('SimComms').connect();
      }

      async sendCurrentLogout(reason) {
        await ns('SimComms').call('unpair', { reason }).catch(() => null);
        ns('SimComms').halt('stopped');
      }

      /** Resolves once the phone knows: whatsapp-web.js closes the browser right after. */
      async logout(reason = 'user_initiated') {
        bus.triggerStartingLogout();
        ns('WAWebLogoutReason').getErrorCodeFromLogoutReason(reason);
        await this.sendCurrentLogout(reason);
        await this.clearCredentialsAndStoredData(reason);
        bus.triggerLogout();
      }

      /** Forget the login; like the real page, it is loaded again a moment later. */
      async clearCredentialsAndStoredData(reason) {
        await ns('SimStore').wipe();
        ns('WAWebUserPrefsIsLoggedIn').setIsConnectedAsRegistered(false);
        const code = reason === 'user_initiated' ? '0' : '1';
        setTimeout(() => { location.href = `/?post_logout=1&logout_reason=${code}`; }, 50);
      }
    }
    SocketImpl.defaults = {
      state: SOCKET_STATE.UNLAUNCHED, stream: SOCKET_STREAM.DISCONNECTED, hasSynced: undefined,
    };
    exports.Socket = new (defineModel(SocketImpl))();
  });

  module('WAWebStreamModel', (exports, ns) => {
    const { BaseModel, defineModel } = ns('WAWebBaseModel');
    const { SOCKET_STATE, SOCKET_STREAM } = ns('WAWebSocketConstants');
    const { StreamInfo } = ns('WAWebStreamTypes');
    const socket = ns('WAWebSocketModel').Socket;
    const network = ns('WAWebNetworkStatus').default;
    const registered = () => ns('WAWebUserPrefsMultiDevice').isRegistered();

    exports.StreamInfo = StreamInfo;
    exports.StreamMode = self.Simulator.names(
      'QR', 'MAIN', 'SYNCING', 'OFFLINE', 'CONFLICT', 'PROXYBLOCK', 'TOS_BLOCK', 'SMB_TOS_BLOCK');

    const mode = () => {
      if (!registered()) return 'QR';
      switch (socket.state) {
        case SOCKET_STATE.CONFLICT: return 'CONFLICT';
        case SOCKET_STATE.UNLAUNCHED: return 'SYNCING';
        case SOCKET_STATE.UNPAIRED:
        case SOCKET_STATE.UNPAIRED_IDLE: return 'QR';
        case SOCKET_STATE.OPENING:
          if (!network.online && !socket.hasSynced) return 'OFFLINE';
          break;
        default:
      }
      const synced = socket.hasSynced || socket.stream === SOCKET_STREAM.CONNECTED;
      return synced ? 'MAIN' : 'SYNCING';
    };

    const info = () => {
      switch (socket.state) {
        case SOCKET_STATE.OPENING: return network.online ? StreamInfo.OPENING : StreamInfo.OFFLINE;
        case SOCKET_STATE.PAIRING:
          return socket.hasSynced ? StreamInfo.RESUMING : StreamInfo.PAIRING;
        case SOCKET_STATE.CONNECTED: {
          const synced = socket.hasSynced || socket.stream === SOCKET_STREAM.CONNECTED;
          return synced ? StreamInfo.NORMAL : StreamInfo.SYNCING;
        }
        default: return StreamInfo.NORMAL;
      }
    };

    class StreamImpl extends BaseModel {
      initialize() {
        if (!registered()) this.mode = 'QR';
        const update = () => this.set({
          info: info(),
          mode: mode(),
          phoneAuthed: socket.stream !== SOCKET_STREAM.DISCONNECTED,
          hasSynced: socket.hasSynced,
        });
        this.listenTo(socket, 'change:state change:stream change:hasSynced', update);
        this.listenTo(network, 'change:online', update);
      }
      markAvailable() { this.available = true; }
      markUnavailable() { this.available = false; }
    }
    StreamImpl.Proxy = 'stream';
    StreamImpl.defaults = {
      mode: 'SYNCING', info: StreamInfo.NORMAL, needsUpdate: undefined, available: true,
      phoneAuthed: false, hasSynced: undefined,
    };
    exports.Stream = new (defineModel(StreamImpl))({ id: '1' });
  });
})(self.Simulator);
