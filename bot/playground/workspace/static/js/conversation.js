// One channel as the acting person sees it: its messages, an open thread, and what is written there.

import { api } from "./api.js";
import { Composer } from "./composer.js";
import { fill, h, hasChanged, icon } from "./dom.js";
import { MessageList } from "./messages.js";
import { reasonFor } from "./reasons.js";
import { currentLanguage, say } from "./words.js";

const byId = (id) => document.getElementById(id);
const PAGE = 100;
const notEphemeral = (message) => !message.ephemeral;

export class Conversation {
  // `desk` has as, state and people; it is told through moved() that another place is shown.
  constructor(desk) {
    this.desk = desk;
    this.channel = null;
    this.thread = null;
    this.messages = [];
    this.replies = [];
    this.newFrom = -1;
    this.limit = PAGE;
    this.unreadAtOpening = 0;
    this.asked = 0;
    this.shown = { messages: 0, thread: 0 };
    this.failures = new Map();
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
    const scroller = h("div", { class: "scroller", id: "thread-messages", role: "log", tabindex: "0" });
    this.threadList = new MessageList(scroller, calls, { inThread: true });
    this.threadComposer = new Composer("thread-composer", { send: (text) => this.send(text, this.thread) }, { inThread: true });
    byId("thread").append(this.threadHead, scroller, h("div", { class: "below" }, this.threadComposer.node));
    document.addEventListener("visibilitychange", () => this.markRead());
  }

  // Another person sits down: nothing of the last one's may stay on the desk.
  empty() {
    this.failures.clear();
    this.composer.empty();
    this.threadComposer.empty();
    this.list.clear();
    this.threadList.clear();
  }

  draw() {
    const channel = this.desk.people.channels.get(this.channel);
    if (!channel) return;
    const { commands } = this.desk.state;
    const { name, topic, is_member: isMember, is_archived: isArchived } = channel;
    if (!hasChanged(byId("channel-head"), currentLanguage(), this.channel, name, topic, isMember, isArchived, commands)) return;
    fill(byId("channel-head"), h("h1", {}, h("span", { class: "hash", "aria-hidden": "true" }, channel.is_private ? icon("lock") : "#"), channel.name), h("span", { class: "topic" }, channel.topic || ""));
    byId("messages").setAttribute("aria-label", say("messagesIn", { channel: channel.name }));
    const refusal = isArchived ? say("archived") : isMember === false ? say("notMember") : null;
    this.composer.draw({ placeholder: say("messageTo", { channel: channel.name }), commands, refusal });
    fill(this.jump, icon("arrow"), say("jump"));
    const closer = h("button", { class: "icon-button", type: "button", "aria-label": say("closeThread"), on: { click: () => this.openThread(null) } }, icon("close"));
    fill(this.threadHead, h("h2", {}, say("thread")), h("span", { class: "topic" }, `#${channel.name}`), closer);
    byId("thread").setAttribute("aria-label", say("thread"));
    this.threadComposer.draw({ placeholder: say("replyHere"), commands, refusal });
  }

  drawMessages() {
    const { people } = this.desk;
    const hidden = Math.max(0, this.messages.length - this.limit);
    const newFrom = this.newFrom > hidden ? this.newFrom - hidden : -1;
    const older = hidden && (() => this.showOlder());
    this.list.draw({ messages: this.messages.slice(hidden), people, failures: this.failures, newFrom, older, empty: say("empty") });
    if (this.thread) this.threadList.draw({ messages: this.replies, people, failures: this.failures, newFrom: -1, empty: say("loading") });
  }

  showOlder() {
    this.limit += PAGE;
    this.list.keepBelow(() => this.drawMessages());
  }

  async openChannel(id, thread = null) {
    if (id !== this.channel) this.composer.empty();
    this.unreadAtOpening = this.desk.people.channels.get(id)?.unread || 0;
    this.channel = id;
    this.messages = [];
    this.newFrom = -1;
    this.limit = PAGE;
    this.list.clear();
    this.desk.moved();
    await Promise.all([this.loadMessages(), this.openThread(thread)]);
  }

  async openThread(ts) {
    const opener = this.thread;
    this.thread = ts;
    this.replies = [];
    byId("thread").hidden = !ts;
    byId("app").classList.toggle("with-thread", Boolean(ts));
    this.desk.moved();
    this.threadList.clear();
    if (ts) {
      await this.loadThread();
      // On a touch screen focus would raise the keyboard over the thread.
      if (matchMedia("(hover: hover)").matches) this.threadComposer.field.focus({ preventScroll: true });
    } else if (opener) {
      byId("messages").querySelector(`[data-thread="${CSS.escape(opener)}"]`)?.focus({ preventScroll: true });
    }
  }

  // Answers may overtake one another: one that was asked for before what is shown comes too late.
  isLate(part, ticket) {
    if (ticket < this.shown[part]) return true;
    this.shown[part] = ticket;
    return false;
  }

  async loadMessages() {
    const { channel, desk: { as } } = this;
    const ticket = ++this.asked;
    const answer = await api.messages(as, channel);
    if (!answer.messages || as !== this.desk.as || channel !== this.channel || this.isLate("messages", ticket)) return;
    const wasPinned = this.list.pinned;
    const grew = answer.messages.length > this.messages.length;
    this.messages = answer.messages;
    if (this.unreadAtOpening) this.newFrom = Math.max(0, this.messages.length - this.unreadAtOpening);
    this.unreadAtOpening = 0;
    this.drawMessages();
    if (wasPinned) this.jump.hidden = true;
    else if (grew) this.jump.hidden = false;
    this.markRead();
  }

  async loadThread() {
    const { channel, thread, desk: { as } } = this;
    if (!thread) return;
    const ticket = ++this.asked;
    const answer = await api.thread(as, channel, thread);
    if (as !== this.desk.as || thread !== this.thread || this.isLate("thread", ticket)) return;
    if (answer.messages && !answer.messages.length) return void this.openThread(null);
    this.replies = answer.messages || this.replies;
    this.drawMessages();
  }

  reachBottom() {
    this.jump.hidden = true;
    this.markRead();
  }

  markRead() {
    const last = this.messages.filter(notEphemeral).at(-1);
    if (!last || document.visibilityState !== "visible" || !this.list.pinned) return;
    const mark = `${this.desk.as}/${this.channel}/${last.ts}`;
    if (mark === this.readMark) return;
    this.readMark = mark;
    this.desk.people.channels.get(this.channel).unread = 0;
    api.read({ as: this.desk.as, channel: this.channel, ts: last.ts });
  }

  async act(message, payload) {
    this.fail(message.ts, null);
    const answer = await api.action({ as: this.desk.as, channel: this.channel, message_ts: message.ts, ...payload });
    if (!answer.ok) this.fail(message.ts, reasonFor(answer));
  }

  fail(ts, reason) {
    if (reason) this.failures.set(ts, reason);
    else if (!this.failures.delete(ts)) return;
    this.drawMessages();
  }

  async send(text, thread = null) {
    const answer = await api.message({ as: this.desk.as, channel: this.channel, text, ...(thread && { thread_ts: thread }) });
    if (answer.ok) (thread ? this.threadList : this.list).toBottom();
    return answer.ok ? null : `${say("oops")}: ${reasonFor(answer)}`;
  }

  async command(command, text) {
    const answer = await api.command({ as: this.desk.as, channel: this.channel, command, text });
    if (answer.ok) this.list.toBottom();
    return answer.ok ? null : say("commandFailed", { command, reason: reasonFor(answer) });
  }
}
