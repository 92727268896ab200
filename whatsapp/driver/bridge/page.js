// Our half in the page: turns wa-js (`WPP`) into plain calls and plain, numbered events.
//
// The files of this folder are one script: page (state, codes, what wa-js tells), receiving,
// sending, chats (people, groups, typing), calls (how Python asks, and the start), in this order, in
// one function.
// `channel.py` puts them together and gives them
//   channel  `channel(string)` pushes to Python
//   config   {path: path of the page that wa-js may run on}
// and runs them in the top frame of the configured origin only, before any script of the page.
//
// Calls: `__relance.call(load, op, args, timeoutMs)` resolves to a JSON string, `{"ok": value}` or
// `{"err": {"code", "message"}}`; it never rejects. `load` names one load of the page: a call meant
// for the load before a reload is refused, because clock readings (`notAfter`) are per load.
// Events: JSON strings {l: load, o: time origin, n: 1, 2, 3..., at: wall clock in ms, p: the reading
// of performance.now(), t: type, d: data}.

const load = performance.timeOrigin + '-' + Math.random().toString(36).slice(2, 10);
let seq = 0;
let active = performance.now(); // of the last event or the end of the last send
function emit(type, data) {
  active = performance.now();
  channel(JSON.stringify({
    l: load, o: performance.timeOrigin, n: ++seq, at: Date.now(), p: active, t: type,
    d: data === undefined ? null : data,
  }));
}

const text = (v) => (v == null ? '' : typeof v === 'string' ? v : String(v));
const ops = {}; // name -> what Python may ask for; each file adds its own
class Refusal extends Error { // the code is the decision; nothing has left when this is thrown
  constructor(code, message) { super(message || code); this.code = code; }
}

// ------------------------------------------------------------------------------- state
const socketUp = () => WPP.whatsapp.Socket.state === 'CONNECTED';
let loggedOut = false;

function state() {
  if (loggedOut) return 'logged_out';
  if (!window.WPP || !WPP.isInjected) return unsupported ? 'unsupported' : lastCode ? 'qr' : 'loading';
  const mode = WPP.conn.getStreamData().mode;
  if (mode === 'CONFLICT') return 'conflict';
  if (mode === 'DEPRECATED_VERSION' || WPP.conn.needsUpdate()) return 'unsupported';
  if (/TOS_BLOCK|PROXYBLOCK/.test(mode)) return 'logged_out';
  if (WPP.conn.isIdle()) return 'qr_idle';
  if (mode === 'QR') return lastCode ? 'qr' : 'loading';
  // `isFullReady` is needed besides: before it wa-js does not hear receipts.
  if (mode === 'MAIN' && WPP.conn.isAuthenticated() && WPP.isFullReady) {
    wasConnected = wasConnected || socketUp();
    return socketUp() ? 'connected' : wasConnected ? 'reconnecting' : 'syncing';
  }
  return wasConnected ? 'reconnecting' : 'syncing';
}
let wasConnected = false;
let unsupported = false;
let lastCode = '';
let lastState = '';
function noteState() {
  let now;
  try { now = state(); } catch (e) { return; } // a module is not bound yet: still loading
  if (now !== lastState) { lastState = now; emit('state', now); }
}

// wa-js binds to the page's modules only once they have settled, most of a second after the page
// shows a code. Until then the code is read off the page, where the element around the picture
// has long had it as an attribute; where it has not, it comes when wa-js tells it.
let drawn = false;
function readScreen() {
  const at = document.querySelector('[data-ref]');
  const found = at && /^\d@[^,]+(,[^,]+){3}/.exec(at.getAttribute('data-ref')); // as wa-js puts it
  const code = found ? found[0] : '';
  if (code === lastCode) return;
  lastCode = code;
  if (code) { drawn = true; emit('qr', code); }
  noteState();
}
const screen = new MutationObserver(readScreen);
function wired() { // wa-js listens from now on
  screen.disconnect();
  // It does not tell of a log-in that somebody quick has made before. It looks in a timer, too.
  setTimeout(() => { if (drawn && WPP.conn.isAuthenticated()) linked(); }, 0);
}
let told = false;
function linked() {
  lastCode = '';
  if (!told) emit('linked');
  told = true;
  noteState();
}

// --------------------------------------------------------------------- watching wa-js
function watch() {
  let reason = '';
  for (const name of ['conn.stream_mode_changed', 'conn.stream_info_changed', 'conn.main_ready',
    'conn.qrcode_idle', 'conn.needs_update', 'conn.require_auth', 'loader.injected', 'loader.full_ready'])
    WPP.on(name, () => queueMicrotask(noteState));
  WPP.on('loader.injected', () => WPP.whatsapp.Socket.on('change:state', () => queueMicrotask(noteState)));
  WPP.on('loader.injected', wired);
  WPP.on('loader.full_ready', guardSending);
  WPP.on('loader.full_ready', watchGroups);
  WPP.on('conn.auth_code_change', (code) => {
    const full = code ? code.fullCode : '';
    if (full && full !== lastCode) { lastCode = full; emit('qr', full); }
    if (!full) lastCode = '';
    noteState();
  });
  WPP.on('conn.authenticated', linked);
  WPP.on('conn.logout_reason', (r) => { reason = text(r); });
  WPP.on('conn.logout', () => { if (!loggedOut) { loggedOut = true; lastState = 'logged_out'; emit('logout', reason); } });
  WPP.on('chat.new_message', onMessage);
  WPP.on('chat.msg_ack_change', (a) => {
    const ids = a.ids.map(text);
    // The call that sends is about to return this very ack.
    if (a.ack === 1 && ids.every((id) => sends.has(id) && sends.get(id).waiting)) return;
    emit('receipt', { ids, ack: a.ack, participant: bare(a.sender), phone: phoneOf(a.sender) });
  });
}
