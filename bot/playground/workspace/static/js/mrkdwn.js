// Turns Slack's mrkdwn into DOM nodes, by Slack's own rules for word borders, entities and quotes.

import { h, link } from "./dom.js";
import { fillDateTokens } from "./dates.js";
import { emojiFor, withEmoji, withSigns } from "./emoji.js";
import { nameOf } from "./people.js";
import { say } from "./words.js";

const STYLES = { "*": "strong", _: "em", "~": "s" };
const WORD = /[\p{L}\p{N}]/u;

export function unescape(text) {
  return text.replace(/&(lt|gt|amp);/g, (_whole, name) => ({ lt: "<", gt: ">", amp: "&" })[name]);
}

export function plainText(object) {
  return object.emoji === false ? object.text : withEmoji(object.text);
}

export function plainNodes(object) {
  return withSigns(plainText(object));
}

export function textObject(object, people) {
  if (object.type !== "mrkdwn") return plainNodes(object);
  return mrkdwn(object.text, people, { linkBare: !object.verbatim });
}

export function mrkdwn(text, people, options = {}) {
  const nodes = [];
  let rest = text;
  for (;;) {
    const fence = /```([\s\S]+?)```\n?/.exec(rest);
    nodes.push(...quotesAndLines(fence ? rest.slice(0, fence.index) : rest, people, options));
    if (!fence) return nodes;
    nodes.push(h("pre", { tabindex: "0" }, unescape(fence[1].replace(/^\n/, ""))));
    rest = rest.slice(fence.index + fence[0].length);
  }
}

function quotesAndLines(text, people, options) {
  const nodes = [];
  const lines = text.split("\n");
  for (let at = 0; at < lines.length; ) {
    if (/^(&gt;|>){3}/.test(lines[at])) {
      const all = [lines[at].replace(/^(&gt;|>){3} ?/, ""), ...lines.slice(at + 1)].join("\n");
      nodes.push(h("blockquote", {}, linesOf(all, people, options)));
      break;
    }
    const isQuote = /^(&gt;|>)/.test(lines[at]);
    let end = at;
    while (end < lines.length && /^(&gt;|>)/.test(lines[end]) === isQuote) end += 1;
    const part = lines.slice(at, end);
    if (isQuote) {
      const said = part.map((line) => line.replace(/^(&gt;|>) ?/, "")).join("\n");
      nodes.push(h("blockquote", {}, linesOf(said, people, options)));
    } else {
      nodes.push(...linesOf(part.join("\n"), people, options));
    }
    at = end;
  }
  return nodes;
}

function linesOf(text, people, options) {
  return text.split("\n").flatMap((line, index) => {
    const nodes = inline(line, people, options);
    return index ? [h("br"), ...nodes] : nodes;
  });
}

function inline(text, people, options, depth = 0) {
  const nodes = [];
  let buffer = "";
  const flush = () => {
    if (buffer) nodes.push(...withSigns(unescape(buffer)));
    buffer = "";
  };
  for (let at = 0; at < text.length; ) {
    const found = depth < 6 && (code(text, at) || entity(text, at, people) || styled(text, at, people, options, depth) || emoji(text, at) || (options.linkBare && bareLink(text, at)));
    if (found) {
      flush();
      nodes.push(found.node);
      at = found.end;
    } else {
      buffer += text[at];
      at += 1;
    }
  }
  flush();
  return nodes;
}

function code(text, at) {
  if (text[at] !== "`") return null;
  const end = text.indexOf("`", at + 1);
  if (end <= at + 1) return null;
  return { node: h("code", {}, unescape(text.slice(at + 1, end))), end: end + 1 };
}

function emoji(text, at) {
  if (text[at] !== ":") return null;
  const match = /^:([a-z0-9_+-]+):/.exec(text.slice(at, at + 40));
  const sign = match && emojiFor(match[1]);
  return sign ? { node: h("span", { class: "emoji" }, withSigns(sign)), end: at + match[0].length } : null;
}

