// Draws the sidebar: the workspace, its channels with what is unread, and the demo's links.

import { fill, h, hasChanged, icon } from "./dom.js";
import { currentLanguage, say } from "./words.js";

export function drawSidebar(root, { state, channel, as }, { openChannel, close }) {
  if (!hasChanged(root, currentLanguage(), channel, as, state.team, state.links, state.channels)) return;
  const held = root.contains(document.activeElement) ? document.activeElement.dataset.channelId : null;
  root.setAttribute("aria-label", say("channels"));
  const closer = h("button", { class: "icon-button sidebar-close", type: "button", "aria-label": say("close"), on: { click: close } }, icon("close"));
  const channels = state.channels.map((item) => {
    const go = (event) => {
      event.preventDefault();
      openChannel(item.id);
    };
    const isUnread = item.unread > 0 && item.id !== channel;
    const badge = isUnread && h("span", { class: "badge", "aria-label": say("unread", { n: item.unread }) }, item.unread > 99 ? "99+" : String(item.unread));
    return h("li", {}, h("a", { class: `channel-link${isUnread ? " channel-unread" : ""}`, href: `#${item.id}/${as}`, data: { channelId: item.id, unread: String(item.unread || 0) }, "aria-current": item.id === channel ? "page" : null, on: { click: go } }, h("span", { class: "hash", "aria-hidden": "true" }, item.is_private ? icon("lock") : "#"), h("span", { class: "channel-name" }, item.name), badge));
  });
  const links = (state.links || []).map((item) => h("li", {}, h("a", { class: "channel-link", href: item.url, target: "_blank", rel: "noopener noreferrer" }, h("span", { class: "hash", "aria-hidden": "true" }, icon("link")), h("span", { class: "channel-name" }, currentLanguage() === "ja" ? item.label_ja : item.label_en))));
  fill(
    root,
    h("div", { class: "sidebar-head" }, h("span", { class: "team-mark", "aria-hidden": "true" }, [...state.team.name][0]), h("strong", {}, state.team.name), closer),
    h("h2", {}, say("channels")),
    h("ul", {}, channels),
    links.length > 0 && [h("h2", {}, say("links")), h("ul", {}, links)],
  );
  if (held) root.querySelector(`[data-channel-id="${CSS.escape(held)}"]`)?.focus();
}
