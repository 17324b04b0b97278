// Draws the markdown block: the plain Markdown that Slack accepts there, not mrkdwn.

import { h, link } from "./dom.js";
import { withEmoji, withSigns } from "./emoji.js";

const LINE_KINDS = [
  ["fence", /^```/],
  ["heading", /^(#{1,6}) +(.*)$/],
  ["rule", /^(-{3,}|\*{3,})$/],
  ["quote", /^> ?(.*)$/],
  ["bullet", /^\s*[-*+] +(.*)$/],
  ["number", /^\s*\d+[.)] +(.*)$/],
  ["row", /^\|(.*)\|\s*$/],
  ["blank", /^\s*$/],
];

function kindOf(line) {
  return (LINE_KINDS.find(([, pattern]) => pattern.test(line)) || ["text"])[0];
}

export function markdown(text) {
  const nodes = [];
  const lines = text.split("\n");
  for (let at = 0; at < lines.length; ) {
    const kind = kindOf(lines[at]);
    let end = at + 1;
    if (kind === "fence") {
      while (end < lines.length && kindOf(lines[end]) !== "fence") end += 1;
      end += 1;
    } else if (kind !== "heading" && kind !== "rule" && kind !== "blank") {
      while (end < lines.length && kindOf(lines[end]) === kind) end += 1;
    }
    nodes.push(DRAW[kind](lines.slice(at, end)));
    at = end;
  }
  return h("div", { class: "markdown" }, nodes);
}

const DRAW = {
  fence: (lines) => h("pre", { tabindex: "0" }, lines.slice(1, -1).join("\n")),
  heading: ([line]) => h("p", { class: "markdown-heading" }, spans(line.replace(/^#+ +/, ""))),
  rule: () => h("hr"),
  quote: (lines) => h("blockquote", {}, broken(lines.map((line) => line.replace(/^> ?/, "")))),
  bullet: (lines) => h("ul", { class: "rich-list" }, lines.map((line) => h("li", {}, spans(line.replace(/^\s*[-*+] +/, ""))))),
  number: (lines) => h("ol", { class: "rich-list" }, lines.map((line) => h("li", {}, spans(line.replace(/^\s*\d+[.)] +/, ""))))),
  row: (lines) => pipeTable(lines),
  blank: () => null,
  text: (lines) => h("p", {}, broken(lines)),
};

function pipeTable(lines) {
  const rows = lines.filter((line) => !/^\|[\s:|-]+\|\s*$/.test(line)).map((line) => line.trim().slice(1, -1).split("|"));
  const cells = (row, tag) => h("tr", {}, row.map((cell) => h(tag, {}, spans(cell.trim()))));
  return h("div", { class: "table-box", tabindex: "0" }, h("table", {}, h("thead", {}, cells(rows[0], "th")), h("tbody", {}, rows.slice(1).map((row) => cells(row, "td")))));
}

function broken(lines) {
  return lines.flatMap((line, index) => (index ? [h("br"), ...spans(line)] : spans(line)));
}

const SPAN = /(`[^`]+`)|\[([^\]]+)\]\(([^)\s]+)\)|\*\*(.+?)\*\*|__(.+?)__|~~(.+?)~~|\*([^*\s][^*]*)\*|_([^_\s][^_]*)_/;

function spans(text) {
  const match = SPAN.exec(text);
  if (!match) return withSigns(withEmoji(text));
  const [whole, code, label, url, strong, strong2, strike, em, em2] = match;
  let node;
  if (code) node = h("code", {}, code.slice(1, -1));
  else if (url) node = link(url, spans(label));
  else if (strong || strong2) node = h("strong", {}, spans(strong || strong2));
  else if (strike) node = h("s", {}, spans(strike));
  else node = h("em", {}, spans(em || em2));
  return [...spans(text.slice(0, match.index)), node, ...spans(text.slice(match.index + whole.length))];
}