function bareLink(text, at) {
  if (text[at] !== "h" || (at > 0 && WORD.test(text[at - 1]))) return null;
  const match = /^https?:\/\/[^\s<>|、。」)]+/.exec(text.slice(at));
  if (!match) return null;
  const url = match[0].replace(/[.,;:!?*_~`]+$/, "");
  return { node: link(unescape(url), unescape(url)), end: at + url.length };
}

function styled(text, at, people, options, depth) {
  const tag = STYLES[text[at]];
  const before = text[at - 1] ?? " ";
  const after = text[at + 1] ?? " ";
  if (!tag || WORD.test(before) || before === text[at] || after === text[at] || /\s/.test(after)) return null;
  const end = closing(text, at);
  if (end < 0) return null;
  return { node: h(tag, {}, inline(text.slice(at + 1, end), people, options, depth + 1)), end: end + 1 };
}

function closing(text, at) {
  const mark = text[at];
  for (let end = at + 1; end < text.length; end += 1) {
    if (text[end] === "<") {
      const over = text.indexOf(">", end);
      if (over > 0) end = over;
    } else if (text[end] === "`") {
      const over = text.indexOf("`", end + 1);
      if (over > 0) end = over;
    } else if (text[end] === mark && end > at + 1 && !/\s/.test(text[end - 1]) && !(text[end + 1] && (WORD.test(text[end + 1]) || text[end + 1] === mark))) {
      return end;
    }
  }
  return -1;
}

function entity(text, at, people) {
  if (text[at] !== "<") return null;
  const end = text.indexOf(">", at);
  if (end < 0) return null;
  const [target, ...labels] = text.slice(at + 1, end).split("|");
  const label = labels.join("|");
  const node = entityNode(target, label, people);
  return node ? { node, end: end + 1 } : null;
}

function entityNode(target, label, people) {
  if (/^@[UW]\w+$/.test(target)) return userMention(target.slice(1), people, label);
  if (/^#[CG]\w+$/.test(target)) return channelMention(target.slice(1), people, label);
  if (/^!subteam\^/.test(target)) return groupMention(target.slice(9), people, label);
  if (/^!(here|channel|everyone)$/.test(target)) return h("span", { class: "mention mention-all" }, `@${target.slice(1)}`);
  if (target.startsWith("!date^")) return dateNode(target.slice(6), unescape(label));
  if (target.startsWith("!")) return h("span", { class: "mention" }, unescape(label || target.slice(1)));
  if (/^(https?:\/\/|mailto:)/i.test(target)) return link(unescape(target), unescape(label || target.replace(/^mailto:/, "")));
  return null;
}

function dateNode(rest, fallback) {
  const [ts, pattern = "", url] = rest.split("^");
  const said = fillDateTokens(ts, pattern, fallback);
  const seconds = Number(ts);
  const time = h("time", { datetime: Number.isFinite(seconds) ? new Date(seconds * 1000).toISOString() : null }, said);
  return url ? link(url, time) : time;
}

export function userMention(id, people, label = "") {
  const user = people.users.get(id);
  const name = user ? nameOf(user) : unescape(label) || say("unknownUser");
  return h("span", { class: id === people.me ? "mention mention-me" : "mention", data: { userId: id } }, `@${name}`);
}

export function channelMention(id, people, label = "") {
  const channel = people.channels.get(id);
  const name = channel ? channel.name : unescape(label) || id;
  return channel ? h("a", { class: "mention", href: `#${id}`, data: { channelId: id } }, `#${name}`) : h("span", { class: "mention" }, `#${name}`);
}

export function groupMention(id, people, label = "") {
  const group = people.usergroups.get(id);
  const mine = group && group.users.includes(people.me);
  const name = group ? `@${group.handle}` : unescape(label) || `@${id}`;
  return h("span", { class: mine ? "mention mention-me" : "mention" }, name);
}
