// Wires the page: who is acting, what the workspace tells, and the parts that show it.

import { api } from "./api.js";
import { Conversation } from "./conversation.js";
import { setServerNow } from "./dates.js";
import { fill, h, icon } from "./dom.js";
import { Inspector } from "./inspector.js";
import { closeMenu } from "./menu.js";
import { Modals } from "./modals.js";
import { peopleOf } from "./people.js";
import { readPlace, writePlace } from "./place.js";
import { drawSidebar } from "./sidebar.js";
import { Stream } from "./stream.js";
import { toast } from "./toasts.js";
import { drawTopbar } from "./topbar.js";
import { say, setLanguage } from "./words.js";

const byId = (id) => document.getElementById(id);
const RETRY = 2000;

class Desk {
  constructor() {
    this.as = null;
    this.state = null;
    this.people = null;
    this.channelLocale = "ja";
    this.timers = {};
    this.slow = {};
    this.asked = 0;
    this.answered = 0;
    this.talk = new Conversation(this);
    this.modals = new Modals({
      people: () => this.people,
      act: (body) => api.viewAction({ as: this.as, ...body }),
      submit: (body) => api.viewSubmit({ as: this.as, ...body }),
      close: (body) => api.viewClose({ as: this.as, ...body }),
    });
    this.inspector = new Inspector(byId("inspector"), (after) => api.traffic(after), () => this.toggleInspector());
    this.stream = new Stream({
      message: (event) => this.heard(event),
      view: ({ view }) => this.modals.show(view),
      traffic: () => this.soon("traffic", () => this.inspector.refresh(), 150),
      toast: ({ text }) => toast(text),
      state: () => this.soon("state", () => this.loadState()),
      begun: () => this.caughtUp(),
      down: () => this.disconnected(true),
      up: () => this.disconnected(false),
    });
    this.listen();
  }

