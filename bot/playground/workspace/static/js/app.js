// Wires the page: what is shown, what the workspace tells, and what a person does.

import { api } from "./api.js";
import { Composer } from "./composer.js";
import { setServerNow } from "./dates.js";
import { fill, h, icon } from "./dom.js";
import { Inspector } from "./inspector.js";
import { closeMenu } from "./menu.js";
import { MessageList } from "./messages.js";
import { Modals } from "./modals.js";
import { peopleOf } from "./people.js";
import { readPlace, writePlace } from "./place.js";
import { reasonFor } from "./reasons.js";
import { drawSidebar } from "./sidebar.js";
import { Stream } from "./stream.js";
import { toast } from "./toasts.js";
import { drawTopbar } from "./topbar.js";
import { say, setLanguage } from "./words.js";

const byId = (id) => document.getElementById(id);

class Desk {
  constructor() {
    this.as = null;
    this.channel = null;
    this.thread = null;
    this.state = null;
    this.messages = [];
    this.replies = [];
    this.newFrom = -1;
    this.failures = new Map();
    this.channelLocale = "ja";
    this.root = byId("app");
    this.build();
  }

  build() {
    const calls = {
      act: (message, payload) => this.act(message, payload),
      openThread: (ts) => this.openThread(ts),
      forgive: (ts) => this.fail(ts, null),
    };
    this.list = new MessageList(byId("messages"), { ...calls, nearBottom: (isThere) => isThere && this.reachBottom() });
    this.jump = h("button", { class: "jump", type: "button", hidden: true, on: { click: () => this.list.toBottom() } });
    this.composer = new Composer("composer", { send: (text) => this.send(text), command: (name, rest) => this.command(name, rest) });
    byId("channel-below").append(this.jump, this.composer.node);
    this.threadHead = h("div", { class: "pane-head" });
    this.threadScroller = h("div", { class: "scroller", id: "thread-messages", role: "log", tabindex: "0" });
    this.threadList = new MessageList(this.threadScroller, calls, { inThread: true });
    this.threadComposer = new Composer("thread-composer", { send: (text) => this.send(text, this.thread) }, { inThread: true });
    byId("thread").append(this.threadHead, this.threadScroller, h("div", { class: "below" }, this.threadComposer.node));
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
      down: () => this.disconnected(true),
      up: () => this.disconnected(false),
    });
    byId("scrim").addEventListener("click", () => this.showSidebar(false));
    byId("skip").addEventListener("click", (event) => {
      event.preventDefault();
      byId("messages").focus();
    });
    window.addEventListener("hashchange", () => this.goToPlace());
    document.addEventListener("visibilitychange", () => this.markRead());
    document.addEventListener("keydown", (event) => this.escape(event));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.state && this.drawChrome());
  }

  async start() {
    const place = readPlace();
    setLanguage(navigator.language);
    await this.actAs(place.as, place);
    if (this.state) this.root.dataset.ready = "true";
  }

  // Several events in a burst cost one reload.
  soon(name, run, wait = 40) {
    this.timers ??= {};
    clearTimeout(this.timers[name]);
    this.timers[name] = setTimeout(run, wait);
  }

  async actAs(as, { channel = this.channel, thread = this.thread } = {}) {
    let state = await api.state(as);
    if (!state.me && as && !state.unreachable) state = await api.state(null);
    if (!state.me) return this.cannotStart(state, as);
    this.as = state.me.id;
    this.failures.clear();
    this.modals.show(null);
    this.composer.empty();
    this.threadComposer.empty();
    this.list.clear();
    this.threadList.clear();
    this.takeState(state);
    this.stream.open(this.as);
    const known = state.channels.some((item) => item.id === channel);
    await this.openChannel(known ? channel : state.channels[0]?.id, known ? thread : null);
    return null;
  }

  cannotStart(state, as) {
    fill(byId("messages"), h("p", { class: "empty" }, say("nothingHere", { reason: state.error })));
    setTimeout(() => this.start(), 2000);
    return as;
  }

  takeState(state) {
    this.state = state;
    this.people = peopleOf(state);
    this.channelLocale = state.channel_locale || this.channelLocale;
    setServerNow(state.now);
    const before = document.documentElement.lang;
    setLanguage(state.me.locale);
    if (before !== document.documentElement.lang) this.modals.redraw();
    this.drawChrome();
  }

  async loadState() {
    const as = this.as;
    const state = await api.state(as);
    if (!state.me || as !== this.as) return;
    this.takeState(state);
    this.drawMessages();
    this.drawThread();
  }

  drawChrome() {
    const { state, channel, as } = this;
    byId("skip").textContent = say("skip");
    drawTopbar(byId("topbar"), { state, channelLocale: this.channelLocale, inspectorOpen: this.inspector.isOpen }, {
      openSidebar: () => this.showSidebar(true),
      actAs: (id) => this.actAs(id),
      setLocale: (locale) => this.setLocale(locale),
      setChannelLocale: (locale) => this.setChannelLocale(locale),
      toggleInspector: () => this.toggleInspector(),
      redraw: () => this.drawChrome(),
    });
    drawSidebar(byId("sidebar"), { state, channel, as }, { openChannel: (id) => this.openChannel(id), close: () => this.showSidebar(false) });
    this.drawHead();
    this.inspector.draw();
  }

  drawHead() {
    const channel = this.people.channels.get(this.channel);
    if (!channel) return;
    const unread = this.state.channels.reduce((sum, item) => sum + (item.id === this.channel ? 0 : item.unread || 0), 0);
    document.title = `${unread ? `(${unread}) ` : ""}#${channel.name} — ${this.state.team.name}`;
    fill(byId("channel-head"), h("h1", {}, h("span", { class: "hash", "aria-hidden": "true" }, channel.is_private ? icon("lock") : "#"), channel.name), h("span", { class: "topic" }, channel.topic || ""));
    byId("messages").setAttribute("aria-label", say("messagesIn", { channel: channel.name }));
    const refusal = channel.is_member === false ? say("notMember") : null;
    this.composer.draw({ placeholder: say("messageTo", { channel: channel.name }), commands: this.state.commands, refusal });
    fill(this.jump, icon("arrow"), say("jump"));
    const closer = h("button", { class: "icon-button", type: "button", "aria-label": say("closeThread"), on: { click: () => this.openThread(null) } }, icon("close"));
    fill(this.threadHead, h("h2", {}, say("thread")), h("span", { class: "topic" }, `#${channel.name}`), closer);
    byId("thread").setAttribute("aria-label", say("thread"));
    this.threadComposer.draw({ placeholder: say("replyHere"), commands: this.state.commands, refusal });
  }

  async openChannel(id, thread = null) {
    if (!id) return;
    const channel = this.people.channels.get(id);
    if (id !== this.channel) this.composer.empty();
    this.channel = id;
    this.messages = [];
    this.newFrom = -1;
    this.list.clear();
    this.showSidebar(false);
    this.drawChrome();
    await Promise.all([this.loadMessages({ jump: true, unread: channel?.unread || 0 }), this.openThread(thread)]);
  }

  async openThread(ts) {
    const opener = this.thread;
    this.thread = ts;
    byId("thread").hidden = !ts;
    this.root.classList.toggle("with-thread", Boolean(ts));
    writePlace(this);
    this.threadList.clear();
    if (ts) {
      await this.loadThread({ jump: true });
      this.threadComposer.field.focus({ preventScroll: true });
    } else if (opener) {
      byId("messages").querySelector(`[data-thread="${CSS.escape(opener)}"]`)?.focus({ preventScroll: true });
    }
  }

  async loadMessages({ jump = false, unread = 0 } = {}) {
    const { as, channel } = this;
    const answer = await api.messages(as, channel);
    if (!answer.messages || as !== this.as || channel !== this.channel) return;
    const wasAtBottom = this.list.isAtBottom();
    const grew = answer.messages.length > this.messages.length;
    this.messages = answer.messages;
    if (unread) this.newFrom = Math.max(0, this.messages.filter((message) => !message.ephemeral).length - unread);
    this.drawMessages({ jump });
    this.jump.hidden = jump || wasAtBottom || !grew;
    this.markRead();
  }

  async loadThread({ jump = false } = {}) {
    const { as, channel, thread } = this;
    if (!thread) return;
    const answer = await api.thread(as, channel, thread);
    if (as !== this.as || thread !== this.thread) return;
    if (!answer.messages?.length) return void this.openThread(null);
    this.replies = answer.messages;
    this.drawThread({ jump });
  }

  drawMessages(options) {
    this.list.draw({ messages: this.messages, people: this.people, failures: this.failures, newFrom: this.newFrom > 0 ? this.newFrom : -1, empty: say("empty") }, options);
  }

  drawThread(options) {
    if (!this.thread) return;
    this.threadList.draw({ messages: this.replies, people: this.people, failures: this.failures, newFrom: -1, empty: say("loading") }, options);
  }

  heard({ channel, ts, thread_ts: thread }) {
    if (channel !== this.channel) return this.soon("state", () => this.loadState(), 120);
    if (this.thread && (thread === this.thread || ts === this.thread)) this.soon("thread", () => this.loadThread());
    return this.soon("messages", () => this.loadMessages());
  }

  reachBottom() {
    this.jump.hidden = true;
    this.markRead();
  }

  markRead() {
    const last = this.messages.filter((message) => !message.ephemeral).at(-1);
    if (!last || document.visibilityState !== "visible" || !this.list.isAtBottom()) return;
    const mark = `${this.as}/${this.channel}/${last.ts}`;
    if (mark === this.readMark) return;
    this.readMark = mark;
    const channel = this.state.channels.find((item) => item.id === this.channel);
    if (channel) channel.unread = 0;
    api.read({ as: this.as, channel: this.channel, ts: last.ts });
  }

  async act(message, payload) {
    this.fail(message.ts, null);
    const answer = await api.action({ as: this.as, channel: this.channel, message_ts: message.ts, ...payload });
    if (!answer.ok) this.fail(message.ts, reasonFor(answer));
  }

  fail(ts, reason) {
    if (reason) this.failures.set(ts, reason);
    else if (!this.failures.delete(ts)) return;
    this.drawMessages();
    this.drawThread();
  }

  async send(text, thread = null) {
    const escaped = text.replace(/[&<>]/g, (sign) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;" })[sign]);
    const answer = await api.message({ as: this.as, channel: this.channel, text: escaped, ...(thread && { thread_ts: thread }) });
    if (answer.ok) (thread ? this.threadList : this.list).toBottom();
    return answer.ok ? null : `${say("oops")}: ${reasonFor(answer)}`;
  }

  async command(command, text) {
    const answer = await api.command({ as: this.as, channel: this.channel, command, text });
    if (answer.ok) this.list.toBottom();
    return answer.ok ? null : say("commandFailed", { command, reason: reasonFor(answer) });
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
    this.root.classList.toggle("with-inspector", !panel.hidden);
    this.drawChrome();
    this.inspector.refresh();
    (panel.hidden ? byId("open-inspector") : panel.querySelector("input"))?.focus();
  }

  showSidebar(isOpen) {
    const wasOpen = this.root.classList.contains("with-sidebar");
    this.root.classList.toggle("with-sidebar", isOpen);
    byId("scrim").hidden = !isOpen;
    if (isOpen) byId("sidebar").querySelector("[aria-current], a")?.focus();
    else if (wasOpen) byId("open-menu")?.focus();
  }

  escape(event) {
    if (event.key !== "Escape" || event.defaultPrevented || document.querySelector("dialog[open]")) return;
    if (this.root.classList.contains("with-sidebar")) this.showSidebar(false);
    else if (this.inspector.isOpen && byId("inspector").contains(event.target)) this.toggleInspector();
    else if (this.thread && byId("thread").contains(event.target)) this.openThread(null);
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
    this.loadMessages();
    this.loadThread();
  }

  goToPlace() {
    closeMenu();
    const { channel, as, thread } = readPlace();
    if (as && as !== this.as) return void this.actAs(as, { channel, thread });
    const known = this.people.channels.has(channel);
    if (known && channel !== this.channel) return void this.openChannel(channel, thread);
    if (known && thread !== this.thread) return void this.openThread(thread);
    return writePlace(this);
  }
}

new Desk().start();
