// Keeps a page live: follows its socket, turns each frame into a DOM event, and tells htmx when to fetch what changed.
// Builds no HTML. The page says in #live which socket to follow (data-socket) and how often to refresh at most
// (data-interval), and, where not all events matter, which node alone it shows (data-node) or how the types of those
// that do begin (data-events); #seen, where there is one, holds the number of the last event that the page shows.

const FIRST_RETRY_MS = 500;
const LAST_RETRY_MS = 15_000;
const STEADY_MS = 5_000;      // a connection that lasted this long was a good one
const SETTLE_MS = 150;        // events come in bursts: wait for the rest of one
const FAILED_MS = 3_000;      // before asking again what could not be fetched
const ASLEEP_MS = 90_000;     // hidden pages tick once a minute; a longer pause means that the machine slept

const NOT_SIGNED_IN = 4401;
const HOPELESS = new Set([4400, 4404]);

/** Asks htmx for a refresh on `swarm:changed`: bursts merged, one at a time, only while somebody looks. */
class Refresher {
  constructor(root) {
    this.root = root;
    this.interval = Number(root.dataset.interval);
    this.isDue = this.isLoading = false;
    this.notBefore = 0;
    document.addEventListener("visibilitychange", () => this.schedule());
    root.addEventListener("htmx:afterRequest", (event) => this.finished(event.detail.successful));
  }

  request() {
    this.isDue = true;
    this.schedule();
  }

  schedule() {
    if (!this.isDue || this.isLoading || this.timer || document.hidden) return;
    this.timer = setTimeout(() => this.fire(), Math.max(SETTLE_MS, this.notBefore - Date.now()));
  }

  fire() {
    this.timer = null;
    this.isDue = false;
    this.isLoading = true;
    this.notBefore = Date.now() + this.interval;
    this.root.dispatchEvent(new CustomEvent("swarm:changed"));
  }

  finished(isSuccessful) {
    this.isLoading = false;
    if (!isSuccessful) {
      this.isDue = true;
      this.notBefore = Date.now() + FAILED_MS;
    }
    this.schedule();
  }
}

/** The socket: comes back after a loss and asks for what it missed. */
class Feed {
  constructor(root, refresher) {
    this.url = new URL(root.dataset.socket, location.href.replace(/^http/, "ws"));
    const seen = document.getElementById("seen");
    this.seq = seen ? Number(seen.value) : null;
    this.node = root.dataset.node;
    this.types = root.dataset.events?.split(" ") ?? [""];
    this.refresher = refresher;
    this.retries = 0;
    this.watchForSleep();
    addEventListener("online", () => this.connect());
    this.connect();
  }

  connect() {
    clearTimeout(this.timer);
    this.socket?.removeEventListener("close", this.onClose);
    this.socket?.close();
    if (this.seq !== null) this.url.searchParams.set("after", this.seq);
    this.onClose = (event) => this.closed(event.code);
    this.socket = new WebSocket(this.url);
    this.socket.addEventListener("open", () => this.opened());
    this.socket.addEventListener("message", (event) => this.received(JSON.parse(event.data)));
    this.socket.addEventListener("close", this.onClose);
  }

  opened() {
    this.openedAt = Date.now();
    show("connection", false);
    if (this.seq === null) this.refresher.request();  // this socket has no replay: fetch what was missed
  }

  received(frame) {
    if (this.seq !== null) this.seq = frame.seq;
    const card = frame.node && document.getElementById(`node-${frame.node}`);
    (card || document.body).dispatchEvent(new CustomEvent(frame.type, { detail: frame, bubbles: true }));
    if (this.concerns(frame)) this.refresher.request();
  }

  concerns(frame) {
    return (!this.node || this.node === frame.node) && this.types.some((type) => frame.type.startsWith(type));
  }

  closed(code) {
    if (code === NOT_SIGNED_IN) {
      location.reload();  // the server leads to the sign-in page and back
    } else if (HOPELESS.has(code)) {
      show("connection-hopeless", true);
    } else {
      show("connection", true);
      if (this.openedAt && Date.now() - this.openedAt > STEADY_MS) this.retries = 0;
      this.openedAt = null;
      const ceiling = Math.min(LAST_RETRY_MS, FIRST_RETRY_MS * 2 ** this.retries++);
      this.timer = setTimeout(() => this.connect(), ceiling * (0.5 + Math.random() / 2));
    }
  }

  watchForSleep() {
    let last = Date.now();
    setInterval(() => {
      if (Date.now() - last > ASLEEP_MS) this.connect();
      last = Date.now();
    }, 5_000);
  }
}

function show(id, isShown) {
  document.getElementById(id).hidden = !isShown;
}

/** Says aloud, once, that an execution has ended; what happens meanwhile stays quiet. */
function announceEnd(event) {
  const status = event.detail.data.status ?? "cancelled";
  document.getElementById("announcer").textContent = `The execution has ended: ${status}.`;
}

const root = document.getElementById("live");
if (root) {
  if (document.getElementById("seen")) {
    document.addEventListener("swarm:completed", announceEnd);
    document.addEventListener("swarm:cancelled", announceEnd);
  }
  new Feed(root, new Refresher(root));
}
