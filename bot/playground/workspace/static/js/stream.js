// Keeps one event stream open for the acting person, and opens it again with growing pauses.

const KINDS = ["message", "view", "traffic", "toast", "state"];
const FIRST_PAUSE = 500;
const LONGEST_PAUSE = 10_000;

export class Stream {
  // `listeners` has one function for each kind, `begun`, `down` and `up` (again after a break).
  constructor(listeners) {
    this.listeners = listeners;
    this.pause = FIRST_PAUSE;
    this.broken = false;
  }

  open(as) {
    this.close();
    this.as = as;
    const source = new EventSource(`/ui/stream?${new URLSearchParams({ as })}`);
    this.source = source;
    source.addEventListener("open", () => this.opened());
    source.addEventListener("error", () => this.lost());
    for (const kind of KINDS) source.addEventListener(kind, (event) => this.listeners[kind](JSON.parse(event.data || "{}")));
  }

  opened() {
    this.pause = FIRST_PAUSE;
    const again = this.broken;
    this.broken = false;
    if (again) this.listeners.up();
    else this.listeners.begun();
  }

  lost() {
    this.source.close();
    if (!this.broken) this.listeners.down();
    this.broken = true;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.open(this.as), this.pause);
    this.pause = Math.min(this.pause * 2, LONGEST_PAUSE);
  }

  close() {
    clearTimeout(this.timer);
    this.source?.close();
  }
}