  listen() {
    byId("scrim").addEventListener("click", () => this.showSidebar(false));
    byId("skip").addEventListener("click", (event) => {
      event.preventDefault();
      byId("messages").focus();
    });
    window.addEventListener("hashchange", () => this.goToPlace());
    document.addEventListener("keydown", (event) => this.escape(event));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.state && this.drawChrome());
  }

  async start() {
    setLanguage(navigator.language);
    const place = readPlace();
    await this.actAs(place.as, place);
  }

  // Events in a burst cost one reload, and a slow reload is not asked for again at once.
  soon(name, run, wait = 40) {
    if (this.timers[name]) return;
    this.timers[name] = setTimeout(async () => {
      delete this.timers[name];
      const started = performance.now();
      await run();
      this.slow[name] = performance.now() - started;
    }, Math.max(wait, 2 * (this.slow[name] || 0)));
  }

  async actAs(as, { channel = this.talk.channel, thread = this.talk.thread } = {}) {
    let state = await api.state(as);
    // A person who has left the workspace may still stand in a bookmark.
    if (!state.me && as && !state.unreachable) state = await api.state(null);
    if (!state.me) return this.cannotStart(state);
    this.as = state.me.id;
    this.talk.empty();
    this.modals.show(null);
    this.takeState(state);
    this.stream.open(this.as);
    const known = this.people.channels.has(channel);
    await this.talk.openChannel(known ? channel : state.channels[0]?.id, known ? thread : null);
    byId("app").dataset.ready = "true";
    byId("app").dataset.as = this.as;
    return null;
  }

  cannotStart(state) {
    fill(byId("messages"), h("p", { class: "empty" }, say("nothingHere", { reason: state.error })));
    this.soon("start", () => this.start(), RETRY);
  }

  takeState(state) {
    const before = document.documentElement.lang;
    this.state = state;
    this.people = peopleOf(state);
    this.channelLocale = state.channel_locale || this.channelLocale;
    setServerNow(state.now);
    setLanguage(state.me.locale);
    if (before !== document.documentElement.lang) this.modals.redraw();
    this.drawChrome();
  }

  async loadState() {
    const { as } = this;
    const ticket = ++this.asked;
    const state = await api.state(as);
    // An answer that was asked for before the one on the page comes too late.
    if (!state.me || as !== this.as || ticket < this.answered) return;
    this.answered = ticket;
    this.takeState(state);
    this.talk.drawMessages();
  }

  moved() {
    this.showSidebar(false);
    writePlace({ as: this.as, channel: this.talk.channel, thread: this.talk.thread });
    this.drawChrome();
  }

  drawChrome() {
    const { state, as, talk: { channel } } = this;
    byId("skip").textContent = say("skip");
    drawTopbar(byId("topbar"), { state, channelLocale: this.channelLocale, inspectorOpen: this.inspector.isOpen }, {
      openSidebar: () => this.showSidebar(true),
      actAs: (id) => this.actAs(id),
      setLocale: (locale) => this.setLocale(locale),
      setChannelLocale: (locale) => this.setChannelLocale(locale),
      toggleInspector: () => this.toggleInspector(),
      redraw: () => this.drawChrome(),
    });
    drawSidebar(byId("sidebar"), { state, channel, as }, { openChannel: (id) => this.talk.openChannel(id), close: () => this.showSidebar(false) });
    const unread = state.channels.reduce((sum, item) => sum + (item.id === channel ? 0 : item.unread || 0), 0);
    document.title = `${unread ? `(${unread}) ` : ""}#${this.people.channels.get(channel)?.name ?? ""} — ${state.team.name}`;
    this.talk.draw();
    this.inspector.draw();
  }

  heard({ channel, ts, thread_ts: thread }) {
    const { talk } = this;
    if (channel !== talk.channel) return this.soon("state", () => this.loadState(), 120);
    if (talk.thread && (thread === talk.thread || ts === talk.thread)) this.soon("thread", () => talk.loadThread());
    return this.soon("messages", () => talk.loadMessages());
  }

  async setLocale(locale) {
    const answer = await api.locale({ as: this.as, locale });
    if (!answer.ok) toast(answer.error, "warn");
    await this.loadState();
  }

  async setChannelLocale(locale) {
    const answer = await api.channelLocale(locale);
    if (!answer.ok) return void toast(answer.error, "warn");
    this.channelLocale = locale;
    await this.loadState();
  }

  toggleInspector() {
    const panel = byId("inspector");
    panel.hidden = !panel.hidden;
    byId("app").classList.toggle("with-inspector", !panel.hidden);
    this.drawChrome();
    this.inspector.refresh();
    (panel.hidden ? byId("open-inspector") : panel.querySelector(".traffic-list")).focus();
  }

  showSidebar(isOpen) {
    const { classList } = byId("app");
    const wasOpen = classList.contains("with-sidebar");
    classList.toggle("with-sidebar", isOpen);
    byId("scrim").hidden = !isOpen;
    if (isOpen) byId("sidebar").querySelector("[aria-current], a")?.focus();
    else if (wasOpen) byId("open-menu")?.focus();
  }

  escape(event) {
    if (event.key !== "Escape" || event.defaultPrevented || document.querySelector("dialog[open]")) return;
    if (byId("app").classList.contains("with-sidebar")) this.showSidebar(false);
    else if (this.inspector.isOpen && byId("inspector").contains(event.target)) this.toggleInspector();
    else if (this.talk.thread && byId("thread").contains(event.target)) this.talk.openThread(null);
  }

  // What came between the first look and the stream would be missing until the next event.
  caughtUp() {
    if (!this.talk.channel) return;
    this.talk.loadMessages();
    this.talk.loadThread();
  }

  disconnected(isDown) {
    this.downNotice?.remove();
    this.downNotice = null;
    if (isDown) {
      this.downNotice = h("div", { class: "offline", role: "alert" }, icon("warn"), say("serverGone"));
      byId("channel-below").prepend(this.downNotice);
      return;
    }
    toast(say("serverBack"));
    this.inspector.reset();
    this.inspector.refresh();
    this.loadState();
    this.talk.loadMessages();
    this.talk.loadThread();
  }

  goToPlace() {
    closeMenu();
    const { channel, as, thread } = readPlace();
    if (as && as !== this.as) return void this.actAs(as, { channel, thread });
    const known = this.people?.channels.has(channel);
    if (known && channel !== this.talk.channel) return void this.talk.openChannel(channel, thread);
    if (known && thread !== this.talk.thread) return void this.talk.openThread(thread);
    return this.state && this.moved();
  }
}

new Desk().start();
