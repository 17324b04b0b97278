// Draws Block Kit blocks, for messages and for modals.

import { h } from "./dom.js";
import { drawElement } from "./elements.js";
import { withSigns } from "./emoji.js";
import { drawInput } from "./inputs.js";
import { markdown } from "./markdown.js";
import { plainNodes, textObject } from "./mrkdwn.js";
import { richInline, richText } from "./rich_text.js";
import { say } from "./words.js";

// `desk` is what a surface hands in: {people, dispatch(payload), form?, idPrefix}.
export function drawBlocks(blocks, desk) {
  return blocks.map((block, index) => {
    const draw = DRAW[block.type] || unsupported;
    const node = draw(block, { ...desk, blockId: block.block_id ?? `block-${index}` });
    node.dataset.blockId = block.block_id ?? `block-${index}`;
    node.classList.add("block", `block-${block.type}`);
    return node;
  });
}

const DRAW = {
  header: (block) => h("h3", {}, plainNodes(block.text)),
  divider: () => h("hr"),
  section: drawSection,
  context: drawContext,
  actions: (block, desk) => h("div", { role: "group" }, block.elements.map((element) => drawElement(element, desk))),
  image: drawImage,
  input: drawInput,
  markdown: (block) => markdown(block.text),
  rich_text: (block, desk) => richText(block, desk.people),
  table: drawTable,
  alert: (block, desk) => h("div", { class: `alert-${block.level || "default"}`, role: "note" }, textObject(block.text, desk.people)),
};

function unsupported(block) {
  return h("div", { class: "unsupported" }, say("unsupported", { type: block.type }));
}

function drawSection(block, desk) {
  const said = h("div", { class: "section-text" });
  if (block.text) said.append(h("div", { class: "prose" }, textObject(block.text, desk.people)));
  if (block.fields) {
    said.append(h("div", { class: "fields" }, block.fields.map((field) => h("div", { class: "prose" }, textObject(field, desk.people)))));
  }
  const side = block.accessory && h("div", { class: "accessory" }, block.accessory.type === "image" ? picture(block.accessory, "accessory-image") : drawElement(block.accessory, desk));
  return h("div", {}, said, side);
}

function drawContext(block, desk) {
  return h("div", {}, block.elements.map((element) => (element.type === "image" ? picture(element, "context-image") : h("span", { class: "prose" }, textObject(element, desk.people)))));
}

function drawImage(block) {
  const title = block.title && h("figcaption", {}, plainNodes(block.title));
  return h("figure", {}, title, picture(block, "block-picture"));
}

function picture(image, name) {
  const url = image.image_url || "";
  if (!/^(https?:\/\/|data:image\/)/i.test(url)) return missing(image);
  return h("img", { class: name, src: url, alt: image.alt_text || "", loading: "lazy", on: { error: (event) => event.target.replaceWith(missing(image)) } });
}

function missing(image) {
  return h("span", { class: "unsupported" }, say("imageMissing", { alt: image.alt_text || "" }));
}

function drawTable(block, desk) {
  const settings = block.column_settings || [];
  const row = (cells, tag) => h("tr", {}, cells.map((cell, index) => drawCell(cell, settings[index], tag, desk)));
  const [head, ...body] = block.rows;
  return h("div", {}, h("div", { class: "table-box", tabindex: "0", role: "region", "aria-label": say("table") }, h("table", {}, h("thead", {}, row(head, "th")), h("tbody", {}, body.map((cells) => row(cells, "td"))))));
}

function drawCell(cell, setting, tag, desk) {
  const classes = [`align-${setting?.align || (cell.type === "raw_number" ? "right" : "left")}`];
  if (setting?.is_wrapped) classes.push("wrapped");
  return h(tag, { class: classes.join(" "), scope: tag === "th" ? "col" : null }, cellContent(cell, desk));
}

function cellContent(cell, desk) {
  if (cell.type === "raw_text") return withSigns(cell.text);
  if (cell.type === "raw_number") return cell.text ?? String(cell.value);
  return (cell.elements || []).flatMap((part) => richInline(part.elements || [], desk.people));
}
