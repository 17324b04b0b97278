// Draws rich_text blocks: sections, lists, quotes and preformatted text.

import { h, link } from "./dom.js";
import { fillDateTokens, toDate } from "./dates.js";
import { emojiFor, withSigns } from "./emoji.js";
import { channelMention, groupMention, userMention } from "./mrkdwn.js";
import { say } from "./words.js";

const STYLE_TAGS = [["code", "code"], ["strike", "s"], ["italic", "em"], ["bold", "strong"]];

export function richText(block, people) {
  return h("div", { class: "rich-text" }, block.elements.map((part) => richPart(part, people)));
}

function richPart(part, people) {
  if (part.type === "rich_text_list") return richList(part, people);
  if (part.type === "rich_text_quote") return h("blockquote", {}, richInline(part.elements, people));
  if (part.type === "rich_text_preformatted") return h("pre", { tabindex: "0" }, richInline(part.elements, people));
  if (part.type === "rich_text_section") return h("p", {}, richInline(part.elements, people));
  return h("p", { class: "unsupported" }, say("unsupported", { type: part.type }));
}

function richList(part, people) {
  const items = part.elements.map((item) => h("li", {}, richInline(item.elements, people)));
  const tag = part.style === "ordered" ? "ol" : "ul";
  return h(tag, { class: `rich-list indent-${Math.min(part.indent || 0, 4)}`, start: part.offset ? part.offset + 1 : null }, items);
}

export function richInline(elements, people) {
  return elements.map((element) => styled(richLeaf(element, people), element.style));
}

function styled(node, style = {}) {
  return STYLE_TAGS.reduce((inner, [name, tag]) => (style[name] ? h(tag, {}, inner) : inner), node);
}

function richLeaf(element, people) {
  switch (element.type) {
    case "text":
      return element.text.split("\n").flatMap((line, index) => (index ? [h("br"), ...withSigns(line)] : withSigns(line)));
    case "link":
      return link(element.url, element.text || element.url);
    case "user":
      return userMention(element.user_id, people);
    case "usergroup":
      return groupMention(element.usergroup_id, people);
    case "channel":
      return channelMention(element.channel_id, people);
    case "broadcast":
      return h("span", { class: "mention mention-all" }, `@${element.range}`);
    case "emoji":
      return h("span", { class: "emoji" }, withSigns(emojiFor(element.name) ?? `:${element.name}:`));
    case "date":
      return h("time", { datetime: toDate(element.timestamp).toISOString() }, fillDateTokens(element.timestamp, element.format, element.fallback || ""));
    default:
      return h("span", { class: "unsupported" }, say("unsupported", { type: element.type }));
  }
}
